"""What each instance of a launch is to be, and where they go.

    Plan     disks, interfaces, what each asks of a host    make_plan
    Places   a zone and a host for each instance            Placer: proposed by the scheduler,
                                                            charged to the account, claimed on
                                                            the hosts

Called by run inside its transaction; what is raised undoes all of it.
"""

import ipaddress
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from peewee import JOIN, Query

from controller.compute.instances import credits
from controller.compute.launch.disks import plan_disks
from controller.compute.launch.interfaces import PlannedInterface, common_zones, plan_interfaces
from controller.compute.launch.request import CheckedRequest, LaunchImage, LaunchType, Named
from controller.compute.scheduling.model import Ask, Candidate, Proposal
from controller.compute.scheduling.place import Scheduler
from controller.config import Zone
from controller.hosts import capacity
from controller.identity.quotas.rules import Quotas
from controller.kernel.database import Transaction
from controller.kernel.lookup import check_there
from controller.kernel.prepared import Given, prepared
from controller.network.interfaces.launch import LaunchNetwork
from controller.storage.mappings import Disk
from controller.tables.compute import Instance, Placement
from controller.tables.hosts import Host
from controller.tables.storage import HostImage
from protos.cloud.v1 import instances_pb2
from protos.errors import CloudError, Kind, invalid_parameter

HINTS = ("different_host", "same_host", "build_near_host_ip", "cidr")


@dataclass(frozen=True)
class Plan:
    """A launch decided but for how many and where."""

    checked: CheckedRequest
    named: Named
    disks: tuple[Disk, ...]  # of each instance, the root disk first
    interfaces: tuple[PlannedInterface, ...]  # of each instance, the primary one first
    ask: Ask  # of each instance, but for the zones, of which the Placer chooses one
    cpu_credits: str

    @property
    def request(self) -> instances_pb2.RunInstancesRequest:
        return self.checked.request

    @property
    def image(self) -> LaunchImage:
        return self.named.image

    @property
    def instance_type(self) -> LaunchType:
        return self.named.instance_type

    @property
    def network(self) -> LaunchNetwork:
        """The primary interface's."""
        return self.interfaces[0].network

    def charges(self, count: int) -> dict[str, int]:
        """What this many instances cost of the account's quotas."""
        new_interfaces = sum(not one.existing for one in self.interfaces)
        return {
            "instances": count,
            "vcpus": self.ask.vcpus * count,
            "memory_mib": self.ask.memory_mib * count,
            "volumes": len(self.disks) * count,
            "gigabytes": self.ask.disk_gib * count,
            "network_interfaces": new_interfaces * count,
        }


@dataclass(frozen=True)
class Places:
    """Claimed places: the zone, a host for each instance, and the positions that the feeds of
    these and of the VPC's other hosts have moved to."""

    zone: str
    host_ids: tuple[str, ...]
    positions: Mapping[str, int]


def make_plan(tx: Transaction, checked: CheckedRequest, named: Named) -> Plan:
    """Raises NOT_FOUND, INVALID, UNSUPPORTED for what cannot be meant, and DENIED."""
    request, instance_type, image = checked.request, named.instance_type, named.image
    disks = plan_disks(tx, request.block_device_mappings, image)
    interfaces = plan_interfaces(tx, request, instance_type)
    ask = Ask(
        vcpus=instance_type.vcpus,
        memory_mib=instance_type.memory_mib,
        disk_gib=sum(disk.size_gib for disk in disks),
        architecture=image.architecture,
        image_id=image.image_id,
    )
    ask = _with_hints(tx, ask, request.scheduler_hints)
    cpu_credits = credits.choose(
        request.cpu_credits, instance_type.name, bool(instance_type.burstable)
    )
    plan = Plan(checked, named, disks, interfaces, ask, cpu_credits)
    _authorize(tx, plan)
    return plan


