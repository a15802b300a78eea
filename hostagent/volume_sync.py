"""Volumes in the two messages: sync's rules, for what is specified beside instances.

    merged(ledger, told, instances) -> records that change the ledger, by the volume's id
    forget(ledger, epoch, sequence) -> keys of what was forgotten
    observation(name, record, epoch) -> VolumeObservation
    has_news(ledger, said) -> bool

Called by sync, under its lock. Absence deletes nothing: a volume leaves by VOLUME_DELETED only. One
that an instance had and has no more (it was detached) is kept in mind until it is specified.
"""

import logging
from collections.abc import Iterable, Mapping

from hostagent.ledger import Entry, Ledger, is_here, volume_of
from hostagent.records import Record, VolumeProgress
from protos.cloud.v1 import fleet_pb2

log = logging.getLogger(__name__)

_PASSING = (fleet_pb2.VOLUME_UNSEEN, fleet_pb2.VOLUME_MAKING)

Volume = Record[VolumeProgress]


def merged(
    ledger: Ledger, told: Iterable[fleet_pb2.VolumeSpec], instances: Mapping[str, Entry]
) -> dict[str, Volume]:
    """``instances`` is what the same message makes of the instances that it names."""
    known = ledger.volumes.all()
    changed = {
        disk.volume_id: Record(volume_of(disk), VolumeProgress())
        for name, entry in instances.items()
        for disk in _let_go(ledger.get(name), entry)
        if disk.volume_id not in known
    }
    for spec in told:
        if _is_news(ledger, spec, known.get(spec.volume_id)):
            before = known.get(spec.volume_id) or changed.get(spec.volume_id)
            changed[spec.volume_id] = _record(ledger, spec, before, instances)
    return changed


def forget(ledger: Ledger, epoch: int, sequence: int) -> set[tuple[str, str]]:
    forgotten = set()
    for name, record in ledger.volumes.all().items():
        noted = (record.progress.epoch, record.progress.sequence)
        gone = record.progress.observed == fleet_pb2.VOLUME_GONE
        if gone and record.spec.desired == fleet_pb2.VOLUME_DELETED and noted <= (epoch, sequence):
            ledger.forget_volume(name)
            forgotten.add(("volume", name))
    return forgotten


def observation(name: str, record: Volume, epoch: int) -> fleet_pb2.VolumeObservation:
    progress = record.progress
    return fleet_pb2.VolumeObservation(
        volume_id=name,
        generation=progress.generation,
        observed=progress.observed,
        message=progress.message,
        size_bytes=progress.size_bytes,
        sequence=progress.sequence if progress.epoch == epoch else 0,
    )


def has_news(ledger: Ledger, said: int) -> bool:
    return any(
        record.progress.epoch == ledger.epoch
        and record.progress.sequence > said
        and record.progress.observed not in _PASSING
        and record.spec.generation
        for record in ledger.volumes.all().values()
    )


def _is_news(ledger: Ledger, told: fleet_pb2.VolumeSpec, known: Volume | None) -> bool:
    """As of instances: what is unknown here and not newer than the ledger was forgotten."""
    if told.desired not in (fleet_pb2.VOLUME_PRESENT, fleet_pb2.VOLUME_DELETED):
        log.error("%s: told to be %d, which is nothing", told.volume_id, told.desired)
        return False
    if known is not None:
        return known.spec.generation < told.generation
    return told.desired == fleet_pb2.VOLUME_DELETED or told.generation > ledger.generation


def _record(
    ledger: Ledger,
    told: fleet_pb2.VolumeSpec,
    before: Volume | None,
    instances: Mapping[str, Entry],
) -> Volume:
    """What a volume began as is never forgotten while it lives: its files stand on that."""
    spec = fleet_pb2.VolumeSpec()
    spec.CopyFrom(told)
    if not spec.HasField("source"):
        source = before.spec.source if before and before.spec.HasField("source") else None
        source = source or _launched_from(ledger, told.volume_id, instances)
        if source is not None:
            spec.source.CopyFrom(source)
    progress = before.progress if before else VolumeProgress()
    return Record(spec, progress)


def _launched_from(
    ledger: Ledger, volume_id: str, instances: Mapping[str, Entry]
) -> fleet_pb2.ImageSource | None:
    for entry in {**ledger.instances(), **instances}.values():
        for disk in entry.spec.disks:
            if disk.volume_id == volume_id and disk.HasField("image"):
                return disk.image
    return None


def _let_go(known: Entry | None, now: Entry) -> Iterable[fleet_pb2.DiskSpec]:
    """Volumes of this host that the instance had and has no more."""
    if known is None:
        return []
    still = {disk.volume_id for disk in now.spec.disks}
    return [
        disk
        for disk in known.spec.disks
        if disk.volume_id not in still and is_here(disk) and not disk.ephemeral
    ]
