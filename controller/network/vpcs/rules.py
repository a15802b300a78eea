"""VPCs: made with all that comes with one, changed, deleted. The only writer of the table.

Called by the service (rpc) and by network/default_vpc. With a VPC come (EC2 User Guide, "VPC
basics"): a default security group whose members reach one another, a main route table with the
local route, a network ACL that lets all pass, and the account's own set of DHCP options. They go
with it; all else that lives in it must go first.
"""

import random
from typing import NamedTuple

from peewee import SQL

from controller.hosts.feed import Feed
from controller.identity.quotas.rules import Quotas
from controller.identity.tags import rules as tags
from controller.identity.tags.checks import tags_of_specifications
from controller.kernel.database import Session, Transaction
from controller.kernel.owned import Owned
from controller.network.blocks import ANYWHERE, vpc_block
from controller.network.dhcp_options import rules as dhcp_options
from controller.network.security_groups.groups import insert_group, insert_rules
from controller.network.security_groups.permissions import Permission
from controller.tables.compute import Attachment
from controller.tables.network import (
    InternetGateway,
    NetworkAcl,
    NetworkAclEntry,
    NetworkInterface,
    Route,
    RouteTable,
    RouteTableAssociation,
    SecurityGroup,
    SecurityGroupRule,
    Subnet,
    Vpc,
)
from controller.tables.nouns import INSTANCE, VPC
from protos.cloud.v1 import networks_pb2
from protos.errors import CloudError, Kind, missing_parameter
from protos.ids import new_id
from protos.nouns import NOUNS

OWNED = Owned(
    "vpc",
    Vpc.vpc_id,
    Vpc.account_id,
    facts={"ec2:VpcID": Vpc.vpc_id, "ec2:Tenancy": Vpc.instance_tenancy},
)
_ONE = SQL("1")


class VpcRow(NamedTuple):
    vpc_id: str
    account_id: str
    cidr_block: str
    default_zones: str
    enable_dns_support: bool
    enable_dns_hostnames: bool
    enable_network_address_usage_metrics: bool


def create(
    tx: Transaction,
    rng: random.Random,
    quotas: Quotas,
    domain: str,
    request: networks_pb2.CreateVpcRequest,
) -> str:
    """Makes a VPC; answers its id. ``domain``: of a default set of DHCP options, where the account
    has none any more. Raises INVALID, UNSUPPORTED (tenancy), QUOTA."""
    wanted = tags_of_specifications(request.tag_specifications, "vpc")
    if not request.cidr_block:
        raise missing_parameter("cidrBlock")
    block = vpc_block(request.cidr_block)
    if request.instance_tenancy not in ("", "default"):
        raise CloudError(
            Kind.UNSUPPORTED,
            f"The instance tenancy '{request.instance_tenancy}' is not supported by this cloud.",
            noun="parameter",
        )
    vpc_id = insert_vpc(tx, rng, quotas, tx.call.account_id, block, domain)
    tags.add(tx, tx.call.account_id, [("vpc", [vpc_id], wanted["vpc"])])
    return vpc_id


def insert_vpc(
    tx: Transaction,
    rng: random.Random,
    quotas: Quotas,
    account_id: str,
    block: str,
    domain: str,
    **more: object,
) -> str:
    """The rows of a VPC and of what comes with it, charged. Raises QUOTA."""
    quotas.charge(tx, account_id, {"vpcs": 1, "security_groups": 1})
    vpc_id = new_id("vpc", rng)
    row: dict[str, object] = {
        "vpc_id": vpc_id,
        "account_id": account_id,
        "cidr_block": block,
        "cidr_association_id": new_id("vpc-cidr-association", rng),
        "dhcp_options_id": dhcp_options.default_set(tx, rng, account_id, domain),
        "created_ms": tx.call.now_ms,
    }
    tx.insert(Vpc, [row | more])
    _insert_acl(tx, rng, account_id, vpc_id)
    _insert_main_table(tx, rng, account_id, vpc_id, block)
    group_id = insert_group(tx, rng, account_id, vpc_id, "default", "default VPC security group")
    own = Permission(False, "-1", -1, -1, peer_group_id=group_id)  # its members reach one another
    insert_rules(tx, rng, account_id, group_id, [own])
    return vpc_id


def _insert_main_table(
    tx: Transaction, rng: random.Random, account_id: str, vpc_id: str, block: str
) -> None:
    table_id = insert_table(tx, rng, account_id, vpc_id, block)
    association = {
        "association_id": new_id("route-table-association", rng),
        "route_table_id": table_id,
        "vpc_id": vpc_id,
        "main": True,
    }
    tx.insert(RouteTableAssociation, [association])


def insert_table(
    tx: Transaction,
    rng: random.Random,
    account_id: str,
    vpc_id: str,
    block: str,
    **more: object,
) -> str:
    """The rows of a route table with the local route; answers its id."""
    table_id = new_id("route-table", rng)
    table: dict[str, object] = {
        "route_table_id": table_id,
        "account_id": account_id,
        "vpc_id": vpc_id,
        "created_ms": tx.call.now_ms,
    }
    local = {
        "route_table_id": table_id,
        "destination_cidr_block": block,
        "gateway_id": "local",
        "origin": "CreateRouteTable",
    }
    tx.insert(RouteTable, [table | more])
    tx.insert(Route, [local])
    return table_id


