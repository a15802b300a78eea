"""Takes in what hosts say of snapshots. Called by fleet/reports, in a report's transaction.

Late and doubled observations touch nothing: a row takes only a newer (epoch, sequence) of the host
that copies it. ``completed`` needs the manifest in the store (fleet_rpc.StoreManifest), whatever a
host says.
"""

import logging

from controller.db.schema import Snapshot
from controller.db.session import Transaction
from controller.fleet.heard import older
from controller.reasons import one_line
from controller.snapshots.sources import GONE
from protos.cloud.v1 import fleet_pb2

log = logging.getLogger(__name__)


def take_in(tx: Transaction, report: fleet_pb2.HostReport) -> bool:
    """All that the report says of snapshots; answers whether one has come to its end."""
    ends = [_observe(tx, report, one) for one in report.snapshots]
    return any(ends)


def _observe(
    tx: Transaction, report: fleet_pb2.HostReport, one: fleet_pb2.SnapshotObservation
) -> bool:
    mine = (Snapshot.snapshot_id == one.snapshot_id) & (Snapshot.host_id == report.host_id)
    newer = older(Snapshot, report.epoch, one.sequence)
    if one.observed == fleet_pb2.SNAPSHOT_GONE:
        return bool(tx.delete(Snapshot, mine, Snapshot.status == GONE))
    changes: dict[str, object] = {"epoch": report.epoch, "sequence": one.sequence}
    pending = Snapshot.status == "pending"
    if one.observed == fleet_pb2.SNAPSHOT_COPYING:
        changes["progress"] = min(max(one.progress, 0), 99)
    elif one.observed == fleet_pb2.SNAPSHOT_DONE:
        pending = pending & (Snapshot.digest == one.digest)
        changes |= {
            "status": "completed",
            "progress": 100,
            "added_bytes": one.added_bytes,
            "completed_ms": tx.call.now_ms,
            "host_id": None,
        }
    elif one.observed == fleet_pb2.SNAPSHOT_FAILED:
        log.warning("snapshot %s failed: %s", one.snapshot_id, one.message)
        changes |= {"status": "error", "status_message": one_line(one.message), "digest": None}
        changes |= {"completed_ms": tx.call.now_ms, "host_id": None}
    else:
        return False
    return bool(tx.advance(Snapshot, changes, mine, newer, pending)) and "status" in changes
