"""What this host was told and how far it got: the agent's only memory across kill -9 and power
failure.

    ledger = Ledger(open_file(state_dir / "ledger.db"), host_id, kinds, now_ms=...)
    ledger.commit("take-in", change, position, settings)     what should be, as last told
    ledger.of(VOLUME).note("vol-1", observed=...)            what is, and how far
    ledger.was_here("i-1")                                   it was forgotten

Each is one transaction. Called by sync (commit) and the workers (note). Promises: what a
power-safe ``commit`` has returned from survives a power failure, and so do the progress' fields
that a kind calls vital. Other progress survives the end of the process, and may be lost with the
power: all of it can be seen anew (docs/decisions/0200). Every method may be called from any thread.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hostagent.kernel.kinds import AnyKind, AnyRecord, Change, Kind, P, S
from hostagent.kernel.records import Records
from protos.cloud.v1 import fleet_pb2
from protos.private_files import keep_database

SCHEMA_VERSION = 3
TOMBSTONES_KEPT = 10_000  # enough to recognise leftovers; older ones are reported as unknown

# tombstone: a name that was here and was forgotten, proof that a leftover may be cleared away.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS host       (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS assignment (kind TEXT NOT NULL, id TEXT NOT NULL, role TEXT NOT NULL,
                                       revision INTEGER NOT NULL, spec BLOB NOT NULL,
                                       progress TEXT NOT NULL, PRIMARY KEY (kind, id, role));
CREATE TABLE IF NOT EXISTS tombstone  (name TEXT PRIMARY KEY, number INTEGER NOT NULL);
"""


