"""What a RunInstances request may say, and what it means with this image and type. Pure.

Called by instances/launch before anything is made (ec2.md, traps 23 to 27). Raises CloudError
INVALID, UNSUPPORTED or MALFORMED_ID; what names something is looked up by launch itself.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from controller.tags.checks import tags_of_specifications
from protos import ids
from protos.cloud.v1 import instances_pb2
from protos.errors import CloudError, Kind

GIB = 1024**3
USER_DATA_BYTES_MAX = 16 * 1024
TOKEN_CHARS_MAX = 64
ROOT_GIB_MAX = 16 * 1024
VOLUME_TYPES = ("standard", "gp2", "gp3", "io1", "io2", "sc1", "st1")
# What can be asked of a disk, by its type (EBS User Guide, "Amazon EBS volume types"). Recorded and
# shown, as what a client planned; no disk is throttled here.
_IOPS = {"io1": (100, 64_000), "io2": (100, 256_000), "gp3": (3_000, 80_000)}
_THROUGHPUT = {"gp3": (125, 2_000)}
_UNSAID = {"gp3": (3_000, 125)}  # type -> IOPS and MiB/s of a disk of which nothing else was said
_DEVICE = re.compile(r"/dev/(sd[a-z][1-9]?|xvd[a-z]{1,2}|vd[a-z]|hd[a-z])|xvd[a-z]{1,2}|sd[a-z]")
_VIRTUAL_NAME = re.compile(r"ephemeral([0-9]|1[0-9]|2[0-3])")
_METADATA_CHOICES = {
    "http_endpoint": ("enabled", "disabled"),
    "http_tokens": ("optional", "required"),
    "instance_metadata_tags": ("enabled", "disabled"),
    "http_protocol_ipv6": ("enabled", "disabled"),
}
_METADATA_NAMES = {
    "http_endpoint": "MetadataOptions.HttpEndpoint",
    "http_tokens": "MetadataOptions.HttpTokens",
    "instance_metadata_tags": "MetadataOptions.InstanceMetadataTags",
    "http_protocol_ipv6": "MetadataOptions.HttpProtocolIpv6",
}


@dataclass(frozen=True)
class Disk:
    """A disk to be made with each instance; the first is the root disk, from the image."""

    device_name: str
    size_gib: int
    volume_type: str
    delete_on_termination: bool
    iops: int = 0
    throughput_mibps: int = 0


@dataclass(frozen=True)
class Wanted:
    """A request that can be meant."""

    tags: Mapping[str, Mapping[str, str]]  # of "instance", "volume", "network-interface"
    metadata: Mapping[str, object]  # columns of the instance


def check_request(request: instances_pb2.RunInstancesRequest, max_per_call: int) -> Wanted:
    """What can be said of a request by itself."""
    _check_counts(request, max_per_call)
    if not ids.is_well_formed(request.image_id, "image"):
        raise CloudError(
            Kind.MALFORMED_ID,
            f'Invalid id: "{request.image_id}" (expecting "ami-...")',
            noun="image",
            id=request.image_id,
        )
    if len(request.client_token) > TOKEN_CHARS_MAX or not request.client_token.isascii():
        raise invalid(
            f"Value ({request.client_token}) for parameter ClientToken is invalid. "
            f"At most {TOKEN_CHARS_MAX} ASCII characters."
        )
    check_user_data(request.user_data)
    check_shutdown_behavior(request.instance_initiated_shutdown_behavior or "stop")
    if request.tenancy not in ("", "default"):
        raise CloudError(
            Kind.UNSUPPORTED, f"The tenancy '{request.tenancy}' is not supported.", noun="parameter"
        )
    return Wanted(
        tags_of_specifications(
            request.tag_specifications, "instance", "volume", "network-interface"
        ),
        metadata_columns(request.metadata_options),
    )


def _check_counts(request: instances_pb2.RunInstancesRequest, max_per_call: int) -> None:
    if request.min_count < 1:
        raise invalid("Value (" + str(request.min_count) + ") for parameter minCount is invalid.")
    if request.max_count < request.min_count:
        raise invalid(
            f"Value ({request.max_count}) for parameter maxCount is invalid. "
            "It must be at least minCount."
        )
    if request.max_count > max_per_call:
        raise CloudError(
            Kind.QUOTA,
            f"You have requested more instances ({request.max_count}) than one call may launch "
            f"({max_per_call}).",
            noun="instance",
        )


def check_user_data(user_data: bytes) -> None:
    if len(user_data) > USER_DATA_BYTES_MAX:
        raise invalid(f"User data is limited to {USER_DATA_BYTES_MAX} bytes")


def check_shutdown_behavior(behavior: str) -> None:
    if behavior not in ("stop", "terminate"):
        raise invalid(
            f"Value ({behavior}) for parameter instanceInitiatedShutdownBehavior is invalid."
        )


def metadata_columns(options: instances_pb2.MetadataOptions) -> dict[str, object]:
    """The instance's columns for what was asked; what was not said keeps the schema's (EC2's)
    default."""
    for field, choices in _METADATA_CHOICES.items():
        if (value := getattr(options, field)) and value not in choices:
            raise invalid(f"Value ({value}) for parameter {_METADATA_NAMES[field]} is invalid.")
    limit = options.http_put_response_hop_limit
    if limit and not 1 <= limit <= 64:
        raise invalid(
            f"Value ({limit}) for parameter MetadataOptions.HttpPutResponseHopLimit is invalid."
        )
    columns = {
        "metadata_http_endpoint": options.http_endpoint,
        "metadata_http_tokens": options.http_tokens,
        "metadata_hop_limit": limit,
        "metadata_tags": options.instance_metadata_tags,
        "metadata_ipv6": options.http_protocol_ipv6,
    }
    return {name: value for name, value in columns.items() if value}


def plan_disks(
    mappings: Sequence[instances_pb2.BlockDeviceMapping],
    root_device_name: str,
    image_gib: int,
    root_gib: int,
    root_delete: bool,
    root_type: str,
) -> list[Disk]:
    """The disks of each instance. image_gib: what the image needs at least; root_gib: what its
    owner gave it."""
    seen: set[str] = set()
    root, others = Disk(root_device_name, root_gib, root_type or "gp2", root_delete), []
    for mapping in mappings:
        _check_mapping(mapping, seen)
        if mapping.virtual_name or (mapping.no_device and mapping.device_name != root_device_name):
            continue  # no instance store here: EC2, too, leaves out what the type has not
        if mapping.device_name == root_device_name:
            if mapping.no_device:
                raise _bad_mapping("The root device cannot be left out.")
            root = _disk(mapping, root)
        else:
            if not mapping.HasField("volume_size_gib"):
                raise CloudError(
                    Kind.INVALID,
                    "The request must contain the parameter size or snapshotId",
                    reason="missing-parameter",
                    id="Ebs.VolumeSize",
                )
            others.append(_disk(mapping, Disk(mapping.device_name, 0, "gp2", True)))
    if root.size_gib < image_gib:
        raise _bad_mapping(
            f"Volume of size {root.size_gib}GB is smaller than snapshot, "
            f"expect size >= {image_gib}GB"
        )
    return [_with_rates(disk) for disk in (root, *others)]


def _with_rates(disk: Disk) -> Disk:
    """As EC2 shows a disk: a gp3 without a word of its rates has those that it begins with."""
    iops, throughput = _UNSAID.get(disk.volume_type, (0, 0))
    return replace(
        disk, iops=disk.iops or iops, throughput_mibps=disk.throughput_mibps or throughput
    )


def _disk(mapping: instances_pb2.BlockDeviceMapping, default: Disk) -> Disk:
    size = mapping.volume_size_gib if mapping.HasField("volume_size_gib") else default.size_gib
    if not 1 <= size <= ROOT_GIB_MAX:
        raise _bad_mapping(f"Volume size {size} is invalid: 1 to {ROOT_GIB_MAX} GiB.")
    delete = default.delete_on_termination
    if mapping.HasField("delete_on_termination"):
        delete = mapping.delete_on_termination
    volume_type = mapping.volume_type or default.volume_type
    _check_rate("iops", mapping.iops, _IOPS, volume_type)
    _check_rate("throughput", mapping.throughput_mibps, _THROUGHPUT, volume_type)
    return Disk(
        mapping.device_name, size, volume_type, delete, mapping.iops, mapping.throughput_mibps
    )


def _check_rate(name: str, asked: int, bounds: Mapping, volume_type: str) -> None:
    if not asked:
        return
    if volume_type not in bounds:
        raise invalid(
            f"The parameter {name} is not supported for {volume_type} volumes.",
            reason="parameter-combination",
        )
    low, high = bounds[volume_type]
    if not low <= asked <= high:
        raise invalid(f"Value ({asked}) for parameter {name} is invalid: {low} to {high}.")


def _check_mapping(mapping: instances_pb2.BlockDeviceMapping, seen: set[str]) -> None:
    name = mapping.device_name
    if not name:
        raise CloudError(
            Kind.INVALID,
            "The request must contain the parameter DeviceName",
            reason="missing-parameter",
            id="DeviceName",
        )
    if not _DEVICE.fullmatch(name):
        raise _bad_mapping(f"Invalid device name {name}")
    if mapping.virtual_name and not _VIRTUAL_NAME.fullmatch(mapping.virtual_name):
        raise _bad_mapping(f"Invalid virtual device name {mapping.virtual_name}")
    if name in seen:
        raise _bad_mapping(f"The device '{name}' is used in more than one block-device mapping")
    seen.add(name)
    if mapping.volume_type and mapping.volume_type not in VOLUME_TYPES:
        raise invalid(f"Value ({mapping.volume_type}) for parameter volumeType is invalid.")
    if mapping.snapshot_id:
        raise CloudError(
            Kind.NOT_FOUND,
            f"The snapshot '{mapping.snapshot_id}' does not exist.",
            noun="snapshot",
            id=mapping.snapshot_id,
        )
    if mapping.encrypted:
        raise CloudError(Kind.UNSUPPORTED, "Encrypted volumes are not supported.", noun="parameter")


def invalid(message: str, reason: str = "") -> CloudError:
    return CloudError(Kind.INVALID, message, noun="parameter", reason=reason)


def _bad_mapping(message: str) -> CloudError:
    return CloudError(Kind.INVALID, message, noun="volume", reason="block-device-mapping")
