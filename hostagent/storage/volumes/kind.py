"""Volumes in their own right, as the kernel knows them.

Absence deletes nothing: a volume leaves by VOLUME_DELETED only, or with its instance. One that an
instance had and has no more (it was detached, or outlived it) is kept in mind, under revision 0,
until it is specified.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from hostagent.kernel.kinds import AnyRecord, Change, Key, Kind, Progress, Record
from hostagent.storage.volumes.disk_specs import gib, is_here, outlives, volume_of
from protos.cloud.v1 import fleet_pb2
from protos.cloud.v1.fleet_pb2 import InstanceSpec, VolumeSpec


@dataclass(frozen=True)
class VolumeProgress(Progress):
    """How far this host got with one volume. Kept as JSON: a later field needs a default."""

    observed: fleet_pb2.ObservedVolume = fleet_pb2.VOLUME_UNSEEN
    message: str = ""
    size_bytes: int = 0
    made: bool = False  # its files were here: should they be lost, it is not made anew, blank
    attempts: int = 0  # failed tries under the revision at ``tried``
    tried: int = 0


Volume = Record[VolumeSpec, VolumeProgress]
Instance = Record[InstanceSpec, Any]


def volume_kind(instance: Kind[InstanceSpec, Any]) -> Kind[VolumeSpec, VolumeProgress]:
    """``instance``: the kind of what has volumes. It comes before this one in the ledger."""
    owners = _Owners(instance)
    return Kind(
        "volume",
        "home",
        spec_type=VolumeSpec,
        progress_type=VolumeProgress,
        observed=("observed", "message", "revision", "size_bytes"),
        observe=_observe,
        is_settled=lambda record: (
            record.progress.observed not in (fleet_pb2.VOLUME_UNSEEN, fleet_pb2.VOLUME_MAKING)
        ),
        is_over=_is_over,
        vital=("made",),
        is_sound=lambda spec: spec.desired in (fleet_pb2.VOLUME_PRESENT, fleet_pb2.VOLUME_DELETED),
        returns=lambda spec: spec.desired == fleet_pb2.VOLUME_DELETED,
        merge=owners.merge,
        forgotten=owners.forgotten,
    )


def _observe(record: Volume, observation: fleet_pb2.Observation) -> None:
    progress = record.progress
    observation.volume.observed = progress.observed
    observation.volume.size_bytes = progress.size_bytes
    observation.holding.disk_gib = gib(record.spec.size_bytes)
    if progress.message:
        observation.reason.message = progress.message


def _is_over(record: Volume, ledger: object) -> bool:
    gone = record.progress.observed == fleet_pb2.VOLUME_GONE
    return gone and record.spec.desired == fleet_pb2.VOLUME_DELETED


class _Owners:
    """What becomes of volumes as the instances that have them come and go."""

    def __init__(self, instance: Kind[InstanceSpec, Any]):
        self._instance = instance

    def merge(
        self, kind: Kind[VolumeSpec, VolumeProgress], change: Change, told: Mapping[str, Volume]
    ) -> None:
        before, now = change.before(self._instance), change.after(self._instance)
        known = change.before(kind)
        changed = [key.id for key in change.put if self._instance.owns(key)]
        for disk in [disk for name in changed for disk in _let_go(before.get(name), now[name])]:
            if disk.volume_id not in known:
                change.keep(kind, {disk.volume_id: _kept(disk)})
        kept = change.after(kind)
        for name, record in told.items():
            change.keep(kind, {name: _with_source(record, kept.get(name), now)})

    def forgotten(
        self, kind: Kind[VolumeSpec, VolumeProgress], change: Change, key: Key, record: AnyRecord
    ) -> None:
        """Of an instance, the volumes that outlive it, and the names of what is gone, are kept in
        mind."""
        if kind.owns(key):
            change.buried.append(key.id)
        if not self._instance.owns(key):
            return
        known = change.before(kind)
        for disk in filter(is_here, record.spec.disks):
            if not outlives(disk):
                change.buried.append(disk.volume_id)
                if disk.volume_id in known:
                    change.drop(kind, disk.volume_id)
            elif disk.volume_id not in known:
                change.keep(kind, {disk.volume_id: _kept(disk)})


def _with_source(told: Volume, known: Volume | None, instances: Mapping[str, Instance]) -> Volume:
    """What a volume began as is never forgotten while it lives: its files stand on that."""
    source = known.spec.source if known and known.spec.HasField("source") else None
    source = source or _launched_from(told.spec.volume_id, instances)
    if source is None or told.spec.HasField("source"):
        return told
    spec = VolumeSpec()
    spec.CopyFrom(told.spec)
    spec.source.CopyFrom(source)
    return replace(told, spec=spec)


def _launched_from(
    volume_id: str, instances: Mapping[str, Instance]
) -> fleet_pb2.ImageSource | None:
    for record in instances.values():
        for disk in record.spec.disks:
            if disk.volume_id == volume_id and disk.HasField("image"):
                return disk.image
    return None


def _let_go(known: Instance | None, now: Instance) -> Iterable[fleet_pb2.DiskSpec]:
    """Volumes of this host that the instance had and has no more."""
    if known is None:
        return []
    still = {disk.volume_id for disk in now.spec.disks}
    return [
        disk
        for disk in known.spec.disks
        if disk.volume_id not in still and is_here(disk) and not disk.ephemeral
    ]


def _kept(disk: fleet_pb2.DiskSpec) -> Volume:
    return Record(volume_of(disk), 0, VolumeProgress())
