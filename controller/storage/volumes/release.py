"""What a volume leaves behind: its attachment, or its disk, quota and tags.

Called by compute/attachments/rules, storage/volumes/reconcile, and compute/instances/reconcile for
what ended with an instance.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from controller.hosts import capacity as claims
from controller.hosts.capacity import Amount
from controller.hosts.feed import Feed
from controller.identity.quotas.rules import Quotas
from controller.identity.tags import rules as tags
from controller.kernel.database import Transaction
from controller.storage.volumes.revisions import revise
from controller.tables.nouns import VOLUME
from controller.tables.storage import Volume


class GoneVolume(NamedTuple):
    volume_id: str
    account_id: str
    host_id: str
    size_gib: int


def detached(tx: Transaction, feed: Feed, volume_ids: Collection[str]) -> None:
    """Tells homes to stop serving these volumes, which no guest has any more."""
    if not volume_ids:
        return
    named = Volume.volume_id.in_(list(volume_ids))
    served = Volume.select(Volume.volume_id).where(named, Volume.served_to != "")
    revise(tx, feed, tx.column(served, str), {"served_to": ""})


def forget(tx: Transaction, feed: Feed, quotas: Quotas, rows: Sequence[GoneVolume]) -> None:
    """Nothing is left of these volumes: their rows go, and what they claimed and were charged is
    given back."""
    if not rows:
        return
    ids = [row.volume_id for row in rows]
    tx.delete(Volume, Volume.volume_id.in_(ids))
    feed.withdraw(tx, VOLUME, ids)
    claims.release(tx, [(row.host_id, Amount(disk_gib=row.size_gib)) for row in rows])
    for account_id in sorted({row.account_id for row in rows}):
        own = [row for row in rows if row.account_id == account_id]
        gigabytes = sum(row.size_gib for row in own)
        quotas.refund(tx, account_id, {"volumes": len(own), "gigabytes": gigabytes})
    tags.remove_all(tx, ids)
