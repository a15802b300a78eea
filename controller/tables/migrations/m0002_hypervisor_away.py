"""A host says why its hypervisor cannot be used just now."""

from controller.kernel.database import Transaction
from controller.tables.migrations.rebuild import rebuilt, script


def apply(tx: Transaction) -> None:
    with rebuilt(tx, script(__file__)) as old:
        old.copy("host", {"hypervisor_away": "''"})
