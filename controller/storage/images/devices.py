"""The disks of images: as rows of image_block_device, and as Describe shows them.

Called by compute/create_image and storage/images/rules, which make the rows, and by
storage/images/describe and storage/images/sharing. An image that is a file has one disk, which its
own row says all of.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from controller.kernel.database import Session, Transaction
from controller.kernel.rows import columns
from controller.storage.mappings import Disk
from controller.tables.storage import ImageBlockDevice
from protos.cloud.v1 import images_pb2


class DiskRow(NamedTuple):
    image_id: str
    device_name: str
    snapshot_id: str
    size_gib: int
    delete_on_termination: bool
    volume_type: str
    iops: int
    throughput_mibps: int
    virtual_name: str


class OfImage(Protocol):
    """What an image's own row says of its disks."""

    @property
    def image_id(self) -> str: ...
    @property
    def mapped_devices(self) -> int: ...
    @property
    def root_device_name(self) -> str: ...
    @property
    def root_volume_size_gib(self) -> int: ...
    @property
    def root_delete_on_termination(self) -> bool: ...
    @property
    def root_volume_type(self) -> str: ...


def insert_disks(tx: Transaction, image_id: str, disks: Sequence[Disk]) -> None:
    """The rows of an image of snapshots; the first disk is its root."""
    rows = [
        {
            "image_id": image_id,
            "position": position,
            "device_name": disk.device_name,
            "snapshot_id": disk.snapshot_id,
            "virtual_name": disk.virtual_name,
            "size_gib": disk.size_gib,
            "delete_on_termination": disk.delete_on_termination,
            "volume_type": disk.volume_type,
            "iops": disk.iops or 0,
            "throughput_mibps": disk.throughput_mibps or 0,
        }
        for position, disk in enumerate(disks)
    ]
    tx.insert(ImageBlockDevice, rows)


def columns_of_disks(disks: Sequence[Disk]) -> dict[str, object]:
    """What the image's own row says of them."""
    root = disks[0]
    return {
        "mapped_devices": len(disks),
        "root_volume_size_gib": root.size_gib,
        "root_delete_on_termination": root.delete_on_termination,
        "root_volume_type": root.volume_type,
    }


def disks_of(
    session: Session, images: Sequence[OfImage]
) -> Mapping[str, list[images_pb2.ImageBlockDevice]]:
    """By the image's id. One statement where there is an image of snapshots among them."""
    found: dict[str, list[images_pb2.ImageBlockDevice]] = defaultdict(list)
    of_snapshots = [image.image_id for image in images if image.mapped_devices]
    if of_snapshots:
        query = ImageBlockDevice.select(*columns(DiskRow, ImageBlockDevice)).where(
            ImageBlockDevice.image_id.in_(of_snapshots)
        )
        order = (ImageBlockDevice.image_id, ImageBlockDevice.position)
        for row in session.rows(query.order_by(*order), DiskRow):
            found[row.image_id].append(_of_row(row))
    for image in images:
        if not image.mapped_devices:
            found[image.image_id].append(_of_file(image))
    return found


def _of_row(row: DiskRow) -> images_pb2.ImageBlockDevice:
    if row.virtual_name:
        return images_pb2.ImageBlockDevice(
            device_name=row.device_name, virtual_name=row.virtual_name
        )
    return images_pb2.ImageBlockDevice(
        device_name=row.device_name,
        snapshot_id=row.snapshot_id,
        volume_size_gib=row.size_gib,
        delete_on_termination=row.delete_on_termination,
        volume_type=row.volume_type,
        iops=row.iops,
        throughput_mibps=row.throughput_mibps,
    )


def _of_file(image: OfImage) -> images_pb2.ImageBlockDevice:
    return images_pb2.ImageBlockDevice(
        device_name=image.root_device_name,
        volume_size_gib=image.root_volume_size_gib,
        delete_on_termination=image.root_delete_on_termination,
        volume_type=image.root_volume_type,
    )
