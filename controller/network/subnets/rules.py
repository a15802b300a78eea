"""Subnets: made, changed, deleted. The only writer of the table.

Called by the service (rpc) and by network/default_vpc. A subnet is in one zone, belongs to its
VPC's network ACL, and has the VPC's main route table until it is associated with another one.
"""

import json
import random
from collections.abc import Sequence
from typing import NamedTuple

from peewee import SQL, Case, fn

from controller.config import Zone
from controller.hosts.feed import Feed
from controller.identity.quotas.rules import Quotas, exceeded
from controller.identity.tags import rules as tags
from controller.identity.tags.checks import tags_of_specifications
from controller.kernel.database import Transaction
from controller.kernel.owned import Owned
from controller.network.blocks import overlap, subnet_block
from controller.network.vpcs import rules as vpcs
from controller.network.vpcs.rules import VpcRow
from controller.tables.hosts import Host
from controller.tables.network import (
    NetworkAcl,
    NetworkAclAssociation,
    NetworkInterface,
    RouteTableAssociation,
    Subnet,
    Vpc,
)
from controller.tables.nouns import VPC
from protos.cloud.v1 import networks_pb2
from protos.errors import CloudError, Kind, missing_parameter
from protos.ids import new_id

OWNED = Owned(
    "subnet",
    Subnet.subnet_id,
    Subnet.account_id,
    facts={
        "ec2:SubnetID": Subnet.subnet_id,
        "ec2:AvailabilityZone": Subnet.availability_zone,
        "ec2:Vpc": ("vpc", Subnet.vpc_id),
    },
)
_ONE = SQL("1")


class SubnetRow(NamedTuple):
    subnet_id: str
    vpc_id: str


def create(
    tx: Transaction,
    rng: random.Random,
    quotas: Quotas,
    feed: Feed,
    zones: Sequence[Zone],
    request: networks_pb2.CreateSubnetRequest,
) -> str:
    """Makes a subnet; answers its id.

    Raises INVALID (range, zone), MALFORMED_ID, NOT_FOUND, EXISTS (overlap), QUOTA.
    """
    wanted = tags_of_specifications(request.tag_specifications, "subnet")
    vpc = vpcs.find(tx, request.vpc_id)
    if not request.cidr_block:
        raise missing_parameter("cidrBlock")
    block = subnet_block(request.cidr_block, vpc.cidr_block)
    zone = choose_zone(tx, zones, request.availability_zone, request.availability_zone_id)
    there = tx.column(Subnet.select(Subnet.cidr_block).where(Subnet.vpc_id == vpc.vpc_id), str)
    if any(overlap(block, other) for other in there):
        raise CloudError(
            Kind.EXISTS,
            f"The CIDR '{block}' conflicts with another subnet",
            noun="subnet",
            id=block,
        )
    _check_room(tx, quotas, vpc.vpc_id, len(there))
    (subnet_id,) = insert_subnets(tx, rng, vpc, [(zone, block)])
    tags.add(tx, tx.call.account_id, [("subnet", [subnet_id], wanted["subnet"])])
    feed.revise(tx, VPC, [vpc.vpc_id], at_once=False)
    return subnet_id


def insert_subnets(
    tx: Transaction,
    rng: random.Random,
    vpc: VpcRow,
    wanted: Sequence[tuple[str, str]],
    *,
    default: bool = False,
) -> list[str]:
    """The rows of subnets, each (zone's name, block); answers their ids."""
    subnet_ids = [new_id("subnet", rng) for _ in wanted]
    made: list[dict[str, object]] = [
        {
            "subnet_id": subnet_id,
            "vpc_id": vpc.vpc_id,
            "account_id": vpc.account_id,
            "cidr_block": block,
            "availability_zone": zone,
            "default_for_az": default,
            "map_public_ip_on_launch": default,
            "created_ms": tx.call.now_ms,
        }
        for subnet_id, (zone, block) in zip(subnet_ids, wanted, strict=True)
    ]
    tx.insert(Subnet, made)
    acl_id = tx.value(
        NetworkAcl.select(NetworkAcl.network_acl_id).where(
            NetworkAcl.vpc_id == vpc.vpc_id, NetworkAcl.is_default
        ),
        str,
    )
    tx.insert(
        NetworkAclAssociation,
        [
            {
                "association_id": new_id("network-acl-association", rng),
                "network_acl_id": acl_id,
                "subnet_id": subnet_id,
            }
            for subnet_id in subnet_ids
        ],
    )
    if default:
        given = {*json.loads(vpc.default_zones), *(zone for zone, _ in wanted)}
        tx.advance(Vpc, {"default_zones": json.dumps(sorted(given))}, Vpc.vpc_id == vpc.vpc_id)
    return subnet_ids


