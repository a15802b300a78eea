"""Collecting manifests and blocks that nothing needs any more: a reconcile task. Mark and sweep.

A manifest is needed while a snapshot, an image or a volume names it: a volume's host may have to
fetch what its disk stands on again. A block is needed while a manifest in the store names it.
Neither goes before it was left alone for KEPT_S: a copy that is under way has been told that blocks
are here, and asks again (which makes them young) before its manifest is taken. Cut anywhere, the
next run does the rest. While a manifest that is needed is lost (storage/snapshots/scrub says
whose), nobody knows which blocks it names, and no block goes. Nothing goes while a host has
what this database, an older copy then, does not know.
"""

import logging

from controller.hosts import strangers
from controller.kernel.call import ITSELF, Call
from controller.kernel.database import Database
from controller.storage.blocks.store import BLOCK, MANIFEST, BlockStore
from controller.storage.snapshots.sources import DISK_FORMAT
from controller.tables.storage import Image, Snapshot, Volume
from protos.errors import CloudError, Kind
from protos.manifest import Manifest, hash_of

log = logging.getLogger(__name__)

KEPT_S = 24 * 3600


class BlockCollector:
    def __init__(self, db: Database, store: BlockStore, kept_s: float = KEPT_S):
        self._db, self._store, self._kept_s = db, store, kept_s

    def run_once(self, call: Call) -> None:
        with self._db.read(call) as session:
            if strangers.are_there(session):
                log.warning("nothing is collected: hosts have what this database does not know")
                return
        since_s = call.now_ms / 1000 - self._kept_s
        self._store.sweep(since_s)
        manifests = self._sweep_manifests(since_s)
        blocks = self._sweep_blocks(since_s)
        if manifests or blocks:
            log.info("collected %d manifests and %d blocks", manifests, blocks)

    def _sweep_manifests(self, since_s: float) -> int:
        """What is old is listed before the rows are read: what nothing names then, nothing can
        come to name without touching it."""
        old = list(self._store.untouched(MANIFEST, since_s))
        if not old:
            return 0
        needed = named_manifests(self._db)
        return sum(
            self._store.remove_untouched(MANIFEST, digest, since_s)
            for digest in old
            if digest not in needed
        )

    def _sweep_blocks(self, since_s: float) -> int:
        old = {hash_of(digest) for digest in self._store.untouched(BLOCK, since_s)}
        if not old:
            return 0
        lost = named_manifests(self._db)
        for digest in self._store.all(MANIFEST):
            manifest = read_manifest(self._store, digest)
            if manifest is not None:
                lost.discard(digest)
                old.difference_update(hash_bytes for _, hash_bytes in manifest)
        if lost:
            log.error("no blocks are collected: the store has lost %s", ", ".join(sorted(lost)))
            return 0
        return sum(
            self._store.remove_untouched(BLOCK, f"sha256:{hash_bytes.hex()}", since_s)
            for hash_bytes in sorted(old)
        )


def read_manifest(store: BlockStore, digest: str) -> Manifest | None:
    """None where it has just been collected by another controller, or was damaged, and is set aside
    now."""
    try:
        return Manifest.decode(store.get(MANIFEST, digest))
    except CloudError as failure:
        if failure.kind is not Kind.NOT_FOUND:
            raise
        return None


def named_manifests(db: Database) -> set[str]:
    """Of which something is to be restored one day."""
    with db.read(ITSELF) as session:
        return {
            digest
            for query in (
                Snapshot.select(Snapshot.digest).where(Snapshot.digest.is_null(False)),
                Image.select(Image.digest).where(Image.disk_format == DISK_FORMAT),
                Volume.select(Volume.digest).where(Volume.disk_format == DISK_FORMAT),
            )
            for digest in session.column(query, str)
        }
