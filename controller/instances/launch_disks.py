"""BlockDeviceMapping: the disks of each instance of a launch, from what its image has and what the
caller says.

Called by instances/launch_plan inside its transaction; a statement more only where snapshots or an
image of snapshots are named. As EC2 has it: a mapping of a device that the image has overrides what
it says of it; NoDevice leaves it out; an instance-store disk (VirtualName) that the type does not
have is left out without a word, and no type has one.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from controller.db.schema import ImageBlockDevice, Snapshot
from controller.db.session import Transaction
from controller.snapshots.sources import Source, source_of
from controller.volumes import types
from controller.volumes.devices import ATTACHED_MAX, bare_name, is_device_name
from protos.cloud.v1 import instances_pb2
from protos.errors import CloudError, Kind

GIB = 1024**3
_VIRTUAL_NAME = re.compile(r"ephemeral([0-9]|1[0-9]|2[0-3])")
_BAD_MAPPING = "block-device-mapping"


@dataclass(frozen=True)
class Disk:
    """A disk to be made with each instance; the first is the root disk, from the image. size_gib 0:
    not said yet. least_gib: what it begins as needs."""

    device_name: str
    size_gib: int
    volume_type: str = types.DEFAULT_TYPE
    delete_on_termination: bool = True
    iops: int | None = None  # not said
    throughput_mibps: int | None = None
    snapshot_id: str = ""
    source: Source | None = None  # None: the image's file, or blank
    least_gib: int = 0


def plan_disks(
    tx: Transaction, mappings: Sequence[instances_pb2.BlockDeviceMapping], row
) -> tuple[Disk, ...]:
    """``row``: launch_read's. Raises INVALID, NOT_FOUND, WRONG_STATE, UNSUPPORTED, QUOTA."""
    _check_mappings(mappings)
    devices = _of_image(tx, row)
    named = {one.snapshot_id for one in mappings if one.snapshot_id and not one.no_device}
    sources = {name: source_of(tx, tx.call, name) for name in sorted(named)}
    disks = choose_disks(mappings, devices, sources)
    if len(disks) > ATTACHED_MAX:
        raise CloudError(
            Kind.QUOTA,
            f"An instance can have {ATTACHED_MAX} volumes, {len(disks)} were requested.",
            noun="attachment",
        )
    return tuple(disks)


def choose_disks(
    mappings: Iterable[instances_pb2.BlockDeviceMapping],
    devices: Sequence[Disk],
    sources: Mapping[str, Source],
) -> list[Disk]:
    """The image's disks, its root disk first, as the mappings have them, and those that are new."""
    chosen = {bare_name(disk.device_name): disk for disk in devices}
    root = next(iter(chosen))
    for mapping in mappings:
        name = bare_name(mapping.device_name)
        if mapping.no_device or mapping.virtual_name:
            if name == root:
                raise _bad_mapping("The root device cannot be left out.")
            chosen.pop(name, None)
            continue
        known = chosen.get(name)
        if name == root and mapping.snapshot_id not in ("", known.snapshot_id):
            raise _bad_mapping("snapshotId cannot be modified on root device")
        chosen[name] = _overridden(mapping, known or Disk(mapping.device_name, 0), sources)
    return [_shaped(disk) for disk in chosen.values()]


def _overridden(
    mapping: instances_pb2.BlockDeviceMapping, disk: Disk, sources: Mapping[str, Source]
) -> Disk:
    source = sources.get(mapping.snapshot_id)
    if source is not None and mapping.snapshot_id != disk.snapshot_id:
        disk = replace(
            disk,
            snapshot_id=source.snapshot_id,
            source=source,
            size_gib=source.size_gib,
            least_gib=source.size_gib,
        )
    said: dict[str, object] = {}
    if mapping.HasField("volume_size_gib"):
        said["size_gib"] = mapping.volume_size_gib
    elif not disk.size_gib:
        raise CloudError(
            Kind.INVALID,
            "The request must contain the parameter size or snapshotId",
            reason="missing-parameter",
            id="Ebs.VolumeSize",
        )
    if mapping.HasField("delete_on_termination"):
        said["delete_on_termination"] = mapping.delete_on_termination
    if mapping.volume_type and mapping.volume_type != disk.volume_type:
        said |= {"volume_type": mapping.volume_type, "iops": None, "throughput_mibps": None}
    if mapping.HasField("iops"):
        said["iops"] = mapping.iops
    if mapping.HasField("throughput_mibps"):
        said["throughput_mibps"] = mapping.throughput_mibps
    return replace(disk, **said)


def _shaped(disk: Disk) -> Disk:
    """With its type's limits. Raises INVALID."""
    shape = types.shape(
        disk.size_gib,
        disk.volume_type,
        disk.iops,
        disk.throughput_mibps,
        size_reason=_BAD_MAPPING,
    )
    if shape.size_gib < disk.least_gib:
        raise _bad_mapping(
            f"Volume of size {shape.size_gib}GB is smaller than snapshot, "
            f"expect size >= {disk.least_gib}GB"
        )
    return replace(disk, iops=shape.iops, throughput_mibps=shape.throughput_mibps)


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


def _check_mappings(mappings: Sequence[instances_pb2.BlockDeviceMapping]) -> None:
    seen: set[str] = set()
    for mapping in mappings:
        name = mapping.device_name
        if not name:
            raise CloudError(
                Kind.INVALID,
                "The request must contain the parameter DeviceName",
                reason="missing-parameter",
                id="DeviceName",
            )
        if not is_device_name(name):
            raise _bad_mapping(f"Invalid device name {name}")
        if mapping.virtual_name and not _VIRTUAL_NAME.fullmatch(mapping.virtual_name):
            raise _bad_mapping(f"Invalid virtual device name {mapping.virtual_name}")
        if bare_name(name) in seen:
            raise _bad_mapping(f"The device '{name}' is used in more than one block-device mapping")
        seen.add(bare_name(name))
        if mapping.encrypted:
            raise CloudError(
                Kind.UNSUPPORTED, "Encrypted volumes are not supported.", noun="parameter"
            )


def _bad_mapping(message: str) -> CloudError:
    return CloudError(Kind.INVALID, message, noun="volume", reason="block-device-mapping")
