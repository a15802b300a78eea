"""Routes of a table: made, given another target, deleted.

Called by the service (rpc). A target is the VPC's internet gateway, or an interface in the VPC (a
NAT instance, an appliance), named by itself or by its instance. The longest prefix wins; the VPC's
own range is always local, so no route may lead any of it elsewhere. Hosts are told at once.
"""

from ipaddress import IPv4Network
from typing import NamedTuple

from peewee import SQL, fn

from controller.hosts.feed import Feed
from controller.identity.quotas.rules import Quotas, exceeded
from controller.kernel.database import Transaction
from controller.kernel.lookup import check_ids, not_found
from controller.kernel.rows import columns
from controller.kernel.table import Clause
from controller.network.blocks import parse
from controller.network.interfaces.rules import several_interfaces
from controller.network.routing import route_tables
from controller.network.routing.route_tables import TableRow
from controller.tables.compute import Attachment
from controller.tables.network import InternetGateway, NetworkInterface, Route, Vpc
from controller.tables.nouns import VPC
from protos import ids
from protos.cloud.v1 import networks_pb2
from protos.errors import CloudError, Kind, missing_parameter


class NicRow(NamedTuple):
    network_interface_id: str
    vpc_id: str


# Of its services: "You cannot add routes to IPv4 addresses that are an exact match or a subset of
# the following range" (EC2 User Guide, "Route table concepts").
_RESERVED = IPv4Network("169.254.168.0/22")


def create(tx: Transaction, quotas: Quotas, feed: Feed, request: networks_pb2.RouteRequest) -> None:
    """Raises INVALID, MALFORMED_ID, NOT_FOUND, EXISTS, QUOTA, UNSUPPORTED (within the VPC's)."""
    table = route_tables.find(tx, request.route_table_id)
    block = _destination(request)
    if _gateway_of(tx, table.route_table_id, block) is not None:
        raise CloudError(
            Kind.EXISTS, f"The route identified by {block} already exists.", noun="route", id=block
        )
    target = _target(tx, table, block, request)
    count = Route.select(fn.COUNT(SQL("1"))).where(Route.route_table_id == table.route_table_id)
    maximum = quotas.maximum(tx, tx.call.account_id, "routes_per_table")
    if (tx.value(count.where(Route.gateway_id != "local"), int) or 0) >= maximum:
        message = f"The maximum number of routes ({maximum}) of '{table.route_table_id}'"
        raise exceeded(tx.call, "routes_per_table", f"{message} has been reached.", "route")
    route = {"route_table_id": table.route_table_id, "destination_cidr_block": block}
    tx.insert(Route, [route | target | {"origin": "CreateRoute"}])
    feed.revise(tx, VPC, [table.vpc_id])


def replace(tx: Transaction, feed: Feed, request: networks_pb2.RouteRequest) -> None:
    """Raises INVALID (a local route), MALFORMED_ID, NOT_FOUND (route), UNSUPPORTED."""
    table = route_tables.find(tx, request.route_table_id)
    block = _destination(request)
    _check_not_local(tx, "replace", table.route_table_id, block)
    target = _target(tx, table, block, request)
    tx.advance(Route, target, *_is(table.route_table_id, block))
    feed.revise(tx, VPC, [table.vpc_id])


def delete(tx: Transaction, feed: Feed, request: networks_pb2.RouteRequest) -> None:
    """Raises INVALID (a local route), MALFORMED_ID, NOT_FOUND (route)."""
    table = route_tables.find(tx, request.route_table_id)
    block = _destination(request)
    _check_not_local(tx, "remove", table.route_table_id, block)
    tx.delete(Route, *_is(table.route_table_id, block))
    feed.revise(tx, VPC, [table.vpc_id])


def _destination(request: networks_pb2.RouteRequest) -> str:
    if not request.destination_cidr_block:
        raise missing_parameter("destinationCidrBlock")
    return str(parse(request.destination_cidr_block, "destinationCidrBlock"))


def _is(table_id: str, block: str) -> tuple[Clause, Clause]:
    return Route.route_table_id == table_id, Route.destination_cidr_block == block


def _gateway_of(tx: Transaction, table_id: str, block: str) -> str | None:
    """What the route's gateway_id says; None where there is no such route."""
    return tx.value(Route.select(Route.gateway_id).where(*_is(table_id, block)), str)


def _check_not_local(tx: Transaction, verb: str, table_id: str, block: str) -> None:
    """Raises NOT_FOUND (no such route), INVALID (it is local)."""
    gateway_id = _gateway_of(tx, table_id, block)
    if gateway_id is None:
        raise CloudError(
            Kind.NOT_FOUND,
            f"no route with destination-cidr-block {block} in route table {table_id}",
            noun="route",
            id=block,
        )
    if gateway_id == "local":
        raise CloudError(
            Kind.INVALID,
            f"cannot {verb} local route {block} in route table {table_id}",
            noun="parameter",
            id=block,
        )


