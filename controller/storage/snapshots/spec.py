"""What a host should know of snapshots; registered as the kind's renderer."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from controller.hosts.kinds import Reading
from controller.kernel.prepared import among, prepared
from controller.kernel.rows import columns
from controller.kernel.table import Select
from controller.storage.snapshots.sources import GONE
from controller.tables.nouns import SNAPSHOT
from controller.tables.storage import Snapshot
from protos.cloud.v1 import fleet_pb2


class SnapshotRow(NamedTuple):
    snapshot_id: str
    revision: int
    volume_id: str
    status: str
    quiesce: bool
    image_id: str
    image_snapshots: int
    off_instance_id: str


def render(reading: Reading) -> Iterable[fleet_pb2.Assignment]:
    """The specs of snapshots that the host copies."""
    rows = reading.session.rows(_query(ids=reading.ids(SNAPSHOT)), SnapshotRow)
    found = {row.snapshot_id: row for row in rows}
    for one in reading.assigned[SNAPSHOT.kind]:
        if row := found.get(one.resource_id):
            yield one.message(row.revision, fleet_pb2.Assignment(snapshot=_spec(row)))


@prepared
def _query(ids: Sequence[str]) -> Select:
    query = Snapshot.select(*columns(SnapshotRow, Snapshot))
    return query.where(among(Snapshot.snapshot_id, ids))


def _spec(row: SnapshotRow) -> fleet_pb2.SnapshotSpec:
    return fleet_pb2.SnapshotSpec(
        snapshot_id=row.snapshot_id,
        volume_id=row.volume_id,
        cancelled=row.status == GONE,
        quiesce=row.quiesce,
        group=row.image_id,
        group_size=row.image_snapshots,
        off_instance_id=row.off_instance_id,
    )
