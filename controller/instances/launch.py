"""RunInstances: everything is decided in one transaction, nothing is in flight when it answers.

    read      type, image, key, token; subnets, groups; hosts                    launch_read, networks/launch
    propose   a zone, and a host for each instance                                scheduling (pure)
    charge    quotas                                                              quotas/rules
    claim     each host by a guarded update; a refused one is proposed no more    claims
    write     instances, placements, volumes, interfaces, tags                    one statement each, however many
    tell      the hosts' generations have moved; they are sent it after the commit

Raising is the undo, so fewer than min_count leave nothing. Hosts are read inside the transaction
(docs/decisions/0403).
"""

import hashlib
import ipaddress
import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace

from controller.call import Call
from controller.config import InstancesConfig
from controller.db.schema import Instance, Placement, Volume
from controller.db.session import Database, Transaction
from controller.fleet.changes import Changes
from controller.instances import claims, launch_checks, launch_read, view
from controller.instances.claims import Amount
from controller.instances.describe import Describer
from controller.networks.launch import (
    LaunchNetwork,
    LaunchSubnet,
    NewInterface,
    create_interfaces,
    find_launch_network,
)
from controller.networks.names import DnsNames
from controller.networks.view import interface_message
from controller.quotas.rules import Quotas
from controller.scheduling.model import Ask, Candidate, Proposal
from controller.scheduling.place import Scheduler
from controller.tags import rules as tags
from protos.cloud.v1 import common_pb2, instances_pb2, networks_pb2
from protos.errors import CloudError, Kind
from protos.ids import new_id

HINTS = ("different_host", "same_host", "build_near_host_ip", "cidr")


@dataclass(frozen=True)
class Plan:
    """A launch decided but for how many and where."""

    request: instances_pb2.RunInstancesRequest
    digest: str  # of the request
    wanted: launch_checks.Wanted
    known: object  # launch_read's row
    disks: tuple[launch_checks.Disk, ...]
    network: LaunchNetwork
    ask: Ask

    @property
    def each(self) -> Amount:
        return Amount(self.ask.vcpus, self.ask.memory_mib, self.ask.disk_gib)


