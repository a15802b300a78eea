"""Sessions: how queries of ``tables/schema`` run. The only way to the database.

    with db.read(call) as session:          a snapshot: all reads in it see one moment
        row = session.one(query, VpcRow)    a row (kernel/rows), or None
        rows = session.rows(query, VpcRow)  a list of them
    with db.write(call) as tx:              one transaction; what is raised inside undoes all of it
        tx.insert(Image, [{"image_id": …}])     columns not named get the schema's defaults
        tx.advance(Image, {"status": "active"}, Image.image_id == wanted, Image.status == "saving")
        tx.after_commit(kick)               runs once the transaction is durable

Promises. A write that was answered survives a power failure (docs/decisions/0401). ``call.dry_run``
runs everything and rolls back at the end. One writer at a time in a process; a race lost against
another process raises ``Conflict``, which the middleware runs again. Every wait is bounded, and so
is every statement for an account (kernel/deadline). Queries are handed in unbound; SQL is what both
SQLite and PostgreSQL understand.
"""

import logging
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, TypeVar, overload

import peewee

from controller.kernel import statements
from controller.kernel.call import ITSELF, Call
from controller.kernel.deadline import Deadline
from controller.kernel.prepared import Bound
from controller.kernel.rows import Row, columns, maker
from controller.kernel.statements import Cursor, compiled, execute, fetch_all, fetch_one
from controller.kernel.table import Table
from protos.errors import CloudError, Kind

log = logging.getLogger(__name__)

T = TypeVar("T")
Query = peewee.Query | Bound
MAX_VARIABLES = 30_000  # of one statement: SQLite takes 32,766, PostgreSQL 65,535


class Conflict(CloudError):
    """Somebody else was first. Running the whole transaction again decides anew.

    ``integrity``: a unique index or a foreign key refused, which the next run should see and
    explain.
    """

    def __init__(self, because: object, *, integrity: bool = False):
        super().__init__(
            Kind.UNAVAILABLE, "The service is busy. Try again.", reason="busy", because=because
        )
        self.integrity = integrity


