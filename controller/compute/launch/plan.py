"""What a launch is to be, before hosts are looked at: disks, network, and what each instance asks
of a host.

Called by compute/launch/launcher inside its transaction.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, replace

from controller.compute.instances import credits
from controller.compute.launch import checks as launch_checks
from controller.compute.launch import read as launch_read
from controller.compute.launch.disks import plan_disks
from controller.compute.launch.interfaces import Limits, Planned, common_zones, plan_interfaces
from controller.compute.scheduling.model import Ask
from controller.hosts.capacity import Amount
from controller.kernel.database import Transaction
from controller.network.interfaces.launch import LaunchNetwork
from controller.storage.mappings import Disk
from protos.cloud.v1 import instances_pb2
from protos.errors import invalid_parameter

HINTS = ("different_host", "same_host", "build_near_host_ip", "cidr")


@dataclass(frozen=True)
class Plan:
    """A launch decided but for how many and where."""

    request: instances_pb2.RunInstancesRequest
    digest: str  # of the request
    wanted: launch_checks.Wanted
    known: object  # launch_read's row
    disks: tuple[Disk, ...]
    interfaces: tuple[Planned, ...]  # of each instance, the primary one first
    ask: Ask  # but for the zones, of which launch_place chooses one
    cpu_credits: str

    @property
    def network(self) -> LaunchNetwork:
        """The primary interface's."""
        return self.interfaces[0].network

    @property
    def zones(self) -> frozenset[str]:
        """Names of those in which all its interfaces can be."""
        return common_zones(self.interfaces)

    @property
    def new_interfaces(self) -> int:
        """How many are made with each instance."""
        return sum(not one.existing for one in self.interfaces)

    @property
    def each(self) -> Amount:
        return Amount(self.ask.vcpus, self.ask.memory_mib, self.ask.disk_gib)


@dataclass(frozen=True)
class Places:
    """Claimed places: the zone, a host for each instance, and the positions that the feeds of
    these and of the VPC's other hosts have moved to."""

    zone: str
    host_ids: tuple[str, ...]
    positions: Mapping[str, int]


def make_plan(tx: Transaction, request, digest: str, wanted, row) -> Plan:
    """Raises NOT_FOUND, INVALID, UNSUPPORTED for what cannot be meant."""
    disks = plan_disks(tx, request.block_device_mappings, row)
    limits = Limits(row.type_name, row.maximum_network_interfaces, row.ipv4_addresses_per_interface)
    interfaces = plan_interfaces(tx, request, limits)
    ask = Ask(
        vcpus=row.vcpus,
        memory_mib=row.memory_mib,
        disk_gib=sum(disk.size_gib for disk in disks),
        architecture=row.image_architecture,
        image_id=row.image_id,
    )
    ask = _with_hints(tx, ask, request.scheduler_hints)
    cpu_credits = credits.choose(request.cpu_credits, row.type_name, row.burstable)
    return Plan(request, digest, wanted, row, disks, interfaces, ask, cpu_credits)


def _with_hints(tx: Transaction, ask: Ask, hints) -> Ask:
    if unknown := sorted(set(hints) - set(HINTS)):
        raise invalid_parameter(
            f"The scheduler hint '{unknown[0]}' is unknown: {', '.join(HINTS)}."
        )

    def hosts(name: str) -> frozenset[str]:
        instance_ids = [one.strip() for one in hints[name].split(",") if one.strip()]
        return launch_read.hosts_of(tx, tx.call.account_id, instance_ids)

    if "different_host" in hints:
        ask = replace(ask, different_host=hosts("different_host"))
    if "same_host" in hints:
        ask = replace(ask, same_host=hosts("same_host"))
    if "build_near_host_ip" in hints:
        near = f"{hints['build_near_host_ip']}/{hints.get('cidr', '/24').lstrip('/')}"
        try:
            network = ipaddress.ip_network(near, strict=False)
        except ValueError as unreadable:
            raise invalid_parameter(f"{near} is not a network.") from unreadable
        ask = replace(ask, near_network=str(network))
    return ask