def _authorize(tx: Transaction, plan: Plan) -> None:
    """What the request left open is decided now: may the caller use and make all of it? Its subnets
    and groups were asked about as they were found. Raises DENIED."""
    tx.authorize("image", [plan.image.image_id])
    if plan.request.key_name:
        tx.authorize("key-pair", [plan.request.key_name])
    tx.authorize("instance", ["*"], context={"ec2:InstanceType": [plan.instance_type.name]})
    for disk in plan.disks:
        described = {"ec2:VolumeSize": [str(disk.size_gib)], "ec2:VolumeType": [disk.volume_type]}
        tx.authorize("volume", ["*"], context=described)
    if existing := [one.existing for one in plan.interfaces if one.existing]:
        tx.authorize("network-interface", existing)


def _with_hints(tx: Transaction, ask: Ask, hints: Mapping[str, str]) -> Ask:
    if unknown := sorted(set(hints) - set(HINTS)):
        raise invalid_parameter(
            f"The scheduler hint '{unknown[0]}' is unknown: {', '.join(HINTS)}."
        )
    if "different_host" in hints:
        ask = replace(ask, different_host=_hosts_of(tx, hints["different_host"]))
    if "same_host" in hints:
        ask = replace(ask, same_host=_hosts_of(tx, hints["same_host"]))
    if "build_near_host_ip" in hints:
        near = f"{hints['build_near_host_ip']}/{hints.get('cidr', '/24').lstrip('/')}"
        try:
            network = ipaddress.ip_network(near, strict=False)
        except ValueError as unreadable:
            raise invalid_parameter(f"{near} is not a network.") from unreadable
        ask = replace(ask, near_network=str(network))
    return ask


def _hosts_of(tx: Transaction, instances: str) -> frozenset[str]:
    """Where these instances of the caller are ("i-1, i-2"). Raises NOT_FOUND."""
    instance_ids = [one.strip() for one in instances.split(",") if one.strip()]
    query = (
        Placement.select(Placement.instance_id, Placement.host_id)
        .join(Instance, on=Instance.instance_id == Placement.instance_id)
        .where(
            Instance.account_id == tx.call.account_id,
            Placement.instance_id.in_(instance_ids),
            Placement.live,
        )
    )
    found: dict[str, str] = dict(tx.tuples(query))
    check_there("instance", instance_ids, found)
    return frozenset(found.values())