def open_file(path: Path | str) -> sqlite3.Connection:
    """A connection fit for Ledger. ``":memory:"`` makes one that a simulation can hand to agent
    after agent. The file is its owner's alone: specs have the user data of guests.
    """
    if str(path) != ":memory:":
        keep_database(Path(path))
    db = sqlite3.connect(str(path), check_same_thread=False, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    return db


class Ledger:
    """See the module's head. ``tables``: SQL of tables that somebody else keeps in the same file.
    ``migrate(db)`` brings a ledger of any version before to this one, within a transaction.
    ``checkpoint`` is called with a name just before and just after each commit. ``only_look``
    begins no epoch: for an audit beside an agent that runs.

    Raises ValueError for another host's ledger, and for one of a version that it cannot read.
    """

    def __init__(
        self,
        db: sqlite3.Connection,
        host_id: str,
        kinds: Sequence[AnyKind],
        *,
        now_ms: int,
        tables: str = "",
        migrate: Callable[[sqlite3.Connection], None] = lambda db: None,
        checkpoint: Callable[[str], None] = lambda name: None,
        only_look: bool = False,
    ):
        self._db, self._checkpoint, self._lock = db, checkpoint, threading.RLock()
        self._synchronous = ""  # as this connection has it; not known yet
        self.host_id, self.kinds = host_id, tuple(kinds)
        if db.in_transaction:  # a simulated power cut in mid-transaction
            db.execute("ROLLBACK")
        db.executescript(_SCHEMA + tables)
        self._create_or_check(migrate, only_look)
        self._sequence = 0
        self.epoch = max(int(self._get("epoch") or 0) + 1, now_ms)
        self._records: dict[tuple[str, str], Records[Any, Any]] = {
            (kind.name, kind.role): Records(
                db, kind, lock=self._lock, write=self._write, stamp=self._stamp
            )
            for kind in self.kinds
        }
        self._position = int(self._get("position") or 0)
        self._settings = fleet_pb2.HostSettings.FromString(
            bytes.fromhex(self._get("settings") or "")
        )
        if not only_look:
            self._write("epoch", lambda: self._set({"epoch": str(self.epoch)}), power_safe=True)

    @property
    def position(self) -> int:
        """All that changed up to this position of the host's feed is known here."""
        return self._position

    @property
    def settings(self) -> fleet_pb2.HostSettings:
        return self._settings

    def of(self, kind: Kind[S, P]) -> Records[S, P]:
        return self._records[kind.name, kind.role]

    def commit(
        self,
        what: str,
        change: Change,
        position: int | None = None,
        settings: fleet_pb2.HostSettings | None = None,
    ) -> None:
        """Keeps a change, whole or not at all. What was told (with its position) survives a power
        failure once this has returned."""
        with self._lock:
            host = {} if position is None else {"position": str(position)}
            if settings is not None:
                host["settings"] = settings.SerializeToString().hex()
            kept = {kind: self._stamped(kind, change) for kind in self.kinds}
            told = position is not None
            self._write(what, lambda: self._keep(kept, change, host), power_safe=told)
            for kind, records in kept.items():
                self.of(kind).update(records, [key.id for key in change.dropped if kind.owns(key)])
            if position is not None:
                self._position = position
            self._settings = settings or self._settings

    def next_sequence(self) -> int:
        """Numbers observations and reports of this epoch in one row: a report holds what has a
        smaller number.
        """
        with self._lock:
            self._sequence += 1
            return self._sequence

    def was_here(self, name: str) -> bool:
        """Whether something of this id was here, was torn down and forgotten: what is left of it is
        ours.
        """
        with self._lock:
            row = self._db.execute("SELECT 1 FROM tombstone WHERE name = ?", (name,)).fetchone()
            return row is not None

    # -- the database --------------------------------------------------------------------------

    def _create_or_check(
        self, migrate: Callable[[sqlite3.Connection], None], only_look: bool
    ) -> None:
        version, host_id = self._get("schema"), self._get("host_id")
        if host_id not in (None, self.host_id):
            raise ValueError(f"the ledger belongs to host {host_id}, this is {self.host_id}")
        if version is not None and int(version) > SCHEMA_VERSION:
            raise ValueError(f"the ledger was written by a newer agent (schema {version})")
        if version is not None and int(version) < SCHEMA_VERSION:
            if only_look:
                raise ValueError("the ledger is an older agent's: start this one once")
            self._write("migrate", lambda: self._migrate(migrate), power_safe=True)
        if version is None and not only_look:
            first = {"schema": str(SCHEMA_VERSION), "host_id": self.host_id}
            self._write("create", lambda: self._set(first), power_safe=True)

    def _migrate(self, migrate: Callable[[sqlite3.Connection], None]) -> None:
        migrate(self._db)
        self._set({"schema": str(SCHEMA_VERSION)})

    def _get(self, key: str) -> str | None:
        row = self._db.execute("SELECT value FROM host WHERE key = ?", (key,)).fetchone()
        return row[0] if row else None

    def _write(self, name: str, change: Callable[[], None], power_safe: bool = False) -> None:
        """One transaction. In WAL mode NORMAL survives the process, FULL also the power; both never
        tear.
        """
        synchronous = "FULL" if power_safe else "NORMAL"
        if synchronous != self._synchronous:
            self._db.execute(f"PRAGMA synchronous = {synchronous}")
            self._synchronous = synchronous
        self._checkpoint(f"ledger: before {name}")
        self._db.execute("BEGIN IMMEDIATE")
        try:
            change()
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise
        self._checkpoint(f"ledger: after {name}")

    def _set(self, values: Mapping[str, str]) -> None:
        self._db.executemany("INSERT OR REPLACE INTO host VALUES (?, ?)", values.items())

    def _keep(
        self,
        kept: Mapping[AnyKind, Mapping[str, AnyRecord]],
        change: Change,
        host: Mapping[str, str],
    ) -> None:
        self._set(host)
        for kind, records in kept.items():
            self.of(kind).put(records)
            self.of(kind).drop([key.id for key in change.dropped if kind.owns(key)])
        if change.buried:
            self._add_tombstones(change.buried)

    def _stamped(self, kind: AnyKind, change: Change) -> dict[str, AnyRecord]:
        """What changes of a kind, with numbers."""
        again = {key.id for key in change.again if kind.owns(key)}
        put = {key.id: record for key, record in change.put.items() if kind.owns(key)}
        for name in sorted(again - put.keys()):
            if record := self.of(kind).get(name):
                put[name] = record
        return self.of(kind).stamped(put, again)

    def _add_tombstones(self, names: Iterable[str]) -> None:
        newest = self._db.execute("SELECT coalesce(max(number), 0) FROM tombstone").fetchone()[0]
        rows = [(name, newest + number) for number, name in enumerate(names, 1)]
        self._db.executemany("INSERT OR REPLACE INTO tombstone VALUES (?, ?)", rows)
        oldest = newest + len(rows) - TOMBSTONES_KEPT
        self._db.execute("DELETE FROM tombstone WHERE number <= ?", (oldest,))

    def _stamp(self) -> dict[str, int]:
        return {"epoch": self.epoch, "sequence": self.next_sequence()}
