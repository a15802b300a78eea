"""The disks of each instance of a launch, from what its image has and what the caller says.

Called by compute/launch/plan inside its transaction; a statement more only where snapshots or an
image of snapshots are named. As EC2 has it, an instance-store disk that the type does not have is
left out without a word, and no type has one.
"""

from collections.abc import Sequence
from dataclasses import replace

from controller.kernel.database import Transaction
from controller.kernel.lookup import not_found
from controller.kernel.units import GIB
from controller.storage.devices import ATTACHED_MAX
from controller.storage.mappings import Disk, check_mappings, choose_disks, sources_of
from controller.storage.snapshots.sources import Source
from controller.storage.volumes import types
from controller.tables.storage import ImageBlockDevice, Snapshot
from protos.cloud.v1 import instances_pb2
from protos.errors import CloudError, Kind


def plan_disks(
    tx: Transaction, mappings: Sequence[instances_pb2.BlockDeviceMapping], row
) -> tuple[Disk, ...]:
    """``row``: launch_read's. Raises INVALID, NOT_FOUND, WRONG_STATE, UNSUPPORTED, QUOTA."""
    check_mappings(mappings)
    sources = sources_of(tx, mappings)
    chosen = choose_disks(mappings, _of_image(tx, row), sources, row.root_device_name)
    disks = tuple(disk for disk in chosen if not disk.virtual_name)
    if len(disks) > ATTACHED_MAX:
        raise CloudError(
            Kind.QUOTA,
            f"An instance can have {ATTACHED_MAX} volumes, {len(disks)} were requested.",
            noun="attachment",
        )
    return disks


def _of_image(tx: Transaction, row) -> list[Disk]:
    """What the image has: one disk, or those of its rows where it is made of snapshots."""
    least_gib = max(1, -(-row.virtual_size_bytes // GIB))
    root = Disk(
        row.root_device_name,
        max(least_gib, row.root_volume_size_gib),
        row.root_volume_type or types.DEFAULT_TYPE,
        bool(row.root_delete_on_termination),
        least_gib=least_gib,
    )
    if not row.mapped_devices:
        return [root]
    first, *others = _rows(tx, row.image_id)
    root = replace(
        root,
        iops=first.iops or None,
        throughput_mibps=first.throughput_mibps or None,
        snapshot_id=first.snapshot_id,
    )
    return [root, *(_mapped(one) for one in others if not one.virtual_name)]


def _rows(tx: Transaction, image_id: str) -> list:
    """The image's disks with their snapshots. Who may launch the image may have them."""
    return tx.rows(
        ImageBlockDevice.select(
            ImageBlockDevice,
            Snapshot.digest,
            Snapshot.size_gib.alias("snapshot_gib"),
            Snapshot.size_bytes,
        )
        .left_outer_join(Snapshot, on=Snapshot.snapshot_id == ImageBlockDevice.snapshot_id)
        .where(ImageBlockDevice.image_id == image_id)
        .order_by(ImageBlockDevice.position)
    )


def _mapped(one) -> Disk:
    source = None
    if one.snapshot_id:
        if one.snapshot_gib is None:  # another account's: it is deleted, whose images there may be
            raise not_found("snapshot", one.snapshot_id)
        if one.digest is None:
            raise CloudError(
                Kind.WRONG_STATE,
                f"The snapshot '{one.snapshot_id}' of the image is not completed.",
                noun="snapshot",
                id=one.snapshot_id,
            )
        source = Source(one.snapshot_id, one.digest, one.snapshot_gib, one.size_bytes)
    return Disk(
        one.device_name,
        one.size_gib or one.snapshot_gib,
        one.volume_type or types.DEFAULT_TYPE,
        bool(one.delete_on_termination),
        one.iops or None,
        one.throughput_mibps or None,
        one.snapshot_id,
        source,
        source.size_gib if source else 0,
    )
