"""BlockDeviceMapping: what disks come of a list of devices and what a caller says of them.

Called by compute/launch/disks (what an image has), compute/create_image (what an instance has) and
storage/images/rules (nothing yet). As EC2 has it: a mapping of a device that is there, by any of
its names, overrides what is said of it; NoDevice leaves it out; an instance-store disk is a name
(VirtualName).
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from controller.kernel.database import Transaction
from controller.storage.devices import canonical_name, is_beside_root, is_device_name
from controller.storage.snapshots.sources import Source, find_sources
from controller.storage.volumes import types
from protos.cloud.v1 import instances_pb2
from protos.errors import CloudError, Kind, missing_parameter

_VIRTUAL_NAME = re.compile(r"ephemeral([0-9]|1[0-9]|2[0-3])")
_BAD_MAPPING = "block-device-mapping"


@dataclass(frozen=True)
class Disk:
    """A disk as it is to be made. size_gib 0: not said yet. least_gib: what it begins as needs."""

    device_name: str
    size_gib: int
    volume_type: str = types.DEFAULT_TYPE
    delete_on_termination: bool = True
    iops: int | None = None  # not said
    throughput_mibps: int | None = None
    snapshot_id: str = ""
    source: Source | None = None  # None: the image's file, a volume's snapshot to be, or blank
    least_gib: int = 0
    volume_id: str = ""  # whose snapshot it is to begin as
    virtual_name: str = ""  # an instance-store disk: nothing else of it counts


def choose_disks(
    mappings: Iterable[instances_pb2.BlockDeviceMapping],
    devices: Sequence[Disk],
    sources: Mapping[str, Source],
    root_device: str,
) -> list[Disk]:
    """The devices, the root disk first where there are any, as the mappings have them, and those
    that are new. A disk is shown by the name that its mapping has, the root disk by
    ``root_device``, by which clients find it. Raises INVALID."""
    chosen = {canonical_name(disk.device_name): disk for disk in devices}
    if len(chosen) < len(devices):  # made before names were compared so
        raise bad_mapping("Two of the devices are one by their names.")
    root = canonical_name(root_device)
    for mapping in mappings:
        name = canonical_name(mapping.device_name)
        if is_beside_root(mapping.device_name, root_device):
            raise bad_mapping(f"Invalid device name {mapping.device_name}")
        if mapping.no_device or mapping.virtual_name:
            if name == root:
                raise bad_mapping("The root device cannot be left out.")
            chosen.pop(name, None)
            if not mapping.no_device:
                chosen[name] = Disk(mapping.device_name, 0, virtual_name=mapping.virtual_name)
            continue
        known = chosen.get(name)
        if name == root and known and mapping.snapshot_id not in ("", known.snapshot_id):
            raise bad_mapping("snapshotId cannot be modified on root device")
        if known is None or known.virtual_name:
            known = Disk("", 0)
        known = replace(known, device_name=mapping.device_name)
        chosen[name] = _overridden(mapping, known, sources)
    if root in chosen:
        chosen[root] = replace(chosen[root], device_name=root_device)
    return [_shaped(disk) for disk in chosen.values()]


def check_mappings(mappings: Sequence[instances_pb2.BlockDeviceMapping]) -> None:
    """Raises INVALID, UNSUPPORTED."""
    seen: set[str] = set()
    for mapping in mappings:
        name = mapping.device_name
        if not name:
            raise missing_parameter("DeviceName")
        if not is_device_name(name):
            raise bad_mapping(f"Invalid device name {name}")
        if mapping.virtual_name and not _VIRTUAL_NAME.fullmatch(mapping.virtual_name):
            raise bad_mapping(f"Invalid virtual device name {mapping.virtual_name}")
        if canonical_name(name) in seen:
            raise bad_mapping(f"The device '{name}' is used in more than one block-device mapping")
        seen.add(canonical_name(name))
        if mapping.encrypted:
            raise CloudError(
                Kind.UNSUPPORTED, "Encrypted volumes are not supported.", noun="parameter"
            )


def sources_of(
    tx: Transaction, mappings: Iterable[instances_pb2.BlockDeviceMapping]
) -> dict[str, Source]:
    """The snapshots that the mappings name, which the caller may use.

    Raises MALFORMED_ID, NOT_FOUND, WRONG_STATE.
    """
    named = [one.snapshot_id for one in mappings if one.snapshot_id and not one.no_device]
    return find_sources(tx, tx.call, named)


def bad_mapping(message: str) -> CloudError:
    return CloudError(Kind.INVALID, message, noun="volume", reason=_BAD_MAPPING)


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
            volume_id="",
        )
    if mapping.HasField("volume_size_gib"):
        disk = replace(disk, size_gib=mapping.volume_size_gib)
    elif not disk.size_gib:
        raise missing_parameter("size or snapshotId")
    if mapping.HasField("delete_on_termination"):
        disk = replace(disk, delete_on_termination=mapping.delete_on_termination)
    if mapping.volume_type and mapping.volume_type != disk.volume_type:
        disk = replace(disk, volume_type=mapping.volume_type, iops=None, throughput_mibps=None)
    if mapping.HasField("iops"):
        disk = replace(disk, iops=mapping.iops)
    if mapping.HasField("throughput_mibps"):
        disk = replace(disk, throughput_mibps=mapping.throughput_mibps)
    return disk


def _shaped(disk: Disk) -> Disk:
    """With its type's limits. Raises INVALID."""
    if disk.virtual_name:
        return disk
    shape = types.shape(
        disk.size_gib,
        disk.volume_type,
        disk.iops,
        disk.throughput_mibps,
        size_reason=_BAD_MAPPING,
    )
    if shape.size_gib < disk.least_gib:
        raise bad_mapping(
            f"Volume of size {shape.size_gib}GB is smaller than snapshot, "
            f"expect size >= {disk.least_gib}GB"
        )
    return replace(disk, iops=shape.iops, throughput_mibps=shape.throughput_mibps)
