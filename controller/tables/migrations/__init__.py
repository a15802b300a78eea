"""Numbered migrations: ``migrate(db, now_ms)`` brings a database of any earlier number to the
newest.

Each is a file ``mNNNN_title.sql`` with the tables that it makes: frozen, whatever becomes of the
tables' files. Where that is not all, a module of the same name has ``apply(tx)``, which fills them
from the old ones (``migrations/rebuild.py``). One transaction each, so a power failure leaves the
last whole one; references are checked at its end. A database newer than this code is refused: it
was made by a newer release. How to add: change the tables; print the new ones
(``migrations/ddl.py``), or statements that rename a column, into the .sql file.
``tests/unit/controller/test_migrations.py`` checks that the migrations end where ``schema.py`` is
and lose nothing on the way.
"""

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from importlib import import_module
from pathlib import Path

from peewee import SQL, Select

from controller.kernel.call import ITSELF, system_call
from controller.kernel.database import Database, Session, Transaction
from controller.tables.migrations.rebuild import script


def _found() -> Iterator[tuple[int, Callable[[Transaction], None]]]:
    """The migrations of this folder, in order."""
    folder = Path(__file__).parent
    for title in sorted({path.stem for path in folder.glob("m[0-9][0-9][0-9][0-9]_*.*")}):
        if (folder / f"{title}.py").exists():
            apply = import_module(f"{__name__}.{title}").apply
        else:
            apply = partial(_run, script(str(folder / title)))
        yield int(title[1:5]), apply


def _run(statements: Iterable[str], tx: Transaction) -> None:
    for statement in statements:
        tx.define(statement)


MIGRATIONS: tuple[tuple[int, Callable[[Transaction], None]], ...] = tuple(_found())
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
    with db.read(ITSELF) as session:
        if (found := version(session)) > NEWEST:
            raise NewerDatabase(f"the database is at {found}, this release knows {NEWEST}")
    return applied


def version(session: Session) -> int:
    """The number of the newest migration applied, 0 for none."""
    return session.value(Select([SQL("schema_migration")], [SQL("MAX(number)")]), int) or 0
