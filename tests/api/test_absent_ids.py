"""Ids that name nothing: all of them are named, and a call with one of them does nothing."""

import pytest
from botocore.exceptions import ClientError

from tests.api.asking import described, launch_one

ONE, TWO = "0123456789abcdef0", "0123456789abcdef1"


def error_of(call, **given) -> tuple[str, str]:
    with pytest.raises(ClientError) as failure:
        call(**given)
    error = failure.value.response["Error"]
    return error["Code"], error["Message"]


@pytest.mark.parametrize(
    ("action", "parameter", "prefix", "code", "message"),
    [
        (
            *("describe_instances", "InstanceIds", "i", "InvalidInstanceID.NotFound"),
            "The instance IDs '{}' do not exist",
        ),
        (
            *("terminate_instances", "InstanceIds", "i", "InvalidInstanceID.NotFound"),
            "The instance IDs '{}' do not exist",
        ),
        (
            *("describe_instance_status", "InstanceIds", "i", "InvalidInstanceID.NotFound"),
            "The instance IDs '{}' do not exist",
        ),
        (
            *("describe_images", "ImageIds", "ami", "InvalidAMIID.NotFound"),
            "The image ids '[{}]' do not exist",
        ),
        (
            *("describe_volumes", "VolumeIds", "vol", "InvalidVolume.NotFound"),
            "The volumes '{}' do not exist.",
        ),
        (
            *("describe_volumes_modifications", "VolumeIds", "vol", "InvalidVolume.NotFound"),
            "The volumes '{}' do not exist.",
        ),
        (
            *("describe_snapshots", "SnapshotIds", "snap", "InvalidSnapshot.NotFound"),
            "The snapshots '{}' do not exist.",
        ),
        (
            *("describe_vpcs", "VpcIds", "vpc", "InvalidVpcID.NotFound"),
            "The vpc IDs '{}' do not exist",
        ),
        (
            *("describe_subnets", "SubnetIds", "subnet", "InvalidSubnetID.NotFound"),
            "The subnet IDs '{}' do not exist",
        ),
        (
            *("describe_security_groups", "GroupIds", "sg", "InvalidGroup.NotFound"),
            "The security groups '{}' do not exist",
        ),
        (
            *("describe_security_groups", "GroupNames", "x", "InvalidGroup.NotFound"),
            "The security groups '{}' do not exist",
        ),
        (
            *("describe_key_pairs", "KeyNames", "x", "InvalidKeyPair.NotFound"),
            "The key pairs '{}' do not exist",
        ),
        (
            *("describe_addresses", "AllocationIds", "eipalloc", "InvalidAllocationID.NotFound"),
            "The allocation IDs '{}' do not exist",
        ),
        (
            *("describe_route_tables", "RouteTableIds", "rtb", "InvalidRouteTableID.NotFound"),
            "The routeTable IDs '{}' do not exist",
        ),
        (
            "describe_network_interfaces",
            *("NetworkInterfaceIds", "eni", "InvalidNetworkInterfaceID.NotFound"),
            "The networkInterface IDs '{}' do not exist",
        ),
    ],
)
def test_all_that_are_absent_are_named(account, action, parameter, prefix, code, message):
    asked = [f"{prefix}-{ONE}", f"{prefix}-{TWO}"]
    answer = error_of(getattr(account.ec2, action), **{parameter: asked})
    assert answer == (code, message.format(", ".join(asked)))


def test_two_hundred_are_named(account):
    asked = [f"i-{number:017x}" for number in range(200)]
    code, message = error_of(account.ec2.describe_instances, InstanceIds=asked)
    assert (code, message) == (
        "InvalidInstanceID.NotFound",
        f"The instance IDs '{', '.join(asked)}' do not exist",
    )


def test_absent_addresses_are_named(account):
    made = account.ec2.allocate_address()["PublicIp"]
    asked = [made, "192.0.2.1", "192.0.2.2"]
    assert error_of(account.ec2.describe_addresses, PublicIps=asked) == (
        "InvalidAddress.NotFound",
        "Addresses '192.0.2.1, 192.0.2.2' not found.",
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {
                "BlockDeviceMappings": [
                    {"DeviceName": f"/dev/sd{letter}", "Ebs": {"SnapshotId": f"snap-{number}"}}
                    for letter, number in (("f", ONE), ("g", TWO))
                ]
            },
            f"The snapshots 'snap-{ONE}, snap-{TWO}' do not exist.",
        ),
        (
            {
                "NetworkInterfaces": [
                    {"DeviceIndex": at, "NetworkInterfaceId": f"eni-{number}"}
                    for at, number in enumerate((ONE, TWO))
                ]
            },
            f"The networkInterface IDs 'eni-{ONE}, eni-{TWO}' do not exist",
        ),
        (
            {"SecurityGroupIds": [f"sg-{ONE}", f"sg-{TWO}"]},
            f"The security groups 'sg-{ONE}, sg-{TWO}' do not exist",
        ),
    ],
)
def test_what_a_launch_names(cloud, account, given, message):
    launch = {"ImageId": cloud.image_id, "InstanceType": "t3.micro", "MinCount": 1, "MaxCount": 1}
    assert error_of(account.ec2.run_instances, **launch, **given)[1] == message


def test_a_call_with_one_wrong_id_does_nothing(cloud, account):
    ec2, instance = account.ec2, launch_one(cloud, account)
    before = described(account, instance)
    for absent in (f"i-{ONE}", "i-nonsense"):
        both = [instance, absent]
        for act in ("stop", "terminate", "reboot", "start", "monitor", "unmonitor"):
            code, message = error_of(getattr(ec2, f"{act}_instances"), InstanceIds=both)
            assert code.startswith("InvalidInstanceID.") and absent in message
        error_of(ec2.create_tags, Resources=both, Tags=[{"Key": "a", "Value": "b"}])
        error_of(ec2.delete_tags, Resources=both)
    assert described(account, instance) == before
