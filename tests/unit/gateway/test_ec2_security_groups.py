"""Security groups and their rules by boto3, against a pretended controller."""

import pytest

from protos.cloud.v1 import (
    networks_pb2,
)
from tests.unit.gateway.asking import TAG, code, plain
from tests.unit.gateway.world import ACCOUNT


def rule(**more):
    return networks_pb2.SecurityGroupRule(**more)


GROUP = networks_pb2.SecurityGroup(
    group_id="sg-1",
    group_name="web",
    description="d",
    vpc_id="vpc-1",
    owner_id=ACCOUNT,
    rules=[
        rule(
            rule_id="sgr-1",
            group_id="sg-1",
            protocol="tcp",
            from_port=22,
            to_port=22,
            cidr_ipv4="0.0.0.0/0",
            description="all",
        ),
        rule(protocol="tcp", from_port=22, to_port=22, cidr_ipv6="::/0"),
        rule(
            protocol="tcp",
            from_port=22,
            to_port=22,
            peer_group=networks_pb2.SecurityGroupPeer(group_id="sg-2", owner_id=ACCOUNT),
        ),
        rule(protocol="icmp", from_port=-1, to_port=-1, cidr_ipv4="10.0.0.0/8"),
        rule(egress=True, protocol="-1", from_port=-1, to_port=-1, cidr_ipv4="0.0.0.0/0"),
    ],
    tags=[TAG],
)


def test_rules_are_folded_into_permissions(served):
    world, ec2 = served
    world.clients.security_groups.answers["Describe"] = networks_pb2.DescribeSecurityGroupsResponse(
        groups=[GROUP]
    )
    (group,) = ec2.describe_security_groups(GroupNames=["web"])["SecurityGroups"]
    assert world.clients.security_groups.calls[-1].request.group_names == ["web"]
    assert group["IpPermissions"] == [
        {
            "IpProtocol": "tcp",
            "FromPort": 22,
            "ToPort": 22,
            "UserIdGroupPairs": [{"GroupId": "sg-2", "UserId": ACCOUNT}],
            "IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "all"}],
            "Ipv6Ranges": [{"CidrIpv6": "::/0"}],
            "PrefixListIds": [],
        },
        {
            "IpProtocol": "icmp",
            "FromPort": -1,
            "ToPort": -1,
            "UserIdGroupPairs": [],
            "IpRanges": [{"CidrIp": "10.0.0.0/8"}],
            "Ipv6Ranges": [],
            "PrefixListIds": [],
        },
    ]
    assert group["IpPermissionsEgress"] == [
        {
            "IpProtocol": "-1",
            "UserIdGroupPairs": [],
            "IpRanges": [{"CidrIp": "0.0.0.0/0"}],
            "Ipv6Ranges": [],
            "PrefixListIds": [],
        }
    ]
    assert group["SecurityGroupArn"] == f"arn:aws:ec2:us-east-1:{ACCOUNT}:security-group/sg-1"


PERMISSION = {
    "IpProtocol": "TCP",
    "FromPort": 80,
    "ToPort": 81,
    "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "a"}, {"CidrIp": "192.0.2.0/24"}],
    "Ipv6Ranges": [{"CidrIpv6": "2001:db8::/32"}],
    "UserIdGroupPairs": [{"GroupId": "sg-2", "UserId": ACCOUNT, "Description": "peers"}],
}


@pytest.mark.parametrize("egress", [False, True])
def test_permissions_are_unfolded_into_rules(served, egress):
    world, ec2 = served
    way = "egress" if egress else "ingress"
    method = "AuthorizeEgress" if egress else "AuthorizeIngress"
    world.clients.security_groups.answers[method] = networks_pb2.SecurityGroupRules(
        rules=[rule(rule_id="sgr-9", group_id="sg-1", group_owner_id=ACCOUNT, protocol="tcp")]
    )
    made = getattr(ec2, f"authorize_security_group_{way}")(
        GroupId="sg-1",
        IpPermissions=[PERMISSION],
        TagSpecifications=[{"ResourceType": "security-group-rule", "Tags": [{"Key": "k"}]}],
    )
    assert made["Return"] is True
    assert made["SecurityGroupRules"][0]["SecurityGroupRuleId"] == "sgr-9"
    request = world.clients.security_groups.calls[-1].request
    assert request.group.group_id == "sg-1"
    common = {
        "egress": egress,
        "protocol": PERMISSION["IpProtocol"],  # its spelling is the controller's to judge
        "from_port": 80,
        "to_port": 81,
    }
    assert request.rules == [
        rule(**common, cidr_ipv4="10.0.0.0/8", description="a"),
        rule(**common, cidr_ipv4="192.0.2.0/24"),
        rule(**common, cidr_ipv6="2001:db8::/32"),
        rule(
            **common,
            peer_group=networks_pb2.SecurityGroupPeer(group_id="sg-2", owner_id=ACCOUNT),
            description="peers",
        ),
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 2, "CidrIp": "10.0.0.0/8"},
            rule(protocol="tcp", from_port=1, to_port=2, cidr_ipv4="10.0.0.0/8"),
        ),
        (
            {"IpProtocol": "17", "FromPort": 53, "ToPort": 53, "CidrIp": "0.0.0.0/0"},
            rule(protocol="17", from_port=53, to_port=53, cidr_ipv4="0.0.0.0/0"),
        ),
        (
            {"SourceSecurityGroupName": "peers", "SourceSecurityGroupOwnerId": ACCOUNT},
            rule(
                protocol="-1",
                peer_group=networks_pb2.SecurityGroupPeer(group_name="peers", owner_id=ACCOUNT),
            ),
        ),
    ],
)
def test_the_oldest_way_to_say_a_rule(served, given, expected):
    world, ec2 = served
    ec2.authorize_security_group_ingress(GroupName="web", **given)
    request = world.clients.security_groups.calls[-1].request
    assert (request.group.group_name, list(request.rules)) == ("web", [expected])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"GroupId": "sg-1"}, "MissingParameter"),
        ({"IpPermissions": [PERMISSION]}, "MissingParameter"),
        ({"GroupId": "sg-1", "IpPermissions": [{"IpProtocol": "tcp"}]}, "MissingParameter"),
        ({"GroupId": "sg-1", "IpPermissions": [{"IpRanges": [{}]}]}, "MissingParameter"),
        (
            {"GroupId": "sg-1", "IpPermissions": [PERMISSION], "CidrIp": "10.0.0.0/8"},
            "InvalidParameterCombination",
        ),
        (
            {
                "GroupId": "sg-1",
                "IpPermissions": [{**PERMISSION, "PrefixListIds": [{"PrefixListId": "pl-1"}]}],
            },
            "UnsupportedOperation",
        ),
    ],
)
def test_rules_that_are_none(served, given, expected):
    world, ec2 = served
    assert code(ec2.authorize_security_group_ingress, **given) == expected
    assert not world.clients.security_groups.calls