class Session:
    """Runs queries inside one transaction of one connection."""

    def __init__(
        self,
        backend: peewee.Database,
        on_statement: Callable[[str], None] | None,
        call: Call,
        deadline: Deadline,
    ):
        self._backend, self._on_statement = backend, on_statement
        self.call, self._deadline = call, deadline

    def authorize(
        self,
        noun: str,
        identifiers: Sequence[str],
        *,
        action: str = "",
        context: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        """Asks whether the caller may do what this call does to resources that have been read.

        noun: EC2's resource type; one that the rpc's permission does not name is not asked about.
        identifiers: of those that are there ("*": new ones). action: another than the rpc's own
        that is needed as well, "ec2:CreateTags". context: condition keys that the request does not
        tell. Raises DENIED.
        """
        self.call.ask(self, noun, identifiers, action, context)

    @overload
    def rows(self, query: Query, row: type[Row]) -> list[Row]: ...
    @overload
    def rows(self, query: Query) -> list[Any]: ...
    def rows(self, query: Query, row: type[Any] | None = None) -> list[Any]:
        """All rows, each a ``row``; without one (tests) a namedtuple of the columns."""
        cursor, found = self._all(query)
        return list(map(maker(cursor, row), found))

    @overload
    def one(self, query: Query, row: type[Row]) -> Row | None: ...
    @overload
    def one(self, query: Query) -> Any: ...
    def one(self, query: Query, row: type[Any] | None = None) -> Any:
        """The first row, or None."""
        cursor, found = self._first(query)
        return None if found is None else maker(cursor, row)(found)

    def tuples(self, query: Query) -> list[tuple[Any, ...]]:
        """All rows as plain tuples: for the widest pages."""
        return self._all(query)[1]

    @overload
    def value(self, query: Query, kind: type[T]) -> T | None: ...
    @overload
    def value(self, query: Query) -> Any: ...
    def value(self, query: Query, kind: type[Any] = object) -> Any:
        """The first column, which holds a ``kind``, of the first row; None where there is none."""
        _, found = self._first(query)
        return None if found is None else found[0]

    def column(self, query: Query, kind: type[T]) -> list[T]:
        """The first column, which holds a ``kind``, of all rows."""
        return [found[0] for found in self._all(query)[1]]

    def exists(self, query: Query) -> bool:
        """Whether the query has a row."""
        return self._first(query)[1] is not None

    def _all(self, query: Query) -> tuple[Cursor, list[tuple[Any, ...]]]:
        return self._run(fetch_all, *self._compiled(query))

    def _first(self, query: Query) -> tuple[Cursor, tuple[Any, ...] | None]:
        return self._run(fetch_one, *self._compiled(query))

    def _changed(self, query: Query) -> int:
        return self._execute(*self._compiled(query)).rowcount

    def _compiled(self, query: Query) -> tuple[str, Sequence[object]]:
        if isinstance(query, Bound):
            return query.compile(self._backend)
        return compiled(self._backend, query)

    def _execute(self, sql: str, parameters: Sequence[object] = ()) -> Cursor:
        return self._run(lambda cursor: None, sql, parameters)[0]

    def _run(
        self, fetch: Callable[[Cursor], T], sql: str, parameters: Sequence[object]
    ) -> tuple[Cursor, T]:
        """The statement, to what is wanted of it: while it is fetched it runs on."""
        if self._on_statement is not None:
            self._on_statement(sql)
        try:
            with self._deadline.of(self.call):
                cursor = execute(self._backend, sql, parameters)
                return cursor, fetch(cursor)
        except peewee.IntegrityError as refusal:
            raise Conflict(refusal, integrity=True) from refusal
        except peewee.OperationalError as failure:
            raise _translated(failure) from failure


class Transaction(Session):
    """A session that may write. Made by ``Database.write``."""

    def __init__(
        self,
        backend: peewee.Database,
        on_statement: Callable[[str], None] | None,
        call: Call,
        deadline: Deadline,
    ):
        super().__init__(backend, on_statement, call, deadline)
        self._after_commit: list[Callable[[], None]] = []

    def insert(
        self,
        model: type[Table],
        rows: Iterable[Mapping[str, object]],
        *,
        on_conflict: Sequence[str] = (),
        update: Sequence[str] = (),
    ) -> int:
        """Adds rows in one statement, however many; answers how many were added or updated.

        on_conflict: the columns of a unique index; a row that it refuses is skipped, or, where
        ``update`` names columns, those columns of the row that is there take the new values.
        """
        names, defaults = statements.columns_of(model)
        rows = list(rows)
        values = [[row.get(name, default) for name, default in defaults] for row in rows]
        for row in rows:
            if not names.issuperset(row):
                raise KeyError(f"{model.__name__} has no column {set(row) - names}")
        done, at_once = 0, max(1, MAX_VARIABLES // len(defaults))
        for start in range(0, len(values), at_once):
            part = values[start : start + at_once]
            sql = statements.insert(
                model, len(part), self._backend.param, tuple(on_conflict), tuple(update)
            )
            done += self._execute(sql, [value for row in part for value in row]).rowcount
        return done

    def advance(
        self, model: type[Table], changes: Mapping[str, object], *where: peewee.Node
    ) -> int:
        """Guarded update: changes the rows for which ``where`` still holds and answers how many
        that were (so: whether).

        changes: column name -> value or expression over the model's fields.
        """
        return self._changed(statements.update(model, changes, where))

    def advance_by(self, query: Bound) -> int:
        """``advance`` by a prepared update."""
        return self._changed(query)

    def advance_returning(
        self,
        model: type[Table],
        changes: Mapping[str, object],
        *where: peewee.Node,
        returning: type[Row],
    ) -> list[Row]:
        """``advance``, answering the fields that ``returning`` names of the changed rows, as they
        are afterwards."""
        query = statements.update(model, changes, where)
        return self.rows(query.returning(*columns(returning, model)), returning)

    def advance_many(
        self,
        model: type[Table],
        keys: Sequence[str],
        rows: Sequence[Mapping[str, object]],
        *,
        guard: str = "TRUE",
        sets: Mapping[str, str] | None = None,
        returning: type[Row],
    ) -> list[Row]:
        """``advance`` of many rows to values of their own, in one statement: each row of the table
        whose ``keys`` are those of one of ``rows``, and for which the guard holds. Answers the
        columns of the changed ones that ``returning`` names, as they are afterwards.

        rows: column name -> value, all with the same names. In ``guard`` and ``sets`` (column ->
        its new value as SQL; else what the row says), ``old.x`` is a column as it is, ``new.x``
        what the row says.
        """
        changed: list[Row] = []
        at_once = max(1, MAX_VARIABLES // max(1, len(rows[0]))) if rows else 1
        for start in range(0, len(rows), at_once):
            part = rows[start : start + at_once]
            names, own = tuple(part[0]), tuple((sets or {}).items())
            shape = (tuple(keys), names, len(part), self._backend.param, guard, own)
            sql = statements.update_many(model, *shape, returning._fields)
            values = [row[name] for row in part for name in names]
            cursor, found = self._run(fetch_all, sql, values)
            changed += map(maker(cursor, returning), found)
        return changed

    def delete(self, model: type[Table], *where: peewee.Node) -> int:
        """Removes the rows for which ``where`` holds; answers how many."""
        query = model.delete()
        return self._changed(query.where(*where) if where else query)

    def after_commit(self, act: Callable[[], None]) -> None:
        """Runs ``act`` once the transaction is durable; never after a rollback or a dry run."""
        self._after_commit.append(act)

    def define(self, sql: str) -> None:
        """A statement that changes the schema: for migrations."""
        self._execute(sql)

    def create_table(self, model: type[Table]) -> None:
        """A table with its plain indexes: for migrations."""
        with self._backend.bind_ctx([model], bind_refs=False, bind_backrefs=False):
            schema = model._schema  # type: ignore[attr-defined]  # its stub has not that
            statements = [schema._create_table(safe=False), *schema._create_indexes(safe=False)]
            for sql, parameters in [statement.query() for statement in statements]:
                self._execute(sql, parameters)


class Database:
    """A database and its transactions. Threads may share it; each has its own connection
    underneath.

    checkpoint(name) is called around each commit ("commit:before", "commit:after"): where the
    simulation cuts the power. on_statement(sql) is called before each statement but BEGIN, COMMIT
    and ROLLBACK: what the budget test counts.
    """

    def __init__(
        self,
        backend: peewee.Database,
        *,
        lock_timeout_s: float = 10.0,
        deadline: Deadline | None = None,
        checkpoint: Callable[[str], None] = lambda name: None,
        on_statement: Callable[[str], None] | None = None,
    ):
        self._backend, self._checkpoint, self._lock_timeout_s = backend, checkpoint, lock_timeout_s
        self.on_statement, self._deadline = on_statement, deadline or Deadline()
        self._writing = threading.Lock()
        self._writer: int | None = None  # the thread that holds it

    @contextmanager
    def read(self, call: Call = ITSELF) -> Iterator[Session]:
        """A snapshot for reading. ``call``: for whom; left out in tests and benchmarks only."""
        self._refuse_nesting()
        self._begin("BEGIN")
        try:
            yield Session(self._backend, self.on_statement, call, self._deadline)
        finally:
            self._end("ROLLBACK")

    @contextmanager
    def write(self, call: Call) -> Iterator[Transaction]:
        """One transaction. Raises Conflict where another writer holds the database for too long."""
        tx = Transaction(self._backend, self.on_statement, call, self._deadline)
        with self._alone():
            self._begin("BEGIN IMMEDIATE")
            try:
                yield tx
                self._checkpoint("commit:before")
            except BaseException:
                self._end("ROLLBACK")
                raise
            if call.dry_run:
                self._end("ROLLBACK")
                return
            self._commit()
        self._checkpoint("commit:after")
        for act in tx._after_commit:
            act()

    @contextmanager
    def rebuild(self, call: Call) -> Iterator[Transaction]:
        """``write`` for a migration: tables may be dropped and made anew under those that refer to
        them. References are checked at the end; raises ValueError where one leads nowhere."""
        with self._references_unwatched(), self.write(call) as tx:
            yield tx
            if lost := tx.rows(
                peewee.Select([peewee.SQL("pragma_foreign_key_check")], [peewee.SQL("*")])
            ):
                raise ValueError(f"references that lead nowhere: {lost[:5]}")

    @contextmanager
    def _references_unwatched(self) -> Iterator[None]:
        """Outside of a transaction, as SQLite wants it; a rename leaves other tables alone."""
        for pragma in ("foreign_keys = OFF", "legacy_alter_table = ON"):
            execute(self._backend, f"PRAGMA {pragma}")
        try:
            yield
        finally:
            for pragma in ("legacy_alter_table = OFF", "foreign_keys = ON"):
                execute(self._backend, f"PRAGMA {pragma}")

    def close(self) -> None:
        """Closes this thread's connection; the others go with their threads."""
        self._backend.close()

    @contextmanager
    def _alone(self) -> Iterator[None]:
        self._refuse_nesting()
        if not self._writing.acquire(timeout=self._lock_timeout_s):
            raise Conflict("another transaction of this process holds the database for too long")
        self._writer = threading.get_ident()
        try:
            yield
        finally:
            self._writer = None
            self._writing.release()

    def _refuse_nesting(self) -> None:
        if self._writer == threading.get_ident():
            raise RuntimeError("a transaction inside a transaction: pass the session on")

    def _begin(self, sql: str) -> None:
        try:
            execute(self._backend, sql)
        except peewee.OperationalError as failure:
            raise _translated(failure) from failure

    def _commit(self) -> None:
        try:
            execute(self._backend, "COMMIT")
        except peewee.DatabaseError as failure:
            self._end("ROLLBACK")
            raise _translated(failure) from failure

    def _end(self, sql: str) -> None:
        try:
            execute(self._backend, sql)
        except peewee.OperationalError as failure:  # SQLite has already rolled back by itself
            log.info("%s: %s", sql, failure)


def _translated(failure: peewee.DatabaseError) -> Exception:
    """A lock not had in time is a Conflict (SQLite says so in words only); anything else is
    itself."""
    return Conflict(failure) if "locked" in str(failure) else failure
