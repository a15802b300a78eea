"""What a host should know of snapshots; registered as the kind's renderer."""

from collections.abc import Iterable

from controller.hosts.kinds import Reading
from controller.kernel.prepared import among, prepared
from controller.storage.snapshots.sources import GONE
from controller.tables.nouns import SNAPSHOT
from controller.tables.storage import Snapshot
from protos.cloud.v1 import fleet_pb2


def render(reading: Reading) -> Iterable[fleet_pb2.Assignment]:
    """The specs of snapshots that the host copies."""
    rows = reading.session.rows(_query(ids=reading.ids(SNAPSHOT)))
    found = {row.snapshot_id: row for row in rows}
    for one in reading.assigned[SNAPSHOT.kind]:
        if row := found.get(one.resource_id):
            yield one.message(row.revision, snapshot=_spec(row))


@prepared
def _query(ids):
    return Snapshot.select(
        Snapshot.snapshot_id,
        Snapshot.revision,
        Snapshot.volume_id,
        Snapshot.status,
        Snapshot.quiesce,
        Snapshot.image_id,
        Snapshot.image_snapshots,
        Snapshot.off_instance_id,
    ).where(among(Snapshot.snapshot_id, ids))


def _spec(row) -> fleet_pb2.SnapshotSpec:
    return fleet_pb2.SnapshotSpec(
        snapshot_id=row.snapshot_id,
        volume_id=row.volume_id,
        cancelled=row.status == GONE,
        quiesce=row.quiesce,
        group=row.image_id,
        group_size=row.image_snapshots,
        off_instance_id=row.off_instance_id,
    )
