"""What a host should know of VPCs; registered as the kind's renderer. Three statements, and one
where a VPC has DHCP options of its own.

A subnet's routes are those of the table that it is associated with, or else of its VPC's main one;
local ones are not said, as all hosts know them. Groups are those of interfaces on the host.
"""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import NamedTuple

from peewee import JOIN, fn

from controller.hosts.kinds import Reading
from controller.kernel.database import Session, Transaction
from controller.kernel.prepared import among, prepared
from controller.kernel.rows import columns
from controller.kernel.table import Select
from controller.network.interfaces.launch import DNS_HOSTNAMES
from controller.network.names import DnsNames
from controller.network.security_groups.spec import RuleRow, group_specs, read_rules
from controller.tables.compute import Attachment, Placement
from controller.tables.network import (
    DhcpOption,
    DhcpOptions,
    InternetGateway,
    NetworkInterface,
    NicGroup,
    Route,
    RouteTableAssociation,
    SecondaryAddress,
    SecurityGroup,
    Subnet,
    Vpc,
)
from controller.tables.nouns import INSTANCE, VPC
from protos.cloud.v1 import fleet_pb2

_OWN, _MAIN = RouteTableAssociation.alias("own_use"), RouteTableAssociation.alias("main_use")
WORDS = {fleet_pb2.VPC_UNSEEN: "", fleet_pb2.VPC_HERE: "here", fleet_pb2.VPC_FAILED: "failed"}


def word(one: fleet_pb2.Observation) -> str:
    return WORDS[one.vpc.observed]


def observe(tx: Transaction, host_id: str, seen: Sequence[fleet_pb2.Observation]) -> bool:
    """Nothing follows: its assignment says what was seen."""
    return False


class VpcRow(NamedTuple):
    """A VPC with one of its subnets and one of that one's routes, or None."""

    vpc_id: str
    revision: int
    account_id: str
    vpc_cidr_block: str
    enable_dns_support: bool
    dhcp_options_id: str
    has_default_options: bool
    subnet_id: str | None
    cidr_block: str | None
    destination_cidr_block: str | None
    internet_gateway_id: str | None
    next_hop: str | None


class NicRow(NamedTuple):
    """An interface with one of its groups and one of its secondary addresses, or None."""

    network_interface_id: str
    instance_id: str
    device_index: int
    mac_address: str
    private_ip: str
    subnet_id: str
    vpc_id: str
    public_ip: str | None
    source_dest_check: bool
    attachment_id: str
    group_id: str | None
    position: int | None
    group_name: str | None
    dns_hostnames: bool
    secondary_ip: str | None
    secondary_position: int | None
    secondary_public_ip: str | None
    is_here: bool


class OptionRow(NamedTuple):
    dhcp_options_id: str
    key: str
    value: str


class VpcSpecs:
    """names: those of public addresses."""

    def __init__(self, names: DnsNames):
        self._names = names

    def render(self, reading: Reading) -> Iterable[fleet_pb2.Assignment]:
        """The specs of VPCs that the host has instances of."""
        session, ids = reading.session, reading.ids(VPC)
        rows = session.rows(_vpcs(ids=ids), VpcRow)
        found = {vpc_id: list(group) for vpc_id, group in groupby(rows, lambda row: row.vpc_id)}
        nics = [row for row in interfaces(reading) if row.is_here and row.vpc_id in found]
        groups = sorted({row.group_id for row in nics if row.group_id})
        rules = read_rules(session, groups)
        options = _read_dhcp(session, rows)
        for one in reading.assigned[VPC.kind]:
            if own := found.get(one.resource_id):
                spec = self._spec(
                    own,
                    [row for row in nics if row.vpc_id == one.resource_id],
                    [rule for rule in rules if rule.vpc_id == one.resource_id],
                    options,
                )
                yield one.message(own[0].revision, fleet_pb2.Assignment(vpc=spec))

    def _spec(
        self,
        routes: Sequence[VpcRow],
        nics: Sequence[NicRow],
        rules: Sequence[RuleRow],
        options: Sequence[OptionRow],
    ) -> fleet_pb2.VpcSpec:
        """routes: a row for each subnet and route."""
        row = routes[0]
        named = any(nic.dns_hostnames for nic in nics)  # all rows say the same: it is the VPC's
        public = {nic.public_ip: nic.private_ip for nic in nics if nic.public_ip}
        public |= {
            nic.secondary_public_ip: nic.secondary_ip or ""
            for nic in nics
            if nic.secondary_public_ip
        }
        return fleet_pb2.VpcSpec(
            vpc_id=row.vpc_id,
            account_id=row.account_id,
            cidr_blocks=[row.vpc_cidr_block],
            subnets=_subnets(routes),
            dns_disabled=not row.enable_dns_support,
            dhcp_options=_dhcp(row, options),
            security_groups=group_specs(rules),
            public_addresses=[
                fleet_pb2.PublicAddress(
                    public_ip=public_ip,
                    private_ip=private_ip,
                    dns_name=self._names.public(public_ip, named),
                )
                for public_ip, private_ip in sorted(public.items())
            ],
        )


