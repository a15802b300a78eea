"""What peewee's part of a statement costs, with and without what the controller adds to it.

A statement is built from its fields, compiled to SQL, run, and its rows are made. Measured is each
alone, in one process on an empty database: ``kernel/columns`` is what compiles a column in one
piece, ``kernel/prepared`` what compiles a statement once, and a row's type is a NamedTuple that is
compared with the columns each time (``kernel/rows``).
"""

import argparse
import time
from collections.abc import Callable
from typing import NamedTuple

import peewee

from bench.pairs import report
from controller.compute.instances import describe, spec
from controller.hosts import capacity
from controller.kernel import columns, rows
from controller.kernel.call import system_call
from controller.kernel.prepared import prepared
from controller.kernel.sqlite import open_sqlite
from controller.tables.hosts import Host
from controller.tables.migrations import migrate

STATEMENTS: dict[str, tuple[prepared, dict[str, object]]] = {
    "a page of instances": (describe._page_query, {"account_id": "1", "after": "", "limit": 101}),
    "a host's instances": (spec._instances, {"ids": ["i-1"]}),
    "a claim on a host": (
        capacity._claim_query,
        {"host_id": "h-1", "vcpus": 1, "memory_mib": 512, "disk_gib": 8, "cpu_permille": 16000}
        | {"ram_permille": 1500, "disk_permille": 1000, "vpc_id": "vpc-1"},
    ),
}


class HostRow(NamedTuple):
    host_id: str
    name: str
    endpoint: str
    vcpus: int
    memory_mib: int


def main() -> None:
    options = argparse.ArgumentParser(prog="python -m bench statements", description=__doc__)
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--repeat", type=int, default=300, help="calls of one measurement")
    chosen = options.parse_args()
    db = open_sqlite(":memory:")
    migrate(db, 1)
    for name, (query, values) in STATEMENTS.items():
        ways = {
            "peewee's columns": lambda q=query, v=values: _compiled(db._backend, q._build(**v)),
            "columns in one piece": lambda q=query, v=values: _compiled(db._backend, q._build(**v)),
            "prepared": lambda q=query, v=values: q(**v).compile(db._backend),
        }
        with db.read() as session:
            ways["run, prepared, no rows"] = lambda q=query, v=values, s=session: s.tuples(q(**v))
            if query is capacity._claim_query:
                del ways["run, prepared, no rows"]  # it writes
            report(f"{name}, µs", _figures(ways, chosen.rounds, chosen.repeat))
    with db.write(system_call(1)) as tx:
        tx.insert(
            Host,
            [{"host_id": f"h-{n}", "name": f"n{n}", "availability_zone": "a"} for n in range(1000)],
        )
    query = Host.select(*rows.columns(HostRow, Host))
    with db.read() as session:
        ways = {
            "plain tuples": lambda: session.tuples(query),
            "named by the cursor": lambda: session.rows(query),
            "a row's type": lambda: session.rows(query, HostRow),
        }
        report("1,000 rows of five columns, µs", _figures(ways, chosen.rounds, 20))


def _compiled(backend: peewee.Database, query: peewee.Query) -> tuple[str, list[object]]:
    return backend.get_sql_context().sql(query).query()


def _figures(
    ways: dict[str, Callable[[], object]], rounds: int, repeat: int
) -> list[tuple[str, str]]:
    """The quickest of each way's rounds, as what disturbs only adds; the ways take turns."""
    taken: dict[str, list[float]] = {name: [] for name in ways}
    in_one_piece = columns._InOnePiece.__sql__
    for _ in range(rounds):
        for name, way in ways.items():
            if name == "peewee's columns":
                columns._InOnePiece.__sql__ = peewee.Field.__sql__
            try:
                way()
                start = time.perf_counter()
                for _ in range(repeat):
                    way()
                taken[name].append((time.perf_counter() - start) / repeat * 1e6)
            finally:
                columns._InOnePiece.__sql__ = in_one_piece
    return [(name, f"{min(found):.0f}") for name, found in taken.items()]


if __name__ == "__main__":
    main()