def _target(
    tx: Transaction, table: TableRow, block: str, request: networks_pb2.RouteRequest
) -> dict[str, str]:
    """The route's columns that say where it leads."""
    given = [
        name
        for name in ("gateway_id", "network_interface_id", "instance_id")
        if getattr(request, name)
    ]
    if not given:
        raise missing_parameter("gatewayId, networkInterfaceId or instanceId")
    if len(given) > 1:
        raise CloudError(
            Kind.INVALID,
            "Exactly one target of a route must be specified.",
            reason="parameter-combination",
        )
    _check_outside(tx, table.vpc_id, block, request.gateway_id)
    if request.gateway_id:
        return {"gateway_id": _gateway(tx, table, request.gateway_id), "network_interface_id": ""}
    return {"gateway_id": "", "network_interface_id": _interface(tx, table, request)}


def _check_outside(tx: Transaction, vpc_id: str, block: str, gateway_id: str) -> None:
    if IPv4Network(block).subnet_of(_RESERVED):
        raise CloudError(
            Kind.INVALID,
            f"The destination CIDR block {block} is within the reserved range {_RESERVED}.",
            noun="parameter",
            id=block,
        )
    (own,) = tx.column(Vpc.select(Vpc.cidr_block).where(Vpc.vpc_id == vpc_id), str)
    if not IPv4Network(block).subnet_of(IPv4Network(own)):
        return
    if gateway_id:
        raise CloudError(
            Kind.INVALID,
            f"The destination CIDR block {block} is equal to or more specific than one of this "
            "VPC's CIDR blocks. This route can target only an interface or an instance.",
            noun="parameter",
            id=block,
        )
    raise CloudError(
        Kind.UNSUPPORTED,
        f"The destination CIDR block {block} is within the VPC's own range, which is always local "
        "in this cloud.",
        noun="route",
        id=block,
    )


def _gateway(tx: Transaction, table: TableRow, gateway_id: str) -> str:
    if gateway_id == "local":
        raise CloudError(
            Kind.INVALID,
            "The gateway ID 'local' is only allowed for the route of the VPC's own range.",
            noun="parameter",
            id=gateway_id,
        )
    if gateway_id.partition("-")[0] in ("vgw", "cagw", "vpce"):
        raise CloudError(
            Kind.UNSUPPORTED,
            f"The gateway '{gateway_id}': only internet gateways are supported by this cloud.",
            noun="gateway",
            id=gateway_id,
        )
    if not ids.is_well_formed(gateway_id, "internet-gateway"):
        raise _no_gateway(gateway_id)
    own = InternetGateway.account_id == tx.call.account_id
    query = InternetGateway.select(InternetGateway.vpc_id).where(own)
    found = tx.column(query.where(InternetGateway.internet_gateway_id == gateway_id), str)
    if not found:
        raise _no_gateway(gateway_id)
    if found[0] != table.vpc_id:
        raise _apart(table.route_table_id, "network gateway", gateway_id)
    return gateway_id


def _interface(tx: Transaction, table: TableRow, request: networks_pb2.RouteRequest) -> str:
    nic = NetworkInterface
    query = nic.select(*columns(NicRow, nic))
    query = query.where(nic.account_id == tx.call.account_id)
    if request.network_interface_id:
        named, noun = request.network_interface_id, "network-interface"
        found = query.where(nic.network_interface_id == named)
    else:
        named, noun = request.instance_id, "instance"
        found = query.join(Attachment, on=Attachment.device_id == nic.network_interface_id).where(
            Attachment.instance_id == named
        )
    check_ids(noun, [named])
    rows = tx.rows(found, NicRow)
    if not rows:
        raise not_found(noun, named)
    if len(rows) > 1:
        raise several_interfaces(named)
    if rows[0].vpc_id != table.vpc_id:
        raise _apart(table.route_table_id, "interface", rows[0].network_interface_id)
    return rows[0].network_interface_id


def _no_gateway(gateway_id: str) -> CloudError:
    return CloudError(
        Kind.NOT_FOUND,
        f"The gateway ID '{gateway_id}' does not exist",
        noun="gateway",
        id=gateway_id,
    )


def _apart(table_id: str, what: str, identifier: str) -> CloudError:
    return CloudError(
        Kind.INVALID,
        f"route table {table_id} and {what} {identifier} belong to different networks",
        noun="parameter",
        id=identifier,
    )
