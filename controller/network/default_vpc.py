"""The network that every account starts with: EC2's default VPC, whole.

Called by identity/rules in the transaction that makes an account, by the service (rpc) for accounts
that have deleted it and want it back, and at start-up for zones that the configuration has gained
since. Source: EC2's User Guide, "Default VPCs": 172.31.0.0/16, a /20 in each zone that gives
public addresses, an internet gateway, a main route table through it, a network ACL that lets all
pass, a default security group.
"""

import ipaddress
import json
import random
from collections.abc import Sequence
from typing import NamedTuple

from controller.config import Zone
from controller.hosts.feed import Feed
from controller.identity.quotas.rules import Quotas
from controller.kernel.database import Transaction
from controller.kernel.rows import columns
from controller.kernel.table import Select
from controller.network.blocks import ANYWHERE, overlap
from controller.network.routing import internet_gateways as gateways
from controller.network.subnets import rules as subnets
from controller.network.vpcs import rules as vpcs
from controller.network.vpcs.rules import VpcRow
from controller.tables.network import Route, RouteTableAssociation, Subnet, Vpc
from controller.tables.nouns import VPC
from protos.cloud.v1 import networks_pb2
from protos.errors import CloudError, Kind


class SubnetRow(NamedTuple):
    subnet_id: str
    cidr_block: str
    availability_zone: str
    default_for_az: bool


VPC_BLOCK = "172.31.0.0/16"
SUBNET_PREFIX = 20


def make_default_vpc(
    tx: Transaction,
    account_id: str,
    zones: Sequence[Zone],
    rng: random.Random,
    quotas: Quotas,
    domain: str,
) -> str:
    """Makes it and answers its id. The account's quota rows must be there (Quotas.make).

    Raises EXISTS (there is one), QUOTA.
    """
    if tx.exists(_default_vpc(account_id)):
        raise CloudError(
            Kind.EXISTS,
            "A Default VPC already exists for this account in this region.",
            noun="vpc",
            reason="default",
        )
    vpc_id = vpcs.insert_vpc(
        tx,
        rng,
        quotas,
        account_id,
        VPC_BLOCK,
        domain,
        is_default=True,
        enable_dns_hostnames=True,
    )
    vpc = vpcs.find_of(tx, account_id, vpc_id)
    _insert_subnets(tx, rng, vpc, zones, ())
    gateway_id = gateways.insert_gateway(tx, rng, quotas, account_id, vpc_id)
    main = RouteTableAssociation.vpc_id == vpc_id, RouteTableAssociation.main
    table_id = tx.value(
        RouteTableAssociation.select(RouteTableAssociation.route_table_id).where(*main), str
    )
    outside = {"route_table_id": table_id, "destination_cidr_block": ANYWHERE}
    tx.insert(Route, [outside | {"gateway_id": gateway_id, "origin": "CreateRoute"}])
    return vpc_id


def create_default_subnet(
    tx: Transaction,
    rng: random.Random,
    feed: Feed,
    zones: Sequence[Zone],
    request: networks_pb2.CreateDefaultSubnetRequest,
) -> str:
    """A default subnet in a zone that has none any more; answers its id.

    Raises NOT_FOUND (no default VPC), INVALID (zone), EXISTS, NO_CAPACITY.
    """
    name, zone_id = request.availability_zone, request.availability_zone_id
    chosen = subnets.choose_zone(tx, zones, name, zone_id)
    vpc = tx.one(_default_vpc(tx.call.account_id), VpcRow)
    if vpc is None:
        raise CloudError(
            Kind.NOT_FOUND,
            "No default VPC exists for this account in this region.",
            noun="vpc",
            reason="default",
        )
    query = Subnet.select(*columns(SubnetRow, Subnet)).where(Subnet.vpc_id == vpc.vpc_id)
    there = tx.rows(query, SubnetRow)
    for subnet in there:
        if subnet.default_for_az and subnet.availability_zone == chosen:
            raise CloudError(
                Kind.EXISTS,
                f"A default subnet already exists in availability zone {chosen}.",
                noun="subnet",
                reason="default",
                id=subnet.subnet_id,
            )
    taken = [subnet.cidr_block for subnet in there]
    made = _insert_subnets(tx, rng, vpc, [zone for zone in zones if zone.name == chosen], taken)
    if not made:
        raise CloudError(
            Kind.NO_CAPACITY, "The default VPC has no free range for a subnet.", noun="subnet"
        )
    feed.revise(tx, VPC, [vpc.vpc_id], at_once=False)
    return made[0]


def add_missing_subnets(tx: Transaction, zones: Sequence[Zone], rng: random.Random) -> int:
    """A default subnet in every zone for every default VPC that never had one there; answers how
    many were missing. What a user has deleted stays so."""
    made = 0
    for vpc in tx.rows(Vpc.select(*columns(VpcRow, Vpc)).where(Vpc.is_default), VpcRow):
        given = json.loads(vpc.default_zones)
        missing = [zone for zone in zones if zone.name not in given]
        if missing:
            blocks = Subnet.select(Subnet.cidr_block).where(Subnet.vpc_id == vpc.vpc_id)
            taken = tx.column(blocks, str)
            made += len(_insert_subnets(tx, rng, vpc, missing, taken))
    return made


def _default_vpc(account_id: str) -> Select:
    query = Vpc.select(*columns(VpcRow, Vpc))
    return query.where(Vpc.account_id == account_id, Vpc.is_default)


def _insert_subnets(
    tx: Transaction, rng: random.Random, vpc: VpcRow, zones: Sequence[Zone], taken: Sequence[str]
) -> list[str]:
    """Default subnets in free blocks; there are sixteen, and zones come first."""
    blocks = (
        str(block)
        for block in ipaddress.ip_network(VPC_BLOCK).subnets(new_prefix=SUBNET_PREFIX)
        if not any(overlap(str(block), other) for other in taken)
    )
    wanted = [(zone.name, block) for zone, block in zip(zones, blocks, strict=False)]
    return subnets.insert_subnets(tx, rng, vpc, wanted, default=True) if wanted else []