def interfaces(reading: Reading) -> Sequence[NicRow]:
    """The interfaces of the instances that the host is told of, and those that it has in the VPCs
    that it is told of: a row for each group and secondary address, read once for both kinds. Those
    on their way out are in none."""
    return reading.once(
        "interfaces",
        lambda: reading.session.rows(
            _interfaces(
                host_id=reading.host_id,
                instance_ids=reading.ids(INSTANCE),
                vpc_ids=reading.ids(VPC),
            ),
            NicRow,
        ),
    )


@prepared
def _vpcs(ids: Sequence[str]) -> Select:
    """A row for each subnet and route, in order."""
    leads_on = (Route.route_table_id == fn.COALESCE(_OWN.route_table_id, _MAIN.route_table_id)) & (
        Route.gateway_id != "local"
    )
    attached = (InternetGateway.internet_gateway_id == Route.gateway_id) & (
        InternetGateway.vpc_id == Vpc.vpc_id
    )
    there = NetworkInterface.network_interface_id == Route.network_interface_id
    return (
        Vpc.select(
            Vpc.vpc_id,
            Vpc.revision,
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
        .join(DhcpOptions, on=DhcpOptions.dhcp_options_id == Vpc.dhcp_options_id)
        .join(Subnet, JOIN.LEFT_OUTER, on=Subnet.vpc_id == Vpc.vpc_id)
        .join(_OWN, JOIN.LEFT_OUTER, on=_OWN.subnet_id == Subnet.subnet_id)
        .join(_MAIN, JOIN.LEFT_OUTER, on=(_MAIN.vpc_id == Vpc.vpc_id) & _MAIN.main)
        .join(Route, JOIN.LEFT_OUTER, on=leads_on)
        .join(InternetGateway, JOIN.LEFT_OUTER, on=attached)
        .join(NetworkInterface, JOIN.LEFT_OUTER, on=there)
        .where(among(Vpc.vpc_id, ids))
        .order_by(Vpc.vpc_id, Subnet.subnet_id, Route.destination_cidr_block)
    )


@prepared
def _interfaces(host_id: str, instance_ids: Sequence[str], vpc_ids: Sequence[str]) -> Select:
    nic = NetworkInterface
    is_here = (Placement.host_id == host_id) & Placement.live
    return (
        nic.select(
            nic.network_interface_id,
            Attachment.instance_id,
            Attachment.position.alias("device_index"),
            nic.mac_address,
            nic.private_ip,
            nic.subnet_id,
            nic.vpc_id,
            nic.public_ip,
            nic.source_dest_check,
            Attachment.attachment_id,
            NicGroup.group_id,
            NicGroup.position,
            SecurityGroup.group_name,
            DNS_HOSTNAMES,
            SecondaryAddress.private_ip.alias("secondary_ip"),
            SecondaryAddress.position.alias("secondary_position"),
            SecondaryAddress.public_ip.alias("secondary_public_ip"),
            Placement.placement_id.is_null(False).alias("is_here"),
        )
        .join(Attachment, on=Attachment.device_id == nic.network_interface_id)
        .join(
            Placement,
            JOIN.LEFT_OUTER,
            on=(Placement.instance_id == Attachment.instance_id) & is_here,
        )
        .join(
            NicGroup,
            JOIN.LEFT_OUTER,
            on=NicGroup.network_interface_id == nic.network_interface_id,
        )
        .join(SecurityGroup, JOIN.LEFT_OUTER, on=SecurityGroup.group_id == NicGroup.group_id)
        .join(Vpc, on=Vpc.vpc_id == nic.vpc_id)
        .join(
            SecondaryAddress,
            JOIN.LEFT_OUTER,
            on=SecondaryAddress.network_interface_id == nic.network_interface_id,
        )
        .where(
            ~Attachment.detaching,
            among(Attachment.instance_id, instance_ids)
            | (among(nic.vpc_id, vpc_ids) & Placement.placement_id.is_null(False)),
        )
    )


def _read_dhcp(session: Session, rows: Iterable[VpcRow]) -> Sequence[OptionRow]:
    """The options of sets that accounts have made, where the VPCs of these rows have any: mostly
    none, and no statement."""
    own = {row.dhcp_options_id for row in rows if not row.has_default_options}
    if not own:
        return ()
    query = DhcpOption.select(*columns(OptionRow, DhcpOption))
    query = query.where(DhcpOption.dhcp_options_id.in_(sorted(own)))
    return session.rows(query.order_by(DhcpOption.key, DhcpOption.position), OptionRow)


def _subnets(rows: Iterable[VpcRow]) -> list[fleet_pb2.SubnetSpec]:
    """Of the rows of one VPC."""
    found = []
    for subnet_id, group in groupby(rows, key=lambda row: row.subnet_id):
        if subnet_id is not None:
            routes = list(group)
            spec = fleet_pb2.SubnetSpec(subnet_id=subnet_id, cidr_block=routes[0].cidr_block)
            spec.routes.extend(_route(row) for row in routes if row.destination_cidr_block)
            found.append(spec)
    return found


def _route(row: VpcRow) -> fleet_pb2.RouteSpec:
    route = fleet_pb2.RouteSpec(destination_cidr_block=row.destination_cidr_block)
    if row.internet_gateway_id:
        route.internet_gateway = True
    elif row.next_hop:
        route.private_ip_address = row.next_hop
    else:
        route.blackhole = True
    return route


def _dhcp(row: VpcRow, options: Iterable[OptionRow]) -> fleet_pb2.DhcpSpec | None:
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
