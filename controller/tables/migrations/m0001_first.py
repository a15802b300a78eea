"""The first schema, frozen as it was."""

from controller.kernel.database import Transaction
from controller.tables.migrations.rebuild import script

STATEMENTS = script(__file__)


def apply(tx: Transaction) -> None:
    for statement in STATEMENTS:
        tx.define(statement)
