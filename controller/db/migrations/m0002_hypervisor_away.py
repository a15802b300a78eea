"""A host says why its hypervisor cannot be used just now."""

from controller.db.migrations.rebuild import rebuilt, script
from controller.db.session import Transaction


def apply(tx: Transaction) -> None:
    with rebuilt(tx, script(__file__)) as old:
        old.copy("host", {"hypervisor_away": "''"})