def test_rules_are_revoked_by_id_or_by_permission(served):
    world, ec2 = served
    world.clients.security_groups.answers["RevokeIngress"] = networks_pb2.RevokeResponse(
        revoked=[
            rule(
                rule_id="sgr-1",
                protocol="tcp",
                from_port=1,
                to_port=1,
                peer_group=networks_pb2.SecurityGroupPeer(group_id="sg-2"),
            )
        ],
        unknown=[rule(protocol="udp", from_port=1, to_port=1, cidr_ipv4="10.0.0.0/8")],
    )
    seen = ec2.revoke_security_group_ingress(GroupId="sg-1", SecurityGroupRuleIds=["sgr-1"])
    assert world.clients.security_groups.calls[-1].request.rule_ids == ["sgr-1"]
    assert seen["RevokedSecurityGroupRules"][0]["ReferencedGroupId"] == "sg-2"
    assert seen["UnknownIpPermissions"][0]["IpRanges"] == [{"CidrIp": "10.0.0.0/8"}]
    ec2.revoke_security_group_egress(GroupId="sg-1", IpPermissions=[PERMISSION])
    assert len(world.clients.security_groups.calls[-1].request.rules) == 4
    both = {"SecurityGroupRuleIds": ["sgr-1"], "IpPermissions": [PERMISSION]}
    assert (
        code(ec2.revoke_security_group_ingress, GroupId="sg-1", **both)
        == "InvalidParameterCombination"
    )


def test_41_rules_one_by_one(served):
    world, ec2 = served
    world.clients.security_groups.answers["DescribeRules"] = networks_pb2.SecurityGroupRules(
        rules=[
            rule(
                rule_id="sgr-1",
                group_id="sg-1",
                group_owner_id=ACCOUNT,
                egress=True,
                protocol="-1",
                from_port=-1,
                to_port=-1,
                cidr_ipv4="0.0.0.0/0",
            )
        ]
    )
    (shown,) = ec2.describe_security_group_rules()["SecurityGroupRules"]
    assert shown == {
        "SecurityGroupRuleId": "sgr-1",
        "GroupId": "sg-1",
        "GroupOwnerId": ACCOUNT,
        "IsEgress": True,
        "IpProtocol": "-1",
        "FromPort": -1,
        "ToPort": -1,
        "CidrIpv4": "0.0.0.0/0",
        "Tags": [],
        "SecurityGroupRuleArn": f"arn:aws:ec2:us-east-1:{ACCOUNT}:security-group-rule/sgr-1",
    }


def test_groups_are_made_and_deleted(served, world):
    pretended, ec2 = served
    pretended.clients.security_groups.answers["Create"] = GROUP
    made = ec2.create_security_group(GroupName="web", Description="d", VpcId="vpc-1")
    assert made["GroupId"] == "sg-1"
    assert code(ec2.create_security_group, GroupName="web") == "MissingParameter"
    pretended.clients.security_groups.answers["Delete"] = networks_pb2.SecurityGroupSelector(
        group_id="sg-1"
    )
    assert plain(ec2.delete_security_group(GroupName="web")) == {"Return": True, "GroupId": "sg-1"}
    assert code(ec2.delete_security_group) == "MissingParameter"
    raw = {"GroupName": "web", "GroupDescription": "d"}
    assert b"<return>true</return>" in world.call({"Action": "CreateSecurityGroup", **raw}).data
