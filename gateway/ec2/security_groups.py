"""Security groups and their rules.

EC2 speaks of rules as IpPermissions, several sources at once; the controller of one source or
destination each, as DescribeSecurityGroupRules does. Unfolding is here, folding in the view.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from gateway.aws.renderers import View
from gateway.call import Call
from gateway.ec2.parameters import (
    Filter,
    TagSpecification,
    combination,
    filters_of,
    page,
    tag_specifications_of,
)
from gateway.ec2.views import security_groups as views
from gateway.ec2.views.shared import arn, tags, token
from protos.cloud.v1 import networks_pb2
from protos.errors import missing_parameter


@dataclass(frozen=True)
class IpRange:
    cidr_ip: str = ""
    description: str = ""


@dataclass(frozen=True)
class Ipv6Range:
    cidr_ipv6: str = ""
    description: str = ""


@dataclass(frozen=True)
class UserIdGroupPair:
    group_id: str = ""
    group_name: str = ""
    user_id: str = ""
    description: str = ""
    vpc_id: str = ""  # harmless: a group's id says its VPC


@dataclass(frozen=True)
class IpPermission:
    ip_protocol: str = ""
    from_port: int | None = None
    to_port: int | None = None
    ip_ranges: Sequence[IpRange] = ()
    ipv6_ranges: Sequence[Ipv6Range] = ()
    user_id_group_pairs: Sequence[UserIdGroupPair] = ()


def create_security_group(
    call: Call,
    *,
    group_name: str,
    description: str,
    vpc_id: str = "",
    tag_specifications: Sequence[TagSpecification] = (),
) -> View:
    request = networks_pb2.CreateSecurityGroupRequest(
        group_name=group_name,
        description=description,
        vpc_id=vpc_id,
        tag_specifications=tag_specifications_of(tag_specifications, "security-group"),
    )
    made = call.clients.security_groups.Create(request, caller=call.caller)
    return {
        "GroupId": made.group_id,
        "Tags": tags(made.tags),
        "SecurityGroupArn": arn(call.region, made.owner_id, "security-group", made.group_id),
        "Return": True,
    }


def describe_security_groups(
    call: Call,
    *,
    group_ids: Sequence[str] = (),
    group_names: Sequence[str] = (),
    filters: Sequence[Filter] = (),
    max_results: int | None = None,
    next_token: str = "",
) -> View:
    request = networks_pb2.DescribeSecurityGroupsRequest(
        group_ids=group_ids,
        group_names=group_names,
        filters=filters_of(filters),
        page=page(max_results, next_token),
    )
    answer = call.clients.security_groups.Describe(request, caller=call.caller)
    return {
        "SecurityGroups": [views.security_group(each, call.region) for each in answer.groups],
        "NextToken": token(answer.next_token),
    }


def delete_security_group(call: Call, *, group_id: str = "", group_name: str = "") -> View:
    request = selector_of(group_id, group_name)
    answer = call.clients.security_groups.Delete(request, caller=call.caller)
    return {"Return": True, "GroupId": answer.group_id}


def authorize_security_group_ingress(
    call: Call,
    *,
    group_id: str = "",
    group_name: str = "",
    ip_permissions: Sequence[IpPermission] = (),
    ip_protocol: str = "",
    from_port: int | None = None,
    to_port: int | None = None,
    cidr_ip: str = "",
    source_security_group_name: str = "",
    source_security_group_owner_id: str = "",
    tag_specifications: Sequence[TagSpecification] = (),
) -> View:
    plain = _plain(
        ip_protocol,
        from_port,
        to_port,
        cidr_ip,
        source_security_group_name,
        source_security_group_owner_id,
    )
    request = networks_pb2.AuthorizeRequest(
        group=selector_of(group_id, group_name),
        rules=rules_of(_either(ip_permissions, plain)),
        tag_specifications=tag_specifications_of(tag_specifications, "security-group-rule"),
    )
    return _made(call, call.clients.security_groups.AuthorizeIngress(request, caller=call.caller))


def authorize_security_group_egress(
    call: Call,
    *,
    group_id: str,
    ip_permissions: Sequence[IpPermission] = (),
    ip_protocol: str = "",
    from_port: int | None = None,
    to_port: int | None = None,
    cidr_ip: str = "",
    source_security_group_name: str = "",
    source_security_group_owner_id: str = "",
    tag_specifications: Sequence[TagSpecification] = (),
) -> View:
    plain = _plain(
        ip_protocol,
        from_port,
        to_port,
        cidr_ip,
        source_security_group_name,
        source_security_group_owner_id,
    )
    request = networks_pb2.AuthorizeRequest(
        group=selector_of(group_id, ""),
        rules=rules_of(_either(ip_permissions, plain), egress=True),
        tag_specifications=tag_specifications_of(tag_specifications, "security-group-rule"),
    )
    return _made(call, call.clients.security_groups.AuthorizeEgress(request, caller=call.caller))


def revoke_security_group_ingress(
    call: Call,
    *,
    group_id: str = "",
    group_name: str = "",
    ip_permissions: Sequence[IpPermission] = (),
    security_group_rule_ids: Sequence[str] = (),
    ip_protocol: str = "",
    from_port: int | None = None,
    to_port: int | None = None,
    cidr_ip: str = "",
    source_security_group_name: str = "",
    source_security_group_owner_id: str = "",
) -> View:
    plain = _plain(
        ip_protocol,
        from_port,
        to_port,
        cidr_ip,
        source_security_group_name,
        source_security_group_owner_id,
    )
    request = networks_pb2.RevokeRequest(
        group=selector_of(group_id, group_name),
        rules=rules_of(_either(ip_permissions, plain, security_group_rule_ids)),
        rule_ids=security_group_rule_ids,
    )
    return views.revoked(call.clients.security_groups.RevokeIngress(request, caller=call.caller))


def revoke_security_group_egress(
    call: Call,
    *,
    group_id: str,
    ip_permissions: Sequence[IpPermission] = (),
    security_group_rule_ids: Sequence[str] = (),
    ip_protocol: str = "",
    from_port: int | None = None,
    to_port: int | None = None,
    cidr_ip: str = "",
    source_security_group_name: str = "",
    source_security_group_owner_id: str = "",
) -> View:
    plain = _plain(
        ip_protocol,
        from_port,
        to_port,
        cidr_ip,
        source_security_group_name,
        source_security_group_owner_id,
    )
    request = networks_pb2.RevokeRequest(
        group=selector_of(group_id, ""),
        rules=rules_of(_either(ip_permissions, plain, security_group_rule_ids), egress=True),
        rule_ids=security_group_rule_ids,
    )
    return views.revoked(call.clients.security_groups.RevokeEgress(request, caller=call.caller))


def describe_security_group_rules(
    call: Call,
    *,
    security_group_rule_ids: Sequence[str] = (),
    filters: Sequence[Filter] = (),
    max_results: int | None = None,
    next_token: str = "",
) -> View:
    request = networks_pb2.DescribeSecurityGroupRulesRequest(
        rule_ids=security_group_rule_ids,
        filters=filters_of(filters),
        page=page(max_results, next_token),
    )
    answer = call.clients.security_groups.DescribeRules(request, caller=call.caller)
    return {
        "SecurityGroupRules": [views.rule(each, call.region) for each in answer.rules],
        "NextToken": token(answer.next_token),
    }


def _made(call: Call, answer: networks_pb2.SecurityGroupRules) -> View:
    return {
        "Return": True,
        "SecurityGroupRules": [views.rule(each, call.region) for each in answer.rules],
    }


def selector_of(group_id: str, group_name: str) -> networks_pb2.SecurityGroupSelector:
    if not group_id and not group_name:
        raise missing_parameter("groupName or groupId")
    return networks_pb2.SecurityGroupSelector(group_id=group_id, group_name=group_name)


def _plain(
    protocol: str,
    from_port: int | None,
    to_port: int | None,
    cidr: str,
    group_name: str,
    owner_id: str,
) -> list[IpPermission]:
    """One rule by EC2's oldest parameters. A group without a protocol: all of its traffic."""
    if not (protocol or cidr or group_name or owner_id) and from_port is None and to_port is None:
        return []
    return [
        IpPermission(
            ip_protocol=protocol or "-1",
            from_port=from_port,
            to_port=to_port,
            ip_ranges=[IpRange(cidr)] if cidr else [],
            user_id_group_pairs=[UserIdGroupPair(group_name=group_name, user_id=owner_id)]
            if group_name
            else [],
        )
    ]


