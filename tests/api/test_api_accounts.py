"""Accounts do not see, reach or name what is another's; keys and quotas work at once."""

import time

import pytest
from botocore.exceptions import ClientError

from tests.api.asking import described, launch_one, refused, status_of
from tests.harness.waiting import wait_until


def test_nothing_of_another_account_can_be_named(cloud, account, other):
    ec2, theirs = account.ec2, other.ec2
    one = launch_one(cloud, other)
    seen = described(other, one)
    group = seen["SecurityGroups"][0]["GroupId"]
    address = theirs.allocate_address(Domain="vpc")
    theirs.create_key_pair(KeyName="theirs")
    volume = seen["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    interface = seen["NetworkInterfaces"][0]["NetworkInterfaceId"]
    launch = {"ImageId": cloud.image_id, "MinCount": 1, "MaxCount": 1}
    tags = [{"Key": "k", "Value": "v"}]
    for call, given, code in (
        (ec2.describe_instances, {"InstanceIds": [one]}, "InvalidInstanceID.NotFound"),
        (ec2.stop_instances, {"InstanceIds": [one]}, "InvalidInstanceID.NotFound"),
        (ec2.terminate_instances, {"InstanceIds": [one]}, "InvalidInstanceID.NotFound"),
        (ec2.get_console_output, {"InstanceId": one}, "InvalidInstanceID.NotFound"),
        (ec2.create_tags, {"Resources": [one], "Tags": tags}, "InvalidInstanceID.NotFound"),
        (ec2.describe_volumes, {"VolumeIds": [volume]}, "InvalidVolume.NotFound"),
        (ec2.describe_vpcs, {"VpcIds": [seen["VpcId"]]}, "InvalidVpcID.NotFound"),
        (ec2.describe_subnets, {"SubnetIds": [seen["SubnetId"]]}, "InvalidSubnetID.NotFound"),
        (
            ec2.describe_network_interfaces,
            {"NetworkInterfaceIds": [interface]},
            "InvalidNetworkInterfaceID.NotFound",
        ),
        (ec2.describe_security_groups, {"GroupIds": [group]}, "InvalidGroup.NotFound"),
        (ec2.delete_security_group, {"GroupId": group}, "InvalidGroup.NotFound"),
        (
            ec2.describe_addresses,
            {"AllocationIds": [address["AllocationId"]]},
            "InvalidAllocationID.NotFound",
        ),
        (
            ec2.release_address,
            {"AllocationId": address["AllocationId"]},
            "InvalidAllocationID.NotFound",
        ),
        (ec2.run_instances, {**launch, "KeyName": "theirs"}, "InvalidKeyPair.NotFound"),
        (ec2.run_instances, {**launch, "SecurityGroupIds": [group]}, "InvalidGroup.NotFound"),
        (ec2.run_instances, {**launch, "SubnetId": seen["SubnetId"]}, "InvalidSubnetID.NotFound"),
    ):
        assert refused(call, **given) == code, call.__name__
    for read, key in (
        (ec2.describe_instances, "Reservations"),
        (ec2.describe_volumes, "Volumes"),
        (ec2.describe_network_interfaces, "NetworkInterfaces"),
        (ec2.describe_addresses, "Addresses"),
        (ec2.describe_key_pairs, "KeyPairs"),
        (ec2.describe_tags, "Tags"),
    ):
        assert read()[key] == []
    theirs.release_address(AllocationId=address["AllocationId"])


def test_both_have_the_same_default_network(account, other):
    def vpc(who):
        (vpc,) = who.ec2.describe_vpcs()["Vpcs"]
        return vpc

    assert vpc(account)["CidrBlock"] == vpc(other)["CidrBlock"] == "172.31.0.0/16"
    assert vpc(account)["VpcId"] != vpc(other)["VpcId"]


def test_operators_paths_are_the_operators(account):
    answer = account.send("GET", "/v1/accounts", service="pileus")
    assert answer.status == 403
    assert answer.json()["error"]["kind"] == "DENIED"


def test_a_revoked_key_stops_working_within_five_seconds(cloud):
    who = cloud.account("to-be-revoked")
    assert who.sts.get_caller_identity()["Account"] == who.account_id  # its key is cached now
    path = f"/v1/access-keys/{who.access_key_id}:setStatus"
    cloud.operator.api("POST", path, {"status": "Inactive"})
    revoked_at = time.monotonic()

    def refusal():
        try:
            who.sts.get_caller_identity()
        except ClientError as failure:
            return failure.response["Error"]["Code"]
        return None

    assert wait_until("the refusal", refusal) == "InvalidClientTokenId"
    assert time.monotonic() - revoked_at < 5
    assert status_of(who.ec2.describe_vpcs) == (401, "AuthFailure")
    cloud.operator.api("POST", path, {"status": "Active"})
    assert who.ec2.describe_vpcs()["Vpcs"]


@pytest.mark.parametrize(
    ("quota", "action", "given", "code"),
    [
        ("addresses", "allocate_address", {}, "AddressLimitExceeded"),
        ("key_pairs", "create_key_pair", {"KeyName": "k"}, "KeyPairLimitExceeded"),
        (
            "security_groups",
            "create_security_group",
            {"GroupName": "g", "Description": "d"},
            "SecurityGroupLimitExceeded",
        ),
        ("instances", "run_instances", {"MinCount": 1, "MaxCount": 1}, "InstanceLimitExceeded"),
        ("vcpus", "run_instances", {"MinCount": 1, "MaxCount": 1}, "VcpuLimitExceeded"),
    ],
)
def test_quotas_have_ec2s_codes(cloud, account, quota, action, given, code):
    path = f"/v1/accounts/{account.account_id}/quotas"
    used = {each["name"]: each for each in cloud.operator.api("GET", path)["quotas"]}[quota]["used"]
    cloud.operator.api("PUT", f"{path}/{quota}", {"limit": used})
    if action == "run_instances":
        given = {**given, "ImageId": cloud.image_id}
    assert refused(getattr(account.ec2, action), **given) == code


def test_the_json_api_sees_what_ec2_made(cloud, account):
    one = launch_one(cloud, account)
    seen = account.api("GET", f"/v1/instances?instance_ids={one}")
    assert seen["reservations"][0]["instances"][0]["state"] == "running"
    query = "filters.1.name=instance-state-name&filters.1.values=stopped"
    assert account.api("GET", f"/v1/instances?{query}")["reservations"] == []
    account.api("POST", "/v1/instances:terminate", {"instance_ids": [one]})
    account.wait_for("terminated", one)
