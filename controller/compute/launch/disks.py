"""The disks of each instance of a launch: chosen from what its image has and what the caller says,
and their rows.

    plan_disks   Disk, one for each of an instance's    called by plan; a statement more only where
                                                        snapshots or an image of snapshots are named
    make_disks   MadeDisks, of all instances            called by run; no statement

As EC2 has it, an instance-store disk that the type does not have is left out without a word, and no
type has one.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from controller.compute.launch.request import LaunchImage
from controller.hosts.attachment_states import VOLUME
from controller.kernel.database import Transaction
from controller.kernel.lookup import not_found
from controller.kernel.units import GIB
from controller.storage.devices import ATTACHED_MAX
from controller.storage.mappings import Disk, check_mappings, choose_disks, sources_of
from controller.storage.snapshots.sources import Source
from controller.storage.volumes import types
from controller.storage.volumes.rules import columns_of_source
from controller.tables.storage import ImageBlockDevice, Snapshot
from protos.cloud.v1 import instances_pb2
from protos.errors import CloudError, Kind
from protos.ids import new_id


class AttachedDisk(NamedTuple):
    """A new volume of an instance, as compute/instances/view shows it."""

    volume_id: str
    device_name: str
    position: int
    delete_on_termination: bool
    attached_ms: int
    attach_revision: int = 0
    detaching: bool = False
    busy: bool = False


@dataclass(frozen=True)
class MadeDisks:
    """Rows of the volumes and of what attaches them, and the disks of each instance."""

    volumes: list[dict[str, object]] = field(default_factory=list)
    attachments: list[dict[str, object]] = field(default_factory=list)
    shown: list[list[AttachedDisk]] = field(default_factory=list)


class MappedDisk(NamedTuple):
    """A disk of an image of snapshots, with its snapshot (None where that is gone)."""

    device_name: str
    size_gib: int
    volume_type: str
    delete_on_termination: bool
    iops: int
    throughput_mibps: int
    virtual_name: str
    snapshot_id: str
    snapshot_digest: str | None
    snapshot_gib: int | None
    snapshot_bytes: int | None


def plan_disks(
    tx: Transaction, mappings: Sequence[instances_pb2.BlockDeviceMapping], image: LaunchImage
) -> tuple[Disk, ...]:
    """The root disk first. Raises INVALID, NOT_FOUND, WRONG_STATE, UNSUPPORTED, QUOTA."""
    check_mappings(mappings)
    sources = sources_of(tx, mappings)
    chosen = choose_disks(mappings, _of_image(tx, image), sources, image.root_device_name)
    disks = tuple(disk for disk in chosen if not disk.virtual_name)
    if len(disks) > ATTACHED_MAX:
        raise CloudError(
            Kind.QUOTA,
            f"An instance can have {ATTACHED_MAX} volumes, {len(disks)} were requested.",
            noun="attachment",
        )
    return disks


def _of_image(tx: Transaction, image: LaunchImage) -> list[Disk]:
    """What the image has: one disk, or those of its rows where it is made of snapshots."""
    least_gib = max(1, -(-image.virtual_size_bytes // GIB))
    root = Disk(
        image.root_device_name,
        max(least_gib, image.root_volume_size_gib),
        image.root_volume_type or types.DEFAULT_TYPE,
        bool(image.root_delete_on_termination),
        least_gib=least_gib,
    )
    if not image.mapped_devices:
        return [root]
    first, *others = _mapped_disks(tx, image.image_id)
    root = replace(
        root,
        iops=first.iops or None,
        throughput_mibps=first.throughput_mibps or None,
        snapshot_id=first.snapshot_id,
    )
    return [root, *(_disk_of(one) for one in others if not one.virtual_name)]


def _mapped_disks(tx: Transaction, image_id: str) -> list[MappedDisk]:
    """The image's disks with their snapshots. Who may launch the image may have them."""
    rows = tx.tuples(
        ImageBlockDevice.select(
            ImageBlockDevice.device_name,
            ImageBlockDevice.size_gib,
            ImageBlockDevice.volume_type,
            ImageBlockDevice.delete_on_termination,
            ImageBlockDevice.iops,
            ImageBlockDevice.throughput_mibps,
            ImageBlockDevice.virtual_name,
            ImageBlockDevice.snapshot_id,
            Snapshot.digest,
            Snapshot.size_gib,
            Snapshot.size_bytes,
        )
        .left_outer_join(Snapshot, on=Snapshot.snapshot_id == ImageBlockDevice.snapshot_id)
        .where(ImageBlockDevice.image_id == image_id)
        .order_by(ImageBlockDevice.position)
    )
    return [MappedDisk(*row) for row in rows]


