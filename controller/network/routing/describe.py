"""Reading route tables and internet gateways, with EC2's filters for them. The service (rpc) calls.

A route's state is derived: "active" where what it leads to is there, "blackhole" where a gateway is
no longer attached to the VPC, or an interface is gone, detached or of an instance that is stopped.
"""

from typing import NamedTuple

from peewee import JOIN, SQL, Case, fn

from controller.identity.pages import by_owner, owned_page
from controller.kernel.database import Session
from controller.kernel.filters import (
    NOTHING,
    Condition,
    any_of,
    boolean,
    choice,
    column,
    custom,
    exists_where,
)
from controller.kernel.rows import columns
from controller.kernel.table import Clause, Select
from controller.network.routing import internet_gateways, route_tables
from controller.tables.compute import Attachment, Instance
from controller.tables.network import (
    InternetGateway,
    NetworkInterface,
    Route,
    RouteTable,
    RouteTableAssociation,
)
from protos.cloud.v1 import networks_pb2

_ONE = SQL("1")
_ABSENT = custom(lambda values: NOTHING)  # known to EC2; nothing here has it
_TABLE = RouteTable.alias("of_route")


def _routes(*selected: Clause) -> Select:
    """Routes with their table, and what they lead to."""
    attached = InternetGateway.internet_gateway_id == Route.gateway_id
    return (
        Route.select(*selected)
        .join(_TABLE, on=_TABLE.route_table_id == Route.route_table_id)
        .join(
            InternetGateway,
            JOIN.LEFT_OUTER,
            on=attached & (InternetGateway.vpc_id == _TABLE.vpc_id),
        )
        .join(
            NetworkInterface,
            JOIN.LEFT_OUTER,
            on=NetworkInterface.network_interface_id == Route.network_interface_id,
        )
        .join(
            Attachment,
            JOIN.LEFT_OUTER,
            on=Attachment.device_id == NetworkInterface.network_interface_id,
        )
        .join(Instance, JOIN.LEFT_OUTER, on=Instance.instance_id == Attachment.instance_id)
    )


_ACTIVE = (
    (Route.gateway_id == "local")
    | InternetGateway.internet_gateway_id.is_null(False)
    | (fn.COALESCE(Instance.desired, "") == "running")
)
_OWN = _routes(_ONE).where(Route.route_table_id == RouteTable.route_table_id)
_TABLE_USES = RouteTableAssociation.select(_ONE).where(
    RouteTableAssociation.route_table_id == RouteTable.route_table_id
)
ROUTE_TABLE_FILTERS: dict[str, Condition] = {
    "route-table-id": column(RouteTable.route_table_id),
    "vpc-id": column(RouteTable.vpc_id),
    "owner-id": column(RouteTable.account_id),
    "association.route-table-association-id": any_of(
        _TABLE_USES, RouteTableAssociation.association_id
    ),
    "association.route-table-id": any_of(_TABLE_USES, RouteTableAssociation.route_table_id),
    "association.subnet-id": any_of(_TABLE_USES, RouteTableAssociation.subnet_id),
    "association.main": exists_where(_TABLE_USES, boolean(RouteTableAssociation.main)),
    "association.gateway-id": _ABSENT,
    "route.destination-cidr-block": any_of(_OWN, Route.destination_cidr_block),
    "route.gateway-id": any_of(_OWN.where(Route.gateway_id != ""), Route.gateway_id),
    "route.instance-id": any_of(_OWN, Attachment.instance_id),
    "route.origin": any_of(_OWN, Route.origin),
    "route.state": choice(
        {
            "active": fn.EXISTS(_OWN.where(_ACTIVE)),
            "blackhole": fn.EXISTS(_OWN.where(~_ACTIVE)),
        }
    ),
    "route.destination-ipv6-cidr-block": _ABSENT,
    "route.destination-prefix-list-id": _ABSENT,
    "route.egress-only-internet-gateway-id": _ABSENT,
    "route.nat-gateway-id": _ABSENT,
    "route.transit-gateway-id": _ABSENT,
    "route.vpc-peering-connection-id": _ABSENT,
}


