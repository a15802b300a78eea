"""Reading subnets, with the filters that EC2 documents for them.

Called by the service (rpc). A filter on what nothing here has (IPv6, Outposts) is known and matches
nothing, as it would in EC2.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from peewee import SQL, fn

from controller.config import Zone
from controller.identity.pages import owned_page
from controller.kernel.database import Session
from controller.kernel.filters import (
    NOTHING,
    Condition,
    boolean,
    choice,
    column,
    constant,
    custom,
    matches,
)
from controller.kernel.rows import columns
from controller.kernel.table import Clause
from controller.network.interfaces.private_addresses import usable_addresses
from controller.network.subnets.rules import OWNED
from controller.network.vpcs.describe import ABSENT
from controller.tables.network import NetworkInterface, SecondaryAddress, Subnet
from protos.cloud.v1 import networks_pb2

_ONE = SQL("1")
_NIC, _MORE = NetworkInterface, SecondaryAddress
_IN_USE = fn.COALESCE(
    _NIC.select(fn.COUNT(_ONE)).where(_NIC.subnet_id == Subnet.subnet_id), 0
) + fn.COALESCE(_MORE.select(fn.COUNT(_ONE)).where(_MORE.subnet_id == Subnet.subnet_id), 0)


def _with_free_addresses(values: Sequence[str]) -> Clause:
    """Subnets by how many addresses are free, whatever their size: size - used = asked."""
    asked = [int(value) for value in values if value.isascii() and value.isdigit()]
    found: Clause = NOTHING
    for prefix in range(16, 29):  # the sizes that a subnet may have
        usable = 2 ** (32 - prefix) - 5
        used = [usable - free for free in asked if 0 <= free <= usable]
        if used:
            found = found | (matches(Subnet.cidr_block, f"*/{prefix}") & _IN_USE.in_(used))
    return found


def subnet_filters(zones: Sequence[Zone]) -> Mapping[str, Condition]:
    zone_ids = choice({zone.id: Subnet.availability_zone == zone.name for zone in zones})
    return {
        "subnet-id": column(Subnet.subnet_id),
        "vpc-id": column(Subnet.vpc_id),
        "owner-id": column(Subnet.account_id),
        "state": constant("available"),
        "availability-zone": column(Subnet.availability_zone),
        "availabilityZone": column(Subnet.availability_zone),
        "availability-zone-id": zone_ids,
        "availabilityZoneId": zone_ids,
        "available-ip-address-count": custom(_with_free_addresses),
        "cidr": column(Subnet.cidr_block),
        "cidr-block": column(Subnet.cidr_block),
        "cidrBlock": column(Subnet.cidr_block),
        "default-for-az": boolean(Subnet.default_for_az),
        "defaultForAz": boolean(Subnet.default_for_az),
        "map-public-ip-on-launch": boolean(Subnet.map_public_ip_on_launch),
        "enable-dns64": constant("false"),
        "ipv6-native": constant("false"),
        "map-customer-owned-ip-on-launch": constant("false"),
        "private-dns-name-options-on-launch.hostname-type": constant("ip-name"),
        "private-dns-name-options-on-launch.enable-resource-name-dns-a-record": constant("false"),
        "private-dns-name-options-on-launch.enable-resource-name-dns-aaaa-record": constant(
            "false"
        ),
        "customer-owned-ipv4-pool": ABSENT,
        "enable-lni-at-device-index": ABSENT,
        "ipv6-cidr-block-association.ipv6-cidr-block": ABSENT,
        "ipv6-cidr-block-association.association-id": ABSENT,
        "ipv6-cidr-block-association.state": ABSENT,
        "outpost-arn": ABSENT,
    }


class SubnetRow(NamedTuple):
    subnet_id: str
    vpc_id: str
    account_id: str
    cidr_block: str
    availability_zone: str
    default_for_az: bool
    map_public_ip_on_launch: bool
    in_use: int


def describe_subnets(
    session: Session,
    account_id: str,
    zones: Sequence[Zone],
    request: networks_pb2.DescribeSubnetsRequest,
) -> networks_pb2.DescribeSubnetsResponse:
    query = Subnet.select(*columns(SubnetRow, Subnet), _IN_USE.alias("in_use"))
    filters, asked = subnet_filters(zones), request.subnet_ids
    rows, token, tagged = owned_page(
        session, account_id, OWNED, SubnetRow, filters, asked, request, query=query
    )
    zone_ids = {zone.name: zone.id for zone in zones}
    subnets = [
        networks_pb2.Subnet(
            subnet_id=row.subnet_id,
            vpc_id=row.vpc_id,
            owner_id=row.account_id,
            cidr_block=row.cidr_block,
            availability_zone=row.availability_zone,
            availability_zone_id=zone_ids.get(row.availability_zone, ""),
            available_ip_address_count=usable_addresses(row.cidr_block) - row.in_use,
            default_for_az=row.default_for_az,
            map_public_ip_on_launch=row.map_public_ip_on_launch,
            state="available",
            tags=tagged[row.subnet_id],
        )
        for row in rows
    ]
    return networks_pb2.DescribeSubnetsResponse(subnets=subnets, next_token=token)
