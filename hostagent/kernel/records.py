"""The records of one kind in the ledger.

    records.get("vol-1") -> Record(spec, revision, progress) | None
    records.all() -> {id: record}
    records.note("vol-1", observed=VOLUME_HERE, size_bytes=...)     what is, and how far
    records.alter("i-1", lambda progress: ...)                      the same, of what it was

A part of the ledger, which makes it, keeps it in its database and says what survives what. A change
of what the controller hears of is numbered anew. Any thread may call any method.
"""

import json
import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from typing import Any, Generic

from hostagent.kernel.kinds import Kind, P, Progress, Record, S

# One transaction: its name, what it does, and whether it must survive a power failure.
Write = Callable[[str, Callable[[], None], bool], None]


class Records(Generic[S, P]):
    """See the module's head."""

    def __init__(
        self,
        db: sqlite3.Connection,
        kind: Kind[S, P],
        *,
        lock: threading.RLock,
        write: Write,
        stamp: Callable[[], dict[str, int]],
    ):
        self._db, self.kind, self._lock = db, kind, lock
        self._write, self._stamp = write, stamp
        rows = db.execute(
            "SELECT id, revision, spec, progress FROM assignment WHERE kind = ? AND role = ?",
            (kind.name, kind.role),
        )
        self._records: dict[str, Record[S, P]] = {
            name: Record(kind.spec_type.FromString(spec), revision, self._progress(text))
            for name, revision, spec, text in rows
        }

    def all(self) -> dict[str, Record[S, P]]:
        with self._lock:
            return dict(self._records)

    def get(self, name: str) -> Record[S, P] | None:
        return self._records.get(name)

    def note(self, name: str, **changes: Any) -> bool:
        """Changes fields of the progress. Answers whether there was anything new. Nothing happens
        for what was forgotten."""
        return self.alter(name, lambda progress: replace(progress, **changes))

    def alter(self, name: str, change: Callable[[P], P]) -> bool:
        """``note`` with what ``change`` makes of the progress."""
        with self._lock:
            record = self._records.get(name)
            if record is None:
                return False
            before, after = record.progress, change(record.progress)
            if after == before:
                return False
            stamped = self.stamped({name: replace(record, progress=after)})
            vital = any(getattr(after, each) != getattr(before, each) for each in self.kind.vital)
            self._write(
                f"note {self.kind.name}", lambda: self._set_progress(name, stamped[name]), vital
            )
            self._records.update(stamped)
            return True

    # -- for the ledger, which holds the lock --------------------------------------------------

    def stamped(
        self, records: Mapping[str, Record[S, P]], again: Iterable[str] = ()
    ) -> dict[str, Record[S, P]]:
        """With a new number where the observation differs from the one that is kept, or is to be
        said ``again``."""
        return {
            name: record
            if name in self._records and name not in again and not self._differs(name, record)
            else replace(record, progress=replace(record.progress, **self._stamp()))
            for name, record in records.items()
        }

    def put(self, records: Mapping[str, Record[S, P]]) -> None:
        """Into the database. ``update`` follows when the transaction is through."""
        self._db.executemany(
            "INSERT OR REPLACE INTO assignment VALUES (?, ?, ?, ?, ?, ?)",
            [
                (
                    *self.kind.key(name),
                    record.revision,
                    record.spec.SerializeToString(),
                    _text(record.progress),
                )
                for name, record in records.items()
            ],
        )

    def drop(self, names: Iterable[str]) -> None:
        """Out of the database."""
        self._db.executemany(
            "DELETE FROM assignment WHERE kind = ? AND id = ? AND role = ?",
            [self.kind.key(name) for name in names],
        )

    def update(self, records: Mapping[str, Record[S, P]], dropped: Iterable[str] = ()) -> None:
        """What is remembered is what was written."""
        self._records.update(records)
        for name in dropped:
            self._records.pop(name, None)

    def _set_progress(self, name: str, record: Record[S, P]) -> None:
        """The specification, with up to 16 KiB of user data, is not written again."""
        self._db.execute(
            "UPDATE assignment SET progress = ? WHERE kind = ? AND id = ? AND role = ?",
            (_text(record.progress), *self.kind.key(name)),
        )

    def _differs(self, name: str, record: Record[S, P]) -> bool:
        seen = self.kind.seen
        return seen(self._records[name].progress) != seen(record.progress)

    def _progress(self, text: str) -> P:
        """Fields that a newer agent wrote are left out: after a downgrade the rest still counts."""
        known = {field.name for field in fields(self.kind.progress_type)}
        values = {name: value for name, value in json.loads(text).items() if name in known}
        return self.kind.progress_type(**values)


def _text(progress: Progress) -> str:
    return json.dumps(vars(progress))
