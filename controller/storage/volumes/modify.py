"""ModifyVolume: a volume grows, or changes its type and limits, also while a guest uses it.

Called by storage/volumes/rpc. What is asked for is in the volume's row at once, and charged and
claimed; ``modifying`` lasts until its home has seen the new size and its guest has the new limits
(storage/volumes/reconcile, which also takes back what could not be).
"""

from controller.hosts.feed import Feed
from controller.hosts.guests import revise_devices
from controller.identity.quotas.rules import Quotas
from controller.kernel import rows
from controller.kernel.call import Call
from controller.kernel.database import Database, Transaction
from controller.kernel.table import Select
from controller.storage.volumes import state, types
from controller.storage.volumes.describe import ModificationRow, modification_message
from controller.storage.volumes.placement import VolumePlacement
from controller.storage.volumes.revisions import revise
from controller.storage.volumes.rows import VolumeRow, find_volume, is_quiesced
from controller.storage.volumes.rules import columns_of_shape, wrong_state
from controller.tables.storage import Volume, VolumeModification
from protos.cloud.v1 import volumes_pb2
from protos.errors import CloudError, Kind, invalid_parameter, missing_parameter

MODIFYING, COMPLETED, FAILED = "modifying", "completed", "failed"


class Modifier:
    def __init__(self, db: Database, placement: VolumePlacement, quotas: Quotas, feed: Feed):
        self._db, self._placement, self._quotas, self._feed = db, placement, quotas, feed

    def modify(
        self, call: Call, request: volumes_pb2.ModifyVolumeRequest
    ) -> volumes_pb2.VolumeModification:
        """Raises INVALID, NOT_FOUND, WRONG_STATE, QUOTA, NO_CAPACITY."""
        with self._db.write(call) as tx:
            row = find_volume(tx, call.account_id, request.volume_id)
            _check_modifiable(tx, row)
            shape = _target(row, request)
            growth = shape.size_gib - row.size_gib
            volume_revision, columns = 0, columns_of_shape(shape)
            if growth:
                self._quotas.charge(tx, call.account_id, {"gigabytes": growth})
                self._placement.claim_more(tx, row.host_id or "", growth)
                volume_revision = revise(tx, self._feed, [row.volume_id], columns)[row.volume_id]
            else:
                tx.advance(Volume, columns, Volume.volume_id == row.volume_id)
            devices_revision = self._tell_guest(tx, row)
            if is_quiesced(row):
                devices_revision = 0  # it gets them with its next start
            waits = volume_revision or devices_revision
            modification = {
                "volume_id": row.volume_id,
                "state": MODIFYING if waits else COMPLETED,
                "started_ms": call.now_ms,
                "ended_ms": 0 if waits else call.now_ms,
                "message": "",
                "volume_revision": volume_revision,
                "devices_revision": devices_revision,
                "original_size_gib": row.size_gib,
                "original_type": row.volume_type,
                "original_iops": row.iops,
                "original_throughput_mibps": row.throughput_mibps,
                "target_size_gib": shape.size_gib,
                "target_type": shape.volume_type,
                "target_iops": shape.iops,
                "target_throughput_mibps": shape.throughput_mibps,
            }
            later = tuple(name for name in modification if name != "volume_id")
            tx.insert(VolumeModification, [modification], on_conflict=("volume_id",), update=later)
            (made,) = tx.rows(_modification(row.volume_id), ModificationRow)
            return modification_message(made)

    def _tell_guest(self, tx: Transaction, row: VolumeRow) -> int:
        """The instance's revision under which its guest has the new limits; 0: nobody has it."""
        if row.instance_id is None:
            return 0
        return revise_devices(tx, self._feed, [row.instance_id])[row.instance_id]


def _modification(volume_id: str) -> Select:
    query = VolumeModification.select(*rows.columns(ModificationRow, VolumeModification))
    return query.where(VolumeModification.volume_id == volume_id)


def _check_modifiable(tx: Transaction, row: VolumeRow) -> None:
    if state.volume_state(row) not in (state.AVAILABLE, state.IN_USE):
        raise wrong_state(row, "modified")
    if row.instance_id and (row.wanted == "terminated" or row.detaching):
        raise wrong_state(row, "modified")
    earlier = tx.one(_modification(row.volume_id), ModificationRow)
    if earlier is not None and earlier.state == MODIFYING:
        raise CloudError(
            Kind.WRONG_STATE,
            f"Volume {row.volume_id} is being modified. Wait until that is completed.",
            noun="volume",
            id=row.volume_id,
            reason="modifying",
        )


def _target(row: VolumeRow, request: volumes_pb2.ModifyVolumeRequest) -> types.Shape:
    """What the volume is to be; what is not said stays, as far as the type has it."""
    size = request.size_gib if request.HasField("size_gib") else None
    iops = request.iops if request.HasField("iops") else None
    throughput = request.throughput_mibps if request.HasField("throughput_mibps") else None
    if not request.volume_type and (size, iops, throughput) == (None, None, None):
        raise missing_parameter("size, volumeType, iops or throughput")
    wanted = request.volume_type or row.volume_type
    if wanted != row.volume_type and "standard" in (wanted, row.volume_type):
        raise invalid_parameter("A volume cannot be modified from or to the type 'standard'.")
    if size is not None and size < row.size_gib:
        raise CloudError(
            Kind.INVALID,
            f"New size cannot be smaller than existing size: {size} < {row.size_gib} GiB.",
            noun="parameter",
        )
    known = types.TYPES.get(wanted) if row.volume_type in types.TYPES else None
    if known and iops is None and known.iops and row.iops:
        least, most = known.iops
        iops = row.iops if least <= row.iops <= most else None
    if known and throughput is None and known.throughput and row.throughput_mibps:
        throughput = row.throughput_mibps
    return types.shape(size or row.size_gib, wanted, iops, throughput)
