"""Security groups: made, found, removed. With group_rules the only writer of its tables.

Called by the service (rpc), and by network/vpcs/rules for a VPC's default group. Sources: EC2 API
Reference, CreateSecurityGroup ("names are case-insensitive and must be unique within the VPC"),
DeleteSecurityGroup. Names name groups of the default VPC only.
"""

import random
from collections.abc import Sequence
from typing import NamedTuple

from peewee import SQL, fn

from controller.hosts.feed import Feed
from controller.identity.quotas.rules import Quotas
from controller.identity.tags import rules as tags
from controller.identity.tags.checks import tags_of_specifications
from controller.kernel.database import Transaction
from controller.kernel.lookup import check_ids, not_found
from controller.kernel.owned import Owned
from controller.network.security_groups.permissions import Permission, check_text
from controller.tables.network import NicGroup, SecurityGroup, SecurityGroupRule, Vpc
from controller.tables.nouns import VPC
from protos.cloud.v1 import networks_pb2
from protos.errors import CloudError, Kind, missing_parameter
from protos.ids import new_id

OWNED = Owned(
    "security-group",
    SecurityGroup.group_id,
    SecurityGroup.account_id,
    facts={"ec2:SecurityGroupID": SecurityGroup.group_id, "ec2:Vpc": ("vpc", SecurityGroup.vpc_id)},
)
EVERYWHERE_OUT = Permission(True, "-1", -1, -1, cidr_ipv4="0.0.0.0/0")


class GroupRow(NamedTuple):
    group_id: str
    group_name: str
    vpc_id: str
    in_default_vpc: bool


def create(
    tx: Transaction,
    rng: random.Random,
    quotas: Quotas,
    request: networks_pb2.CreateSecurityGroupRequest,
) -> str:
    """Makes a group with EC2's allow-all egress rule; answers its id.

    Raises INVALID, NOT_FOUND (vpc), EXISTS, QUOTA.
    """
    account_id = tx.call.account_id
    wanted = tags_of_specifications(request.tag_specifications, "security-group")
    _check_name(request.group_name, request.description)
    vpc_id = find_vpc(tx, request.vpc_id)
    taken = tx.value(
        SecurityGroup.select(SecurityGroup.group_id).where(
            SecurityGroup.vpc_id == vpc_id,
            fn.LOWER(SecurityGroup.group_name) == request.group_name.lower(),
        ),
        str,
    )
    if taken:
        raise CloudError(
            Kind.EXISTS,
            f"The security group '{request.group_name}' already exists for VPC '{vpc_id}'",
            noun="security-group",
            id=taken,
        )
    quotas.charge(tx, account_id, {"security_groups": 1})
    group_id = insert_group(tx, rng, account_id, vpc_id, request.group_name, request.description)
    tags.add(tx, account_id, [("security-group", [group_id], wanted["security-group"])])
    return group_id


def insert_group(
    tx: Transaction,
    rng: random.Random,
    account_id: str,
    vpc_id: str,
    name: str,
    description: str,
) -> str:
    """The rows of a new group, its egress rule among them."""
    group_id = new_id("security-group", rng)
    tx.insert(
        SecurityGroup,
        [
            {
                "group_id": group_id,
                "account_id": account_id,
                "vpc_id": vpc_id,
                "group_name": name,
                "description": description,
                "created_ms": tx.call.now_ms,
            }
        ],
    )
    insert_rules(tx, rng, account_id, group_id, [EVERYWHERE_OUT])
    return group_id


def insert_rules(
    tx: Transaction,
    rng: random.Random,
    account_id: str,
    group_id: str,
    permissions: Sequence[Permission],
) -> list[str]:
    """The rows of new rules, all in one statement; answers their ids."""
    rule_ids = [new_id("security-group-rule", rng) for _ in permissions]
    tx.insert(
        SecurityGroupRule,
        [
            {
                "rule_id": rule_id,
                "account_id": account_id,
                "group_id": group_id,
                "egress": permission.egress,
                **columns_of(permission),
                "created_ms": tx.call.now_ms,
                "position": position,
            }
            for position, (rule_id, permission) in enumerate(
                zip(rule_ids, permissions, strict=True)
            )
        ],
    )
    return rule_ids


def columns_of(permission: Permission) -> dict[str, object]:
    """What a rule's row says of it; its direction and its place are its own."""
    return {
        "protocol": permission.protocol,
        "from_port": permission.from_port,
        "to_port": permission.to_port,
        "peer_kind": permission.peer_kind,
        "peer": permission.peer,
        "peer_group_id": permission.peer_group_id or None,
        "description": permission.description,
    }