def delete(tx: Transaction, feed: Feed, subnet_id: str) -> None:
    """Deletes a subnet without interfaces; what it is associated with lets go of it.

    Raises MALFORMED_ID, NOT_FOUND, WRONG_STATE (in-use).
    """
    subnet = find(tx, subnet_id)
    used = NetworkInterface.select(_ONE).where(NetworkInterface.subnet_id == subnet_id)
    if tx.exists(used.limit(1)):
        raise vpcs.in_use("subnet", subnet_id)
    tx.delete(RouteTableAssociation, RouteTableAssociation.subnet_id == subnet_id)
    tx.delete(NetworkAclAssociation, NetworkAclAssociation.subnet_id == subnet_id)
    tx.delete(Subnet, Subnet.subnet_id == subnet_id)
    tags.remove_all(tx, [subnet_id])
    feed.revise(tx, VPC, [subnet.vpc_id], at_once=False)


def modify(tx: Transaction, request: networks_pb2.ModifySubnetAttributeRequest) -> None:
    """Raises INVALID, MALFORMED_ID, NOT_FOUND."""
    given = request.HasField("map_public_ip_on_launch")
    if not given and not request.as_it_is:
        raise missing_parameter("MapPublicIpOnLaunch or another attribute")
    find(tx, request.subnet_id)
    if given:
        tx.advance(
            Subnet,
            {"map_public_ip_on_launch": request.map_public_ip_on_launch},
            Subnet.subnet_id == request.subnet_id,
        )


def find(tx: Transaction, subnet_id: str) -> SubnetRow:
    """The caller's subnet. Raises INVALID (none named), MALFORMED_ID, NOT_FOUND."""
    return OWNED.find(tx, tx.call.account_id, subnet_id, SubnetRow)


def _check_room(tx: Transaction, quotas: Quotas, vpc_id: str, there: int) -> None:
    maximum = quotas.maximum(tx, tx.call.account_id, "subnets_per_vpc")
    if there >= maximum:
        message = f"The maximum number of subnets ({maximum}) of '{vpc_id}' has been reached."
        raise exceeded(tx.call, "subnets_per_vpc", message, "subnet")


def choose_zone(tx: Transaction, zones: Sequence[Zone], name: str, zone_id: str) -> str:
    """The zone of this name or id; without either the first one in which a host lives."""
    if name and zone_id:
        raise CloudError(
            Kind.INVALID,
            "The parameter availabilityZoneId cannot be used with the parameter availabilityZone",
            reason="parameter-combination",
        )
    if name or zone_id:
        for zone in zones:
            if zone.name == name or zone.id == zone_id:
                return zone.name
        known = ", ".join(zone.name for zone in zones)
        raise CloudError(
            Kind.INVALID,
            f"Value ({name or zone_id}) for parameter availabilityZone is invalid. Subnets can "
            f"currently only be created in the following availability zones: {known}.",
            noun="availability-zone",
            id=name or zone_id,
        )
    living = fn.MAX(Case(None, [(Host.health == "up", 1)], 0))
    hosts = Host.select(Host.availability_zone, living).group_by(Host.availability_zone)
    have: dict[str, int] = dict(tx.tuples(hosts))
    best = max(zones, key=lambda zone: max(have.get(home, -1) for home in zone.homes))
    return best.name  # the first of equals
