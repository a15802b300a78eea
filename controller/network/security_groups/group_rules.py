"""Rules of security groups: authorized, revoked, modified, their descriptions updated.

Called by the service SecurityGroups. Every change but that of a description gives the VPC a new
revision for its hosts, which are sent it at once. Sources: EC2 API Reference,
AuthorizeSecurityGroupIngress, ModifySecurityGroupRules, RevokeSecurityGroupIngress ("for a default
VPC, if the values you specify do not match the existing rule's values, no error is returned, and
the output describes the rules that were not revoked").
"""

import random
from collections.abc import Mapping, Sequence

from controller.hosts.feed import Feed
from controller.identity.quotas.rules import Quotas, exceeded
from controller.identity.tags import rules as tags
from controller.identity.tags.checks import tags_of_specifications
from controller.kernel.database import Transaction
from controller.kernel.lookup import check_ids, check_there, not_found
from controller.kernel.owned import Owned
from controller.kernel.rows import columns
from controller.network.security_groups.groups import (
    GroupRow,
    columns_of,
    find_group,
    insert_rules,
)
from controller.network.security_groups.permissions import Permission, canonical, check_text
from controller.network.view import RuleRow, rule_message
from controller.tables.network import SecurityGroup, SecurityGroupRule
from controller.tables.nouns import VPC
from protos.cloud.v1 import common_pb2, networks_pb2
from protos.errors import CloudError, Kind, missing_parameter

OWNED = Owned("security-group-rule", SecurityGroupRule.rule_id, SecurityGroupRule.account_id)
RULES_PER_CALL_MAX = 1000
Identity = tuple[bool, str, int, int, str]  # Permission.identity


def authorize(
    tx: Transaction,
    rng: random.Random,
    quotas: Quotas,
    feed: Feed,
    request: networks_pb2.AuthorizeRequest,
    egress: bool,
) -> list[networks_pb2.SecurityGroupRule]:
    """Adds all the rules or none; answers them with their ids.

    Raises INVALID, NOT_FOUND, EXISTS, QUOTA.
    """
    account_id = tx.call.account_id
    wanted = tags_of_specifications(request.tag_specifications, "security-group-rule")
    wanted_tags = wanted["security-group-rule"]
    group = find_group(tx, request.group)
    permissions = _canonical(tx, group.vpc_id, request.rules, egress)
    if len({permission.identity for permission in permissions}) < len(permissions):
        raise CloudError(
            Kind.INVALID, "The same permission must not appear multiple times", noun="parameter"
        )
    there = _rules_of(tx, group.group_id, egress)
    for permission in permissions:
        if permission.identity in there:
            raise CloudError(
                Kind.EXISTS,
                f'the specified rule "{permission}" already exists',
                noun="security-group-rule",
                id=there[permission.identity].rule_id,
            )
    if len(there) + len(permissions) > quotas.maximum(tx, account_id, "rules_per_group"):
        message = "The maximum number of rules per security group has been reached."
        raise exceeded(tx.call, "rules_per_group", message, "security-group-rule")
    if wanted_tags:
        tx.authorize("security-group-rule", ["*"])
    rule_ids = insert_rules(tx, rng, account_id, group.group_id, permissions)
    tags.add(tx, account_id, [("security-group-rule", rule_ids, wanted_tags)])
    feed.revise(tx, VPC, [group.vpc_id])
    shown = [common_pb2.Tag(key=key, value=value) for key, value in sorted(wanted_tags.items())]
    return [
        _message_of(permission, group.group_id, account_id, rule_id=rule_id, tags=shown)
        for rule_id, permission in zip(rule_ids, permissions, strict=True)
    ]


def revoke(
    tx: Transaction, feed: Feed, request: networks_pb2.RevokeRequest, egress: bool
) -> networks_pb2.RevokeResponse:
    """Removes rules by id or by what they say. Raises INVALID, NOT_FOUND."""
    group = find_group(tx, request.group)
    there = _rules_of(tx, group.group_id, egress)
    if request.rule_ids and request.rules:
        raise CloudError(
            Kind.INVALID,
            "The parameter ipPermissions cannot be used with the parameter securityGroupRuleIds",
            reason="parameter-combination",
        )
    unknown: list[networks_pb2.SecurityGroupRule] = []
    if request.rule_ids:
        chosen = _named(there, request.rule_ids)
    else:
        chosen, unknown = _matching(tx, group, there, request.rules, egress)
    rule_ids = [rule.rule_id for rule in chosen]
    if rule_ids:
        tx.delete(SecurityGroupRule, SecurityGroupRule.rule_id.in_(rule_ids))
        tags.remove_all(tx, rule_ids)
        feed.revise(tx, VPC, [group.vpc_id])
    return networks_pb2.RevokeResponse(
        revoked=[rule_message(rule) for rule in chosen], unknown=unknown
    )


