"""What a volume leaves behind: its attachment, or its disk, quota and tags.

Called by volumes/attachments and settle, and by instances/settle for what ended with an instance.
"""

from collections.abc import Sequence

from controller.db.schema import Volume
from controller.db.session import Transaction
from controller.fleet.changes import Changes
from controller.instances import claims
from controller.instances.claims import Amount
from controller.quotas.rules import Quotas
from controller.tags import rules as tags
from controller.volumes.rows import ids_of

DETACHED = {
    "instance_id": None,
    "device_name": "",
    "position": 0,
    "delete_on_termination": False,
    "attached_ms": 0,
    "attach_generation": 0,
    "detaching": False,
    "forced": False,
    "busy": False,
    "failed": False,
    "attach_message": "",
    "served_to": "",
}


def let_go(tx: Transaction, changes: Changes, rows: Sequence) -> None:
    """No guest has these volumes any more; homes that served them to other hosts stop to."""
    if not rows:
        return
    tx.advance(Volume, DETACHED, Volume.volume_id.in_(ids_of(rows)))
    served = [row for row in rows if row.served_to]
    for host_id in sorted({row.host_id for row in served}):
        here = [row.volume_id for row in served if row.host_id == host_id]
        unserved = {"generation": changes.volumes(tx, host_id)}
        tx.advance(Volume, unserved, Volume.volume_id.in_(here))


def forget(tx: Transaction, quotas: Quotas, rows: Sequence) -> None:
    """Nothing is left of these volumes: their rows go, and what they claimed and were charged is
    given back."""
    if not rows:
        return
    tx.delete(Volume, Volume.volume_id.in_(ids_of(rows)))
    claims.release(tx, [(row.host_id, Amount(disk_gib=row.size_gib)) for row in rows])
    for account_id in sorted({row.account_id for row in rows}):
        own = [row for row in rows if row.account_id == account_id]
        gigabytes = sum(row.size_gib for row in own)
        quotas.refund(tx, account_id, {"volumes": len(own), "gigabytes": gigabytes})
    tags.remove_all(tx, ids_of(rows))