class Launcher:
    def __init__(
        self,
        db: Database,
        rng: random.Random,
        config: InstancesConfig,
        scheduler: Scheduler,
        quotas: Quotas,
        changes: Changes,
        describer: Describer,
        names: DnsNames,
    ):
        self._db, self._rng, self._config = db, rng, config
        self._scheduler, self._quotas, self._changes = scheduler, quotas, changes
        self._describer, self._names = describer, names

    def run(
        self, call: Call, request: instances_pb2.RunInstancesRequest
    ) -> instances_pb2.Reservation:
        """The reservation. Raises every refusal that EC2 has for RunInstances."""
        wanted = launch_checks.check_request(request, self._config.max_per_call)
        digest = _digest(request)
        type_name = request.instance_type or self._config.default_type
        with self._db.write(call) as tx:
            known = launch_read.read(tx, call.account_id, request, type_name)
            if known.earlier:
                return self._again(tx, known, digest)
            plan = self._plan(tx, request, digest, wanted, known.row)
            subnet, placed = self._place(tx, plan)
            return self._write(tx, plan, subnet, placed)

    # --- deciding -----------------------------------------------------------------------------

    def _again(self, tx: Transaction, known: launch_read.Known, digest: str):
        """The token was used before: the first answer, as its instances are now."""
        if known.earlier_digest != digest:
            raise CloudError(
                Kind.EXISTS,
                "Arguments on this idempotent request are inconsistent with arguments used in "
                "previous request(s).",
                noun="client-token",
            )
        reservation = self._describer.reservation(tx, tx.call, known.earlier)
        if all(instance.state == "terminated" for instance in reservation.instances):
            raise CloudError(
                Kind.WRONG_STATE,
                "The client token belongs to instances that have been terminated. "
                "Use another token.",
                noun="instance",
                id=reservation.instances[0].instance_id,
                reason="terminated-client-token",
            )
        return reservation

    def _plan(self, tx: Transaction, request, digest: str, wanted, row) -> Plan:
        image_gib = max(1, -(-row.virtual_size_bytes // launch_checks.GIB))
        disks = launch_checks.plan_disks(
            [*_mappings_of_image(row.block_devices), *request.block_device_mappings],
            row.root_device_name,
            image_gib,
            max(image_gib, row.root_volume_size_gib),
            bool(row.root_delete_on_termination),
            row.root_volume_type,
        )
        network = find_launch_network(
            tx,
            tx.call.account_id,
            subnet_id=request.subnet_id,
            availability_zone=request.availability_zone,
            group_ids=request.security_group_ids,
            group_names=request.security_group_names,
        )
        ask = Ask(
            vcpus=row.vcpus,
            memory_mib=row.memory_mib,
            disk_gib=sum(disk.size_gib for disk in disks),
            architecture=row.image_architecture,
            availability_zones=frozenset(one.availability_zone for one in network.subnets),
            image_id=row.image_id,
        )
        ask = self._with_hints(tx, ask, request.scheduler_hints)
        return Plan(request, digest, wanted, row, tuple(disks), network, ask)

    def _with_hints(self, tx: Transaction, ask: Ask, hints) -> Ask:
        if unknown := sorted(set(hints) - set(HINTS)):
            raise launch_checks.invalid(
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
                raise launch_checks.invalid(f"{near} is not a network.") from unreadable
            ask = replace(ask, near_network=str(network))
        return ask

    # --- charging and claiming ----------------------------------------------------------------

    def _place(self, tx: Transaction, plan: Plan) -> tuple[LaunchSubnet, list["Place"]]:
        """Where each instance goes, charged and claimed: at least min_count of them, in one
        zone."""
        hosts = launch_read.candidates(tx, plan.known.image_digest)
        zone, count, refusal = self._choose_zone(hosts, plan)
        if count < plan.request.min_count:
            raise self._no_capacity(plan, refusal)
        count = self._charge(tx, plan, count)
        placed, refusal = self._claim(tx, plan, hosts, zone, count)
        if len(placed) < plan.request.min_count:
            raise self._no_capacity(plan, refusal)
        if len(placed) < count:  # others were quicker between the proposal and the claim
            self._quotas.refund(tx, tx.call.account_id, _charges(plan, count - len(placed)))
        subnet = next(one for one in plan.network.subnets if one.availability_zone == zone)
        return subnet, placed

    def _choose_zone(self, hosts: Sequence[Candidate], plan: Plan) -> tuple[str, int, Proposal]:
        """The zone that the scheduler's first choice is in, or the first other that holds
        enough."""
        anywhere = self._scheduler.place(hosts, plan.ask, 1)
        zones = sorted(plan.ask.availability_zones)
        if anywhere.host_ids:
            first = next(h for h in hosts if h.host_id == anywhere.host_ids[0]).availability_zone
            zones = sorted(zones, key=lambda zone: zone != first)
        best: tuple[str, int, Proposal] = ("", 0, anywhere)
        for zone in zones if anywhere.host_ids else ():
            there = replace(plan.ask, availability_zones=frozenset([zone]))
            proposal = self._scheduler.place(hosts, there, plan.request.max_count)
            if len(proposal.host_ids) > best[1]:
                best = (zone, len(proposal.host_ids), proposal)
            if best[1] >= plan.request.min_count:
                break
        return best

    def _charge(self, tx: Transaction, plan: Plan, count: int) -> int:
        """Charges for ``count`` instances, or as many as the quotas hold but min_count at least;
        answers how many."""
        account_id, least = tx.call.account_id, plan.request.min_count
        if count > least:
            room = self._quotas.room(tx, account_id)
            one = _charges(plan, 1)
            count = max(least, min(count, *(room[name] // amount for name, amount in one.items())))
        self._quotas.charge(tx, account_id, _charges(plan, count))
        return count

    def _claim(
        self, tx: Transaction, plan: Plan, hosts: Sequence[Candidate], zone: str, count: int
    ) -> tuple[list["Place"], Proposal]:
        """Claims what the scheduler proposes; a host that refuses is left out of the next
        proposal."""
        there = replace(plan.ask, availability_zones=frozenset([zone]))
        left = {host.host_id: host for host in hosts}
        placed: list[Place] = []
        moved: dict[str, int] = {}
        while True:
            proposal = self._scheduler.place(list(left.values()), there, count - len(placed))
            for host_id, asked in Counter(proposal.host_ids).items():
                generations = claims.claim(
                    tx,
                    host_id,
                    plan.each.times(asked),
                    self._scheduler.settings,
                    plan.network.vpc_id,
                )
                if generations is None:
                    del left[host_id]
                    continue
                moved |= generations
                placed += [Place(host_id, generations[host_id])] * asked
                for _ in range(asked):
                    left[host_id] = left[host_id].with_one_more(plan.ask)
            if len(placed) == count or not proposal.host_ids:
                break
        self._changes.note_vpc(tx, plan.network.vpc_id, moved)
        self._changes.send(tx, sorted({place.host_id for place in placed}))
        return [Place(place.host_id, moved[place.host_id]) for place in placed], proposal

    def _no_capacity(self, plan: Plan, proposal: Proposal) -> CloudError:
        zone = plan.request.availability_zone or "any zone"
        return CloudError(
            Kind.NO_CAPACITY,
            f"We currently do not have sufficient {plan.known.type_name} capacity in the "
            f"Availability Zone you requested ({zone}): {proposal.explanation()}.",
            noun="instance",
        )

    # --- writing ------------------------------------------------------------------------------

    def _write(self, tx: Transaction, plan: Plan, subnet: LaunchSubnet, placed: Sequence["Place"]):
        reservation_id = new_id("reservation", self._rng)
        instances = [
            self._instance(tx, plan, subnet, reservation_id, index) for index in range(len(placed))
        ]
        volumes = [
            self._volume(tx, plan, instance, place.host_id, position)
            for instance, place in zip(instances, placed, strict=True)
            for position in range(len(plan.disks))
        ]
        tx.insert(Instance, instances)
        tx.insert(
            Placement,
            [
                self._placement(tx, plan, instance, place)
                for instance, place in zip(instances, placed, strict=True)
            ],
        )
        tx.insert(Volume, volumes)
        nics = self._create_interfaces(tx, plan, subnet, [one["instance_id"] for one in instances])
        tags.add(
            tx,
            tx.call.account_id,
            [
                ("instance", [i["instance_id"] for i in instances], plan.wanted.tags["instance"]),
                ("volume", [v["volume_id"] for v in volumes], plan.wanted.tags["volume"]),
                (
                    "network-interface",
                    [nic.network_interface_id for nic in nics],
                    plan.wanted.tags["network-interface"],
                ),
            ],
        )
        return self._answer(tx, plan, subnet, reservation_id, instances, placed, volumes, nics)

    def _instance(
        self, tx: Transaction, plan: Plan, subnet: LaunchSubnet, reservation_id: str, index: int
    ) -> dict:
        request, row = plan.request, plan.known
        metadata = dict(plan.wanted.metadata)
        if row.imds_support == "v2.0":
            metadata.setdefault("metadata_http_tokens", "required")
        return {
            "instance_id": new_id("instance", self._rng),
            "account_id": tx.call.account_id,
            "reservation_id": reservation_id,
            "ami_launch_index": index,
            "client_token": request.client_token,
            "request_digest": plan.digest,
            "image_id": row.image_id,
            "instance_type": row.type_name,
            "vcpus": row.vcpus,
            "memory_mib": row.memory_mib,
            "architecture": row.image_architecture,
            "availability_zone": subnet.availability_zone,
            "key_name": request.key_name,
            "public_key": row.public_key or "",
            "user_data": request.user_data,
            "root_device_name": row.root_device_name,
            "desired": "running",
            "launched_ms": tx.call.now_ms,
            "created_ms": tx.call.now_ms,
            "disable_api_termination": request.disable_api_termination,
            "disable_api_stop": request.disable_api_stop,
            "shutdown_behavior": request.instance_initiated_shutdown_behavior or "stop",
            "monitoring": request.monitoring,
            "ebs_optimized": request.ebs_optimized,
            **metadata,
        }

    def _placement(self, tx: Transaction, plan: Plan, instance: dict, place: "Place") -> dict:
        return {
            "placement_id": new_id("placement", self._rng),
            "instance_id": instance["instance_id"],
            "host_id": place.host_id,
            "generation": place.generation,
            "intent_generation": place.generation,
            "vcpus": plan.ask.vcpus,
            "memory_mib": plan.ask.memory_mib,
            "created_ms": tx.call.now_ms,
        }

    def _volume(
        self, tx: Transaction, plan: Plan, instance: dict, host_id: str, position: int
    ) -> dict:
        disk, row = plan.disks[position], plan.known
        volume = {
            "volume_id": new_id("volume", self._rng),
            "account_id": tx.call.account_id,
            "host_id": host_id,
            "availability_zone": instance["availability_zone"],
            "size_gib": disk.size_gib,
            "volume_type": disk.volume_type,
            "iops": disk.iops,
            "throughput_mibps": disk.throughput_mibps,
            "created_ms": tx.call.now_ms,
            "instance_id": instance["instance_id"],
            "device_name": disk.device_name,
            "position": position,
            "delete_on_termination": disk.delete_on_termination,
            "attached_ms": tx.call.now_ms,
        }
        if position == 0:
            volume |= {
                "image_id": row.image_id,
                "digest": row.image_digest,
                "disk_format": row.disk_format,
                "image_size_bytes": row.size_bytes,
                "image_virtual_size_bytes": row.virtual_size_bytes,
            }
        return volume

    def _create_interfaces(
        self, tx: Transaction, plan: Plan, subnet: LaunchSubnet, instance_ids: list[str]
    ) -> list[NewInterface]:
        request = plan.request
        public, delete = None, True
        if request.HasField("associate_public_ip_address"):
            public = request.associate_public_ip_address
        if request.HasField("delete_network_interface_on_termination"):
            delete = request.delete_network_interface_on_termination
        return create_interfaces(
            tx,
            self._rng,
            plan.network,
            subnet,
            instance_ids,
            private_ip=request.private_ip_address,
            public=public,
            description=request.network_interface_description,
            delete_on_termination=delete,
        )

    def _answer(
        self, tx, plan, subnet, reservation_id, instances, placed, volumes, nics
    ) -> instances_pb2.Reservation:
        """The reservation from what was written: no statement more."""
        groups = [
            networks_pb2.GroupIdentifier(group_id=group_id, group_name=name)
            for group_id, name in plan.network.groups.items()
        ]
        shown = {
            kind: [common_pb2.Tag(key=key, value=value) for key, value in sorted(chosen.items())]
            for kind, chosen in plan.wanted.tags.items()
        }
        reservation = instances_pb2.Reservation(
            reservation_id=reservation_id, owner_id=tx.call.account_id
        )
        each = len(plan.disks)
        for index, (instance, place, nic) in enumerate(zip(instances, placed, nics, strict=True)):
            row = SimpleNamespace(**{**_DEFAULTS, **instance, "host_id": place.host_id})
            message = interface_message(
                _nic_row(tx, plan, subnet, nic), self._names, groups, shown["network-interface"]
            )
            own = [SimpleNamespace(**one) for one in volumes[index * each : (index + 1) * each]]
            reservation.instances.append(
                view.instance_message(
                    row,
                    [message],
                    own,
                    shown["instance"],
                    self._names,
                    operator=tx.call.operator,
                )
            )
        return reservation


@dataclass(frozen=True)
class Place:
    """A claimed place: the host, and the generation that it moved to."""

    host_id: str
    generation: int


# What an instance's row has beside what a launch writes: the schema's defaults, and a placement not
# seen yet.
_DEFAULTS = {
    field.column_name: field.default
    for field in Instance._meta.sorted_fields
    if field.default is not None
} | {"observed": "unseen", "observed_generation": 0, "intent_generation": 1, "ran_ms": 0}


def _charges(plan: Plan, count: int) -> dict[str, int]:
    return {
        "instances": count,
        "vcpus": plan.ask.vcpus * count,
        "memory_mib": plan.ask.memory_mib * count,
    }


def _nic_row(tx: Transaction, plan: Plan, subnet: LaunchSubnet, nic: NewInterface):
    delete = True
    if plan.request.HasField("delete_network_interface_on_termination"):
        delete = plan.request.delete_network_interface_on_termination
    return SimpleNamespace(
        network_interface_id=nic.network_interface_id,
        account_id=tx.call.account_id,
        vpc_id=plan.network.vpc_id,
        subnet_id=subnet.subnet_id,
        availability_zone=subnet.availability_zone,
        mac_address=nic.mac_address,
        private_ip=nic.private_ip,
        description=plan.request.network_interface_description,
        source_dest_check=True,
        instance_id=nic.instance_id,
        attachment_id=nic.attachment_id,
        device_index=0,
        delete_on_termination=delete,
        attached_ms=tx.call.now_ms,
        public_ip=nic.public_ip,
        association_id="",
        allocation_id=None,
    )


def _mappings_of_image(block_devices: str) -> list[instances_pb2.BlockDeviceMapping]:
    """The mappings beside the root disk that the image brings along (image.block_devices)."""
    return [instances_pb2.BlockDeviceMapping(**one) for one in json.loads(block_devices)]


def _digest(request: instances_pb2.RunInstancesRequest) -> str:
    """Equal for requests that say the same."""
    return hashlib.sha256(request.SerializeToString(deterministic=True)).hexdigest()