def modify(tx: Transaction, feed: Feed, request: networks_pb2.ModifyRulesRequest) -> None:
    """Other contents for rules, which keep their ids, tags and directions: all of them or none.

    Raises INVALID, MALFORMED_ID, NOT_FOUND, EXISTS.
    """
    group = find_group(tx, request.group)
    if not request.rules:
        raise missing_parameter("securityGroupRules")
    there = _rules_of(tx, group.group_id, False) | _rules_of(tx, group.group_id, True)
    rule_ids = [rule.rule_id for rule in request.rules]
    known = {rule.rule_id: rule for rule in _named(there, rule_ids)}
    tx.authorize("security-group-rule", list(known))
    if len(known) < len(rule_ids):
        raise CloudError(
            Kind.INVALID, "The same rule must not appear multiple times", noun="parameter"
        )
    wanted: dict[str, Permission] = {}
    for egress in (False, True):
        rules = [rule for rule in request.rules if known[rule.rule_id].egress == egress]
        if rules:
            permissions = _canonical(tx, group.vpc_id, rules, egress)
            wanted |= zip([rule.rule_id for rule in rules], permissions, strict=True)
    _check_distinct(there, wanted)
    named = SecurityGroupRule.rule_id.in_(rule_ids)
    # Two may take each other's place: none is in another's way in between.
    tx.advance(SecurityGroupRule, {"peer": SecurityGroupRule.rule_id}, named)
    for rule_id, permission in wanted.items():
        tx.advance(SecurityGroupRule, columns_of(permission), SecurityGroupRule.rule_id == rule_id)
    feed.revise(tx, VPC, [group.vpc_id])


def _message_of(
    permission: Permission,
    group_id: str,
    account_id: str,
    *,
    rule_id: str = "",
    tags: Sequence[common_pb2.Tag] = (),
) -> networks_pb2.SecurityGroupRule:
    row = RuleRow(
        rule_id=rule_id,
        group_id=group_id,
        account_id=account_id,
        egress=permission.egress,
        protocol=permission.protocol,
        from_port=permission.from_port,
        to_port=permission.to_port,
        peer_kind=permission.peer_kind,
        peer=permission.peer,
        description=permission.description,
    )
    return rule_message(row, tags)


def _check_distinct(there: Mapping[Identity, RuleRow], wanted: dict[str, Permission]) -> None:
    """No two rules of the group say the same once these say what is wanted. Raises EXISTS."""
    taken = {identity for identity, rule in there.items() if rule.rule_id not in wanted}
    for rule_id, permission in wanted.items():
        if permission.identity in taken:
            raise CloudError(
                Kind.EXISTS,
                f'the specified rule "{permission}" already exists',
                noun="security-group-rule",
                id=rule_id,
            )
        taken.add(permission.identity)


def update_descriptions(
    tx: Transaction, request: networks_pb2.UpdateRuleDescriptionsRequest, egress: bool
) -> None:
    """Replaces descriptions of rules, named by id or by contents. Raises INVALID, NOT_FOUND."""
    group = find_group(tx, request.group)
    there = _rules_of(tx, group.group_id, egress)
    if request.descriptions and request.rules:
        raise CloudError(
            Kind.INVALID,
            "The parameter ipPermissions cannot be used with the parameter "
            "securityGroupRuleDescriptions",
            reason="parameter-combination",
        )
    if request.descriptions:
        _named(there, [one.rule_id for one in request.descriptions])
        chosen = {one.rule_id: one.description for one in request.descriptions}
    else:
        chosen = {}
        for permission in _canonical(tx, group.vpc_id, request.rules, egress):
            if permission.identity not in there:
                raise _no_such_rule()
            chosen[there[permission.identity].rule_id] = permission.description
    for rule_id, description in chosen.items():
        check_text(description, "rule description")
        is_it = SecurityGroupRule.rule_id == rule_id
        tx.advance(SecurityGroupRule, {"description": description}, is_it)


