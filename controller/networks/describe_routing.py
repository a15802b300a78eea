"""Reading route tables, internet gateways and network ACLs, with EC2's filters for them.

Called by the door (rpc). The rows are real, made with the VPC (networks/defaults) and saying what
the hosts do; nothing changes them yet.
"""

from collections import defaultdict
from collections.abc import Sequence

from peewee import SQL

from controller.db.filters import (
    NOTHING,
    Condition,
    any_of,
    boolean,
    choice,
    column,
    constant,
    custom,
    exists_where,
    integer,
    page_of,
    tag_filters,
    where,
)
from controller.db.schema import (
    InternetGateway,
    NetworkAcl,
    NetworkAclAssociation,
    NetworkAclEntry,
    Route,
    RouteTable,
    RouteTableAssociation,
    Table,
)
from controller.db.session import Session
from controller.lookup import select_page
from controller.tags import rules as tags
from protos.cloud.v1 import networks_pb2

_ONE = SQL("1")
_ABSENT = custom(lambda values: NOTHING)  # known to EC2; nothing here has it

_ROUTES = Route.select(_ONE).where(Route.route_table_id == RouteTable.route_table_id)
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
    "route.destination-cidr-block": any_of(_ROUTES, Route.destination_cidr_block),
    "route.gateway-id": any_of(_ROUTES, Route.gateway_id),
    "route.origin": any_of(_ROUTES, Route.origin),
    "route.state": constant("active"),
    "route.destination-ipv6-cidr-block": _ABSENT,
    "route.destination-prefix-list-id": _ABSENT,
    "route.egress-only-internet-gateway-id": _ABSENT,
    "route.instance-id": _ABSENT,
    "route.nat-gateway-id": _ABSENT,
    "route.transit-gateway-id": _ABSENT,
    "route.vpc-peering-connection-id": _ABSENT,
    **tag_filters(RouteTable.route_table_id),
}


def describe_route_tables(
    session: Session, account_id: str, request: networks_pb2.DescribeRouteTablesRequest
) -> networks_pb2.DescribeRouteTablesResponse:
    asked = request.route_table_ids
    rows, token = select_page(
        session,
        RouteTable.select().where(RouteTable.account_id == account_id),
        RouteTable.route_table_id,
        "route-table",
        asked,
        where(ROUTE_TABLE_FILTERS, request.filters),
        page_of(request.page, largest=100, explicit_ids=asked),
    )
    table_ids = [row.route_table_id for row in rows]
    routes = _by_owner(session, Route, Route.route_table_id, table_ids)
    uses = _by_owner(
        session, RouteTableAssociation, RouteTableAssociation.route_table_id, table_ids
    )
    tagged = tags.tags_of(session, table_ids)
    tables = [
        networks_pb2.RouteTable(
            route_table_id=row.route_table_id,
            vpc_id=row.vpc_id,
            owner_id=row.account_id,
            routes=[
                networks_pb2.Route(
                    destination_cidr_block=route.destination_cidr_block,
                    gateway_id=route.gateway_id,
                    state="active",
                    origin=route.origin,
                )
                for route in sorted(routes[row.route_table_id], key=_local_first)
            ],
            associations=[
                networks_pb2.RouteTableAssociation(
                    association_id=use.association_id, main=use.main, subnet_id=use.subnet_id or ""
                )
                for use in uses[row.route_table_id]
            ],
            tags=tagged[row.route_table_id],
        )
        for row in rows
    ]
    return networks_pb2.DescribeRouteTablesResponse(route_tables=tables, next_token=token)


def _local_first(route) -> tuple[bool, str]:
    return route.gateway_id != "local", route.destination_cidr_block


# --- internet gateways ----------------------------------------------------------------------------

INTERNET_GATEWAY_FILTERS: dict[str, Condition] = {
    "internet-gateway-id": column(InternetGateway.internet_gateway_id),
    "owner-id": column(InternetGateway.account_id),
    "attachment.vpc-id": column(InternetGateway.vpc_id),
    "attachment.state": choice({"available": InternetGateway.vpc_id.is_null(False)}),
    **tag_filters(InternetGateway.internet_gateway_id),
}


