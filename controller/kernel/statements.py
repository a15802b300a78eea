"""The statements that a session writes itself, and how one is executed: the edge to peewee.

Called by kernel/database and kernel/prepared.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Protocol

import peewee

from controller.kernel.table import Table

# What a driver raises, as peewee's: a statement may fail while its rows are fetched, too.
_AS_PEEWEES: Any = vars(peewee)["__exception_wrapper__"]


class Cursor(Protocol):
    """What a database's driver answers (PEP 249)."""

    @property
    def description(self) -> Sequence[Sequence[Any]]: ...
    @property
    def rowcount(self) -> int: ...
    def fetchall(self) -> list[tuple[Any, ...]]: ...
    def fetchone(self) -> tuple[Any, ...] | None: ...


def compiled(backend: peewee.Database, query: peewee.Node) -> tuple[str, list[Any]]:
    """A query as SQL, with what stands for its parameters."""
    context: Any = backend.get_sql_context()  # its stubs differ with what else is installed
    sql, parameters = context.sql(query).query()
    return sql, parameters


def execute(backend: peewee.Database, sql: str, parameters: Sequence[object] = ()) -> Cursor:
    cursor: Cursor = backend.execute_sql(sql, parameters)  # type: ignore[no-untyped-call]
    return cursor


def fetch_all(cursor: Cursor) -> list[tuple[Any, ...]]:
    with _AS_PEEWEES:
        return cursor.fetchall()


def fetch_one(cursor: Cursor) -> tuple[Any, ...] | None:
    with _AS_PEEWEES:
        return cursor.fetchone()


def update(
    model: type[Table], changes: Mapping[str, object], where: Sequence[peewee.Node]
) -> peewee.Update:
    if not where:
        raise ValueError("an update without a guard")
    fields = model._meta.fields
    return model.update({fields[name]: value for name, value in changes.items()}).where(*where)


@lru_cache(maxsize=256)
def columns_of(model: type[Table]) -> tuple[frozenset[str], tuple[tuple[str, object], ...]]:
    """Names of all columns, and each with its default (None where it has none: the schema refuses
    that)."""
    fields = model._meta.sorted_fields
    return frozenset(field.column_name for field in fields), tuple(
        (field.column_name, field.default) for field in fields
    )


@lru_cache(maxsize=2048)
def insert(
    model: type[Table],
    count: int,
    mark: str,
    on_conflict: tuple[str, ...],
    update: tuple[str, ...],
) -> str:
    names = [name for name, _ in columns_of(model)[1]]
    row = f"({', '.join([mark] * len(names))})"
    sql = f'INSERT INTO "{model._meta.table_name}" ({", ".join(map(_quoted, names))}) VALUES '
    sql += ", ".join([row] * count)
    if on_conflict:
        sql += f" ON CONFLICT ({', '.join(map(_quoted, on_conflict))}) DO "
        sets = ", ".join(f"{_quoted(name)} = excluded.{_quoted(name)}" for name in update)
        sql += f"UPDATE SET {sets}" if update else "NOTHING"
    return sql


@lru_cache(maxsize=2048)
def update_many(
    model: type[Table],
    keys: tuple[str, ...],
    names: tuple[str, ...],
    count: int,
    mark: str,
    guard: str,
    sets: tuple[tuple[str, str], ...],
    returning: tuple[str, ...],
) -> str:
    table, own = _quoted(model._meta.table_name), dict(sets)
    guard = guard.replace("old.", f"{table}.")
    row = f"({', '.join([mark] * len(names))})"
    changes = [
        f"{_quoted(name)} = {own.get(name, f'new.{_quoted(name)}').replace('old.', f'{table}.')}"
        for name in dict.fromkeys((*names, *own))
        if name not in keys
    ]
    matches = [f"{table}.{_quoted(name)} = new.{_quoted(name)}" for name in keys]
    return (
        f"WITH new ({', '.join(map(_quoted, names))}) AS (VALUES {', '.join([row] * count)})"
        f" UPDATE {table} SET {', '.join(changes)} FROM new"
        f" WHERE {' AND '.join(matches)} AND ({guard})"
        f" RETURNING {', '.join(f'{table}.{_quoted(name)}' for name in returning)}"
    )


def _quoted(name: str) -> str:
    return f'"{name}"'