def _no_such_rule() -> CloudError:
    return CloudError(
        Kind.NOT_FOUND,
        "The specified rule does not exist in this security group.",
        noun="security-group-rule",
        reason="permission",
    )


def _named(there: Mapping[Identity, RuleRow], rule_ids: Sequence[str]) -> list[RuleRow]:
    check_ids("security-group-rule", rule_ids)
    by_id = {rule.rule_id: rule for rule in there.values()}
    check_there("security-group-rule", rule_ids, by_id)
    return [by_id[rule_id] for rule_id in dict.fromkeys(rule_ids)]


def _matching(
    tx: Transaction,
    group: GroupRow,
    there: Mapping[Identity, RuleRow],
    rules: Sequence[networks_pb2.SecurityGroupRule],
    egress: bool,
) -> tuple[list[RuleRow], list[networks_pb2.SecurityGroupRule]]:
    """The rules that say the same, and of what was asked for what no rule says."""
    chosen, unknown = {}, []
    permissions = _canonical(tx, group.vpc_id, rules, egress)
    for permission in permissions:
        found = there.get(permission.identity)
        if found is not None:
            chosen[found.rule_id] = found
        elif group.in_default_vpc:
            unknown.append(_message_of(permission, group.group_id, tx.call.account_id))
        else:
            raise _no_such_rule()
    return list(chosen.values()), unknown


def _rules_of(tx: Transaction, group_id: str, egress: bool) -> dict[Identity, RuleRow]:
    """The group's rules of one direction."""
    rule = SecurityGroupRule
    query = rule.select(*columns(RuleRow, rule))
    rows = tx.rows(query.where(rule.group_id == group_id, rule.egress == egress), RuleRow)
    return {(egress, row.protocol, row.from_port, row.to_port, row.peer): row for row in rows}


def _canonical(
    tx: Transaction,
    vpc_id: str,
    rules: Sequence[networks_pb2.SecurityGroupRule],
    egress: bool,
) -> list[Permission]:
    if not rules:
        raise missing_parameter("ipPermissions")
    if len(rules) > RULES_PER_CALL_MAX:
        raise CloudError(
            Kind.INVALID,
            f"At most {RULES_PER_CALL_MAX} rules can be given at once.",
            noun="parameter",
        )
    peers = _peer_groups(tx, vpc_id, rules)
    permissions = []
    for rule in rules:
        kind = rule.WhichOneof("peer")
        if kind is None:
            raise CloudError(
                Kind.INVALID,
                "A rule needs a CIDR block or a security group as its source or destination.",
                reason="permission-malformed",
            )
        peer_id = peers[_peer_key(rule.peer_group)] if kind == "peer_group" else ""
        permissions.append(canonical(rule, egress, peer_id))
    return permissions


def _peer_key(peer: networks_pb2.SecurityGroupPeer) -> str:
    return peer.group_id or peer.group_name


def _peer_groups(
    tx: Transaction, vpc_id: str, rules: Sequence[networks_pb2.SecurityGroupRule]
) -> dict[str, str]:
    """The ids of the groups that rules refer to, by id or name, all in the VPC: one statement.

    An owner's id that is not the caller's names a group of another account, which is not there
    for him.
    """
    peers = [rule.peer_group for rule in rules if rule.WhichOneof("peer") == "peer_group"]
    if not peers:
        return {}
    for peer in peers:
        if not _peer_key(peer):
            raise missing_parameter("sourceSecurityGroup")
        if peer.owner_id not in ("", tx.call.account_id):
            raise not_found("security-group", _peer_key(peer))
    group_ids = [peer.group_id for peer in peers if peer.group_id]
    check_ids("security-group", group_ids)
    names = [peer.group_name for peer in peers if not peer.group_id]
    query = SecurityGroup.select(SecurityGroup.group_id, SecurityGroup.group_name).where(
        SecurityGroup.vpc_id == vpc_id,
        SecurityGroup.group_id.in_(group_ids) | SecurityGroup.group_name.in_(names),
    )
    found: dict[str, str] = {}
    for group_id, group_name in tx.tuples(query):
        found[group_id] = found[group_name] = group_id
    check_there("security-group", map(_peer_key, peers), found)
    return found
