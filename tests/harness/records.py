"""The controller's database as an auditor reads it: plain SQL over a connection of its own.

The invariants recompute from these rows what the rooms keep in columns; they share no code with
the rooms, so that a mistake there is not repeated here.
"""

import contextlib
import sqlite3
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

# Devices beside their attachments, and stays on hosts beside their assignments.
_VIEWS = """
CREATE TEMP VIEW held_volume AS SELECT v.*, a.instance_id, a.device_name, a.detaching, a.failed,
    a.delete_on_termination
  FROM volume v LEFT JOIN attachment a ON a.device_id = v.volume_id;
CREATE TEMP VIEW held_interface AS SELECT n.*, a.instance_id, a.detaching, a.failed, a.attachment_id
  FROM network_interface n LEFT JOIN attachment a ON a.device_id = n.network_interface_id;
CREATE TEMP VIEW stay AS SELECT p.*, s.observed, s.observed_revision, s.epoch, s.sequence
  FROM placement p LEFT JOIN assignment s
  ON s.kind = 'instance' AND s.resource_id = p.instance_id AND s.host_id = p.host_id;
"""


class Records:
    """Rows as sqlite3.Row. What was read is kept until somebody changes a table that it is
    of."""

    def __init__(self, path: Path):
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.execute("PRAGMA foreign_keys = 1")  # so that what a deletion takes along is told
        self._db.executescript(_VIEWS)
        self._read: dict[str, _Answer] = {}
        self._stale: set[str] = set()  # of these queries
        self._renewed: set[str] = set()  # of these, those whose answer has become another
        self._statements: set[str] = set()  # what the controller has run since this was looked at
        self._asked: set[str] = set()
        self._version, self._still = self.version(), False
        self.changes = 0  # how often it was seen that something had been committed

    def version(self) -> int:
        """Changes with every commit that changed anything, and with nothing else."""
        return self._db.execute("PRAGMA data_version").fetchone()[0]

    def hears(self, statement: str) -> None:
        """The controller runs this, and perhaps commits it. A change that is none of these is
        taken for one of everything."""
        self._statements.add(statement)

    def rows(self, sql: str) -> list[sqlite3.Row]:
        """The answer to a query without parameters."""
        if not self._still:
            self._refresh()
        self._asked.add(sql)
        if sql in self._stale or sql not in self._read:
            self._ask(sql)
        return self._read[sql].rows

    def _ask(self, sql: str) -> None:
        cursor = self._db.execute(sql)
        found, before = cursor.fetchall(), self._read.get(sql)
        self._stale.discard(sql)
        if before is None or before.found != found:
            rows = [sqlite3.Row(cursor, values) for values in found]
            self._read[sql] = _Answer(found, rows, touched(self._db, sql).read)
            if before is not None:
                self._renewed.add(sql)

    def renewed(self, queries: Collection[str]) -> set[str]:
        """Queries, these and perhaps others, whose answer has become another since this was asked
        last."""
        for sql in [sql for sql in self._stale if sql in queries]:
            self._ask(sql)
        renewed, self._renewed = self._renewed, set()
        return renewed

    @contextlib.contextmanager
    def still(self) -> Iterator[None]:
        """Nobody commits meanwhile: it is looked for once, not at each query."""
        self._refresh()
        before, self._still = self._still, True
        try:
            yield
        finally:
            self._still = before

    @contextlib.contextmanager
    def noting(self) -> Iterator[set[str]]:
        """The queries that are asked meanwhile."""
        before, self._asked = self._asked, set()
        try:
            yield self._asked
        finally:
            self._asked = before

    def table(self, name: str) -> list[sqlite3.Row]:
        return self.rows(f'SELECT * FROM "{name}"')

    def tables(self) -> list[str]:
        named = self.rows("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        return [row["name"] for row in named]

    def _refresh(self) -> None:
        version = self.version()
        if version != self._version:
            self._version = version
            self.changes += 1
            written = [touched(self._db, statement).written for statement in self._statements]
            changed = frozenset().union(*written)
            for sql, answer in self._read.items():
                if not changed or EVERYTHING in changed | answer.of or changed & answer.of:
                    self._stale.add(sql)
        self._statements.clear()

    def close(self) -> None:
        self._db.close()


@dataclass(frozen=True)
class _Answer:
    """found: as tuples. of: which tables."""

    found: list[tuple]
    rows: list[sqlite3.Row]
    of: frozenset[str]


EVERYTHING = "sqlite_master"  # whoever looks at or changes the schema


@dataclass(frozen=True)
class Touched:
    """The tables that a statement reads, and those that it may change."""

    read: frozenset[str]
    written: frozenset[str]


_WRITES = (sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE)
_touched: dict[str, Touched] = {}  # the schema is the same in all simulated clouds


def touched(db: sqlite3.Connection, statement: str) -> Touched:
    """As SQLite itself says while it compiles a statement: behind views, and with what goes by
    itself when what it refers to is deleted."""
    if statement not in _touched:
        read, written = set(), set()

        def told(action: int, name: str | None, *_) -> int:
            if action == sqlite3.SQLITE_READ:
                read.add(name)
            elif action in _WRITES:
                written.add(name)
            elif action == sqlite3.SQLITE_PRAGMA:
                read.add(EVERYTHING)
            return sqlite3.SQLITE_OK

        db.set_authorizer(told)
        try:
            db.execute(f"EXPLAIN {statement}", [None] * statement.count("?"))
        finally:
            db.set_authorizer(None)
        _touched[statement] = Touched(frozenset(read), frozenset(written))
    return _touched[statement]
