"""CreateImage: an image of an instance's volumes, a snapshot of each of one moment.

Called by storage/images/rpc. One transaction makes the image, its snapshots and, unless NoReboot is
asked for, the reboot in whose middle they are taken (docs/decisions/0602); storage/images/reconcile
makes the image available when they are completed. Source: EC2 API Reference, CreateImage.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from controller.compute.instances import rules as instances
from controller.compute.instances.state import RUNNING, STOPPED, STOPPING
from controller.compute.instances.view import InstanceRow, state_of
from controller.hosts.feed import Feed
from controller.hosts.guests import is_quiesced
from controller.identity.tags import rules as tags
from controller.identity.tags.checks import tags_of_specifications
from controller.kernel.database import Transaction
from controller.kernel.rows import columns
from controller.storage.images.devices import columns_of_disks, insert_disks
from controller.storage.images.rules import location_of
from controller.storage.images.words import check_name_is_free, check_words
from controller.storage.mappings import Disk, check_mappings, choose_disks, sources_of
from controller.storage.snapshots.rules import Moment, SnapshotRules
from controller.storage.snapshots.sources import DISK_FORMAT
from controller.storage.volumes.rows import VolumeRow, volumes_query
from controller.tables.compute import Attachment
from controller.tables.storage import Image
from protos.cloud.v1 import images_pb2
from protos.errors import CloudError, Kind
from protos.ids import new_id


class Inherited(NamedTuple):
    ena_support: bool
    sriov_net_support: str
    boot_mode: str
    imds_support: str


class ImageMaker:
    def __init__(self, rng: random.Random, snapshots: SnapshotRules, feed: Feed):
        self._rng, self._snapshots, self._feed = rng, snapshots, feed

    def create(self, tx: Transaction, request: images_pb2.CreateImageRequest) -> str:
        """Answers the new image's id.

        Raises INVALID, EXISTS (name), MALFORMED_ID, NOT_FOUND (instance, snapshot), WRONG_STATE
        (volume, snapshot), UNSUPPORTED, QUOTA.
        """
        wanted = tags_of_specifications(request.tag_specifications, "image", "snapshot")
        check_words(request.name, request.description)
        check_mappings(request.block_devices)
        account_id = tx.call.account_id
        (instance,) = instances.find(tx, account_id, [request.instance_id])
        state = _checked_state(instance)
        volumes = _volumes_of(tx, instance)
        image_id = new_id("image", self._rng)
        moment = Moment(image_id, quiesce=request.no_reboot)
        if not request.no_reboot:
            _check_at_home(instance, volumes)
            moment = Moment(image_id, instance.instance_id)
        sources = sources_of(tx, request.block_devices)
        root_device = instance.root_device_name
        disks = choose_disks(request.block_devices, _disks_of(volumes), sources, root_device)
        check_name_is_free(tx, account_id, request.name)
        disks = self._take(tx, instance, disks, wanted["snapshot"], moment)
        if not request.no_reboot and state == RUNNING:
            instances.ask_reboot(tx, self._feed, [instance.instance_id])
        row = {
            "image_id": image_id,
            "account_id": account_id,
            "name": request.name,
            "description": request.description,
            "status": "snapshotting",
            "architecture": instance.architecture,
            "image_location": location_of(account_id, request.name),
            "root_device_name": instance.root_device_name,
            "disk_format": DISK_FORMAT,
            "source_instance_id": instance.instance_id,
            "created_ms": tx.call.now_ms,
            **_inherited(tx, instance.image_id),
            **columns_of_disks(disks),
        }
        tx.insert(Image, [row])
        insert_disks(tx, image_id, disks)
        tags.add(tx, account_id, [("image", [image_id], wanted["image"])])
        return image_id

    def _take(
        self,
        tx: Transaction,
        instance: InstanceRow,
        disks: Sequence[Disk],
        wanted: Mapping[str, str],
        moment: Moment,
    ) -> list[Disk]:
        """The disks, with the snapshots that they are to begin as."""
        description = f"Created by CreateImage({instance.instance_id}) for {moment.image_id}"
        volume_ids = [disk.volume_id for disk in disks if disk.volume_id]
        taken = self._snapshots.take_of(tx, volume_ids, description, wanted, moment)
        snapshot_of = dict(zip(volume_ids, taken, strict=True))
        return [
            replace(disk, snapshot_id=snapshot_of.get(disk.volume_id, disk.snapshot_id))
            for disk in disks
        ]


def _checked_state(instance: InstanceRow) -> str:
    state = state_of(instance)
    if state not in (RUNNING, STOPPING, STOPPED):
        why = "Instance is not in state 'running' or 'stopping' or 'stopped'"
        raise instances.bad_instance(instance.instance_id, why)
    return state


def _volumes_of(tx: Transaction, instance: InstanceRow) -> list[VolumeRow]:
    """Those attached, the root disk first."""
    query = volumes_query().where(
        Attachment.instance_id == instance.instance_id, ~Attachment.detaching
    )
    volumes = tx.rows(query.order_by(Attachment.position, Attachment.device_name), VolumeRow)
    if not volumes or volumes[0].position != 0:
        raise instances.no_root(instance)
    return volumes


def _check_at_home(instance: InstanceRow, volumes: Sequence[VolumeRow]) -> None:
    """Where a volume is served to its guest by another host, that one does not know when the guest
    is off."""
    away = [one.volume_id for one in volumes if one.host_id != instance.host_id]
    if away and not is_quiesced(instance):
        raise CloudError(
            Kind.UNSUPPORTED,
            f"The volume '{away[0]}' is on another host than '{instance.instance_id}': create the "
            "image with NoReboot, or stop the instance first.",
            noun="volume",
            id=away[0],
        )


def _disks_of(volumes: Sequence[VolumeRow]) -> list[Disk]:
    return [
        Disk(
            volume.device_name or "",
            volume.size_gib,
            volume.volume_type,
            bool(volume.delete_on_termination),
            volume.iops or None,
            volume.throughput_mibps or None,
            least_gib=volume.size_gib,
            volume_id=volume.volume_id,
        )
        for volume in volumes
    ]


def _inherited(tx: Transaction, image_id: str) -> dict[str, object]:
    """What the image has from the one that the instance was launched from, while that is known."""
    query = Image.select(*columns(Inherited, Image))
    source = tx.one(query.where(Image.image_id == image_id), Inherited)
    return source._asdict() if source is not None else {"ena_support": True}
