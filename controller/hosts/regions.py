"""The service Regions: one region with the zones of the configuration.

A zone is available while a host that stands for it is up (config.Zone.homes). What is listed is
few, so filters are matched here and not in SQL, by the same rules (kernel/filters.like).
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from controller.config import RegionConfig, Zone
from controller.identity.quotas.rules import Quotas
from controller.kernel.call import Call
from controller.kernel.database import Database
from controller.kernel.filters import check_limits, like
from controller.tables.hosts import Host
from controller.tables.network import Vpc
from protos.cloud.v1 import common_pb2, regions_pb2
from protos.errors import CloudError, Kind

T = TypeVar("T")
OPT_IN_STATUS = "opt-in-not-required"

# filter → what of a message it compares
_REGION_FILTERS: Mapping[str, Callable[[regions_pb2.Region], Sequence[str]]] = {
    "region-name": lambda region: [region.region_name],
    "opt-in-status": lambda region: [region.opt_in_status],
}
_ZONE_FILTERS: Mapping[str, Callable[[regions_pb2.AvailabilityZone], Sequence[str]]] = {
    "zone-name": lambda zone: [zone.zone_name],
    "zone-id": lambda zone: [zone.zone_id],
    "region-name": lambda zone: [zone.region_name],
    "group-name": lambda zone: [zone.region_name],
    "state": lambda zone: [zone.state],
    "message": lambda zone: zone.messages,
    "opt-in-status": lambda zone: [OPT_IN_STATUS],
    "zone-type": lambda zone: ["availability-zone"],
    "group-long-name": lambda zone: [],
    "parent-zone-id": lambda zone: [],
    "parent-zone-name": lambda zone: [],
}


class RegionsServicer:
    """groups_per_interface: how many security groups an interface may have."""

    def __init__(
        self, db: Database, region: RegionConfig, quotas: Quotas, groups_per_interface: int
    ):
        self._db, self._region, self._quotas = db, region, quotas
        self._groups_per_interface = groups_per_interface

    def Describe(
        self, request: regions_pb2.DescribeRegionsRequest, call: Call
    ) -> regions_pb2.DescribeRegionsResponse:
        region = regions_pb2.Region(region_name=self._region.name, opt_in_status=OPT_IN_STATUS)
        filters = {**_REGION_FILTERS, "endpoint": lambda _: [request.endpoint]}
        if strange := [name for name in request.region_names if name != region.region_name]:
            raise _invalid(f"Invalid region name: [{', '.join(strange)}]", "region", strange[0])
        regions = _kept([region], filters, request.filters)
        return regions_pb2.DescribeRegionsResponse(regions=regions)

    def DescribeAvailabilityZones(
        self, request: regions_pb2.DescribeAvailabilityZonesRequest, call: Call
    ) -> regions_pb2.DescribeAvailabilityZonesResponse:
        with self._db.read(call) as session:
            query = Host.select(Host.availability_zone).where(Host.health == "up").distinct()
            up = set(session.column(query, str))
        zones = [self._zone(zone, not up.isdisjoint(zone.homes)) for zone in self._region.zones]
        _check_named(request.zone_names, {zone.zone_name for zone in zones}, "zone")
        _check_named(request.zone_ids, {zone.zone_id for zone in zones}, "zone ID")
        chosen = [
            zone
            for zone in zones
            if zone.zone_name in (request.zone_names or [zone.zone_name])
            and zone.zone_id in (request.zone_ids or [zone.zone_id])
        ]
        kept = _kept(chosen, _ZONE_FILTERS, request.filters)
        return regions_pb2.DescribeAvailabilityZonesResponse(zones=kept)

    def DescribeAccountAttributes(
        self, request: regions_pb2.DescribeAccountAttributesRequest, call: Call
    ) -> regions_pb2.DescribeAccountAttributesResponse:
        with self._db.read(call) as session:
            quotas = {name: most for name, most, _ in self._quotas.list(session, call.account_id)}
            default_vpc = session.value(
                Vpc.select(Vpc.vpc_id).where(Vpc.account_id == call.account_id, Vpc.is_default),
                str,
            )
        values = {
            "supported-platforms": "VPC",
            "default-vpc": default_vpc or "none",
            "max-instances": quotas["instances"],
            "vpc-max-security-groups-per-interface": self._groups_per_interface,
            "max-elastic-ips": quotas["addresses"],
            "vpc-max-elastic-ips": quotas["addresses"],
        }
        for name in request.names:
            if name not in values:
                raise _invalid(f"Invalid attribute name: {name}", "parameter", name)
        return regions_pb2.DescribeAccountAttributesResponse(
            attributes=[
                regions_pb2.AccountAttribute(name=name, values=[str(value)])
                for name, value in values.items()
                if name in (request.names or values)
            ]
        )

    def _zone(self, zone: Zone, is_up: bool) -> regions_pb2.AvailabilityZone:
        return regions_pb2.AvailabilityZone(
            zone_name=zone.name,
            zone_id=zone.id,
            region_name=self._region.name,
            state="available" if is_up else "unavailable",
            messages=[] if is_up else ["No host of this zone is up."],
        )


def _kept(
    items: list[T],
    table: Mapping[str, Callable[[T], Sequence[str]]],
    filters: Sequence[common_pb2.Filter],
) -> list[T]:
    """The items that all filters keep. Raises INVALID for an unknown filter."""
    check_limits(filters)
    for one in filters:
        shown = table.get(one.name)
        if shown is None:
            raise _invalid(f"The filter '{one.name}' is invalid", "parameter", one.name)
        items = [
            item
            for item in items
            if any(like(value, text) for value in one.values for text in shown(item))
        ]
    return items


def _check_named(asked: Sequence[str], there: set[str], what: str) -> None:
    if missing := [name for name in asked if name not in there]:
        message = f"Invalid availability {what}: [{', '.join(missing)}]"
        raise _invalid(message, "availability-zone", missing[0])


def _invalid(message: str, noun: str, identifier: str) -> CloudError:
    return CloudError(Kind.INVALID, message, noun=noun, id=identifier)
