"""Prints the statements that make tables as ``schema.py`` has them, for a migration's .sql file:

python -m controller.tables.migrations.ddl TABLE…     of these tables with their indexes; all
without
"""

import re
import sys

from peewee import SQL, Select

from controller.kernel.call import system_call
from controller.kernel.sqlite import open_sqlite
from controller.tables.schema import PARTIAL_INDEXES, TABLES


def ddl(*tables: str) -> list[str]:
    """Statements in one line each, tables before their indexes."""
    db = open_sqlite(":memory:")
    with db.write(system_call(0)) as tx:
        for model in TABLES:
            tx.create_table(model)
        for statement in PARTIAL_INDEXES:
            tx.define(statement)
        of = Select([SQL("sqlite_master")], [SQL("sql"), SQL("tbl_name")])
        rows = tx.tuples(of.where(SQL("sql IS NOT NULL")).order_by(SQL("rowid")))
    return [re.sub(r"\s+", " ", sql) for sql, table in rows if not tables or table in tables]


if __name__ == "__main__":
    print("".join(f"{statement};\n" for statement in ddl(*sys.argv[1:])), end="")
