"""The database in one SQLite file: how it is opened, and a statement ended that takes too long."""

import sqlite3
from pathlib import Path
from typing import Any

import peewee

from controller.kernel.database import Database
from controller.kernel.deadline import LIMIT_S, Deadline
from protos.private_files import keep_database

# Of SQLite's virtual machine, between two looks at the clock: some ten milliseconds. A look needs
# Python's lock, so an ordinary statement, which takes fewer, never has one.
STEPS = 50_000


def open_sqlite(
    path: Path | str,
    *,
    lock_timeout_s: float = 10.0,
    statement_limit_s: float = LIMIT_S,
    synchronous: str = "full",
    **seams: Any,
) -> Database:
    """A database in one file (made where there is none, and its owner's alone), or ":memory:" for
    one thread's tests.

    WAL, so that readers never wait; synchronous "full", so that what was answered survives a power
    failure ("off" is for tests, whose databases die with them).
    """
    pragmas = (
        ("journal_mode", "wal"),
        ("synchronous", synchronous),
        ("foreign_keys", 1),
        ("case_sensitive_like", 1),  # as PostgreSQL's LIKE is
        ("busy_timeout", int(lock_timeout_s * 1000)),
        ("cache_size", -65536),
        ("temp_store", "memory"),
    )
    if str(path) != ":memory:":
        keep_database(Path(path))
    deadline = Deadline(statement_limit_s)
    backend = _Interruptible(deadline, str(path), pragmas, lock_timeout_s)
    return Database(backend, lock_timeout_s=lock_timeout_s, deadline=deadline, **seams)


class _Interruptible(peewee.SqliteDatabase):
    """Each connection, which is a thread's, looks whether that thread's time is up."""

    def __init__(self, deadline: Deadline, path: str, pragmas: object, timeout_s: float):
        self._deadline = deadline
        super().__init__(path, pragmas=pragmas, timeout=timeout_s, check_same_thread=False)

    def _connect(self) -> sqlite3.Connection:
        connection: sqlite3.Connection = super()._connect()  # type: ignore[misc]  # its stubs lack it
        connection.set_progress_handler(self._deadline.passed, STEPS)
        return connection
