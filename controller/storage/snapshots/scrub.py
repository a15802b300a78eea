"""The store of blocks read over in the background, at a bounded rate: two reconcile tasks.

``run_once`` reads a second's worth; what it finds damaged is set aside, and the next copy of a
volume that has the same bytes brings it again (storage/blocks/store). ``report`` says which
snapshots cannot be restored until then, whoever found the damage. Several controllers share one
round; each reads at its rate.
"""

import logging

from controller.kernel.call import Call
from controller.kernel.database import Database
from controller.storage.blocks.store import BLOCK, MANIFEST, BlockStore
from controller.storage.snapshots.collect import named_manifests, read_manifest
from controller.tables.storage import Snapshot
from protos.manifest import hash_of

log = logging.getLogger(__name__)

ROUND_EVERY_S = 24 * 3600  # of a store that is read over sooner
MIB = 1 << 20


class Scrub:
    def __init__(self, db: Database, store: BlockStore, mib_per_s: int):
        self._db, self._store, self._bytes = db, store, mib_per_s * MIB

    def run_once(self, call: Call) -> None:
        """To be called each second."""
        if self._bytes:
            self._store.scrub(self._bytes, call.now_ms / 1000 - ROUND_EVERY_S)

    def report(self, call: Call) -> list[str]:
        """Answers the ids of the snapshots that cannot be restored."""
        lost = self._store.lost()
        if not lost:
            return []
        damaged = self._manifests(
            {one.digest for one in lost if one.kind == MANIFEST},
            {hash_of(one.digest) for one in lost if one.kind == BLOCK},
        )
        with self._db.read(call) as session:
            query = Snapshot.select(Snapshot.snapshot_id).where(Snapshot.digest.in_(damaged))
            found = sorted(session.column(query, str)) if damaged else []
        if found:
            log.error(
                "of %s something is damaged: they cannot be restored until a snapshot brings it",
                ", ".join(found),
            )
        return found

    def _manifests(self, lost: set[str], lost_blocks: set[bytes]) -> set[str]:
        """Those that are needed, and are lost or name a block that is."""
        found = set()
        for digest in named_manifests(self._db):
            manifest = None if digest in lost else read_manifest(self._store, digest)
            if manifest is None or any(name in lost_blocks for _, name in manifest):
                found.add(digest)
        return found
