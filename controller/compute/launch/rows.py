"""The rows of a launch, one statement for each kind however many instances, and the answer made
from them.

Called by compute/launch/launcher inside its transaction, after the claims.
"""

import random
from collections.abc import Sequence
from types import SimpleNamespace

from controller.compute.instances import view
from controller.compute.launch.nics import LaunchNics
from controller.compute.launch.plan import Places, Plan
from controller.hosts.feed import Feed
from controller.identity.tags import rules as tags
from controller.kernel.database import Transaction
from controller.network.names import DnsNames
from controller.storage.volumes.rules import columns_of_source
from controller.tables.compute import Attachment, Instance, Placement
from controller.tables.network import Vpc
from controller.tables.nouns import INSTANCE, VPC
from controller.tables.storage import Volume
from protos.cloud.v1 import common_pb2, instances_pb2
from protos.ids import new_id

# What an instance's row has beside what a launch writes: the schema's defaults, and a placement not
# seen yet.
_DEFAULTS = {
    field.column_name: field.default
    for field in Instance._meta.sorted_fields
    if field.default is not None
} | {
    "observed": "unseen",
    "observed_revision": 0,
    "ran_ms": 0,
    "devices_revision": 0,
    "network_revision": 0,
}
_JUST_ATTACHED = {"attach_revision": 0, "detaching": False, "busy": False}


class LaunchRows:
    def __init__(self, rng: random.Random, names: DnsNames, feed: Feed):
        self._rng, self._names, self._feed = rng, names, feed
        self._nics = LaunchNics(rng, names)

    def write(self, tx: Transaction, plan: Plan, places: Places) -> instances_pb2.Reservation:
        """The reservation, its rows written and its hosts told."""
        reservation_id, placed = new_id("reservation", self._rng), places.host_ids
        instances = [
            self._instance(tx, plan, places.zone, reservation_id, index)
            for index in range(len(placed))
        ]
        volumes = [
            self._volume(tx, plan, instance, host_id, position)
            for instance, host_id in zip(instances, placed, strict=True)
            for position in range(len(plan.disks))
        ]
        tx.insert(Instance, instances)
        tx.insert(
            Placement,
            [
                self._placement(tx, plan, instance, host_id)
                for instance, host_id in zip(instances, placed, strict=True)
            ],
        )
        tx.insert(Volume, volumes)
        instance_ids = [one["instance_id"] for one in instances]
        shown = {
            kind: [common_pb2.Tag(key=key, value=value) for key, value in sorted(chosen.items())]
            for kind, chosen in plan.wanted.tags.items()
        }
        new_nics = self._nics.write(
            tx, plan.interfaces, places.zone, instance_ids, shown["network-interface"]
        )
        disks = [
            self._disk(tx, plan, instance, position, volumes[index * len(plan.disks) + position])
            for index, instance in enumerate(instances)
            for position in range(len(plan.disks))
        ]
        tx.insert(Attachment, [*disks, *new_nics.attachments])
        self._tell_hosts(tx, plan, places, instance_ids)
        tags.add(
            tx,
            tx.call.account_id,
            [
                ("instance", instance_ids, plan.wanted.tags["instance"]),
                ("volume", [v["volume_id"] for v in volumes], plan.wanted.tags["volume"]),
                ("network-interface", new_nics.made, plan.wanted.tags["network-interface"]),
            ],
        )
        shown_disks = [{**disk, "volume_id": disk["device_id"], **_JUST_ATTACHED} for disk in disks]
        nics, tagged = new_nics.shown, shown["instance"]
        return self._answer(tx, plan, reservation_id, instances, placed, shown_disks, nics, tagged)

    def _tell_hosts(
        self, tx: Transaction, plan: Plan, places: Places, instance_ids: Sequence[str]
    ) -> None:
        """The instances are assigned to their hosts, and the VPC to these; its other hosts learn of
        its new members by their next reports."""
        vpc_id = plan.network.vpc_id
        (revised,) = tx.advance_returning(
            Vpc,
            {"revision": Vpc.revision + 1},
            Vpc.vpc_id == vpc_id,
            returning=[Vpc.revision],
        )
        guests = zip(instance_ids, places.host_ids, strict=True)
        assignments = [(INSTANCE, name, host_id, 1) for name, host_id in guests]
        assignments += [(VPC, vpc_id, host_id, revised.revision) for host_id in places.positions]
        self._feed.assign(tx, assignments, places.positions, observed={"instance": "unseen"})
        self._feed.send(tx, sorted(set(places.host_ids)))

    def _instance(
        self, tx: Transaction, plan: Plan, zone: str, reservation_id: str, index: int
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
            "availability_zone": zone,
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
            "cpu_credits": plan.cpu_credits,
            **metadata,
        }

    def _placement(self, tx: Transaction, plan: Plan, instance: dict, host_id: str) -> dict:
        return {
            "placement_id": new_id("placement", self._rng),
            "instance_id": instance["instance_id"],
            "host_id": host_id,
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
        }
        if disk.source is not None:
            volume |= columns_of_source(disk.source)
        elif position == 0:
            volume |= {
                "snapshot_id": disk.snapshot_id,
                "image_id": row.image_id,
                "digest": row.image_digest,
                "disk_format": row.disk_format,
                "image_size_bytes": row.size_bytes,
                "image_virtual_size_bytes": row.virtual_size_bytes,
            }
        return volume

    def _disk(
        self, tx: Transaction, plan: Plan, instance: dict, position: int, volume: dict
    ) -> dict:
        """The attachment of one of the instance's volumes."""
        disk = plan.disks[position]
        return {
            "kind": "volume",
            "device_id": volume["volume_id"],
            "instance_id": instance["instance_id"],
            "device_name": disk.device_name,
            "position": position,
            "delete_on_termination": disk.delete_on_termination,
            "attached_ms": tx.call.now_ms,
        }

    def _answer(
        self, tx, plan, reservation_id, instances, placed, volumes, nics, tagged
    ) -> instances_pb2.Reservation:
        """The reservation from what was written: no statement more."""
        reservation = instances_pb2.Reservation(
            reservation_id=reservation_id, owner_id=tx.call.account_id
        )
        each = len(plan.disks)
        for index, (instance, host_id) in enumerate(zip(instances, placed, strict=True)):
            row = SimpleNamespace(**{**_DEFAULTS, **instance, "host_id": host_id})
            own = [SimpleNamespace(**one) for one in volumes[index * each : (index + 1) * each]]
            reservation.instances.append(
                view.instance_message(
                    row, nics[index], own, tagged, self._names, operator=tx.call.operator
                )
            )
        return reservation
