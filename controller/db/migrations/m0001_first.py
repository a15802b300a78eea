"""The first schema, frozen as it was."""

from controller.db.migrations.rebuild import script
from controller.db.session import Transaction

STATEMENTS = script(__file__)


def apply(tx: Transaction) -> None:
    for statement in STATEMENTS:
        tx.define(statement)