class TableRow(NamedTuple):
    route_table_id: str
    vpc_id: str
    account_id: str


class RouteRow(NamedTuple):
    route_table_id: str
    destination_cidr_block: str
    gateway_id: str
    network_interface_id: str
    origin: str
    instance_id: str | None
    state: str


class UseRow(NamedTuple):
    route_table_id: str
    association_id: str
    subnet_id: str | None
    main: bool


def describe_route_tables(
    session: Session, account_id: str, request: networks_pb2.DescribeRouteTablesRequest
) -> networks_pb2.DescribeRouteTablesResponse:
    rows, token, tagged = owned_page(
        session,
        account_id,
        route_tables.OWNED,
        TableRow,
        ROUTE_TABLE_FILTERS,
        request.route_table_ids,
        request,
        largest=100,
    )
    table_ids = [row.route_table_id for row in rows]
    state = Case(None, [(_ACTIVE, "active")], "blackhole").alias("state")
    query = _routes(*columns(RouteRow, Route), Attachment.instance_id, state)
    routes = by_owner(session, query, RouteRow, Route.route_table_id, table_ids)
    association = RouteTableAssociation
    query = association.select(*columns(UseRow, association))
    uses = by_owner(session, query, UseRow, association.route_table_id, table_ids)
    tables = [
        networks_pb2.RouteTable(
            route_table_id=row.route_table_id,
            vpc_id=row.vpc_id,
            owner_id=row.account_id,
            routes=[
                _route(route, row.account_id)
                for route in sorted(routes[row.route_table_id], key=_local_first)
            ],
            associations=[
                networks_pb2.RouteTableAssociation(
                    association_id=use.association_id, main=use.main, subnet_id=use.subnet_id or ""
                )
                for use in sorted(uses[row.route_table_id], key=lambda use: not use.main)
            ],
            tags=tagged[row.route_table_id],
        )
        for row in rows
    ]
    return networks_pb2.DescribeRouteTablesResponse(route_tables=tables, next_token=token)


def _local_first(route: RouteRow) -> tuple[bool, str]:
    return route.gateway_id != "local", route.destination_cidr_block


def _route(row: RouteRow, owner_id: str) -> networks_pb2.Route:
    return networks_pb2.Route(
        destination_cidr_block=row.destination_cidr_block,
        gateway_id=row.gateway_id,
        network_interface_id=row.network_interface_id,
        instance_id=row.instance_id or "",
        instance_owner_id=owner_id if row.instance_id else "",
        state=row.state,
        origin=row.origin,
    )


# --- internet gateways ----------------------------------------------------------------------------

INTERNET_GATEWAY_FILTERS: dict[str, Condition] = {
    "internet-gateway-id": column(InternetGateway.internet_gateway_id),
    "owner-id": column(InternetGateway.account_id),
    "attachment.vpc-id": column(InternetGateway.vpc_id),
    "attachment.state": choice({"available": InternetGateway.vpc_id.is_null(False)}),
}


class GatewayRow(NamedTuple):
    internet_gateway_id: str
    account_id: str
    vpc_id: str | None


def describe_internet_gateways(
    session: Session, account_id: str, request: networks_pb2.DescribeInternetGatewaysRequest
) -> networks_pb2.DescribeInternetGatewaysResponse:
    rows, token, tagged = owned_page(
        session,
        account_id,
        internet_gateways.OWNED,
        GatewayRow,
        INTERNET_GATEWAY_FILTERS,
        request.internet_gateway_ids,
        request,
    )
    gateways = [
        networks_pb2.InternetGateway(
            internet_gateway_id=row.internet_gateway_id,
            owner_id=row.account_id,
            vpc_ids=[row.vpc_id] if row.vpc_id else [],
            tags=tagged[row.internet_gateway_id],
        )
        for row in rows
    ]
    return networks_pb2.DescribeInternetGatewaysResponse(
        internet_gateways=gateways, next_token=token
    )
