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

from peewee import Database, Node, Query


class Given(Node):
    """Stands for a value while a query is built."""

    def __init__(self, name: str):
        self.name = name

    def __sql__(self, ctx):
        ctx._values.append(self)
        return ctx.literal(ctx.state.param or "?")


class Among(Node):
    """``field IN (…)`` for a list of any length; nothing is in an empty one."""

    def __init__(self, field: Node, values: Sequence | Given):
        self.field, self.values = field, values

    def __sql__(self, ctx):
        mark = ctx.state.param or "?"
        ctx.sql(self.field)
        if isinstance(self.values, Given):
            ctx._values.append(self)
            return ctx.literal(f" IN ({_token(self.values.name)})")
        ctx._values.extend(self.values)
        return ctx.literal(f" IN ({_marks(mark, len(self.values))})")

    def clone(self) -> "Among":
        return self


def among(field: Node, values: Sequence | Given) -> Among:
    """As ``field.in_(values)``, compiled in no time however long the list."""
    return Among(field, values if isinstance(values, Given) else list(values))


@dataclass(frozen=True)
class Bound:
    """A prepared query with its values: what a session runs."""

    prepared: "prepared"
    values: Mapping[str, object]

    def compile(self, backend: Database) -> tuple[str, list]:
        sql, slots, lists = self.prepared.compiled(backend)
        parameters: list = []
        for slot in slots:
            if isinstance(slot, Given):
                parameters.append(self.values[slot.name])
            elif isinstance(slot, Among):
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
        self._compiled: dict[str, tuple[str, list, list[str]]] = {}

    def __call__(self, **values) -> Bound:
        if values.keys() != set(self._names):
            raise TypeError(f"expected the values {self._names}, got {tuple(values)}")
        return Bound(self, values)

    def compiled(self, backend: Database) -> tuple[str, list, list[str]]:
        """SQL, what stands for its parameters, and the names of lists among them."""
        found = self._compiled.get(backend.param)
        if found is None:
            query = self._build(**{name: Given(name) for name in self._names})
            sql, slots = backend.get_sql_context().sql(query).query()
            lists = [slot.values.name for slot in slots if isinstance(slot, Among)]
            found = self._compiled[backend.param] = sql, slots, lists
        return found


def _token(name: str) -> str:
    return f"\0{name}\0"


def _marks(mark: str, count: int) -> str:
    return ", ".join([mark] * count) if count else "NULL"
