"""Refusals whose codes and words clients compare, where they are unlike what one would guess."""

import pytest

from tests.api.asking import described, launch_one, refused
from tests.api.test_absent_ids import error_of
from tests.api.test_images_of_instances import available


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


def test_instance_types_that_are_not_there(cloud, account):
    ec2, instance = account.ec2, launch_one(cloud, account)
    ec2.stop_instances(InstanceIds=[instance])
    account.wait_for("stopped", instance)
    answer = ("InvalidParameterValue", "Invalid value 'x9.huge' for InstanceType.")
    launch = {"ImageId": cloud.image_id, "MinCount": 1, "MaxCount": 1}
    assert error_of(ec2.run_instances, InstanceType="x9.huge", **launch) == answer
    modify = {"InstanceId": instance, "InstanceType": {"Value": "x9.huge"}}
    assert error_of(ec2.modify_instance_attribute, **modify) == answer
    described = refused(ec2.describe_instance_types, InstanceTypes=["x9.huge"])
    assert described == "InvalidInstanceType"


def test_a_deregistered_image_is_no_longer_available(cloud, account, other):
    ec2, launch = account.ec2, {"MinCount": 1, "MaxCount": 1}
    image = ec2.create_image(InstanceId=launch_one(cloud, account), Name="gone")["ImageId"]
    available(account, image)
    tags = [{"Key": "a", "Value": "b"}]
    ec2.create_tags(Resources=[image], Tags=tags)
    ec2.modify_image_attribute(
        ImageId=image, LaunchPermission={"Add": [{"UserId": other.account_id}]}
    )
    launch_one(cloud, account, ImageId=image)
    ec2.deregister_image(ImageId=image)
    gone = ("InvalidAMIID.Unavailable", f"The image ID '{image}' is no longer available")
    for who in (account, other):
        assert error_of(who.ec2.run_instances, ImageId=image, **launch) == gone
        assert error_of(who.ec2.deregister_image, ImageId=image) == gone
        assert who.ec2.describe_images(ImageIds=[image])["Images"] == []
    for attribute in ("description", "launchPermission"):
        asked = {"ImageId": image, "Attribute": attribute}
        assert error_of(ec2.describe_image_attribute, **asked) == gone
    assert error_of(ec2.modify_image_attribute, ImageId=image, Description={"Value": "x"}) == gone
    assert ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [image]}])["Tags"] == []
    never = "ami-0123456789abcdef0"
    assert refused(ec2.describe_images, ImageIds=[image, never]) == "InvalidAMIID.NotFound"
    assert refused(ec2.run_instances, ImageId=never, **launch) == "InvalidAMIID.NotFound"


def test_an_empty_id_is_nothing_to_tag(account):
    ec2 = account.ec2
    group = ec2.describe_security_groups()["SecurityGroups"][0]["GroupId"]
    answer = ("InvalidParameterValue", "Null/empty value for resourceId is invalid")
    for ids in ([""], [group, ""]):
        assert error_of(ec2.create_tags, Resources=ids, Tags=[{"Key": "a", "Value": ""}]) == answer
        assert error_of(ec2.delete_tags, Resources=ids, Tags=[{"Key": "a"}]) == answer
    assert ec2.describe_tags()["Tags"] == []


def test_a_launch_that_ends_because_of_its_image_names_it(cloud, account):
    asked = account.api("GET", f"/v1/images?image_ids={cloud.image_id}")
    digest = asked["images"][0]["digest"]
    for host in cloud.hosts:
        host.service.drivers.images.broken.add(digest)
    try:
        made = account.ec2.run_instances(ImageId=cloud.image_id, MinCount=1, MaxCount=1)
        instance = made["Instances"][0]["InstanceId"]
        account.wait_for("terminated", instance)
    finally:
        for host in cloud.hosts:
            host.service.drivers.images.broken.clear()
    seen = described(account, instance)
    assert seen["StateReason"] == {
        "Code": "Server.InternalError",
        "Message": f"Server.InternalError: {cloud.image_id} does not match its digest",
    }
    assert seen["StateTransitionReason"].startswith("Server.InternalError (")
