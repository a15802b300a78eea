"""What a host should know of VPCs beside their groups: subnets with their routes, DNS and DHCP.

Called by fleet/spec_rows, whose statement about the host's VPCs ``with_routes`` widens (so that a
launch costs none more), and by fleet/host_spec. A subnet's routes are those of the table that it is
associated with, or else of its VPC's main one; local ones are not said, as all hosts know them.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby

from peewee import JOIN, ModelSelect, fn

from controller.db.schema import (
    DhcpOption,
    DhcpOptions,
    InternetGateway,
    NetworkInterface,
    Route,
    RouteTableAssociation,
    Subnet,
    Vpc,
)
from controller.db.session import Session
from protos.cloud.v1 import fleet_pb2

_OWN, _MAIN = RouteTableAssociation.alias("own_use"), RouteTableAssociation.alias("main_use")
VPC_FIELDS = (
    Vpc.account_id,
    Vpc.cidr_block.alias("vpc_cidr_block"),
    Vpc.enable_dns_support,
    DhcpOptions.dhcp_options_id,
    DhcpOptions.is_default.alias("has_default_options"),
    Subnet.subnet_id,
    Subnet.cidr_block,
    Route.destination_cidr_block,
    InternetGateway.internet_gateway_id,
    NetworkInterface.private_ip.alias("next_hop"),
)


def with_routes(query: ModelSelect) -> ModelSelect:
    """A query that has Vpc (or NULLs) in it: a row for each subnet and route of it, in order."""
    leads_on = (Route.route_table_id == fn.COALESCE(_OWN.route_table_id, _MAIN.route_table_id)) & (
        Route.gateway_id != "local"
    )
    attached = (InternetGateway.internet_gateway_id == Route.gateway_id) & (
        InternetGateway.vpc_id == Vpc.vpc_id
    )
    there = NetworkInterface.network_interface_id == Route.network_interface_id
    return (
        query.join(
            DhcpOptions, JOIN.LEFT_OUTER, on=DhcpOptions.dhcp_options_id == Vpc.dhcp_options_id
        )
        .join(Subnet, JOIN.LEFT_OUTER, on=Subnet.vpc_id == Vpc.vpc_id)
        .join(_OWN, JOIN.LEFT_OUTER, on=_OWN.subnet_id == Subnet.subnet_id)
        .join(_MAIN, JOIN.LEFT_OUTER, on=(_MAIN.vpc_id == Vpc.vpc_id) & _MAIN.main)
        .join(Route, JOIN.LEFT_OUTER, on=leads_on)
        .join(InternetGateway, JOIN.LEFT_OUTER, on=attached)
        .join(NetworkInterface, JOIN.LEFT_OUTER, on=there)
        .order_by(Vpc.vpc_id, Subnet.subnet_id, Route.destination_cidr_block)
    )


def read_dhcp(session: Session, rows: Iterable) -> Sequence:
    """The options of sets that accounts have made, where the VPCs of these rows have any: mostly
    none, and no statement."""
    own = {row.dhcp_options_id for row in rows if not row.has_default_options}
    if not own:
        return ()
    query = DhcpOption.select().where(DhcpOption.dhcp_options_id.in_(sorted(own)))
    return session.rows(query.order_by(DhcpOption.key, DhcpOption.position))


def subnets(rows: Iterable) -> list[fleet_pb2.SubnetSpec]:
    """Of the rows of one VPC."""
    found = []
    for subnet_id, group in groupby(rows, key=lambda row: row.subnet_id):
        if subnet_id is not None:
            routes = list(group)
            spec = fleet_pb2.SubnetSpec(subnet_id=subnet_id, cidr_block=routes[0].cidr_block)
            spec.routes.extend(_route(row) for row in routes if row.destination_cidr_block)
            found.append(spec)
    return found


def _route(row) -> fleet_pb2.RouteSpec:
    route = fleet_pb2.RouteSpec(destination_cidr_block=row.destination_cidr_block)
    if row.internet_gateway_id:
        route.internet_gateway = True
    elif row.next_hop:
        route.private_ip_address = row.next_hop
    else:
        route.blackhole = True
    return route


def dhcp(row, options: Iterable) -> fleet_pb2.DhcpSpec | None:
    """Of a VPC's set, or None where it is the account's first: hosts know that by themselves."""
    if row.has_default_options:
        return None
    values: dict[str, list[str]] = {}
    for option in options:
        if option.dhcp_options_id == row.dhcp_options_id:
            values.setdefault(option.key, []).append(option.value)
    return fleet_pb2.DhcpSpec(
        domain_name=next(iter(values.get("domain-name", [])), ""),
        domain_name_servers=values.get("domain-name-servers", []),
        ntp_servers=values.get("ntp-servers", []),
        netbios_name_servers=values.get("netbios-name-servers", []),
        netbios_node_type=int(next(iter(values.get("netbios-node-type", [])), 0)),
    )
