"""The first schema. Until the first release it is ``schema.py`` itself; from then on it is frozen
here as it was."""

from controller.db.schema import PARTIAL_INDEXES, TABLES
from controller.db.session import Transaction


def apply(tx: Transaction) -> None:
    for model in TABLES:
        tx.create_table(model)
    for statement in PARTIAL_INDEXES:
        tx.define(statement)
