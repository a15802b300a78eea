"""Refusals whose codes and words clients compare, where they are unlike what one would guess."""

import pytest

from tests.api.asking import refused
from tests.api.test_absent_ids import error_of


@pytest.mark.parametrize("malformed", ["vpc-0", "nonsense", "i-0123456789abcdef0"])
def test_malformed_ids_of_vpcs_and_subnets_are_not_there(cloud, account, malformed):
    ec2, launch = account.ec2, {"ImageId": cloud.image_id, "MinCount": 1, "MaxCount": 1}
    vpc = ("InvalidVpcID.NotFound", f"The vpc ID '{malformed}' does not exist")
    subnet = ("InvalidSubnetID.NotFound", f"The subnet ID '{malformed}' does not exist")
    assert error_of(ec2.describe_vpcs, VpcIds=[malformed]) == vpc
    assert error_of(ec2.delete_vpc, VpcId=malformed) == vpc
    assert error_of(ec2.create_subnet, VpcId=malformed, CidrBlock="10.0.0.0/24") == vpc
    assert error_of(ec2.describe_subnets, SubnetIds=[malformed]) == subnet
    assert error_of(ec2.run_instances, SubnetId=malformed, **launch) == subnet


@pytest.mark.parametrize(
    ("filters", "counted"),
    [
        ([["x"] * 201], "filter values specified on a single call is 200"),
        ([["x"] * 101, ["y"] * 100], "filter values specified on a single call is 200"),
        ([["x"]] * 51, "filters specified on a single call is 50"),
        ([["x" * 256]], "characters of a filter value is 255"),
    ],
)
@pytest.mark.parametrize(
    ("action", "name"),
    [
        ("describe_instances", "tag:a"),
        ("describe_tags", "key"),
        ("describe_key_pairs", "key-name"),
        ("describe_availability_zones", "zone-name"),
        ("describe_instance_type_offerings", "location"),
    ],
)
def test_more_filters_than_a_call_may_have(account, action, name, filters, counted):
    asked = [{"Name": name, "Values": values} for values in filters]
    answer = error_of(getattr(account.ec2, action), Filters=asked)
    assert answer == ("FilterLimitExceeded", f"The maximum number of {counted}")


def test_as_many_filters_as_a_call_may_have(account):
    filters = [{"Name": "tag:a", "Values": [str(n).zfill(255) for n in range(4)]}] * 50
    assert account.ec2.describe_instances(Filters=filters)["Reservations"] == []


def test_addresses_by_what_they_are(account):
    """A VPC's address is named by its ids."""
    ec2 = account.ec2
    for act in (ec2.release_address, ec2.disassociate_address):
        assert refused(act, PublicIp="192.0.2.1") == "InvalidAddress.NotFound"
    made = ec2.allocate_address()
    assert error_of(ec2.release_address, PublicIp=made["PublicIp"]) == (
        "InvalidParameterValue",
        "You must specify an allocation id when releasing a VPC elastic IP address",
    )
    assert error_of(ec2.disassociate_address, PublicIp=made["PublicIp"]) == (
        "InvalidParameterValue",
        "You must specify an association id when unmapping an address from a VPC instance",
    )
    ec2.release_address(AllocationId=made["AllocationId"])
    assert refused(ec2.release_address, AllocationId="nonsense") == "InvalidAllocationID.NotFound"
