"""Snapshots in the two messages: sync's rules, as volume_sync has them for volumes.

    merged(ledger, told) -> records that change the ledger, by the snapshot's id
    forget(ledger, epoch, sequence) -> keys of what was forgotten
    observation(name, record, epoch) -> SnapshotObservation
    has_news(ledger, said) -> bool

Called by sync, under its lock. A snapshot is forgotten when its end was acknowledged and nothing of
it is left to do here.
"""

from collections.abc import Iterable

from hostagent.ledger import Ledger
from hostagent.records import Record
from hostagent.snapshots.memory import SETTLED, SnapshotProgress
from protos.cloud.v1 import fleet_pb2

Snapshot = Record[SnapshotProgress]


def merged(ledger: Ledger, told: Iterable[fleet_pb2.SnapshotSpec]) -> dict[str, Snapshot]:
    """What is unknown here and not newer than the ledger was forgotten, but one that is cancelled
    is taken in: its end must be said."""
    changed = {}
    for spec in told:
        known = ledger.snapshots.get(spec.snapshot_id)
        if known is None and (spec.cancelled or spec.generation > ledger.generation):
            changed[spec.snapshot_id] = Record(spec, SnapshotProgress())
        elif known is not None and known.spec.generation < spec.generation:
            changed[spec.snapshot_id] = Record(spec, known.progress)
    return changed


def forget(ledger: Ledger, epoch: int, sequence: int) -> set[tuple[str, str]]:
    forgotten = set()
    for name, record in ledger.snapshots.all().items():
        progress = record.progress
        said = (progress.epoch, progress.sequence) <= (epoch, sequence)
        ended = progress.observed in SETTLED and progress.generation == record.spec.generation
        if said and ended and progress.released:
            ledger.forget_snapshot(name)
            forgotten.add(("snapshot", name))
    return forgotten


def observation(name: str, record: Snapshot, epoch: int) -> fleet_pb2.SnapshotObservation:
    progress = record.progress
    return fleet_pb2.SnapshotObservation(
        snapshot_id=name,
        generation=progress.generation,
        observed=progress.observed,
        message=progress.message,
        progress=progress.progress,
        digest=progress.digest,
        size_bytes=progress.size_bytes,
        added_bytes=progress.added_bytes,
        sequence=progress.sequence if progress.epoch == epoch else 0,
    )


def has_news(ledger: Ledger, said: int) -> bool:
    return any(
        record.progress.epoch == ledger.epoch
        and record.progress.sequence > said
        and record.progress.observed in SETTLED
        for record in ledger.snapshots.all().values()
    )
