"""What the ledger keeps of snapshots: how far each got, and what of each volume is in the store.

    ledger.snapshots            their records
    ledger.copied.get("vol-1")  -> Base(number, digest) | None
    ledger.copied.set("vol-1", Base(3, "sha256:..."))     layer 3 and all below it are this manifest

A part of the ledger, which makes it and keeps it in its database.
"""

import sqlite3
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from hostagent.kernel.kinds import Progress, Record
from hostagent.kernel.records import Records, Write
from hostagent.storage.snapshots.copier import Base
from hostagent.storage.volumes.known import VolumeLedger
from protos.cloud.v1 import fleet_pb2

SETTLED = (
    fleet_pb2.SNAPSHOT_DONE,
    fleet_pb2.SNAPSHOT_FAILED,
    fleet_pb2.SNAPSHOT_GONE,
)
COPIED = """
CREATE TABLE IF NOT EXISTS copied     (volume_id TEXT PRIMARY KEY, number INTEGER NOT NULL,
                                       digest TEXT NOT NULL);
"""


@dataclass(frozen=True)
class SnapshotProgress(Progress):
    """How far this host got with one snapshot. Kept as JSON: a later field needs a default."""

    observed: fleet_pb2.ObservedSnapshot = fleet_pb2.SNAPSHOT_UNSEEN
    message: str = ""
    progress: int = 0  # per cent
    digest: str = ""
    size_bytes: int = 0
    added_bytes: int = 0
    number: int = -1  # of the layer that is its point in time; -1: not chosen yet
    releasing: bool = False  # its layers are being committed: nobody reads them
    released: bool = False  # nothing on the host waits for it any more
    attempts: int = 0  # failed tries of what is going on


Snapshot = Record[fleet_pb2.SnapshotSpec, SnapshotProgress]  # in the ledger


def is_copied(snapshots: Mapping[str, Snapshot], volume_id: str) -> bool:
    """Whether one of them, of this volume, is not at its end yet: the volume cannot go."""
    return any(
        record.spec.volume_id == volume_id and record.progress.observed not in SETTLED
        for record in snapshots.values()
    )


def is_unfrozen(record: Snapshot) -> bool:
    """Its moment is still to come."""
    return not record.spec.cancelled and record.progress.observed == fleet_pb2.SNAPSHOT_UNSEEN


def waiting_for(snapshots: Mapping[str, Snapshot], instance_id: str) -> list[str]:
    """Those of them whose moment is to be while this instance's guest is off."""
    return [
        name
        for name, record in snapshots.items()
        if record.spec.off_instance_id == instance_id and is_unfrozen(record)
    ]


class CopiedVolumes:
    """See the module's head. Any thread may call any method."""

    def __init__(self, db: sqlite3.Connection, lock: threading.RLock, write: Write):
        self._db, self._lock, self._write = db, lock, write
        self._known = {
            volume_id: Base(number, digest)
            for volume_id, number, digest in db.execute(
                "SELECT volume_id, number, digest FROM copied"
            )
        }

    def get(self, volume_id: str) -> Base | None:
        return self._known.get(volume_id)

    def set(self, volume_id: str, base: Base) -> None:
        with self._lock:
            self._write("copied", lambda: self._put(volume_id, base), False)
            self._known[volume_id] = base

    def drop(self, volume_id: str) -> None:
        """Survives a power failure: what is committed afterwards is in no manifest."""
        with self._lock:
            if volume_id in self._known:
                self._write("copied", lambda: self._delete(volume_id), True)
                del self._known[volume_id]

    def _put(self, volume_id: str, base: Base) -> None:
        row = (volume_id, base.number, base.digest)
        self._db.execute("INSERT OR REPLACE INTO copied VALUES (?, ?, ?)", row)

    def _delete(self, volume_id: str) -> None:
        self._db.execute("DELETE FROM copied WHERE volume_id = ?", (volume_id,))


class SnapshotLedger(VolumeLedger, Protocol):
    """What the snapshots' workers ask of the ledger."""

    snapshots: Records[fleet_pb2.SnapshotSpec, SnapshotProgress]
    copied: CopiedVolumes
