"""What hosts say of snapshots; registered as the kind's observer.

Called in the report's transaction with what is newer than what was known. ``completed`` needs the
manifest in the store (fleet_rpc.StoreManifest), whatever a host says.
"""

import logging
from collections.abc import Sequence

from controller.hosts.feed import Feed
from controller.kernel.database import Transaction
from controller.kernel.state_reasons import one_line
from controller.storage.snapshots.sources import GONE
from controller.tables.nouns import SNAPSHOT
from controller.tables.storage import Snapshot
from protos.cloud.v1 import fleet_pb2

log = logging.getLogger(__name__)

WORDS = {
    fleet_pb2.SNAPSHOT_UNSEEN: "",
    fleet_pb2.SNAPSHOT_COPYING: "copying",
    fleet_pb2.SNAPSHOT_DONE: "done",
    fleet_pb2.SNAPSHOT_FAILED: "failed",
    fleet_pb2.SNAPSHOT_GONE: "gone",
}
PASSING = frozenset(["", "copying"])


def word(one: fleet_pb2.Observation) -> str:
    return WORDS[one.snapshot.observed]


def observe(
    feed: Feed, tx: Transaction, host_id: str, seen: Sequence[fleet_pb2.Observation]
) -> bool:
    """Notes how far they are; answers whether one has come to its end."""
    ends = [_observe(tx, feed, host_id, one) for one in seen]
    return any(ends)


def _observe(tx: Transaction, feed: Feed, host_id: str, one: fleet_pb2.Observation) -> bool:
    mine = (Snapshot.snapshot_id == one.id) & (Snapshot.host_id == host_id)
    if one.snapshot.observed == fleet_pb2.SNAPSHOT_GONE:
        gone = bool(tx.delete(Snapshot, mine, Snapshot.status == GONE))
        if gone:
            feed.withdraw(tx, SNAPSHOT, [one.id])
        return gone
    pending = Snapshot.status == "pending"
    changes: dict[str, object] = {}
    if one.snapshot.observed == fleet_pb2.SNAPSHOT_COPYING:
        changes["progress"] = min(max(one.snapshot.progress, 0), 99)
    elif one.snapshot.observed == fleet_pb2.SNAPSHOT_DONE:
        pending = pending & (Snapshot.digest == one.snapshot.digest)
        changes = {
            "status": "completed",
            "progress": 100,
            "added_bytes": one.snapshot.added_bytes,
            "completed_ms": tx.call.now_ms,
            "host_id": None,
        }
    elif one.snapshot.observed == fleet_pb2.SNAPSHOT_FAILED:
        log.warning("snapshot %s failed: %s", one.id, one.reason.message)
        changes = {
            "status": "error",
            "status_message": one_line(one.reason.message),
            "digest": None,
            "completed_ms": tx.call.now_ms,
            "host_id": None,
        }
    else:
        return False
    ended = bool(tx.advance(Snapshot, changes, mine, pending)) and "status" in changes
    if ended:
        feed.withdraw(tx, SNAPSHOT, [one.id])
    return ended
