"""What a host should know of snapshots. Called by fleet/spec_rows, inside its snapshot of the
database."""

from collections.abc import Sequence

from controller.db.schema import Snapshot
from controller.db.session import Session
from controller.snapshots.sources import GONE
from protos.cloud.v1 import fleet_pb2


def read(session: Session, host_id: str, base: int) -> Sequence:
    """Rows of those that changed for the host after ``base`` (0: all of them)."""
    return session.rows(
        Snapshot.select(
            Snapshot.snapshot_id,
            Snapshot.generation,
            Snapshot.volume_id,
            Snapshot.status,
            Snapshot.quiesce,
            Snapshot.image_id,
            Snapshot.image_snapshots,
            Snapshot.off_instance_id,
        )
        .where(Snapshot.host_id == host_id, Snapshot.generation > base)
        .order_by(Snapshot.snapshot_id)
    )


def render(row) -> fleet_pb2.SnapshotSpec:
    return fleet_pb2.SnapshotSpec(
        snapshot_id=row.snapshot_id,
        generation=row.generation,
        volume_id=row.volume_id,
        cancelled=row.status == GONE,
        quiesce=row.quiesce,
        group=row.image_id,
        group_size=row.image_snapshots,
        off_instance_id=row.off_instance_id,
    )