def describe_internet_gateways(
    session: Session, account_id: str, request: networks_pb2.DescribeInternetGatewaysRequest
) -> networks_pb2.DescribeInternetGatewaysResponse:
    asked = request.internet_gateway_ids
    rows, token = select_page(
        session,
        InternetGateway.select().where(InternetGateway.account_id == account_id),
        InternetGateway.internet_gateway_id,
        "internet-gateway",
        asked,
        where(INTERNET_GATEWAY_FILTERS, request.filters),
        page_of(request.page, explicit_ids=asked),
    )
    tagged = tags.tags_of(session, [row.internet_gateway_id for row in rows])
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


# --- network ACLs ---------------------------------------------------------------------------------

_ENTRIES = NetworkAclEntry.select(_ONE).where(
    NetworkAclEntry.network_acl_id == NetworkAcl.network_acl_id
)
_ACL_USES = NetworkAclAssociation.select(_ONE).where(
    NetworkAclAssociation.network_acl_id == NetworkAcl.network_acl_id
)
NETWORK_ACL_FILTERS: dict[str, Condition] = {
    "network-acl-id": column(NetworkAcl.network_acl_id),
    "vpc-id": column(NetworkAcl.vpc_id),
    "owner-id": column(NetworkAcl.account_id),
    "default": boolean(NetworkAcl.is_default),
    "association.association-id": any_of(_ACL_USES, NetworkAclAssociation.association_id),
    "association.network-acl-id": any_of(_ACL_USES, NetworkAclAssociation.network_acl_id),
    "association.subnet-id": any_of(_ACL_USES, NetworkAclAssociation.subnet_id),
    "entry.cidr": any_of(_ENTRIES, NetworkAclEntry.cidr_block),
    "entry.egress": exists_where(_ENTRIES, boolean(NetworkAclEntry.egress)),
    "entry.protocol": any_of(_ENTRIES, NetworkAclEntry.protocol),
    "entry.rule-action": any_of(_ENTRIES, NetworkAclEntry.rule_action),
    "entry.rule-number": exists_where(_ENTRIES, integer(NetworkAclEntry.rule_number)),
    "entry.icmp.code": _ABSENT,
    "entry.icmp.type": _ABSENT,
    "entry.ipv6-cidr": _ABSENT,
    "entry.port-range.from": _ABSENT,
    "entry.port-range.to": _ABSENT,
    **tag_filters(NetworkAcl.network_acl_id),
}


def describe_network_acls(
    session: Session, account_id: str, request: networks_pb2.DescribeNetworkAclsRequest
) -> networks_pb2.DescribeNetworkAclsResponse:
    asked = request.network_acl_ids
    rows, token = select_page(
        session,
        NetworkAcl.select().where(NetworkAcl.account_id == account_id),
        NetworkAcl.network_acl_id,
        "network-acl",
        asked,
        where(NETWORK_ACL_FILTERS, request.filters),
        page_of(request.page, explicit_ids=asked),
    )
    acl_ids = [row.network_acl_id for row in rows]
    entries = _by_owner(session, NetworkAclEntry, NetworkAclEntry.network_acl_id, acl_ids)
    uses = _by_owner(session, NetworkAclAssociation, NetworkAclAssociation.network_acl_id, acl_ids)
    tagged = tags.tags_of(session, acl_ids)
    acls = [
        networks_pb2.NetworkAcl(
            network_acl_id=row.network_acl_id,
            vpc_id=row.vpc_id,
            owner_id=row.account_id,
            is_default=row.is_default,
            entries=[
                networks_pb2.NetworkAclEntry(
                    rule_number=entry.rule_number,
                    protocol=entry.protocol,
                    rule_action=entry.rule_action,
                    egress=entry.egress,
                    cidr_block=entry.cidr_block,
                )
                for entry in sorted(
                    entries[row.network_acl_id], key=lambda e: (not e.egress, e.rule_number)
                )
            ],
            associations=[
                networks_pb2.NetworkAclAssociation(
                    association_id=use.association_id, subnet_id=use.subnet_id
                )
                for use in uses[row.network_acl_id]
            ],
            tags=tagged[row.network_acl_id],
        )
        for row in rows
    ]
    return networks_pb2.DescribeNetworkAclsResponse(network_acls=acls, next_token=token)


def _by_owner(session: Session, model: type[Table], owner, owner_ids: Sequence[str]) -> dict:
    """The rows that belong to each of the owners, in one statement."""
    found: dict[str, list] = defaultdict(list)
    if owner_ids:
        for row in session.rows(model.select().where(owner.in_(list(owner_ids)))):
            found[getattr(row, owner.column_name)].append(row)
    return found
