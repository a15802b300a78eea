"""Snapshots, as the kernel knows them.

One is forgotten when its end was acknowledged and nothing of it is left to do here.
"""

from hostagent.kernel.kinds import Kind
from hostagent.storage.snapshots.progress import SETTLED, Snapshot, SnapshotProgress
from protos.cloud.v1 import fleet_pb2


def _observe(record: Snapshot, observation: fleet_pb2.Observation) -> None:
    progress, seen = record.progress, observation.snapshot
    seen.observed, seen.progress = progress.observed, progress.progress
    seen.digest = progress.digest
    seen.size_bytes, seen.added_bytes = progress.size_bytes, progress.added_bytes
    if progress.message:
        observation.reason.message = progress.message


def _is_over(record: Snapshot, ledger: object) -> bool:
    progress = record.progress
    ended = progress.observed in SETTLED and progress.revision == record.revision
    return ended and progress.released


SNAPSHOT = Kind(
    "snapshot",
    "home",
    spec_type=fleet_pb2.SnapshotSpec,
    progress_type=SnapshotProgress,
    observed=(
        *("observed", "message", "revision", "progress"),
        *("digest", "size_bytes", "added_bytes"),
    ),
    observe=_observe,
    is_settled=lambda record: record.progress.observed in SETTLED,
    is_over=_is_over,
    vital=("number", "releasing"),
    returns=lambda spec: spec.cancelled,
)
