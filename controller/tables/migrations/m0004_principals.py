"""Access keys belong to a principal of an account; every account gets its root."""

from controller.kernel.database import Transaction
from controller.tables.migrations.rebuild import rebuilt, script


def apply(tx: Transaction) -> None:
    with rebuilt(tx, script(__file__)) as old:
        root = {
            "principal_id": "account_id",
            "account_id": "account_id",
            "kind": "'root'",
            "arn": "'arn:aws:iam::' || account_id || ':root'",
            "created_ms": "created_ms",
        }
        old.fill("principal", root, "account")
        old.copy("access_key", {"principal_id": "old.account_id"})
