"""The network that every account starts with: EC2's default VPC, whole.

Called by identity/rules in the transaction that makes an account, and at start-up for zones that
the configuration has gained since. Source: EC2's User Guide, "Default VPCs": 172.31.0.0/16, a /20
in each zone that gives public addresses, an internet gateway, a main route table through it, a
network ACL that lets all pass, a default security group.
"""

import ipaddress
import random
from collections.abc import Sequence

from controller.config import Zone
from controller.db.schema import (
    InternetGateway,
    NetworkAcl,
    NetworkAclAssociation,
    NetworkAclEntry,
    Route,
    RouteTable,
    RouteTableAssociation,
    Subnet,
    Vpc,
)
from controller.db.session import Transaction
from controller.networks.groups import insert_group, insert_rules
from controller.networks.permissions import Permission
from controller.quotas.rules import Quotas
from protos.ids import new_id

VPC_BLOCK = "172.31.0.0/16"
SUBNET_PREFIX = 20
ANYWHERE = "0.0.0.0/0"


def make_default_vpc(
    tx: Transaction, account_id: str, zones: Sequence[Zone], rng: random.Random, quotas: Quotas
) -> str:
    """Makes it and answers its id. The account's quota rows must be there (Quotas.make)."""
    now_ms, vpc_id = tx.call.now_ms, new_id("vpc", rng)
    tx.insert(
        Vpc,
        [
            {
                "vpc_id": vpc_id,
                "account_id": account_id,
                "cidr_block": VPC_BLOCK,
                "cidr_association_id": new_id("vpc-cidr-association", rng),
                "dhcp_options_id": new_id("dhcp-options", rng),
                "is_default": True,
                "created_ms": now_ms,
            }
        ],
    )
    acl_id = _make_acl(tx, account_id, vpc_id, rng)
    _make_subnets(tx, account_id, vpc_id, acl_id, zones, (), rng)
    _make_routes(tx, account_id, vpc_id, rng)
    group_id = insert_group(tx, rng, account_id, vpc_id, "default", "default VPC security group")
    _let_members_talk(tx, rng, account_id, group_id)
    quotas.charge(tx, account_id, {"security_groups": 1})
    return vpc_id


def add_missing_subnets(tx: Transaction, zones: Sequence[Zone], rng: random.Random) -> int:
    """A default subnet in every zone for every default VPC; answers how many were missing."""
    there: dict[str, list] = {}
    for subnet in tx.rows(
        Subnet.select(Subnet.vpc_id, Subnet.cidr_block, Subnet.availability_zone)
    ):
        there.setdefault(subnet.vpc_id, []).append(subnet)
    made = 0
    query = (
        Vpc.select(Vpc.vpc_id, Vpc.account_id, NetworkAcl.network_acl_id)
        .join(NetworkAcl, on=(NetworkAcl.vpc_id == Vpc.vpc_id) & NetworkAcl.is_default)
        .where(Vpc.is_default)
    )
    for vpc in tx.rows(query):
        subnets = there.get(vpc.vpc_id, [])
        have = {subnet.availability_zone for subnet in subnets}
        missing = [zone for zone in zones if zone.name not in have]
        taken = [subnet.cidr_block for subnet in subnets]
        if missing:
            _make_subnets(tx, vpc.account_id, vpc.vpc_id, vpc.network_acl_id, missing, taken, rng)
        made += len(missing)
    return made


def _make_subnets(
    tx: Transaction,
    account_id: str,
    vpc_id: str,
    acl_id: str,
    zones: Sequence[Zone],
    taken: Sequence[str],
    rng: random.Random,
) -> None:
    blocks = (
        str(block)
        for block in ipaddress.ip_network(VPC_BLOCK).subnets(new_prefix=SUBNET_PREFIX)
        if str(block) not in taken
    )
    subnets = [
        {
            "subnet_id": new_id("subnet", rng),
            "vpc_id": vpc_id,
            "account_id": account_id,
            "cidr_block": block,
            "availability_zone": zone.name,
            "default_for_az": True,
            "map_public_ip_on_launch": True,
            "created_ms": tx.call.now_ms,
        }
        for zone, block in zip(zones, blocks, strict=False)  # sixteen blocks; zones come first
    ]
    tx.insert(Subnet, subnets)
    tx.insert(
        NetworkAclAssociation,
        [
            {
                "association_id": new_id("network-acl-association", rng),
                "network_acl_id": acl_id,
                "subnet_id": subnet["subnet_id"],
            }
            for subnet in subnets
        ],
    )


def _make_routes(tx: Transaction, account_id: str, vpc_id: str, rng: random.Random) -> None:
    gateway_id, table_id = new_id("internet-gateway", rng), new_id("route-table", rng)
    owned = {"account_id": account_id, "vpc_id": vpc_id, "created_ms": tx.call.now_ms}
    tx.insert(InternetGateway, [{"internet_gateway_id": gateway_id, **owned}])
    tx.insert(RouteTable, [{"route_table_id": table_id, **owned}])
    tx.insert(
        Route,
        [
            {
                "route_table_id": table_id,
                "destination_cidr_block": VPC_BLOCK,
                "gateway_id": "local",
                "origin": "CreateRouteTable",
            },
            {
                "route_table_id": table_id,
                "destination_cidr_block": ANYWHERE,
                "gateway_id": gateway_id,
                "origin": "CreateRoute",
            },
        ],
    )
    association_id = new_id("route-table-association", rng)
    tx.insert(
        RouteTableAssociation,
        [{"association_id": association_id, "route_table_id": table_id, "main": True}],
    )


def _make_acl(tx: Transaction, account_id: str, vpc_id: str, rng: random.Random) -> str:
    """The default network ACL: rule 100 lets all pass, the last one (EC2's "*") nothing."""
    acl_id = new_id("network-acl", rng)
    tx.insert(
        NetworkAcl,
        [
            {
                "network_acl_id": acl_id,
                "account_id": account_id,
                "vpc_id": vpc_id,
                "is_default": True,
                "created_ms": tx.call.now_ms,
            }
        ],
    )
    tx.insert(
        NetworkAclEntry,
        [
            {
                "network_acl_id": acl_id,
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
    return acl_id


def _let_members_talk(tx: Transaction, rng: random.Random, account_id: str, group_id: str) -> None:
    """A default group's own rule: its members reach one another."""
    rule = Permission(False, "-1", -1, -1, peer_group_id=group_id)
    insert_rules(tx, rng, account_id, group_id, [rule])
