"""Route tables: made, associated with subnets, deleted. What they say is network/routing/routes.

Called by the service (rpc). A subnet has the table that it is associated with, or else its VPC's
main one; that is an association too, of the VPC itself (EC2 User Guide, "Subnet route tables").
"""

import random
from typing import NamedTuple

from peewee import SQL, fn

from controller.hosts.feed import Feed
from controller.identity.quotas.rules import Quotas, exceeded
from controller.identity.tags import rules as tags
from controller.identity.tags.checks import tags_of_specifications
from controller.kernel.client_tokens import digest_of, made_before
from controller.kernel.database import Transaction
from controller.kernel.lookup import find_one
from controller.kernel.owned import Owned
from controller.kernel.rows import columns
from controller.network.subnets import rules as subnets
from controller.network.vpcs import rules as vpcs
from controller.tables.network import RouteTable, RouteTableAssociation
from controller.tables.nouns import VPC
from protos.cloud.v1 import networks_pb2
from protos.errors import CloudError, Kind
from protos.ids import new_id

OWNED = Owned(
    "route-table",
    RouteTable.route_table_id,
    RouteTable.account_id,
    facts={
        "ec2:RouteTableID": RouteTable.route_table_id,
        "ec2:Vpc": ("vpc", RouteTable.vpc_id),
    },
)
_USE = RouteTableAssociation


class TableRow(NamedTuple):
    route_table_id: str
    vpc_id: str


class UseRow(NamedTuple):
    """A table's association with a subnet, or, main, with its VPC."""

    association_id: str
    route_table_id: str
    vpc_id: str
    subnet_id: str | None
    main: bool


def create(
    tx: Transaction,
    rng: random.Random,
    quotas: Quotas,
    request: networks_pb2.CreateRouteTableRequest,
) -> str:
    """Makes a table with the local route; answers its id, the first one's for a token used before.

    Raises INVALID, MALFORMED_ID, NOT_FOUND, EXISTS (client-token), QUOTA.
    """
    wanted = tags_of_specifications(request.tag_specifications, "route-table")
    vpc = vpcs.find(tx, request.vpc_id)
    digest = digest_of(request)
    if known := made_before(tx, RouteTable.route_table_id, request.client_token, digest):
        return known
    count = RouteTable.select(fn.COUNT(SQL("1"))).where(RouteTable.vpc_id == vpc.vpc_id)
    maximum = quotas.maximum(tx, tx.call.account_id, "route_tables_per_vpc")
    if (tx.value(count, int) or 0) >= maximum:
        message = f"The maximum number of route tables ({maximum}) of '{vpc.vpc_id}'"
        raise exceeded(
            tx.call, "route_tables_per_vpc", f"{message} has been reached.", "route-table"
        )
    table_id = vpcs.insert_table(
        tx,
        rng,
        tx.call.account_id,
        vpc.vpc_id,
        vpc.cidr_block,
        client_token=request.client_token,
        request_digest=digest,
    )
    tags.add(tx, tx.call.account_id, [("route-table", [table_id], wanted["route-table"])])
    return table_id


def delete(tx: Transaction, table_id: str) -> None:
    """Raises MALFORMED_ID, NOT_FOUND, WRONG_STATE (in-use: associated, or the main one)."""
    find(tx, table_id)
    used = _USE.select(SQL("1")).where(_USE.route_table_id == table_id)
    if tx.exists(used.limit(1)):
        raise vpcs.in_use("route-table", table_id)
    tx.delete(RouteTable, RouteTable.route_table_id == table_id)
    tags.remove_all(tx, [table_id])


