"""Groups, keys, addresses and tags against the real controller: traps 13, 41, 42 and races."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore.exceptions import ClientError

from tests.api.asking import filtered, launch_one, public_key, refused


def group_of(who, name="g"):
    return who.ec2.create_security_group(GroupName=name, Description="d")["GroupId"]


def test_41_a_new_group_lets_all_out_by_a_rule_with_an_id(account):
    group = group_of(account)
    rules = filtered(
        account.ec2.describe_security_group_rules, "SecurityGroupRules", "group-id", group
    )
    (rule,) = rules
    assert rule["SecurityGroupRuleId"].startswith("sgr-")
    assert (rule["IsEgress"], rule["IpProtocol"], rule["CidrIpv4"]) == (True, "-1", "0.0.0.0/0")
    (seen,) = account.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    assert seen["IpPermissionsEgress"][0]["IpRanges"] == [{"CidrIp": "0.0.0.0/0"}]
    assert seen["IpPermissions"] == []


PERMISSION = {
    "IpProtocol": "tcp",
    "FromPort": 80,
    "ToPort": 80,
    "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "inside"}, {"CidrIp": "192.0.2.0/24"}],
    "Ipv6Ranges": [{"CidrIpv6": "2001:db8::/32"}],
}


def test_42_rules_keep_their_descriptions_and_none_is_there_twice(account):
    ec2, group = account.ec2, group_of(account)
    made = ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[PERMISSION])
    assert len(made["SecurityGroupRules"]) == 3
    (seen,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    (permission,) = seen["IpPermissions"]
    in_order = sorted(permission["IpRanges"], key=lambda each: each["CidrIp"])
    assert in_order == PERMISSION["IpRanges"]
    assert permission["Ipv6Ranges"] == PERMISSION["Ipv6Ranges"]
    again = {**PERMISSION, "IpRanges": [{"CidrIp": "192.0.2.0/24"}], "Ipv6Ranges": []}
    given = {"GroupId": group, "IpPermissions": [again]}
    assert refused(ec2.authorize_security_group_ingress, **given) == "InvalidPermission.Duplicate"
    ec2.revoke_security_group_ingress(**given)
    # In a default VPC what is not there is no error; EC2 tells what it did not know.
    (unknown,) = ec2.revoke_security_group_ingress(**given)["UnknownIpPermissions"]
    assert unknown["IpRanges"] == [{"CidrIp": "192.0.2.0/24"}]
    rule = made["SecurityGroupRules"][0]["SecurityGroupRuleId"]
    revoked = ec2.revoke_security_group_ingress(GroupId=group, SecurityGroupRuleIds=[rule])
    assert [each["SecurityGroupRuleId"] for each in revoked["RevokedSecurityGroupRules"]] == [rule]


@pytest.mark.parametrize("protocol", ["50", "4", "47", "-1"])
@pytest.mark.parametrize("ports", [{}, {"FromPort": 0, "ToPort": 0}, {"FromPort": 7, "ToPort": 9}])
def test_a_protocol_without_ports_is_shown_without_ports(account, protocol, ports):
    ec2, group = account.ec2, group_of(account)
    asked = {"IpProtocol": protocol, "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=[asked | ports])
    (seen,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    (permission,) = seen["IpPermissions"]
    assert {name: permission[name] for name in asked} == asked
    assert not {"FromPort", "ToPort"} & permission.keys()
    again = {"GroupId": group, "IpPermissions": [asked]}
    assert refused(ec2.authorize_security_group_ingress, **again) == "InvalidPermission.Duplicate"
    ec2.revoke_security_group_ingress(**again)
    (seen,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    assert seen["IpPermissions"] == []


@pytest.mark.parametrize(
    ("protocol", "ports"), [("6", (22, 22)), ("ICMP", (8, -1)), ("58", (-1, -1)), ("17", (1, 2))]
)
def test_a_protocol_with_ports_is_shown_by_its_name(account, protocol, ports):
    ec2, group = account.ec2, group_of(account)
    asked = {"FromPort": ports[0], "ToPort": ports[1], "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}
    given = [{"IpProtocol": protocol, **asked}]
    ec2.authorize_security_group_ingress(GroupId=group, IpPermissions=given)
    (seen,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    (permission,) = seen["IpPermissions"]
    names = {"6": "tcp", "ICMP": "icmp", "58": "icmpv6", "17": "udp"}
    assert permission == {
        **asked,
        "IpProtocol": names[protocol],
        "Ipv6Ranges": [],
        "PrefixListIds": [],
        "UserIdGroupPairs": [],
    }


def test_a_port_of_tcp_must_be_said(account):
    asked = [{"IpProtocol": "tcp", "IpRanges": [{"CidrIp": "10.0.0.0/8"}]}]
    given = {"GroupId": group_of(account), "IpPermissions": asked}
    assert refused(account.ec2.authorize_security_group_ingress, **given) == "InvalidParameterValue"


def test_42_egress_and_group_sources(account):
    ec2, group, peer = account.ec2, group_of(account), group_of(account, "peer")
    everything = {"IpProtocol": "-1", "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}
    ec2.revoke_security_group_egress(GroupId=group, IpPermissions=[everything])
    icmp = {
        "IpProtocol": "icmp",
        "FromPort": 8,
        "ToPort": -1,
        "UserIdGroupPairs": [{"GroupId": peer, "Description": "ping"}],
    }
    ec2.authorize_security_group_egress(GroupId=group, IpPermissions=[icmp])
    (seen,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    (permission,) = seen["IpPermissionsEgress"]
    assert (permission["FromPort"], permission["ToPort"]) == (8, -1)
    (pair,) = permission["UserIdGroupPairs"]
    assert (pair["GroupId"], pair["UserId"], pair["Description"]) == (
        peer,
        account.account_id,
        "ping",
    )
    assert refused(ec2.delete_security_group, GroupId=peer) == "DependencyViolation"
    ec2.delete_security_group(GroupId=group)
    ec2.delete_security_group(GroupName="peer")


def test_rules_that_are_wrong(account):
    ec2, group = account.ec2, group_of(account)

    def authorize(**permission):
        given = {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1, **permission}
        return refused(ec2.authorize_security_group_ingress, GroupId=group, IpPermissions=[given])

    assert authorize(IpRanges=[{"CidrIp": "nonsense"}]) == "InvalidParameterValue"
    assert authorize(IpRanges=[{"CidrIp": "10.0.0.0/33"}]) == "InvalidParameterValue"
    assert authorize(FromPort=2, IpRanges=[{"CidrIp": "10.0.0.0/8"}]) in (
        "InvalidParameterValue",
        "InvalidPermission.Malformed",
    )
    assert authorize(ToPort=65536, IpRanges=[{"CidrIp": "10.0.0.0/8"}]) in (
        "InvalidParameterValue",
        "InvalidPermission.Malformed",
    )
    unknown = [{"GroupId": "sg-00000000000000000"}]
    assert authorize(UserIdGroupPairs=unknown) == "InvalidGroup.NotFound"


def test_groups_have_names_of_their_own_and_the_default_stays(account):
    ec2 = account.ec2
    group_of(account)
    assert refused(ec2.create_security_group, GroupName="g", Description="d") == (
        "InvalidGroup.Duplicate"
    )
    assert refused(ec2.create_security_group, GroupName="default", Description="d") in (
        "InvalidGroup.Reserved",
        "InvalidGroup.Duplicate",
        "InvalidParameterValue",
    )
    assert refused(ec2.delete_security_group, GroupName="default") == "CannotDelete"


def test_42_names_of_groups_are_good_for_a_launch(cloud, account):
    group = group_of(account, "by-name")
    one = launch_one(cloud, account, SecurityGroups=["by-name"])
    seen = account.ec2.describe_instances(InstanceIds=[one])["Reservations"][0]["Instances"][0]
    assert seen["SecurityGroups"] == [{"GroupId": group, "GroupName": "by-name"}]
    other = group_of(account, "another")
    account.ec2.modify_instance_attribute(InstanceId=one, Groups=[other])
    seen = account.ec2.describe_instances(InstanceIds=[one])["Reservations"][0]["Instances"][0]
    assert [each["GroupId"] for each in seen["SecurityGroups"]] == [other]
    assert [each["GroupId"] for each in seen["NetworkInterfaces"][0]["Groups"]] == [other]


# -- keys


def test_eight_callers_one_key_pair(account):
    def make(_):
        try:
            return account.ec2.create_key_pair(KeyName="one", KeyType="ed25519")["KeyPairId"]
        except ClientError as failure:
            return failure.response["Error"]["Code"]

    with ThreadPoolExecutor(8) as callers:
        outcomes = list(callers.map(make, range(8)))
    assert len([each for each in outcomes if each.startswith("key-")]) == 1
    assert outcomes.count("InvalidKeyPair.Duplicate") == 7


def test_keys_are_made_brought_and_deleted(account):
    ec2 = account.ec2
    rsa = ec2.create_key_pair(KeyName="rsa")
    assert rsa["KeyMaterial"].startswith("-----BEGIN")
    assert len(rsa["KeyFingerprint"].split(":")) == 20  # SHA-1, as EC2 has it for those it makes
    ec2.import_key_pair(KeyName="mine", PublicKeyMaterial=public_key())
    bad = {"KeyName": "bad", "PublicKeyMaterial": b"ssh-rsa nonsense"}
    assert refused(ec2.import_key_pair, **bad) == "InvalidKey.Format"
    seen = {each["KeyName"]: each for each in ec2.describe_key_pairs()["KeyPairs"]}
    assert {name: each["KeyType"] for name, each in seen.items()} == {
        "rsa": "rsa",
        "mine": "ed25519",
    }
    assert "PublicKey" not in seen["mine"]
    ec2.delete_key_pair(KeyPairId=seen["rsa"]["KeyPairId"])
    ec2.delete_key_pair(KeyName="never there")  # deleting what is not there succeeds
    assert [each["KeyName"] for each in ec2.describe_key_pairs()["KeyPairs"]] == ["mine"]


# -- addresses


def test_addresses_are_associated_once(cloud, account):
    ec2 = account.ec2
    one, two = launch_one(cloud, account), launch_one(cloud, account)
    address = ec2.allocate_address(Domain="vpc")
    given = {"AllocationId": address["AllocationId"], "AllowReassociation": False}
    ec2.associate_address(**given, InstanceId=one)
    assert refused(ec2.associate_address, **given, InstanceId=two) == "Resource.AlreadyAssociated"
    (seen,) = ec2.describe_addresses(PublicIps=[address["PublicIp"]])["Addresses"]
    assert (seen["InstanceId"], seen["Domain"]) == (one, "vpc")
    ec2.terminate_instances(InstanceIds=[one])
    account.wait_for("terminated", one)
    (seen,) = ec2.describe_addresses()["Addresses"]
    assert "AssociationId" not in seen and "InstanceId" not in seen
    ec2.release_address(AllocationId=address["AllocationId"])
    again = {"AllocationId": address["AllocationId"]}
    assert refused(ec2.release_address, **again) == "InvalidAllocationID.NotFound"


# -- tags


def test_13_tags_survive_a_round_trip(account):
    group = group_of(account)
    tags = {"a & b": "< > \" ' é 日本 🌩", "empty": "", "Name": " spaces  kept "}
    given = [{"Key": key, "Value": value} for key, value in tags.items()]
    account.ec2.create_tags(Resources=[group], Tags=given)
    seen = filtered(account.ec2.describe_tags, "Tags", "resource-id", group)
    assert {tag["Key"]: tag["Value"] for tag in seen} == tags
    (shown,) = account.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    assert {tag["Key"]: tag["Value"] for tag in shown["Tags"]} == tags


def test_tags_are_deleted_by_key_or_by_key_and_value(account):
    group = group_of(account)

    def keys():
        tags = account.ec2.describe_tags()["Tags"]
        return sorted(tag["Key"] for tag in tags)

    values = {"a": "1", "b": "2", "c": "", "d": "4"}
    given = [{"Key": key, "Value": value} for key, value in values.items()]
    account.ec2.create_tags(Resources=[group], Tags=given)
    account.ec2.delete_tags(
        Resources=[group],
        Tags=[{"Key": "a"}, {"Key": "b", "Value": "other"}, {"Key": "d", "Value": ""}],
    )
    assert keys() == ["b", "c", "d"]
    account.ec2.delete_tags(Resources=[group], Tags=[{"Key": "c", "Value": ""}])
    assert keys() == ["b", "d"]
    account.ec2.delete_tags(Resources=[group])
    assert keys() == []


def test_tags_have_limits(account):
    group = group_of(account)
    many = [{"Key": f"k{number}", "Value": "v"} for number in range(51)]
    assert refused(account.ec2.create_tags, Resources=[group], Tags=many) == "TagLimitExceeded"
    for bad in ({"Key": "k" * 129, "Value": "v"}, {"Key": "k", "Value": "v" * 257}):
        assert refused(account.ec2.create_tags, Resources=[group], Tags=[bad]) in (
            "InvalidParameterValue",
            "InvalidTagKey.Malformed",
        )