def _either(
    permissions: Sequence[IpPermission],
    plain: list[IpPermission],
    rule_ids: Sequence[str] = (),
) -> Sequence[IpPermission]:
    ways = sum(map(bool, (permissions, plain, rule_ids)))
    if ways == 0:
        raise missing_parameter("ipPermissions")
    if ways > 1:
        raise combination(
            "Rules are given in one way: ipPermissions, rule ids or plain parameters."
        )
    return permissions or plain


def rules_of(
    permissions: Sequence[IpPermission], *, egress: bool = False
) -> list[networks_pb2.SecurityGroupRule]:
    """One rule for each source or destination. The controller judges protocols and ports."""
    rules: list[networks_pb2.SecurityGroupRule] = []
    for permission in permissions:
        if not permission.ip_protocol:
            raise missing_parameter("ipProtocol")
        common = networks_pb2.SecurityGroupRule(
            egress=egress,
            protocol=permission.ip_protocol,
            from_port=permission.from_port,
            to_port=permission.to_port,
        )
        peers = [*_peers(permission)]
        if not peers:
            raise missing_parameter("ipRanges, ipv6Ranges or groups of each permission")
        for rule in peers:
            rule.MergeFrom(common)
        rules += peers
    return rules


def _peers(permission: IpPermission) -> Iterator[networks_pb2.SecurityGroupRule]:
    """A rule for each source or destination, with nothing else of the permission."""
    make = networks_pb2.SecurityGroupRule
    for ipv4 in permission.ip_ranges:
        yield make(cidr_ipv4=ipv4.cidr_ip, description=ipv4.description)
    for ipv6 in permission.ipv6_ranges:
        yield make(cidr_ipv6=ipv6.cidr_ipv6, description=ipv6.description)
    for group in permission.user_id_group_pairs:
        peer = networks_pb2.SecurityGroupPeer(
            group_id=group.group_id, owner_id=group.user_id, group_name=group.group_name
        )
        yield make(peer_group=peer, description=group.description)
