"""Queries of a fixed shape, compiled once: for the statements of every launch, report and page.

Building and compiling a query takes the ORM ten times as long as SQLite takes to answer it. A
prepared query is built once with stand-ins for its values and run with the values:

    _own = prepared(lambda account_id: Vpc.select().where(Vpc.account_id == account_id))
    session.rows(_own(account_id="123456789012"))

    _named = prepared(lambda ids: Vpc.select().where(among(Vpc.vpc_id, ids)))   any number of ids
    tx.advance_by(_taken(…))                                                      updates: rows
    changed

Values go to the database as they are: no field converts them.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from peewee import ColumnBase, Context, Database, Query

from controller.kernel.statements import compiled
from controller.kernel.table import Clause


class Given(ColumnBase):
    """Stands for a value while a query is built."""

    def __init__(self, name: str):
        self.name = name

    def __sql__(self, ctx: Context) -> Context:
        _values(ctx).append(self)
        return ctx.literal(ctx.state.param or "?")


class Among(ColumnBase):
    """``field IN (…)`` for a list of any length; nothing is in an empty one."""

    def __init__(self, field: Clause, values: Sequence[object] | Given):
        self.field, self.values = field, values

    def __sql__(self, ctx: Context) -> Context:
        mark = ctx.state.param or "?"
        ctx.sql(self.field)  # type: ignore[no-untyped-call]  # its stub says nothing
        if isinstance(self.values, Given):
            _values(ctx).append(self)
            return ctx.literal(f" IN ({_token(self.values.name)})")
        _values(ctx).extend(self.values)
        return ctx.literal(f" IN ({_marks(mark, len(self.values))})")

    def clone(self) -> "Among":
        return self


def among(field: Clause, values: Sequence[object] | Given) -> Among:
    """As ``field.in_(values)``, compiled in no time however long the list."""
    return Among(field, values if isinstance(values, Given) else list(values))


@dataclass(frozen=True)
class Bound:
    """A prepared query with its values: what a session runs."""

    prepared: "prepared"
    values: Mapping[str, Any]

    def compile(self, backend: Database) -> tuple[str, list[object]]:
        sql, slots, lists = self.prepared.compiled(backend)
        parameters: list[object] = []
        for slot in slots:
            if isinstance(slot, Given):
                parameters.append(self.values[slot.name])
            elif isinstance(slot, Among) and isinstance(slot.values, Given):
                parameters.extend(self.values[slot.values.name])
            else:
                parameters.append(slot)
        for name in lists:
            marks = _marks(backend.param, len(self.values[name]))
            sql = sql.replace(_token(name), marks)
        return sql, parameters


class prepared:
    """``build(**stand_ins)`` → query; called with the values it is a ``Bound``. ``names``: those of
    the values, where ``build`` takes any."""

    def __init__(self, build: Callable[..., Query], names: Sequence[str] = ()):
        self._build = build
        self._names = tuple(names) or tuple(inspect.signature(build).parameters)
        self._compiled: dict[str, tuple[str, list[object], list[str]]] = {}

    def __call__(self, **values: object) -> Bound:
        if values.keys() != set(self._names):
            raise TypeError(f"expected the values {self._names}, got {tuple(values)}")
        return Bound(self, values)

    def compiled(self, backend: Database) -> tuple[str, list[object], list[str]]:
        """SQL, what stands for its parameters, and the names of lists among them."""
        found = self._compiled.get(backend.param)
        if found is None:
            query = self._build(**{name: Given(name) for name in self._names})
            sql, slots = compiled(backend, query)
            among = [slot.values for slot in slots if isinstance(slot, Among)]
            lists = [values.name for values in among if isinstance(values, Given)]
            found = self._compiled[backend.param] = sql, slots, lists
        return found


def _values(ctx: Context) -> list[object]:
    values: list[object] = ctx._values  # type: ignore[attr-defined]  # its stub has not that
    return values


def _token(name: str) -> str:
    return f"\0{name}\0"


def _marks(mark: str, count: int) -> str:
    return ", ".join([mark] * count) if count else "NULL"
