"""Tells a volume's home of changes of the volume itself. Called by whatever changes a volume."""

from collections.abc import Collection, Mapping
from typing import NamedTuple

from controller.hosts.feed import Feed
from controller.kernel.database import Transaction
from controller.tables.nouns import VOLUME
from controller.tables.storage import Volume


class Revised(NamedTuple):
    volume_id: str
    host_id: str | None
    revision: int


def revise(
    tx: Transaction, feed: Feed, volume_ids: Collection[str], changes: Mapping[str, object]
) -> dict[str, int]:
    """Changes volumes and tells their homes, at once: volume id -> its new revision. One that only
    its launch made is assigned to its home from now on."""
    if not volume_ids:
        return {}
    rows = tx.advance_returning(
        Volume,
        {**changes, "revision": Volume.revision + 1},
        Volume.volume_id.in_(list(volume_ids)),
        returning=Revised,
    )
    for host_id in sorted({row.host_id for row in rows if row.host_id}):
        here = {row.volume_id: row.revision for row in rows if row.host_id == host_id}
        feed.assign_to(tx, VOLUME, host_id, here)
    return {row.volume_id: row.revision for row in rows}
