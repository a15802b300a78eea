"""Images whose snapshots have come to their end become available, or failed: a reconcile task.

Also run after each report that ended something (docs/decisions/0407).
"""

import logging
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from peewee import JOIN, SQL, fn

from controller.kernel.call import Call
from controller.kernel.database import Database, Transaction
from controller.kernel.prepared import prepared
from controller.kernel.state_reasons import SERVER_ERROR, columns
from controller.kernel.table import Select
from controller.kernel.units import GIB
from controller.storage.snapshots.sources import GONE
from controller.tables.storage import Image, ImageBlockDevice, Snapshot

log = logging.getLogger(__name__)

BATCH = 100


class DiskRow(NamedTuple):
    """A disk of an image with its snapshot, or None."""

    image_id: str
    position: int
    snapshot_id: str
    size_gib: int
    status: str | None
    status_message: str | None
    digest: str | None
    size_bytes: int | None
    snapshot_gib: int | None


class ImageReconciler:
    def __init__(self, db: Database):
        self._db = db

    def run_once(self, call: Call) -> None:
        with self._db.read(call) as session:
            over = session.column(_OVER(), str)
        if not over:
            return
        with self._db.write(call) as tx:
            disks: dict[str, list[DiskRow]] = defaultdict(list)
            for row in tx.rows(_disks_of(over), DiskRow):
                disks[row.image_id].append(row)
            for image_id, found in disks.items():
                _reconcile(tx, image_id, found)


def _over() -> Select:
    """Images that wait for no snapshot any more, or in vain."""
    of_image = (
        ImageBlockDevice.select(SQL("1"))
        .join(Snapshot, on=Snapshot.snapshot_id == ImageBlockDevice.snapshot_id)
        .where(ImageBlockDevice.image_id == Image.image_id)
    )
    unfinished = fn.EXISTS(of_image.where(Snapshot.status == "pending"))
    broken = fn.EXISTS(of_image.where(Snapshot.status.in_(("error", GONE))))
    waiting = Image.status == "snapshotting"
    query = Image.select(Image.image_id).where(waiting, ~unfinished | broken)
    return query.order_by(Image.image_id).limit(BATCH)


_OVER = prepared(_over)


def _disks_of(image_ids: Sequence[str]) -> Select:
    """Each with its snapshot; blank ones have none."""
    return (
        ImageBlockDevice.select(
            ImageBlockDevice.image_id,
            ImageBlockDevice.position,
            ImageBlockDevice.snapshot_id,
            ImageBlockDevice.size_gib,
            Snapshot.status,
            Snapshot.status_message,
            Snapshot.digest,
            Snapshot.size_bytes,
            Snapshot.size_gib.alias("snapshot_gib"),
        )
        .join(Snapshot, JOIN.LEFT_OUTER, on=Snapshot.snapshot_id == ImageBlockDevice.snapshot_id)
        .where(ImageBlockDevice.image_id.in_(image_ids))
        .order_by(ImageBlockDevice.image_id, ImageBlockDevice.position)
    )


def _reconcile(tx: Transaction, image_id: str, disks: Sequence[DiskRow]) -> None:
    there = [row for row in disks if row.snapshot_id]
    failed = [row for row in there if row.status not in ("completed", "pending")]
    root = disks[0]
    if failed:
        first = failed[0]
        message = f"The snapshot {first.snapshot_id} failed: {first.status_message or 'it is gone'}"
        log.warning("image %s failed: %s", image_id, message)
        changes: dict[str, object] = {"status": "killed", **columns(SERVER_ERROR, message)}
    else:
        changes = {
            "status": "active",
            "digest": root.digest,
            "size_bytes": root.size_bytes,
            "virtual_size_bytes": (root.snapshot_gib or 0) * GIB,
            "root_volume_size_gib": max(root.size_gib, root.snapshot_gib or 0),
        }
    waits = Image.status == "snapshotting"
    if not tx.advance(Image, changes, Image.image_id == image_id, waits) or failed:
        return
    for row in there:
        if (row.snapshot_gib or 0) > row.size_gib:  # its volume grew before the moment came
            is_it = ImageBlockDevice.position == row.position
            grown = {"size_gib": row.snapshot_gib}
            tx.advance(ImageBlockDevice, grown, ImageBlockDevice.image_id == image_id, is_it)
