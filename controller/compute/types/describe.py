"""DescribeInstanceTypes and DescribeInstanceTypeOfferings. Called by compute/rpc."""

from collections.abc import Sequence
from typing import NamedTuple

from controller.config import Zone
from controller.kernel.call import Call
from controller.kernel.database import Database
from controller.kernel.filters import (
    boolean,
    check_limits,
    column,
    constant,
    integer,
    like,
    page_of,
    where,
)
from controller.kernel.rows import columns
from controller.tables.compute import InstanceType
from protos.cloud.v1 import instances_pb2
from protos.errors import CloudError, Kind

LARGEST_PAGE = 100
_FILTERS = {
    "instance-type": column(InstanceType.name),
    "burstable-performance-supported": boolean(InstanceType.burstable),
    "current-generation": boolean(InstanceType.current_generation),
    "free-tier-eligible": boolean(InstanceType.free_tier_eligible),
    "processor-info.supported-architecture": column(InstanceType.architecture),
    "vcpu-info.default-vcpus": integer(InstanceType.vcpus),
    "vcpu-info.default-cores": integer(InstanceType.vcpus),
    "memory-info.size-in-mib": integer(InstanceType.memory_mib),
    "network-info.network-performance": column(InstanceType.network_performance),
    "network-info.maximum-network-interfaces": integer(InstanceType.maximum_network_interfaces),
    "network-info.ipv4-addresses-per-interface": integer(InstanceType.ipv4_addresses_per_interface),
    "hypervisor": constant("nitro"),
    "bare-metal": constant("false"),
    "instance-storage-supported": constant("false"),
    "hibernation-supported": constant("false"),
    "dedicated-hosts-supported": constant("false"),
    "auto-recovery-supported": constant("false"),
    "supported-root-device-type": constant("ebs"),
    "supported-usage-class": constant("on-demand"),
    "supported-virtualization-type": constant("hvm"),
    "supported-boot-mode": constant("legacy-bios"),
}
_LOCATION_TYPES = ("region", "availability-zone", "availability-zone-id")


class TypeRow(NamedTuple):
    name: str
    vcpus: int
    memory_mib: int
    burstable: bool
    current_generation: bool
    architecture: str
    default_disk_gib: int
    network_performance: str
    maximum_network_interfaces: int
    ipv4_addresses_per_interface: int
    free_tier_eligible: bool


class Types:
    def __init__(self, db: Database, region: str, zones: Sequence[Zone]):
        self._db, self._region, self._zones = db, region, zones

    def describe(
        self, call: Call, request: instances_pb2.DescribeInstanceTypesRequest
    ) -> instances_pb2.DescribeInstanceTypesResponse:
        page = page_of(request.page, largest=LARGEST_PAGE, explicit_ids=request.names)
        page.expect("")
        wanted = InstanceType.select(*columns(TypeRow, InstanceType))
        if request.names:
            wanted = wanted.where(InstanceType.name.in_(list(request.names)))
        filtered = wanted.where(*where(_FILTERS, request.filters)) if request.filters else wanted
        with self._db.read(call) as session:
            rows = session.rows(page.of(filtered, InstanceType.name), TypeRow)
            there = set(session.column(wanted, str)) if request.names else set()
        if missing := [name for name in request.names if name not in there]:
            raise CloudError(
                Kind.NOT_FOUND,
                f"The following supplied instance types do not exist: [{', '.join(missing)}]",
                noun="instance-type",
                id=missing[0],
            )
        rows, next_token = page.cut(rows, lambda row: row.name)
        return instances_pb2.DescribeInstanceTypesResponse(
            types=[instances_pb2.InstanceType(**row._asdict()) for row in rows],
            next_token=next_token,
        )

    def offerings(
        self, call: Call, request: instances_pb2.DescribeInstanceTypeOfferingsRequest
    ) -> instances_pb2.DescribeInstanceTypeOfferingsResponse:
        """Every type in every place: hosts differ in what they have left, not in what they can be
        asked for."""
        location_type = request.location_type or "region"
        if location_type not in _LOCATION_TYPES:
            raise CloudError(
                Kind.INVALID,
                f"Value ({location_type}) for parameter locationType is invalid.",
                noun="parameter",
            )
        locations = {
            "region": [self._region],
            "availability-zone": [zone.name for zone in self._zones],
            "availability-zone-id": [zone.id for zone in self._zones],
        }[location_type]
        check_limits(request.filters)
        page = page_of(request.page, largest=1000)
        page.expect("")
        conditions = where(
            {"instance-type": column(InstanceType.name), "location": constant("")},
            [one for one in request.filters if one.name != "location"],
        )
        for one in request.filters:
            if one.name == "location":
                locations = [at for at in locations if any(like(v, at) for v in one.values)]
        query = InstanceType.select(InstanceType.name)
        with self._db.read(call) as session:
            query = query.where(*conditions) if conditions else query
            names = session.column(query.order_by(InstanceType.name), str)
        keys = sorted(f"{name} {at}" for name in names for at in locations)
        keys = [key for key in keys if key > page.after]
        keys, next_token = page.cut(keys, lambda key: key)
        return instances_pb2.DescribeInstanceTypeOfferingsResponse(
            offerings=[
                instances_pb2.InstanceTypeOffering(
                    instance_type=key.partition(" ")[0],
                    location_type=location_type,
                    location=key.partition(" ")[2],
                )
                for key in keys
            ],
            next_token=next_token,
        )
