"""Volumes made and deleted by themselves: CreateVolume and DeleteVolume.

Called by storage/volumes/rpc; launches make their disks in compute/launch/disks. With
storage/volumes/modify, reconcile and release the only writer of volumes. Each is one transaction:
quota, home and row, or nothing. What a host is told of a volume in its own right is its row under a
new revision.

    creating → available → (in-use) → deleting → not found
"""

import random
from collections.abc import Collection

from controller.hosts.feed import Feed
from controller.identity.quotas.rules import Quotas
from controller.identity.tags import rules as tags
from controller.identity.tags.checks import tags_of_specifications
from controller.kernel.call import Call
from controller.kernel.client_tokens import digest_of, made_before
from controller.kernel.database import Database, Transaction
from controller.storage.snapshots.sources import Source, source_of
from controller.storage.volumes import state, types
from controller.storage.volumes.placement import VolumePlacement
from controller.storage.volumes.revisions import revise
from controller.storage.volumes.rows import VolumeRow, find_volume
from controller.tables.nouns import VOLUME
from controller.tables.storage import Volume
from protos.cloud.v1 import volumes_pb2
from protos.errors import CloudError, Kind, invalid_parameter, missing_parameter
from protos.ids import new_id


class VolumeRules:
    def __init__(
        self,
        db: Database,
        rng: random.Random,
        placement: VolumePlacement,
        quotas: Quotas,
        feed: Feed,
    ):
        self._db, self._rng, self._placement = db, rng, placement
        self._quotas, self._feed = quotas, feed

    def create(self, tx: Transaction, request: volumes_pb2.CreateVolumeRequest) -> str:
        """The volume's id. Raises INVALID, NOT_FOUND, WRONG_STATE, QUOTA, NO_CAPACITY, EXISTS."""
        wanted = tags_of_specifications(request.tag_specifications, "volume")["volume"]
        digest, call = digest_of(request), tx.call
        if earlier := made_before(tx, Volume.volume_id, request.client_token, digest):
            return earlier
        if not request.availability_zone:
            raise missing_parameter("AvailabilityZone")
        self._placement.check_zone(request.availability_zone)
        source = source_of(tx, call, request.snapshot_id) if request.snapshot_id else None
        shape = _shape(request, source)
        self._quotas.charge(tx, call.account_id, {"volumes": 1, "gigabytes": shape.size_gib})
        zone = request.availability_zone
        host_id = self._placement.claim(tx, zone, shape.size_gib)
        volume_id = new_id("volume", self._rng)
        row = {
            "volume_id": volume_id,
            "account_id": call.account_id,
            "host_id": host_id,
            "availability_zone": zone,
            "created_ms": call.now_ms,
            "client_token": request.client_token,
            "request_digest": digest,
            "revision": 1,
            "made": False,
            **columns_of_shape(shape),
            **columns_of_source(source),
        }
        tx.insert(Volume, [row])
        tags.add(tx, call.account_id, [("volume", [volume_id], wanted)])
        self._feed.assign_to(tx, VOLUME, host_id, {volume_id: 1})
        return volume_id

    def delete(self, call: Call, volume_id: str) -> None:
        """Deletes a volume; nothing happens to one that is being deleted already. Raises
        NOT_FOUND, WRONG_STATE."""
        with self._db.write(call) as tx:
            row = find_volume(tx, call.account_id, volume_id)
            seen = state.volume_state(row)
            if seen == state.IN_USE:
                raise CloudError(
                    Kind.WRONG_STATE,
                    f"Volume {volume_id} is currently attached to {row.instance_id}",
                    noun="volume",
                    id=volume_id,
                    reason="in-use",
                )
            if seen == state.CREATING:
                raise wrong_state(row, "deleted")
            if seen != state.DELETING:
                condemn(tx, self._feed, [volume_id])


def condemn(tx: Transaction, feed: Feed, volume_ids: Collection[str]) -> None:
    """Nothing is to be left of these volumes, which are attached to nothing: their homes are told,
    and reconcile forgets them once they are seen gone."""
    revise(tx, feed, volume_ids, {"desired": "deleted"})


def columns_of_shape(shape: types.Shape) -> dict[str, object]:
    return {
        "size_gib": shape.size_gib,
        "volume_type": shape.volume_type,
        "iops": shape.iops,
        "throughput_mibps": shape.throughput_mibps,
    }


def columns_of_source(source: Source | None) -> dict[str, object]:
    """What a volume begins as; it does not need the snapshot any more."""
    if source is None:
        return {}
    return {
        "snapshot_id": source.snapshot_id,
        "image_id": source.snapshot_id,
        "digest": source.digest,
        "disk_format": source.disk_format,
        "image_size_bytes": source.size_bytes,
        "image_virtual_size_bytes": source.virtual_size_bytes,
    }


def wrong_state(row: VolumeRow, done: str) -> CloudError:
    return CloudError(
        Kind.WRONG_STATE,
        f"The volume '{row.volume_id}' is '{state.volume_state(row)}' and cannot be {done}.",
        noun="volume",
        id=row.volume_id,
    )


def _shape(request: volumes_pb2.CreateVolumeRequest, source: Source | None) -> types.Shape:
    if request.HasField("size_gib"):
        size = request.size_gib
    elif source is not None:
        size = source.size_gib
    else:
        raise missing_parameter("size or snapshotId")
    if source is not None and size < source.size_gib:
        raise invalid_parameter(
            f"Volume of size {size}GiB is smaller than snapshot '{source.snapshot_id}', "
            f"expect size >= {source.size_gib}GiB"
        )
    return types.shape(
        size,
        request.volume_type,
        request.iops if request.HasField("iops") else None,
        request.throughput_mibps if request.HasField("throughput_mibps") else None,
    )
