"""Security groups as EC2 shows them: rules folded into IpPermissions, and one by one."""

from collections.abc import Iterable

from gateway.aws.renderers import View
from gateway.ec2.views.shared import arn, tags, tags_if_any
from protos.cloud.v1 import networks_pb2

PROTOCOLS_WITH_PORTS = ("tcp", "udp", "icmp", "icmpv6")  # of ICMP they are its type and code


def security_group(given: networks_pb2.SecurityGroup, region: str) -> View:
    return {
        "GroupId": given.group_id,
        "GroupName": given.group_name,
        "Description": given.description,
        "OwnerId": given.owner_id,
        "VpcId": given.vpc_id,
        "SecurityGroupArn": arn(region, given.owner_id, "security-group", given.group_id),
        "IpPermissions": permissions(rule for rule in given.rules if not rule.egress),
        "IpPermissionsEgress": permissions(rule for rule in given.rules if rule.egress),
        "Tags": tags_if_any(given.tags),
    }


def permissions(rules: Iterable[networks_pb2.SecurityGroupRule]) -> list[View]:
    """Rules of one protocol and port range become one permission, in the order of their first."""
    folded: dict[tuple[str, int, int], dict[str, list[View]]] = {}
    for each in rules:
        sources = folded.setdefault(
            (each.protocol, each.from_port, each.to_port),
            {"UserIdGroupPairs": [], "IpRanges": [], "Ipv6Ranges": [], "PrefixListIds": []},
        )
        member, shown = _source(each)
        sources[member].append(shown | {"Description": each.description})
    return [
        {"IpProtocol": protocol, **_ports(protocol, first, last), **sources}
        for (protocol, first, last), sources in folded.items()
    ]


def _ports(protocol: str, first: int, last: int) -> View:
    """None for a protocol that has none: clients compare a permission with what they asked for."""
    return {"FromPort": first, "ToPort": last} if protocol in PROTOCOLS_WITH_PORTS else {}


def _source(given: networks_pb2.SecurityGroupRule) -> tuple[str, View]:
    match given.WhichOneof("peer"):
        case "cidr_ipv4":
            return "IpRanges", {"CidrIp": given.cidr_ipv4}
        case "cidr_ipv6":
            return "Ipv6Ranges", {"CidrIpv6": given.cidr_ipv6}
    peer = given.peer_group
    return "UserIdGroupPairs", {
        "GroupId": peer.group_id,
        "GroupName": peer.group_name,
        "UserId": peer.owner_id,
    }


def rule(given: networks_pb2.SecurityGroupRule, region: str) -> View:
    peer = given.peer_group
    owner = given.group_owner_id
    return _rule(given) | {
        "GroupOwnerId": owner,
        "ReferencedGroupInfo": {"GroupId": peer.group_id, "UserId": peer.owner_id}
        if given.HasField("peer_group")
        else None,
        "Tags": tags(given.tags),
        "SecurityGroupRuleArn": arn(region, owner, "security-group-rule", given.rule_id),
    }


def _rule(given: networks_pb2.SecurityGroupRule) -> View:
    return {
        "SecurityGroupRuleId": given.rule_id,
        "GroupId": given.group_id,
        "IsEgress": given.egress,
        "IpProtocol": given.protocol,
        "FromPort": given.from_port,
        "ToPort": given.to_port,
        "CidrIpv4": given.cidr_ipv4,
        "CidrIpv6": given.cidr_ipv6,
        "Description": given.description,
    }


def revoked(given: networks_pb2.RevokeResponse) -> View:
    return {
        "Return": True,
        "UnknownIpPermissions": permissions(given.unknown),
        "RevokedSecurityGroupRules": [
            _rule(each) | {"ReferencedGroupId": each.peer_group.group_id} for each in given.revoked
        ],
    }
