"""The disks of images: as rows of image_block_device, and as Describe shows them.

Called by compute/create_image and storage/images/rules, which make the rows, and by
storage/images/describe and storage/images/sharing. An image that is a file has one disk, which its
own row says all of.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

from controller.kernel.database import Session, Transaction
from controller.storage.mappings import Disk
from controller.tables.storage import ImageBlockDevice
from protos.cloud.v1 import images_pb2

DISK_COLUMNS = (
    ImageBlockDevice.image_id,
    ImageBlockDevice.device_name,
    ImageBlockDevice.snapshot_id,
    ImageBlockDevice.size_gib,
    ImageBlockDevice.delete_on_termination,
    ImageBlockDevice.volume_type,
    ImageBlockDevice.iops,
    ImageBlockDevice.throughput_mibps,
    ImageBlockDevice.virtual_name,
)


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


def columns_of_disks(disks: Sequence[Disk]) -> dict:
    """What the image's own row says of them."""
    root = disks[0]
    return {
        "mapped_devices": len(disks),
        "root_volume_size_gib": root.size_gib,
        "root_delete_on_termination": root.delete_on_termination,
        "root_volume_type": root.volume_type,
    }


def disks_of(session: Session, images: Sequence) -> Mapping[str, list[images_pb2.ImageBlockDevice]]:
    """By the image's id; ``images``: rows with image_id, mapped_devices and the root_… columns. One
    statement where there is an image of snapshots among them."""
    found: dict[str, list[images_pb2.ImageBlockDevice]] = defaultdict(list)
    of_snapshots = [image.image_id for image in images if image.mapped_devices]
    if of_snapshots:
        query = ImageBlockDevice.select(*DISK_COLUMNS).where(
            ImageBlockDevice.image_id.in_(of_snapshots)
        )
        order = (ImageBlockDevice.image_id, ImageBlockDevice.position)
        for row in session.rows(query.order_by(*order)):
            found[row.image_id].append(_of_row(row))
    for image in images:
        if not image.mapped_devices:
            found[image.image_id].append(_of_file(image))
    return found


def _of_row(row) -> images_pb2.ImageBlockDevice:
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


def _of_file(image) -> images_pb2.ImageBlockDevice:
    return images_pb2.ImageBlockDevice(
        device_name=image.root_device_name,
        volume_size_gib=image.root_volume_size_gib,
        delete_on_termination=image.root_delete_on_termination,
        volume_type=image.root_volume_type,
    )
