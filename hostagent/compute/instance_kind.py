"""Instances, as the kernel knows them. One is forgotten when the controller has acknowledged that
nothing of it is here."""

import logging
from collections.abc import Mapping
from dataclasses import replace

from hostagent.compute.progress import Instance, InstanceProgress, Seen
from hostagent.compute.table import start_of
from hostagent.kernel.kinds import AnyRecord, Change, Key, Kind
from hostagent.storage.volumes.disk_specs import gib, is_here, outlives
from protos.cloud.v1 import fleet_pb2
from protos.cloud.v1.fleet_pb2 import InstanceSpec

log = logging.getLogger(__name__)

# On its way somewhere: said with the next report, not worth one of its own.
_PASSING = (fleet_pb2.UNSEEN, fleet_pb2.PREPARING, fleet_pb2.STOPPING)
_DESIRES = (fleet_pb2.RUNNING, fleet_pb2.STOPPED, fleet_pb2.TERMINATED)


def _observe(record: Instance, observation: fleet_pb2.Observation) -> None:
    progress = record.progress
    observation.since_ms = progress.since_ms
    if progress.code:
        observation.reason.code = progress.code
        observation.reason.message = progress.message
    observation.holding.CopyFrom(_holding(record.spec))
    observation.instance.CopyFrom(
        fleet_pb2.InstanceSeen(
            observed=progress.observed,
            reboots_done=progress.reboots_done,
            status_check=progress.status_check,
            status_check_since_ms=progress.status_check_since_ms,
            devices_revision=progress.devices_revision,
            device_failures=[
                fleet_pb2.DeviceFailure(id=each.id, message=each.message, busy=each.busy)
                for each in progress.device_failures
            ],
            network_revision=progress.network_revision,
            starts=max(record.spec.starts, progress.started, progress.ended),
            ran_start=progress.ran_start,
        )
    )


def _holding(spec: InstanceSpec) -> fleet_pb2.Holding:
    held = fleet_pb2.Holding(vcpus=spec.vcpus, memory_mib=spec.memory_mib)
    held.disk_gib = sum(gib(disk.size_bytes) for disk in spec.disks if is_here(disk))
    for nic in spec.nics:
        for address in (nic.private_ip_address, *nic.secondary_private_ip_addresses):
            held.addresses.add(address=address, subnet_id=nic.subnet_id)
        if nic.public_ip_address:
            held.addresses.add(address=nic.public_ip_address)
    return held


def _merge(
    kind: Kind[InstanceSpec, InstanceProgress], change: Change, told: Mapping[str, Instance]
) -> None:
    known = change.before(kind)
    for name, record in told.items():
        if name not in known:
            progress = replace(record.progress, since_ms=change.now_ms)
            record = replace(record, progress=progress)
            if change.ledger.was_here(name):
                record = replace(record, spec=_ended_again(record.spec))
        observed = _seen_at_once(record, name in known)
        if observed is not None:
            seen = record.progress.observing(Seen(observed), record.revision, change.now_ms)
            record = replace(record, progress=seen)
        change.keep(kind, {name: record})


def _forgotten(
    kind: Kind[InstanceSpec, InstanceProgress], change: Change, key: Key, record: AnyRecord
) -> None:
    if kind.owns(key):
        change.buried.append(key.id)


def _ended_again(told: InstanceSpec) -> InstanceSpec:
    """The end of an instance that was forgotten: volumes that stayed are kept, or went, since."""
    if told.desired != fleet_pb2.TERMINATED:
        return told
    spec = InstanceSpec()
    spec.CopyFrom(told)
    del spec.disks[:]
    spec.disks.extend(disk for disk in told.disks if not outlives(disk))
    return spec


def _seen_at_once(record: Instance, is_known: bool) -> "fleet_pb2.Observed | None":
    """What an instance is, by the mere taking in of its spec: saves a report of its own. None: as
    it was.
    """
    spec, observed = record.spec, record.progress.observed
    if spec.desired == fleet_pb2.RUNNING:
        ended = is_known and record.progress.ended >= start_of(spec)
        at_rest = observed in (
            fleet_pb2.UNSEEN,
            fleet_pb2.OBSERVED_STOPPED,
            fleet_pb2.EXITED,
            fleet_pb2.FAILED,
        )
        return fleet_pb2.PREPARING if at_rest and not ended else None
    if observed in (fleet_pb2.PREPARING, fleet_pb2.OBSERVED_RUNNING):
        return fleet_pb2.STOPPING
    return None


INSTANCE = Kind(
    "instance",
    "guest",
    spec_type=InstanceSpec,
    progress_type=InstanceProgress,
    observed=(
        *("observed", "code", "message", "revision", "reboots_done", "since_ms"),
        *(
            "status_check",
            "status_check_since_ms",
            "devices_revision",
            "device_failures",
            "network_revision",
            "ran_start",
        ),
    ),
    observe=_observe,
    is_settled=lambda record: record.progress.observed not in _PASSING,
    is_over=lambda record, ledger: record.progress.observed == fleet_pb2.ABSENT,
    vital=("ended",),
    is_sound=lambda spec: spec.desired in _DESIRES,
    returns=lambda spec: spec.desired == fleet_pb2.TERMINATED,
    merge=_merge,
    forgotten=_forgotten,
)
