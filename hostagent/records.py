"""What the controller specifies beside instances, each thing by itself: volumes (and whatever else
has an id, a specification of its own and an observation).

    records.get("vol-1") -> Record(spec, progress) | None
    records.note("vol-1", observed=VOLUME_HERE, size_bytes=...)     what is, and how far
    records.put({...}), records.drop([...])       within a transaction of the ledger's

A part of the ledger, which makes it, keeps it in its database and says what survives what. The
progress is a frozen dataclass with ``epoch`` and ``sequence``; those of its fields that are named
``observed_fields`` are what the controller hears of, and a change of them is numbered anew.
"""

import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, Generic, TypeVar

from protos.cloud.v1 import fleet_pb2

P = TypeVar("P")


@dataclass(frozen=True)
class Record(Generic[P]):
    """One thing in the ledger."""

    spec: Any
    progress: P


@dataclass(frozen=True)
class VolumeProgress:
    """How far this host got with one volume. Kept as JSON: a later field needs a default."""

    observed: int = fleet_pb2.VOLUME_UNSEEN
    message: str = ""
    generation: int = 0  # of the volume's spec, when this was seen
    size_bytes: int = 0
    epoch: int = 0
    sequence: int = 0
    made: bool = False  # its files were here: should they be lost, it is not made anew, blank
    attempts: int = 0  # failed tries under the generation at ``tried``
    tried: int = 0


VOLUME_OBSERVED = ("observed", "message", "generation", "size_bytes")


class Records(Generic[P]):
    """See the module's head. Any thread may call any method."""

    def __init__(
        self,
        db: sqlite3.Connection,
        table: str,
        spec_type: Any,
        progress_type: type[P],
        observed_fields: tuple[str, ...],
        *,
        lock: threading.RLock,
        write: Callable,
        stamp: Callable[[], dict[str, int]],
    ):
        self._db, self._table, self._observed_fields = db, table, observed_fields
        self._lock, self._write, self._stamp = lock, write, stamp
        known = {field.name for field in fields(progress_type)}

        def progress(text: str) -> P:
            """Fields that a newer agent wrote are left out."""
            return progress_type(**{k: v for k, v in json.loads(text).items() if k in known})

        self._records: dict[str, Record[P]] = {
            name: Record(spec_type.FromString(spec), progress(text))
            for name, spec, text in db.execute(f"SELECT id, spec, progress FROM {table}")
        }

    def all(self) -> dict[str, Record[P]]:
        with self._lock:
            return dict(self._records)

    def get(self, name: str) -> Record[P] | None:
        return self._records.get(name)

    def note(self, name: str, *, power_safe: bool = False, **changes: Any) -> bool:
        """Answers whether there was anything new. Nothing happens for what was forgotten."""
        with self._lock:
            record = self._records.get(name)
            if record is None:
                return False
            after = replace(record.progress, **changes)
            if after == record.progress:
                return False
            stamped = self.stamped({name: Record(record.spec, after)})
            self._write(f"note {self._table}", self.put, stamped, power_safe=power_safe)
            self._records.update(stamped)
            return True

    # -- for the ledger, which holds the lock --------------------------------------------------

    def stamped(self, records: Mapping[str, Record[P]]) -> dict[str, Record[P]]:
        """With a number where the observation differs from the one that is kept."""
        return {
            name: record
            if name in self._records
            and self._seen(self._records[name].progress) == self._seen(record.progress)
            else Record(record.spec, replace(record.progress, **self._stamp()))
            for name, record in records.items()
        }

    def put(self, records: Mapping[str, Record[P]]) -> None:
        """Into the database. ``update`` follows when the transaction is through."""
        self._db.executemany(
            f"INSERT OR REPLACE INTO {self._table} VALUES (?, ?, ?)",
            [
                (name, record.spec.SerializeToString(), json.dumps(vars(record.progress)))
                for name, record in records.items()
            ],
        )

    def drop(self, names: Iterable[str]) -> None:
        """Out of the database."""
        self._db.executemany(f"DELETE FROM {self._table} WHERE id = ?", [(name,) for name in names])

    def update(self, records: Mapping[str, Record[P]], dropped: Iterable[str] = ()) -> None:
        """What is remembered is what was written."""
        self._records.update(records)
        for name in dropped:
            self._records.pop(name, None)

    def _seen(self, progress: P) -> tuple:
        return tuple(getattr(progress, name) for name in self._observed_fields)
