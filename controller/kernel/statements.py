"""The SQL of inserting and updating many rows in one statement. Pure; kept once made.

Called by ``kernel/database`` alone. The same words on SQLite and PostgreSQL.
"""

from functools import lru_cache

from controller.kernel.table import Table


@lru_cache(maxsize=256)
def columns_of(model: type[Table]) -> tuple[frozenset[str], tuple[tuple[str, object], ...]]:
    """Names of all columns, and each with its default (None where it has none: the schema refuses
    that)."""
    fields = model._meta.sorted_fields
    return frozenset(field.column_name for field in fields), tuple(
        (field.column_name, field.default) for field in fields
    )


@lru_cache(maxsize=2048)
def insert_sql(model: type[Table], count: int, mark: str, on_conflict, update) -> str:
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
def update_many_sql(
    model: type[Table], keys, names, count: int, mark: str, guard: str, sets, returning
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
