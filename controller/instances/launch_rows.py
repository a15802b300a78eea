"""The rows of a launch, one statement for each kind however many instances, and the answer made
from them.

Called by instances/launch inside its transaction, after the claims.
"""

import random
from collections.abc import Sequence
from types import SimpleNamespace

from controller.db.schema import Instance, Placement, Volume
from controller.db.session import Transaction
from controller.instances import view
from controller.instances.launch_nics import LaunchNics
from controller.instances.launch_plan import Place, Plan
from controller.networks.names import DnsNames
from controller.tags import rules as tags
from controller.volumes.rules import columns_of_source
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
    "observed_generation": 0,
    "intent_generation": 1,
    "ran_ms": 0,
    "devices_generation": 0,
    "network_generation": 0,
    "metadata_wanted": 0,
}
_JUST_ATTACHED = {"attach_generation": 0, "detaching": False, "busy": False}


class LaunchRows:
    def __init__(self, rng: random.Random, names: DnsNames):
        self._rng, self._names = rng, names
        self._nics = LaunchNics(rng, names)

    def write(self, tx: Transaction, plan: Plan, zone: str, placed: Sequence[Place]):
        reservation_id = new_id("reservation", self._rng)
        instances = [
            self._instance(tx, plan, zone, reservation_id, index) for index in range(len(placed))
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
        instance_ids = [one["instance_id"] for one in instances]
        shown = {
            kind: [common_pb2.Tag(key=key, value=value) for key, value in sorted(chosen.items())]
            for kind, chosen in plan.wanted.tags.items()
        }
        nics, made = self._nics.write(
            tx, plan.interfaces, zone, instance_ids, shown["network-interface"]
        )
        tags.add(
            tx,
            tx.call.account_id,
            [
                ("instance", instance_ids, plan.wanted.tags["instance"]),
                ("volume", [v["volume_id"] for v in volumes], plan.wanted.tags["volume"]),
                ("network-interface", made, plan.wanted.tags["network-interface"]),
            ],
        )
        tagged = shown["instance"]
        return self._answer(tx, plan, reservation_id, instances, placed, volumes, nics, tagged)

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

    def _placement(self, tx: Transaction, plan: Plan, instance: dict, place: Place) -> dict:
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
            **_JUST_ATTACHED,
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

    def _answer(
        self, tx, plan, reservation_id, instances, placed, volumes, nics, tagged
    ) -> instances_pb2.Reservation:
        """The reservation from what was written: no statement more."""
        reservation = instances_pb2.Reservation(
            reservation_id=reservation_id, owner_id=tx.call.account_id
        )
        each = len(plan.disks)
        for index, (instance, place) in enumerate(zip(instances, placed, strict=True)):
            row = SimpleNamespace(**{**_DEFAULTS, **instance, "host_id": place.host_id})
            own = [SimpleNamespace(**one) for one in volumes[index * each : (index + 1) * each]]
            reservation.instances.append(
                view.instance_message(
                    row, nics[index], own, tagged, self._names, operator=tx.call.operator
                )
            )
        return reservation