def associate(
    tx: Transaction,
    rng: random.Random,
    feed: Feed,
    request: networks_pb2.AssociateRouteTableRequest,
) -> networks_pb2.RouteTableAssociation:
    """Gives a subnet a table of its own; the same again answers what is there.

    Raises INVALID (another VPC's), MALFORMED_ID, NOT_FOUND, EXISTS (it has another).
    """
    table = find(tx, request.route_table_id)
    subnet = subnets.find(tx, request.subnet_id)
    _check_together(table.route_table_id, table.vpc_id, f"subnet {subnet.subnet_id}", subnet.vpc_id)
    query = _USE.select(*columns(UseRow, _USE))
    there = tx.one(query.where(_USE.subnet_id == subnet.subnet_id), UseRow)
    if there is not None and there.route_table_id != table.route_table_id:
        raise CloudError(
            Kind.EXISTS,
            f"the specified association for route table {table.route_table_id} conflicts with an "
            "existing association",
            noun="route-table-association",
            id=there.association_id,
        )
    if there is not None:
        return _message(there.association_id, subnet.subnet_id)
    made = {
        "association_id": new_id("route-table-association", rng),
        "route_table_id": table.route_table_id,
        "vpc_id": table.vpc_id,
        "subnet_id": subnet.subnet_id,
    }
    tx.insert(_USE, [made])
    feed.revise(tx, VPC, [table.vpc_id])
    return _message(made["association_id"], subnet.subnet_id)


def disassociate(tx: Transaction, feed: Feed, association_id: str) -> None:
    """The subnet has the VPC's main table again.

    Raises INVALID (the main one), MALFORMED_ID, NOT_FOUND.
    """
    association = _find_association(tx, association_id)
    if association.main:
        raise CloudError(
            Kind.INVALID,
            f"cannot disassociate the main route table association {association_id}",
            noun="parameter",
            id=association_id,
        )
    tx.delete(_USE, _USE.association_id == association_id)
    feed.revise(tx, VPC, [association.vpc_id])


def replace_association(
    tx: Transaction,
    rng: random.Random,
    feed: Feed,
    request: networks_pb2.ReplaceRouteTableAssociationRequest,
) -> networks_pb2.RouteTableAssociation:
    """Another table for a subnet, or for the VPC as its main one, under a new association id.

    Raises INVALID (another VPC's), MALFORMED_ID, NOT_FOUND.
    """
    association = _find_association(tx, request.association_id)
    table = find(tx, request.route_table_id)
    what = f"association {association.association_id}"
    _check_together(table.route_table_id, table.vpc_id, what, association.vpc_id)
    made_id = new_id("route-table-association", rng)
    tx.advance(
        _USE,
        {"association_id": made_id, "route_table_id": table.route_table_id},
        _USE.association_id == association.association_id,
    )
    feed.revise(tx, VPC, [table.vpc_id])
    return _message(made_id, association.subnet_id or "", bool(association.main))


def find(tx: Transaction, table_id: str) -> TableRow:
    """The caller's table. Raises INVALID (none named), MALFORMED_ID, NOT_FOUND."""
    return OWNED.find(tx, tx.call.account_id, table_id, TableRow)


def _find_association(tx: Transaction, association_id: str) -> UseRow:
    own = (
        _USE.select(*columns(UseRow, _USE))
        .join(RouteTable, on=RouteTable.route_table_id == _USE.route_table_id)
        .where(RouteTable.account_id == tx.call.account_id)
    )
    noun = "route-table-association"
    key = _USE.association_id
    found = find_one(tx, own, key, noun, association_id, "associationId", row=UseRow)
    tx.authorize("route-table", [found.route_table_id])
    if found.subnet_id:
        tx.authorize("subnet", [found.subnet_id])
    return found


def _check_together(table_id: str, vpc_id: str, other: str, other_vpc_id: str) -> None:
    if vpc_id != other_vpc_id:
        raise CloudError(
            Kind.INVALID,
            f"route table {table_id} and {other} belong to different networks",
            noun="parameter",
            id=table_id,
        )


def _message(
    association_id: str, subnet_id: str, main: bool = False
) -> networks_pb2.RouteTableAssociation:
    return networks_pb2.RouteTableAssociation(
        association_id=association_id, subnet_id=subnet_id, main=main
    )