def _insert_acl(tx: Transaction, rng: random.Random, account_id: str, vpc_id: str) -> None:
    """The default network ACL: rule 100 lets all pass, the last one (EC2's "*") nothing."""
    acl = {
        "network_acl_id": new_id("network-acl", rng),
        "account_id": account_id,
        "vpc_id": vpc_id,
        "is_default": True,
        "created_ms": tx.call.now_ms,
    }
    tx.insert(NetworkAcl, [acl])
    tx.insert(
        NetworkAclEntry,
        [
            {
                "network_acl_id": acl["network_acl_id"],
                "egress": egress,
                "rule_number": number,
                "protocol": "-1",
                "rule_action": action,
                "cidr_block": ANYWHERE,
            }
            for egress in (True, False)
            for number, action in ((100, "allow"), (32767, "deny"))
        ],
    )


# --- changed and deleted --------------------------------------------------------------------------


def delete(tx: Transaction, quotas: Quotas, vpc_id: str) -> None:
    """Deletes a VPC in which nothing lives, and what came with it.

    Raises MALFORMED_ID, NOT_FOUND, WRONG_STATE (in-use).
    """
    find(tx, vpc_id)
    main = RouteTableAssociation.select(RouteTableAssociation.route_table_id).where(
        RouteTableAssociation.vpc_id == vpc_id, RouteTableAssociation.main
    )
    uses = (
        Subnet.select(_ONE).where(Subnet.vpc_id == vpc_id),
        InternetGateway.select(_ONE).where(InternetGateway.vpc_id == vpc_id),
        SecurityGroup.select(_ONE).where(
            SecurityGroup.vpc_id == vpc_id, SecurityGroup.group_name != "default"
        ),
        RouteTable.select(_ONE).where(
            RouteTable.vpc_id == vpc_id, RouteTable.route_table_id.not_in(main)
        ),
    )
    if any(tx.exists(query.limit(1)) for query in uses):
        raise in_use("vpc", vpc_id)
    gone = [vpc_id]
    for query in (
        SecurityGroup.select(SecurityGroup.group_id).where(SecurityGroup.vpc_id == vpc_id),
        RouteTable.select(RouteTable.route_table_id).where(RouteTable.vpc_id == vpc_id),
        NetworkAcl.select(NetworkAcl.network_acl_id).where(NetworkAcl.vpc_id == vpc_id),
    ):
        gone += tx.column(query, str)
    rules = SecurityGroupRule.group_id.in_(gone)
    gone += tx.column(SecurityGroupRule.select(SecurityGroupRule.rule_id).where(rules), str)
    tx.delete(SecurityGroupRule, rules)
    tx.delete(SecurityGroup, SecurityGroup.vpc_id == vpc_id)
    tx.delete(RouteTableAssociation, RouteTableAssociation.vpc_id == vpc_id)
    tx.delete(RouteTable, RouteTable.vpc_id == vpc_id)
    tx.delete(NetworkAcl, NetworkAcl.vpc_id == vpc_id)
    tx.delete(Vpc, Vpc.vpc_id == vpc_id)
    tags.remove_all(tx, gone)
    quotas.refund(tx, tx.call.account_id, {"vpcs": 1, "security_groups": 1})


def modify(tx: Transaction, feed: Feed, request: networks_pb2.ModifyVpcAttributeRequest) -> None:
    """Changes one attribute; hosts are told. Raises INVALID, MALFORMED_ID, NOT_FOUND."""
    names = (
        "enable_dns_support",
        "enable_dns_hostnames",
        "enable_network_address_usage_metrics",
    )
    given = {name: getattr(request, name) for name in names if request.HasField(name)}
    if not given:
        raise missing_parameter("EnableDnsSupport, EnableDnsHostnames or another attribute")
    if len(given) > 1:
        raise CloudError(
            Kind.INVALID,
            "Only one VPC attribute can be modified at a time.",
            reason="parameter-combination",
        )
    find(tx, request.vpc_id)
    tx.advance(Vpc, given, Vpc.vpc_id == request.vpc_id)
    feed.revise(tx, VPC, [request.vpc_id])
    if "enable_network_address_usage_metrics" not in given:
        _tell_instances(tx, feed, request.vpc_id)


def _tell_instances(tx: Transaction, feed: Feed, vpc_id: str) -> None:
    """Their metadata has their DNS names."""
    query = (
        Attachment.select(Attachment.instance_id)
        .join(NetworkInterface, on=NetworkInterface.network_interface_id == Attachment.device_id)
        .where(NetworkInterface.vpc_id == vpc_id)
    )
    feed.revise(tx, INSTANCE, set(tx.column(query, str)), at_once=False)


def attributes(session: Session, account_id: str, vpc_id: str) -> networks_pb2.VpcAttributes:
    vpc = find_of(session, account_id, vpc_id)
    return networks_pb2.VpcAttributes(
        vpc_id=vpc_id,
        enable_dns_support=vpc.enable_dns_support,
        enable_dns_hostnames=vpc.enable_dns_hostnames,
        enable_network_address_usage_metrics=vpc.enable_network_address_usage_metrics,
    )


def find(tx: Transaction, vpc_id: str) -> VpcRow:
    """The caller's VPC. Raises INVALID (none named), MALFORMED_ID, NOT_FOUND."""
    return find_of(tx, tx.call.account_id, vpc_id)


def find_of(session: Session, account_id: str, vpc_id: str) -> VpcRow:
    return OWNED.find(session, account_id, vpc_id, VpcRow)


def in_use(noun: str, identifier: str) -> CloudError:
    return CloudError(
        Kind.WRONG_STATE,
        f"The {NOUNS[noun].camel} '{identifier}' has dependencies and cannot be deleted.",
        noun=noun,
        reason="in-use",
        id=identifier,
    )