class Placer:
    def __init__(self, scheduler: Scheduler, quotas: Quotas, zones: Sequence[Zone]):
        self._scheduler, self._quotas = scheduler, quotas
        self._homes = {zone.name: zone.homes for zone in zones}

    def place(self, tx: Transaction, plan: Plan) -> Places:
        """Where the instances go, charged and claimed: at least min_count of them."""
        hosts = _candidates(tx, plan.image.digest)
        zone, proposal = self._choose_zone(hosts, plan)
        if len(proposal.host_ids) < plan.request.min_count:
            raise _no_capacity(plan, proposal)
        count = self._charge(tx, plan, len(proposal.host_ids))
        first = replace(proposal, host_ids=proposal.host_ids[:count])
        places, refusals = self._claim(tx, plan, hosts, zone, first)
        placed = len(places.host_ids)
        if placed < plan.request.min_count:
            raise _no_capacity(plan, refusals)
        if placed < count:  # others were quicker between the proposal and the claim
            self._quotas.refund(tx, tx.call.account_id, plan.charges(count - placed))
        return places

    def _choose_zone(self, hosts: Sequence[Candidate], plan: Plan) -> tuple[str, Proposal]:
        """The zone that the scheduler's first choice is in, or the first other that holds
        enough."""
        zones = sorted(common_zones(plan.interfaces))
        if len(zones) > 1:
            anywhere = self._scheduler.place(hosts, self._ask_in(plan, *zones), 1).host_ids
            first = {host.availability_zone for host in hosts if host.host_id in anywhere}
            zones.sort(key=lambda zone: first.isdisjoint(self._served_by(zone)))
        best = ("", Proposal(()))
        for zone in zones:
            proposal = self._scheduler.place(
                hosts, self._ask_in(plan, zone), plan.request.max_count
            )
            if not best[0] or len(proposal.host_ids) > len(best[1].host_ids):
                best = (zone, proposal)
            if len(best[1].host_ids) >= plan.request.min_count:
                break
        return best

    def _ask_in(self, plan: Plan, *zones: str) -> Ask:
        """For the scheduler: each of these zones is where the hosts are that stand for it."""
        homes = frozenset[str]().union(*map(self._served_by, zones))
        return replace(plan.ask, availability_zones=homes)

    def _served_by(self, zone: str) -> frozenset[str]:
        """Also of a zone that the configuration has lost, and that still has a subnet."""
        return self._homes.get(zone, frozenset({zone}))

    def _charge(self, tx: Transaction, plan: Plan, count: int) -> int:
        """Charges for ``count`` instances, or as many as the quotas hold but min_count at least;
        answers how many."""
        account_id, least = tx.call.account_id, plan.request.min_count
        if count > least:
            room = self._quotas.room(tx, account_id)
            one = {name: amount for name, amount in plan.charges(1).items() if amount}
            count = max(least, min(count, *(room[name] // amount for name, amount in one.items())))
        self._quotas.charge(tx, account_id, plan.charges(count))
        return count

    def _claim(
        self,
        tx: Transaction,
        plan: Plan,
        hosts: Sequence[Candidate],
        zone: str,
        proposal: Proposal,
    ) -> tuple[Places, Proposal]:
        """Claims what the scheduler proposes; a host that refuses is left out of the next
        proposal."""
        there, vpc_id = self._ask_in(plan, zone), plan.network.vpc_id
        each = capacity.Amount(plan.ask.vcpus, plan.ask.memory_mib, plan.ask.disk_gib)
        left = {host.host_id: host for host in hosts}
        placed: list[str] = []
        moved: dict[str, int] = {}
        count, lost = len(proposal.host_ids), 0
        while proposal.host_ids:
            for host_id, asked in sorted(Counter(proposal.host_ids).items()):
                amount = each.times(asked)
                positions = capacity.claim(tx, host_id, amount, self._scheduler.settings, vpc_id)
                if positions is None:
                    del left[host_id]
                    lost += 1
                    continue
                moved |= positions
                placed += [host_id] * asked
                for _ in range(asked):
                    left[host_id] = left[host_id].with_one_more(plan.ask)
            if len(placed) == count:
                break
            proposal = self._scheduler.place(list(left.values()), there, count - len(placed))
        refusals = Counter(proposal.refusals)
        refusals["taken by others meanwhile"] += lost
        return Places(zone, tuple(placed), moved), Proposal((), +refusals)


def _no_capacity(plan: Plan, proposal: Proposal) -> CloudError:
    zone = plan.request.availability_zone or "any zone"
    return CloudError(
        Kind.NO_CAPACITY,
        f"We currently do not have sufficient {plan.instance_type.name} capacity in the "
        f"Availability Zone you requested ({zone}): {proposal.explanation()}.",
        noun="instance",
    )


def _candidates(tx: Transaction, digest: str) -> list[Candidate]:
    """Every host as it is now, and whether it holds the image."""
    found = []
    for *as_it_is, endpoint, held, away in tx.tuples(_candidates_query(digest=digest)):
        address = endpoint.rpartition(":")[0].strip("[]")
        found.append(Candidate(*[*as_it_is, address, bool(held), bool(away)]))
    return found


@prepared
def _candidates_query(digest: Given) -> Query:
    return (
        Host.select(
            Host.host_id,
            Host.name,
            Host.availability_zone,
            Host.health,
            Host.hypervisor,
            Host.architecture,
            Host.vcpus,
            Host.memory_mib,
            Host.disk_gib,
            Host.vcpus_used,
            Host.memory_mib_used,
            Host.disk_gib_used,
            Host.endpoint,
            HostImage.digest,
            Host.hypervisor_away,
        )
        .join(
            HostImage,
            JOIN.LEFT_OUTER,
            on=(HostImage.host_id == Host.host_id) & (HostImage.digest == digest),
        )
        .order_by(Host.host_id)
    )