def _disk_of(one: MappedDisk) -> Disk:
    source = _source_of(one) if one.snapshot_id else None
    return Disk(
        one.device_name,
        one.size_gib or (source.size_gib if source else 0),
        one.volume_type or types.DEFAULT_TYPE,
        bool(one.delete_on_termination),
        one.iops or None,
        one.throughput_mibps or None,
        one.snapshot_id,
        source,
        source.size_gib if source else 0,
    )


def _source_of(one: MappedDisk) -> Source:
    if one.snapshot_gib is None or one.snapshot_bytes is None:
        # deleted by its owner, while another account's image is still made of it
        raise not_found("snapshot", one.snapshot_id)
    if one.snapshot_digest is None:
        raise CloudError(
            Kind.WRONG_STATE,
            f"The snapshot '{one.snapshot_id}' of the image is not completed.",
            noun="snapshot",
            id=one.snapshot_id,
        )
    return Source(one.snapshot_id, one.snapshot_digest, one.snapshot_gib, one.snapshot_bytes)


def make_disks(
    tx: Transaction,
    rng: random.Random,
    disks: Sequence[Disk],
    image: LaunchImage,
    zone: str,
    hosts: Mapping[str, str],
) -> MadeDisks:
    """A volume of each disk for each instance, on its host. ``hosts``: instance id -> host id. The
    caller inserts the rows."""
    made = MadeDisks()
    for instance_id, host_id in hosts.items():
        own = [
            AttachedDisk(
                new_id("volume", rng),
                disk.device_name,
                position,
                disk.delete_on_termination,
                tx.call.now_ms,
            )
            for position, disk in enumerate(disks)
        ]
        for disk, one in zip(disks, own, strict=True):
            made.volumes.append(
                {
                    "volume_id": one.volume_id,
                    "account_id": tx.call.account_id,
                    "host_id": host_id,
                    "availability_zone": zone,
                    "size_gib": disk.size_gib,
                    "volume_type": disk.volume_type,
                    "iops": disk.iops,
                    "throughput_mibps": disk.throughput_mibps,
                    "created_ms": tx.call.now_ms,
                    **_columns_of_content(disk, image if one.position == 0 else None),
                }
            )
            made.attachments.append(_attachment_row(one, instance_id))
        made.shown.append(own)
    return made


def _columns_of_content(disk: Disk, image: LaunchImage | None) -> dict[str, object]:
    """What a volume begins as: a snapshot, the image's file (the root disk), or nothing."""
    if disk.source is not None or image is None:
        return columns_of_source(disk.source)
    return {
        "snapshot_id": disk.snapshot_id,
        "image_id": image.image_id,
        "digest": image.digest,
        "disk_format": image.disk_format,
        "image_size_bytes": image.size_bytes,
        "image_virtual_size_bytes": image.virtual_size_bytes,
    }


def _attachment_row(disk: AttachedDisk, instance_id: str) -> dict[str, object]:
    return {
        "kind": VOLUME,
        "device_id": disk.volume_id,
        "instance_id": instance_id,
        "device_name": disk.device_name,
        "position": disk.position,
        "delete_on_termination": disk.delete_on_termination,
        "attached_ms": disk.attached_ms,
    }
