"""Reading security groups and their rules, with the filters that EC2 documents for them.

Called by the service (rpc). Several filters on rules ask for groups any of whose rules match
each: EC2 API Reference, DescribeSecurityGroups ("any combination of rules - not necessarily a
single rule").
"""

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from peewee import SQL

from controller.identity.pages import owned_page
from controller.identity.tags import rules as tags
from controller.identity.tags.filters import tag_filters
from controller.kernel.database import Session
from controller.kernel.filters import (
    NOTHING,
    Condition,
    any_of,
    column,
    custom,
    exists_where,
    integer,
    page_of,
    where,
)
from controller.kernel.lookup import check_there, select_page
from controller.kernel.rows import columns
from controller.kernel.table import Clause
from controller.network.security_groups import group_rules
from controller.network.security_groups.permissions import canonical_protocol
from controller.network.view import RuleRow, rule_message
from controller.tables.network import SecurityGroup, SecurityGroupRule, Vpc
from protos.cloud.v1 import networks_pb2
from protos.errors import CloudError

_RULE = SecurityGroupRule
_ABSENT = custom(lambda values: NOTHING)  # known to EC2; nothing here has it


class GroupRow(NamedTuple):
    group_id: str
    group_name: str
    description: str
    vpc_id: str
    account_id: str


def _protocol(values: Sequence[str]) -> Clause:
    """Protocols by name or number: "6" finds tcp."""
    protocols = []
    for value in values:
        try:
            protocols.append(canonical_protocol(value))
        except CloudError:  # wild cards, or no protocol at all: compared as it stands
            protocols.append(value)
    return column(_RULE.protocol)(protocols)


def _permission_filters(egress: bool) -> dict[str, Condition]:
    prefix = "egress.ip-permission" if egress else "ip-permission"
    rules = _RULE.select(SQL("1")).where(
        _RULE.group_id == SecurityGroup.group_id, _RULE.egress == egress
    )
    peer = SecurityGroup.alias()
    to_groups = rules.where(_RULE.peer_kind == "group")
    return {
        f"{prefix}.cidr": any_of(rules.where(_RULE.peer_kind == "cidr_ipv4"), _RULE.peer),
        f"{prefix}.ipv6-cidr": any_of(rules.where(_RULE.peer_kind == "cidr_ipv6"), _RULE.peer),
        f"{prefix}.group-id": any_of(to_groups, _RULE.peer),
        f"{prefix}.group-name": any_of(
            to_groups.join(peer, on=peer.group_id == _RULE.peer_group_id), peer.group_name
        ),
        f"{prefix}.user-id": any_of(to_groups, _RULE.account_id),
        f"{prefix}.protocol": exists_where(rules, _protocol),
        f"{prefix}.from-port": exists_where(rules, integer(_RULE.from_port)),
        f"{prefix}.to-port": exists_where(rules, integer(_RULE.to_port)),
        f"{prefix}.prefix-list-id": _ABSENT,
    }


GROUP_FILTERS: dict[str, Condition] = {
    "group-id": column(SecurityGroup.group_id),
    "group-name": column(SecurityGroup.group_name),
    "description": column(SecurityGroup.description),
    "owner-id": column(SecurityGroup.account_id),
    "vpc-id": column(SecurityGroup.vpc_id),
    **_permission_filters(egress=False),
    **_permission_filters(egress=True),
    **tag_filters(SecurityGroup.group_id),
}


def describe_groups(
    session: Session, account_id: str, request: networks_pb2.DescribeSecurityGroupsRequest
) -> networks_pb2.DescribeSecurityGroupsResponse:
    """Groups by id, by name (default VPC) and by filters.

    Raises INVALID, MALFORMED_ID, NOT_FOUND.
    """
    asked = list(request.group_ids)
    page = page_of(request.page, explicit_ids=asked or request.group_names)
    conditions = where(GROUP_FILTERS, request.filters)
    named = _ids_of_names(session, account_id, request.group_names)
    rows, token = select_page(
        session,
        SecurityGroup.select(*columns(GroupRow, SecurityGroup)).where(
            SecurityGroup.account_id == account_id
        ),
        SecurityGroup.group_id,
        "security-group",
        [*asked, *named],
        conditions,
        page,
        row=GroupRow,
    )
    return networks_pb2.DescribeSecurityGroupsResponse(
        groups=group_messages(session, rows), next_token=token
    )


def describe_group(session: Session, group_id: str) -> networks_pb2.SecurityGroup:
    """One group that is there."""
    query = SecurityGroup.select(*columns(GroupRow, SecurityGroup))
    rows = session.rows(query.where(SecurityGroup.group_id == group_id), GroupRow)
    return group_messages(session, rows)[0]


def group_messages(session: Session, rows: Sequence[GroupRow]) -> list[networks_pb2.SecurityGroup]:
    """Groups with their rules and tags: two statements."""
    group_ids = [row.group_id for row in rows]
    rules, tagged = _rules_of(session, group_ids), tags.tags_of(session, group_ids)
    return [
        networks_pb2.SecurityGroup(
            group_id=row.group_id,
            group_name=row.group_name,
            description=row.description,
            vpc_id=row.vpc_id,
            owner_id=row.account_id,
            rules=rules[row.group_id],
            tags=tagged[row.group_id],
        )
        for row in rows
    ]


def _ids_of_names(session: Session, account_id: str, names: Sequence[str]) -> list[str]:
    if not names:
        return []
    query = (
        SecurityGroup.select(SecurityGroup.group_name, SecurityGroup.group_id)
        .join(Vpc, on=Vpc.vpc_id == SecurityGroup.vpc_id)
        .where(
            SecurityGroup.account_id == account_id,
            Vpc.is_default,
            SecurityGroup.group_name.in_(list(names)),
        )
    )
    found: dict[str, str] = dict(session.tuples(query))
    check_there("security-group", names, found)
    return list(found.values())


def _rules_of(
    session: Session, group_ids: Sequence[str]
) -> dict[str, list[networks_pb2.SecurityGroupRule]]:
    found: dict[str, list[networks_pb2.SecurityGroupRule]] = defaultdict(list)
    if group_ids:
        query = _RULE.select(*columns(RuleRow, _RULE)).where(_RULE.group_id.in_(group_ids))
        for row in session.rows(query.order_by(_RULE.created_ms, _RULE.position), RuleRow):
            found[row.group_id].append(rule_message(row))
    return found


# --- rules by themselves --------------------------------------------------------------------------

RULE_FILTERS: dict[str, Condition] = {
    "group-id": column(_RULE.group_id),
    "security-group-rule-id": column(_RULE.rule_id),
}


def describe_rules(
    session: Session, account_id: str, request: networks_pb2.DescribeSecurityGroupRulesRequest
) -> networks_pb2.SecurityGroupRules:
    rows, token, tagged = owned_page(
        session,
        account_id,
        group_rules.OWNED,
        RuleRow,
        RULE_FILTERS,
        request.rule_ids,
        request,
    )
    rules = [rule_message(row, tagged[row.rule_id]) for row in rows]
    return networks_pb2.SecurityGroupRules(rules=rules, next_token=token)
