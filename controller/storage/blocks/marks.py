"""Which files of the store were read and found whole, and have not been written since.

    marks.of(digests) -> {digest: as it was then}      marks.note({digest: as it is now})
    marks.place() / marks.set_place(…)                 how far the scrub is

A mark says of a file what its inode did when its content was last known: inode, length, and the
times of its last write and of its last change. A file that says the same has not been written by
anybody since. What a medium loses by itself it does not say: that is the scrub's to find.

A cache, in a SQLite file of its own beside the blocks. It is never the truth: without it every file
is read again before it is believed. One that cannot be read is made anew. Called by
storage/blocks/store; any number of threads and processes may use one at once.
"""

import logging
import os
import sqlite3
import threading
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import NamedTuple, TypeVar

log = logging.getLogger(__name__)
T = TypeVar("T")

BUSY_S = 10.0
ASK_MOST = 500  # names in one statement
_TABLES = """
CREATE TABLE IF NOT EXISTS mark (name TEXT PRIMARY KEY, file TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS scrub (one INTEGER PRIMARY KEY, began_s REAL NOT NULL,
                                  place TEXT NOT NULL);
"""


class Place(NamedTuple):
    """``began_s``: when this round of the scrub began; ``at``: what it looked at last, '' where
    the round is over."""

    began_s: float = 0.0
    at: str = ""


def state_of(status: os.stat_result) -> str:
    """What changes when a file is written, moved over, or made anew."""
    parts = (status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return ":".join(map(str, parts))


class Marks:
    """See the module's head."""

    def __init__(self, path: Path):
        self._path, self._lock = path, threading.Lock()
        try:
            self._db = _opened(path)
        except sqlite3.OperationalError:
            raise  # locked, or no place for it: not for want of a whole file
        except sqlite3.DatabaseError as broken:
            log.error("%s is made anew, and all blocks are read again: %s", path, broken)
            for name in ("", "-wal", "-shm"):
                path.with_name(path.name + name).unlink(missing_ok=True)
            self._db = _opened(path)

    def of(self, names: Collection[str]) -> dict[str, str]:
        """Those that have a mark, with it."""
        wanted = list(names)
        parts = [wanted[start : start + ASK_MOST] for start in range(0, len(wanted), ASK_MOST)]

        def ask(db: sqlite3.Connection) -> dict[str, str]:
            found: dict[str, str] = {}
            for part in parts:
                marks = ", ".join("?" * len(part))
                found.update(
                    db.execute(f"SELECT name, file FROM mark WHERE name IN ({marks})", part)
                )
            return found

        return self._run(ask, {})

    def note(self, files: Mapping[str, str]) -> None:
        rows = list(files.items())
        put = "INSERT OR REPLACE INTO mark VALUES (?, ?)"
        if rows:
            self._run(lambda db: db.executemany(put, rows), None)

    def drop(self, name: str) -> None:
        self._run(lambda db: db.execute("DELETE FROM mark WHERE name = ?", (name,)), None)

    def place(self) -> Place:
        query = "SELECT began_s, place FROM scrub"
        found = self._run(lambda db: db.execute(query).fetchone(), None)
        return Place(*found) if found else Place()

    def set_place(self, place: Place) -> None:
        put = "INSERT OR REPLACE INTO scrub VALUES (1, ?, ?)"
        self._run(lambda db: db.execute(put, place), None)

    def close(self) -> None:
        self._db.close()

    def _run(self, act: Callable[[sqlite3.Connection], T], otherwise: T) -> T:
        """A cache that fails is said, and nothing is believed of it."""
        try:
            with self._lock, self._db:
                return act(self._db)
        except sqlite3.Error as failure:
            log.error("%s: %s; blocks are read again", self._path, failure)
            return otherwise


def _opened(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(path, timeout=BUSY_S, check_same_thread=False)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")  # a power failure may cost the newest marks
    db.executescript(_TABLES)
    return db