def delete(
    tx: Transaction,
    quotas: Quotas,
    feed: Feed,
    selector: networks_pb2.SecurityGroupSelector,
) -> str:
    """Removes a group that nothing uses; answers its id.

    Raises NOT_FOUND, WRONG_STATE (default, in-use).
    """
    group = find_group(tx, selector)
    if group.group_name == "default":
        raise CloudError(
            Kind.WRONG_STATE,
            f'the specified group: "{group.group_id}" name: "default" cannot be deleted by a user',
            noun="security-group",
            reason="default",
            id=group.group_id,
        )
    _check_unused(tx, group.group_id)
    of_group = SecurityGroupRule.group_id == group.group_id
    rules = tx.column(SecurityGroupRule.select(SecurityGroupRule.rule_id).where(of_group), str)
    tx.delete(SecurityGroupRule, of_group)
    tx.delete(SecurityGroup, SecurityGroup.group_id == group.group_id)
    tags.remove_all(tx, [group.group_id, *rules])
    quotas.refund(tx, tx.call.account_id, {"security_groups": 1})
    feed.revise(tx, VPC, [group.vpc_id], at_once=False)
    return group.group_id


def find_group(tx: Transaction, selector: networks_pb2.SecurityGroupSelector) -> GroupRow:
    """The caller's group of an id, or of a name in the default VPC. Raises INVALID, MALFORMED_ID,
    NOT_FOUND, DENIED."""
    account_id = tx.call.account_id
    if selector.group_id and selector.group_name:
        raise CloudError(
            Kind.INVALID,
            "The parameter groupName cannot be used with the parameter groupId",
            reason="parameter-combination",
        )
    query = (
        SecurityGroup.select(
            SecurityGroup.group_id,
            SecurityGroup.group_name,
            SecurityGroup.vpc_id,
            Vpc.is_default.alias("in_default_vpc"),
        )
        .join(Vpc, on=Vpc.vpc_id == SecurityGroup.vpc_id)
        .where(SecurityGroup.account_id == account_id)
    )
    if selector.group_id:
        check_ids("security-group", [selector.group_id])
        query = query.where(SecurityGroup.group_id == selector.group_id)
    elif selector.group_name:
        query = query.where(Vpc.is_default, SecurityGroup.group_name == selector.group_name)
    else:
        raise missing_parameter("groupId")
    found = tx.one(query, GroupRow)
    if found is None:
        raise not_found("security-group", selector.group_id or selector.group_name)
    tx.authorize("security-group", [found.group_id])
    return found


def find_vpc(tx: Transaction, vpc_id: str) -> str:
    """The caller's VPC of this id, or his default one for "". Raises MALFORMED_ID, NOT_FOUND,
    DENIED."""
    query = Vpc.select(Vpc.vpc_id).where(Vpc.account_id == tx.call.account_id)
    if vpc_id:
        check_ids("vpc", [vpc_id])
        found = tx.value(query.where(Vpc.vpc_id == vpc_id), str)
        if found is None:
            raise not_found("vpc", vpc_id)
    else:
        found = tx.value(query.where(Vpc.is_default), str)
    if found is None:
        raise CloudError(
            Kind.NOT_FOUND, "No default VPC for this user", noun="vpc", reason="no-default"
        )
    tx.authorize("vpc", [found])
    return found


def _check_name(name: str, description: str) -> None:
    if not name:
        raise missing_parameter("GroupName")
    if not description:
        raise missing_parameter("GroupDescription")
    check_text(name, "security group name")
    check_text(description, "security group description")
    if name.lower() == "default":
        raise CloudError(
            Kind.INVALID,
            f"Cannot use reserved security group name: {name}",
            reason="group-reserved",
            noun="security-group",
        )
    if name.startswith("sg-"):
        raise CloudError(
            Kind.INVALID,
            f"Value ({name}) for parameter GroupName is invalid. Group names may not be in the "
            "format sg-*.",
            noun="parameter",
        )
    if name != name.strip():
        raise CloudError(
            Kind.INVALID,
            f"Value ({name}) for parameter GroupName is invalid. "
            "Names cannot begin or end with a space.",
            noun="parameter",
        )


def _check_unused(tx: Transaction, group_id: str) -> None:
    """Interfaces (of instances that are not gone yet) and rules of other groups keep a group."""
    one = SQL("1")
    uses = (
        NicGroup.select(one).where(NicGroup.group_id == group_id),
        SecurityGroupRule.select(one).where(
            SecurityGroupRule.peer_group_id == group_id, SecurityGroupRule.group_id != group_id
        ),
    )
    if any(tx.exists(query.limit(1)) for query in uses):
        raise CloudError(
            Kind.WRONG_STATE,
            f"resource {group_id} has a dependent object",
            noun="security-group",
            reason="in-use",
            id=group_id,
        )
