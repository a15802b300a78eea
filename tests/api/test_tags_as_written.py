"""Tags come back as they were written, by whatever call they came; too long ones are refused."""

import pytest

from tests.api.asking import refused

KEY, VALUE = "ключ\t🔑" + "k" * 122, "a\tb\nc\r\nd\re & <f>" + "😀" * 240
TAG = {"Key": KEY, "Value": VALUE}
TOO_LONG = [{"Key": "k" * 129, "Value": ""}, {"Key": "k", "Value": "v" * 257}]


def make_vpc(ec2, **given) -> str:
    return ec2.create_vpc(CidrBlock="10.9.0.0/16", **given)["Vpc"]["VpcId"]


CREATES = {
    "vpc": make_vpc,
    "subnet": lambda ec2, **given: ec2.create_subnet(
        VpcId=make_vpc(ec2), CidrBlock="10.9.1.0/24", **given
    )["Subnet"]["SubnetId"],
    "route-table": lambda ec2, **given: ec2.create_route_table(VpcId=make_vpc(ec2), **given)[
        "RouteTable"
    ]["RouteTableId"],
    "internet-gateway": lambda ec2, **given: ec2.create_internet_gateway(**given)[
        "InternetGateway"
    ]["InternetGatewayId"],
    "security-group": lambda ec2, **given: ec2.create_security_group(
        GroupName="g", Description="d", **given
    )["GroupId"],
    "key-pair": lambda ec2, **given: ec2.create_key_pair(KeyName="k", **given)["KeyPairId"],
    "elastic-ip": lambda ec2, **given: ec2.allocate_address(**given)["AllocationId"],
    "volume": lambda ec2, **given: ec2.create_volume(
        AvailabilityZone="us-east-1a", Size=1, **given
    )["VolumeId"],
}


def tags_of(ec2, resource_id) -> list[dict]:
    found = ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [resource_id]}])["Tags"]
    return [{"Key": tag["Key"], "Value": tag["Value"]} for tag in found]


@pytest.mark.parametrize("kind", CREATES)
def test_of_a_specification(account, kind):
    def specified(tag):
        return [{"ResourceType": kind, "Tags": [tag]}]

    for tag in TOO_LONG:
        code = refused(CREATES[kind], ec2=account.ec2, TagSpecifications=specified(tag))
        assert code == "InvalidParameterValue"
    made = CREATES[kind](account.ec2, TagSpecifications=specified(TAG))
    assert tags_of(account.ec2, made) == [TAG]


def test_of_create_tags(account):
    ec2, vpc = account.ec2, make_vpc(account.ec2)
    ec2.create_tags(Resources=[vpc], Tags=[TAG])
    assert tags_of(ec2, vpc) == [TAG]
    assert ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["Tags"] == [TAG]
    for tag in TOO_LONG:
        assert refused(ec2.create_tags, Resources=[vpc], Tags=[tag]) == "InvalidParameterValue"
    ec2.delete_tags(Resources=[vpc], Tags=[TAG])
    assert tags_of(ec2, vpc) == []
