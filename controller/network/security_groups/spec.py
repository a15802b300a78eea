"""What a host should know of security groups: their rules, and the members of the groups that these
refer to. Called by network/spec.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from peewee import JOIN

from controller.kernel.database import Session
from controller.kernel.prepared import among, prepared
from controller.kernel.table import Select
from controller.tables.network import (
    NetworkInterface,
    NicGroup,
    SecondaryAddress,
    SecurityGroup,
    SecurityGroupRule,
)
from protos.cloud.v1 import fleet_pb2


class RuleRow(NamedTuple):
    """A rule of a group (rule_id None: the group has none) with the addresses of the members of
    the group that it refers to."""

    group_id: str
    group_name: str
    vpc_id: str
    rule_id: str | None
    egress: bool
    protocol: str
    from_port: int
    to_port: int
    peer_kind: str
    peer: str
    members: Sequence[str]


def read_rules(session: Session, group_ids: Sequence[str]) -> list[RuleRow]:
    """The rules of these groups: one statement."""
    return _folded(session.tuples(_rules(group_ids=group_ids))) if group_ids else []


def _folded(rows: Sequence[tuple[Any, ...]]) -> list[RuleRow]:
    """A group may have thousands of members, and each is a row: nothing is made of it but its
    address. Sorted here, as a database would sort the whole rows."""
    members: dict[tuple[Any, ...], set[str]] = {}
    for row in rows:
        members.setdefault(row[:10], set()).update(row[10:])
    return [
        RuleRow._make((*rule, sorted(filter(None, addresses))))
        for rule, addresses in sorted(members.items(), key=lambda item: (item[0][0], item[0][3]))
    ]


@prepared
def _rules(group_ids: Sequence[str]) -> Select:
    member, member_group = NetworkInterface.alias("member"), NicGroup.alias("member_group")
    more = SecondaryAddress.alias("more")
    return (
        SecurityGroup.select(
            SecurityGroup.group_id,
            SecurityGroup.group_name,
            SecurityGroup.vpc_id,
            SecurityGroupRule.rule_id,
            SecurityGroupRule.egress,
            SecurityGroupRule.protocol,
            SecurityGroupRule.from_port,
            SecurityGroupRule.to_port,
            SecurityGroupRule.peer_kind,
            SecurityGroupRule.peer,
            member.private_ip.alias("member_address"),
            more.private_ip.alias("other_address"),
        )
        .join(
            SecurityGroupRule,
            JOIN.LEFT_OUTER,
            on=SecurityGroupRule.group_id == SecurityGroup.group_id,
        )
        .join(
            member_group,
            JOIN.LEFT_OUTER,
            on=member_group.group_id == SecurityGroupRule.peer_group_id,
        )
        .join(
            member,
            JOIN.LEFT_OUTER,
            on=member.network_interface_id == member_group.network_interface_id,
        )
        .join(
            more,
            JOIN.LEFT_OUTER,
            on=more.network_interface_id == member_group.network_interface_id,
        )
        .where(among(SecurityGroup.group_id, group_ids))
    )


def group_specs(rows: Sequence[RuleRow]) -> list[fleet_pb2.SecurityGroupSpec]:
    """The groups with their rules, and the groups that rules refer to with their members'
    addresses."""
    groups: dict[str, fleet_pb2.SecurityGroupSpec] = {}
    members: dict[str, dict[str, None]] = {}
    for row in rows:
        spec = groups.setdefault(row.group_id, fleet_pb2.SecurityGroupSpec(group_id=row.group_id))
        spec.group_name = row.group_name
        if row.rule_id is None:
            continue
        spec.rules.append(_rule(row))
        if row.peer_kind == "group":
            members.setdefault(row.peer, {}).update(dict.fromkeys(row.members))
    for group_id, addresses in members.items():
        spec = groups.setdefault(group_id, fleet_pb2.SecurityGroupSpec(group_id=group_id))
        spec.member_addresses.extend(addresses)
    return list(groups.values())


def _rule(row: RuleRow) -> fleet_pb2.RuleSpec:
    rule = fleet_pb2.RuleSpec(
        egress=row.egress, protocol=row.protocol, from_port=row.from_port, to_port=row.to_port
    )
    if row.peer_kind == "cidr_ipv4":
        rule.cidr_ipv4 = row.peer
    elif row.peer_kind == "cidr_ipv6":
        rule.cidr_ipv6 = row.peer
    else:
        rule.group_id = row.peer
    return rule
