"""Numbered migrations: ``migrate(db, now_ms)`` brings a database of any earlier number to the
newest.

Each is a module ``mNNNN_title`` with ``apply(tx)``, listed below in order, and beside it the tables
that it makes as SQL: frozen, whatever becomes of ``schema.py``. One transaction each, so a power
failure leaves the last whole one; references are checked at its end. A database newer than this
code is refused: it was made by a newer release. How to add: change ``schema.py``; print the new
tables (``migrations/ddl.py``) into the .sql file; write the module that fills them from the old
ones (``migrations/rebuild.py``); add it to the list. ``tests/unit/controller/test_migrations.py``
checks that the migrations end where ``schema.py`` is and lose nothing on the way.
"""

from collections.abc import Callable

from peewee import SQL, Select

from controller.kernel.call import system_call
from controller.kernel.database import Database, Session, Transaction
from controller.tables.migrations import (
    m0001_first,
    m0002_hypervisor_away,
    m0003_assignments,
    m0004_principals,
)

MIGRATIONS: tuple[tuple[int, Callable[[Transaction], None]], ...] = (
    (1, m0001_first.apply),
    (2, m0002_hypervisor_away.apply),
    (3, m0003_assignments.apply),
    (4, m0004_principals.apply),
)
NEWEST = MIGRATIONS[-1][0]


class NewerDatabase(Exception):
    """The database was made by a newer release than this one."""


def migrate(db: Database, now_ms: int) -> list[int]:
    """Applies what is missing; answers the numbers applied. Raises NewerDatabase."""
    call = system_call(now_ms)
    with db.write(call) as tx:
        tx.define(
            "CREATE TABLE IF NOT EXISTS schema_migration"
            " (number INTEGER NOT NULL PRIMARY KEY, applied_ms BIGINT NOT NULL)"
        )
    applied = []
    for number, apply in MIGRATIONS:
        with db.rebuild(call) as tx:
            if number <= version(tx):
                continue
            apply(tx)
            tx.define(f"INSERT INTO schema_migration VALUES ({number}, {int(now_ms)})")
            applied.append(number)
    with db.read() as session:
        if (found := version(session)) > NEWEST:
            raise NewerDatabase(f"the database is at {found}, this release knows {NEWEST}")
    return applied


def version(session: Session) -> int:
    """The number of the newest migration applied, 0 for none."""
    return session.value(Select([SQL("schema_migration")], [SQL("MAX(number)")]), int) or 0
