"""How a migration gives tables a new shape: they are made anew and filled from the old ones.

    with rebuilt(tx, script(__file__)) as old:
        old.copy("host", {"position": "generation + 1"})

SQLite changes little of a table in place, and a table made anew is word for word the one that
``schema.py`` makes, which the tests compare.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from peewee import SQL, Select

from controller.kernel.database import Transaction

_MAKES = re.compile(r'CREATE TABLE "(\w+)"')


def script(module_file: str) -> list[str]:
    """The statements of the .sql file beside a migration: the tables and indexes that it makes.
    ``python -m controller.tables.migrations.ddl TABLE…`` prints them as schema.py has them."""
    text = Path(module_file).with_suffix(".sql").read_text()
    return [statement.strip() for statement in text.split(";\n") if statement.strip()]


class Old:
    """The tables as they were, named ``old_<table>`` until the new ones are filled."""

    def __init__(self, tx: Transaction):
        self._tx = tx

    def copy(self, table: str, values: Mapping[str, str] = MappingProxyType({})) -> None:
        """Fills a table from its old one. values: column -> SQL over ``old``, the old row; every
        other column has its old value. Raises KeyError for one that is neither."""
        before, chosen = set(_columns(self._tx, f"old_{table}")), {}
        for name in _columns(self._tx, table):
            if name not in values and name not in before:
                raise KeyError(f"{table}.{name} is new: say what it is")
            chosen[name] = values.get(name, f'old."{name}"')
        if unknown := set(values) - set(chosen):
            raise KeyError(f"{table} has no column {unknown}")
        self.fill(table, chosen, f'"old_{table}" AS old')

    def fill(self, table: str, values: Mapping[str, str], source: str) -> None:
        """Adds a row to a table for each of the source: the rest of a SELECT, behind FROM."""
        names = ", ".join(f'"{name}"' for name in values)
        self._tx.define(
            f'INSERT INTO "{table}" ({names}) SELECT {", ".join(values.values())} FROM {source}'
        )


@contextmanager
def rebuilt(tx: Transaction, statements: Sequence[str], gone: Sequence[str] = ()) -> Iterator[Old]:
    """Sets aside the tables that the statements make anew, and those ``gone``; makes the new ones;
    drops what was set aside once the caller has filled them."""
    made = [match[1] for match in map(_MAKES.match, statements) if match]
    there = set(_names(tx, "table"))
    aside = [name for name in (*made, *gone) if name in there]
    for table in aside:
        for index in _names(tx, "index", table):
            tx.define(f'DROP INDEX "{index}"')
        tx.define(f'ALTER TABLE "{table}" RENAME TO "old_{table}"')
    for statement in statements:
        tx.define(statement)
    yield Old(tx)
    for table in aside:
        tx.define(f'DROP TABLE "old_{table}"')


def _names(tx: Transaction, kind: str, table: str | None = None) -> list[str]:
    master = SQL("sqlite_master")
    query = Select([master], [SQL("name")]).where(SQL("type = ? AND sql IS NOT NULL", (kind,)))
    if table is not None:
        query = query.where(SQL("tbl_name = ?", (table,)))
    return tx.column(query, str)


def _columns(tx: Transaction, table: str) -> list[str]:
    source = SQL("pragma_table_info(?)", (table,))
    return tx.column(Select([source], [SQL("name")]), str)
