"""The controller's database as an auditor reads it: plain SQL over a connection of its own.

The invariants recompute from these rows what the rooms keep in columns; they share no code with
the rooms, so that a mistake there is not repeated here.
"""

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

# Devices beside their attachments, and stays on hosts beside their assignments.
_VIEWS = """
CREATE TEMP VIEW held_volume AS SELECT v.*, a.instance_id, a.device_name, a.detaching, a.failed,
    a.delete_on_termination, s.observed
  FROM volume v LEFT JOIN attachment a ON a.device_id = v.volume_id
  LEFT JOIN assignment s ON s.kind = 'volume' AND s.resource_id = v.volume_id;
CREATE TEMP VIEW held_interface AS SELECT n.*, a.instance_id, a.detaching, a.failed, a.attachment_id
  FROM network_interface n LEFT JOIN attachment a ON a.device_id = n.network_interface_id;
CREATE TEMP VIEW stay AS SELECT p.*, s.observed, s.observed_revision, s.epoch, s.sequence
  FROM placement p LEFT JOIN assignment s
  ON s.kind = 'instance' AND s.resource_id = p.instance_id AND s.host_id = p.host_id;
"""


class Records:
    """Rows as sqlite3.Row. What was read is kept until somebody commits."""

    def __init__(self, path: Path):
        self._db = sqlite3.connect(path, isolation_level=None)
        self._db.row_factory = sqlite3.Row
        self._db.executescript(_VIEWS)
        self._read: dict[str, list[sqlite3.Row]] = {}
        self._version, self._still = self.version(), False

    def version(self) -> int:
        """Changes with every commit that changed anything, and with nothing else."""
        return self._db.execute("PRAGMA data_version").fetchone()[0]

    def rows(self, sql: str) -> list[sqlite3.Row]:
        """The answer to a query without parameters; asked again only after a commit."""
        if not self._still:
            self._refresh()
        if sql not in self._read:
            self._read[sql] = self._db.execute(sql).fetchall()
        return self._read[sql]

    @contextlib.contextmanager
    def still(self) -> Iterator[None]:
        """Nobody commits meanwhile: it is looked for once, not at each query."""
        self._refresh()
        self._still = True
        try:
            yield
        finally:
            self._still = False

    def table(self, name: str) -> list[sqlite3.Row]:
        return self.rows(f'SELECT * FROM "{name}"')

    def tables(self) -> list[str]:
        named = self.rows("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
        return [row["name"] for row in named]

    def _refresh(self) -> None:
        if (version := self.version()) != self._version:
            self._read.clear()
            self._version = version

    def close(self) -> None:
        self._db.close()
