"""The types of volumes and what can be asked of each. Pure.

Called by storage/volumes/rules (CreateVolume, ModifyVolume) and mappings (RunInstances, images).
Source: EBS User Guide, "Amazon EBS volume types", and EC2's own words for what it refuses.

    type      GiB            IOPS                             MiB/s
    gp2       1..16384       3 a GiB, 100..16000, not chosen  -
    gp3       1..16384       3000..16000, 500 a GiB           125..1000, a quarter of the IOPS
    io1       4..16384       100..64000, 50 a GiB             -
    io2       4..16384       100..64000, 500 a GiB            -
    st1 sc1   125..16384     -                                -
    standard  1..1024        -                                -

What is chosen is a limit of the guest's disk (DiskSpec); what is not chosen limits nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from protos.errors import CloudError, invalid_parameter, missing_parameter

DEFAULT_TYPE = "gp2"
GP2_IOPS = (100, 16_000)
GP2_IOPS_PER_GIB = 3
_IOPS_PER_MIBPS = 4  # a gp3 volume's throughput needs so many


@dataclass(frozen=True)
class VolumeType:
    """iops, throughput: bounds of what can be chosen, None: nothing can. *_default 0: it must be
    chosen."""

    smallest_gib: int
    largest_gib: int
    iops: tuple[int, int] | None = None
    iops_default: int = 0
    iops_per_gib: int = 0
    throughput: tuple[int, int] | None = None
    throughput_default: int = 0


TYPES: Mapping[str, VolumeType] = {
    "standard": VolumeType(1, 1024),
    "gp2": VolumeType(1, 16_384),
    "gp3": VolumeType(1, 16_384, (3_000, 16_000), 3_000, 500, (125, 1_000), 125),
    "io1": VolumeType(4, 16_384, (100, 64_000), 0, 50),
    "io2": VolumeType(4, 16_384, (100, 64_000), 0, 500),
    "st1": VolumeType(125, 16_384),
    "sc1": VolumeType(125, 16_384),
}


@dataclass(frozen=True)
class Shape:
    """A volume as it can be. iops, throughput_mibps: its limits; 0: none."""

    size_gib: int
    volume_type: str
    iops: int = 0
    throughput_mibps: int = 0


def shape(
    size_gib: int,
    volume_type: str = "",
    iops: int | None = None,
    throughput_mibps: int | None = None,
    *,
    size_reason: str = "",
) -> Shape:
    """What was asked for, with the type's defaults. None: not said.

    Raises INVALID; ``size_reason`` is that of a size out of bounds, for whom EC2 has another code.
    """
    name = volume_type or DEFAULT_TYPE
    known = TYPES.get(name)
    if known is None:
        raise invalid_parameter(f"Value ({name}) for parameter volumeType is invalid.")
    if size_gib < known.smallest_gib:
        raise invalid_parameter(
            f"Volume of {size_gib}GiB is too small for volume type {name}; "
            f"minimum is {known.smallest_gib}GiB.",
            size_reason,
        )
    if size_gib > known.largest_gib:
        raise invalid_parameter(
            f"Volume of {size_gib}GiB is too large for volume type {name}; "
            f"maximum is {known.largest_gib}GiB.",
            size_reason,
        )
    chosen = _iops(name, known, size_gib, iops)
    return Shape(size_gib, name, chosen, _throughput(name, known, chosen, throughput_mibps))


def _iops(name: str, known: VolumeType, size_gib: int, asked: int | None) -> int:
    if known.iops is None:
        if asked is not None:
            raise _unsupported("iops", name)
        return 0
    if asked is None and not known.iops_default:
        raise missing_parameter("iops")
    if asked is None:
        return known.iops_default
    least, most = known.iops
    if asked < least:
        raise invalid_parameter(f"Volume iops of {asked} is too low; minimum is {least}.")
    if asked > most:
        raise invalid_parameter(f"Volume iops of {asked} is too high; maximum is {most}.")
    if asked > max(size_gib * known.iops_per_gib, known.iops_default):
        raise invalid_parameter(
            f"Iops to volume size ratio of {asked / size_gib:.1f} is too high; "
            f"maximum is {known.iops_per_gib}.0 IOPS per GiB."
        )
    return asked


def _throughput(name: str, known: VolumeType, iops: int, asked: int | None) -> int:
    if known.throughput is None:
        if asked is not None:
            raise _unsupported("throughput", name)
        return 0
    if asked is None:
        return known.throughput_default
    least, most = known.throughput
    if asked < least:
        raise invalid_parameter(f"Volume throughput of {asked} is too low; minimum is {least}.")
    if asked > most:
        raise invalid_parameter(f"Volume throughput of {asked} is too high; maximum is {most}.")
    if asked * _IOPS_PER_MIBPS > iops:
        raise invalid_parameter(
            f"Throughput (MiBps) to iops ratio of {asked / iops:.6f} is too high; "
            f"maximum is {1 / _IOPS_PER_MIBPS:.6f} MiBps per iops."
        )
    return asked


def shown_iops(volume_type: str, size_gib: int, iops: int) -> int:
    """The IOPS that Describe shows: of a gp2 volume those of its size. 0: none."""
    if volume_type != "gp2":
        return iops
    least, most = GP2_IOPS
    return min(max(size_gib * GP2_IOPS_PER_GIB, least), most)


def _unsupported(name: str, volume_type: str) -> CloudError:
    return invalid_parameter(
        f"The parameter {name} is not supported for {volume_type} volumes.", "parameter-combination"
    )
