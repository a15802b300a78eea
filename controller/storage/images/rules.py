"""Images: registered, and made available of bytes that came.

Called by the service (rpc) and by storage/images/fetch. The statuses are the store's and one more,
EC2 sees four of them:

    queued → saving → active                      pending, pending, available
             saving → killed                      failed
    snapshotting → active | killed                pending; by compute/create_image and
    storage/images/reconcile any    → pending_delete → deleted             deregistered: not shown
    any more

Instances that run from a deregistered image run on: their disks name the bytes by digest, and
bytes stay while anything names them (storage/images/collect, storage/snapshots/collect). Source:
EC2 API Reference, RegisterImage.
"""

import random
import re
from collections.abc import Sequence
from typing import NamedTuple

from controller.config import ImagesConfig
from controller.identity.tags import rules as tags
from controller.identity.tags.checks import tags_of_specifications
from controller.kernel.database import Transaction
from controller.kernel.rows import columns
from controller.storage.devices import canonical_name, is_beside_root
from controller.storage.images import locations
from controller.storage.images.devices import columns_of_disks, insert_disks
from controller.storage.images.store import StoredFile
from controller.storage.images.words import (
    IMDS_SUPPORT,
    check_among,
    check_name_is_free,
    check_words,
    invalid,
)
from controller.storage.mappings import Disk, bad_mapping, check_mappings, choose_disks, sources_of
from controller.storage.snapshots.sources import DISK_FORMAT, Source
from controller.tables.storage import Image, ImageBlob, ImageUpload
from protos.cloud.v1 import images_pb2, instances_pb2
from protos.errors import CloudError, Kind, missing_parameter
from protos.ids import new_id

GIB = 1 << 30
ARCHITECTURES = ("x86_64", "i386", "arm64")
DEFAULT_ROOT_DEVICE = "/dev/sda1"
ROOT_VOLUME_GIB_MAX = 16_384
_OF_A_FILE = {
    *("device_name", "volume_size_gib", "delete_on_termination", "volume_type", "encrypted")
}
_DEVICE = re.compile(r"/dev/[a-z][a-z0-9/]{1,30}")


class BlobRow(NamedTuple):
    digest: str
    disk_format: str
    size_bytes: int
    virtual_size_bytes: int


def register(
    tx: Transaction,
    rng: random.Random,
    config: ImagesConfig,
    request: images_pb2.RegisterImageRequest,
) -> str:
    """A new image, active where its bytes are uploaded or it is made of snapshots, else queued to
    be fetched. Answers its id.

    Raises INVALID, EXISTS (name), MALFORMED_ID, NOT_FOUND and WRONG_STATE (snapshot), UNSUPPORTED.
    """
    call = tx.call
    wanted = tags_of_specifications(request.tag_specifications, "image")
    _check_words(request)
    image_id = new_id("image", rng)
    row: dict[str, object] = {
        "image_id": image_id,
        "account_id": call.account_id,
        "name": request.name,
        "description": request.description,
        "public": request.public,
        "architecture": request.architecture or ARCHITECTURES[0],
        "root_device_name": request.root_device_name or DEFAULT_ROOT_DEVICE,
        "ena_support": request.ena_support,
        "sriov_net_support": request.sriov_net_support,
        "boot_mode": request.boot_mode,
        "imds_support": request.imds_support,
        "created_ms": call.now_ms,
    }
    disks: list[Disk] = []
    if request.image_location:
        row |= _of_location(tx, config, request)
    else:
        disks, root = _of_snapshots(tx, request)
        row |= _columns_of_snapshots(call.account_id, request.name, disks, root)
    check_name_is_free(tx, call.account_id, request.name)
    tx.insert(Image, [row])
    if disks:
        insert_disks(tx, image_id, disks)
    tags.add(tx, call.account_id, [("image", [image_id], wanted["image"])])
    return image_id


def location_of(account_id: str, name: str) -> str:
    """What EC2 shows as the location of an image that is no file."""
    return f"{account_id}/{name}"


def note_blob(tx: Transaction, stored: StoredFile, is_there: bool) -> None:
    """The bytes are in the store; ``is_there``: as seen within this transaction.

    Raises UNAVAILABLE where the same bytes are just being removed.
    """
    tx.insert(
        ImageBlob,
        [
            {
                "digest": stored.digest,
                "disk_format": stored.disk_format,
                "size_bytes": stored.size_bytes,
                "virtual_size_bytes": stored.virtual_size_bytes,
                "created_ms": tx.call.now_ms,
            }
        ],
        on_conflict=("digest",),
    )
    query = ImageBlob.select(ImageBlob.condemned).where(ImageBlob.digest == stored.digest)
    going = tx.value(query, bool)
    if going or not is_there:
        raise CloudError(
            Kind.UNAVAILABLE,
            "An older copy of these bytes is just being removed. Try again.",
            reason="busy",
        )


def note_upload(tx: Transaction, digest: str) -> None:
    """The caller may register these bytes."""
    row = {"account_id": tx.call.account_id, "digest": digest, "uploaded_ms": tx.call.now_ms}
    tx.insert(ImageUpload, [row], on_conflict=("account_id", "digest"), update=("uploaded_ms",))


def contents(blob: StoredFile, root_volume_size_gib: int) -> dict[str, object]:
    """The columns of an image that has its bytes."""
    needed = -(-blob.virtual_size_bytes // GIB)
    return {
        "status": "active",
        "digest": blob.digest,
        "disk_format": blob.disk_format,
        "size_bytes": blob.size_bytes,
        "virtual_size_bytes": blob.virtual_size_bytes,
        "root_volume_size_gib": max(needed, root_volume_size_gib),
    }


def check_size(blob: StoredFile, config: ImagesConfig) -> None:
    if blob.virtual_size_bytes > config.max_virtual_bytes:
        raise CloudError(
            Kind.INVALID,
            f"The disk is larger ({blob.virtual_size_bytes} bytes) than what is allowed "
            f"({config.max_virtual_bytes})",
            noun="image",
        )


def _of_snapshots(
    tx: Transaction, request: images_pb2.RegisterImageRequest
) -> tuple[list[Disk], Source]:
    """The disks, the root disk first, and the snapshot that this must be of."""
    if not request.block_devices:
        raise missing_parameter("ImageLocation")
    check_mappings(request.block_devices)
    sources = sources_of(tx, request.block_devices)
    root_device = request.root_device_name or DEFAULT_ROOT_DEVICE
    disks = choose_disks(request.block_devices, (), sources, root_device)
    roots = [disk for disk in disks if disk.device_name == root_device]
    if not roots or roots[0].source is None:
        raise bad_mapping("No root snapshot specified in device mapping")
    return roots + [disk for disk in disks if disk not in roots], roots[0].source


def _columns_of_snapshots(
    account_id: str, name: str, disks: Sequence[Disk], source: Source
) -> dict[str, object]:
    return {
        "status": "active",
        "image_location": location_of(account_id, name),
        "disk_format": DISK_FORMAT,
        "digest": source.digest,
        "size_bytes": source.size_bytes,
        "virtual_size_bytes": source.virtual_size_bytes,
        **columns_of_disks(disks),
    }


def _of_location(
    tx: Transaction, config: ImagesConfig, request: images_pb2.RegisterImageRequest
) -> dict[str, object]:
    root = _root_mapping(request)
    location = request.image_location
    row: dict[str, object] = {
        "status": "queued",
        "image_location": location,
        "disk_format": request.disk_format or locations.format_of(location),
        "root_volume_size_gib": root.volume_size_gib,
        "root_delete_on_termination": root.delete_on_termination,
        "root_volume_type": root.volume_type or "gp2",
    }
    if digest := locations.digest_of(location):
        return row | _of_upload(tx, digest, request.disk_format, root.volume_size_gib)
    locations.check_url(location, config.sources)
    return row


def _of_upload(
    tx: Transaction, digest: str, declared: str, root_volume_size_gib: int
) -> dict[str, object]:
    found = tx.one(
        ImageBlob.select(*columns(BlobRow, ImageBlob))
        .join(ImageUpload, on=ImageUpload.digest == ImageBlob.digest)
        .where(
            ImageBlob.digest == digest,
            ImageBlob.condemned == False,  # noqa: E712 - SQL's
            ImageUpload.account_id == tx.call.account_id,
        ),
        BlobRow,
    )
    if found is None:
        raise CloudError(
            Kind.INVALID,
            f"Nothing was uploaded by this account as {digest}",
            noun="image",
            id="ImageLocation",
        )
    blob = StoredFile(*found)
    if declared not in ("", blob.disk_format):
        raise CloudError(
            Kind.INVALID, f"These bytes were uploaded as {blob.disk_format}", noun="image"
        )
    if root_volume_size_gib and root_volume_size_gib * GIB < blob.virtual_size_bytes:
        raise smaller_than_image(root_volume_size_gib, blob.virtual_size_bytes)
    return contents(blob, root_volume_size_gib)


def smaller_than_image(volume_size_gib: int, virtual_size_bytes: int) -> CloudError:
    return CloudError(
        Kind.INVALID,
        f"Volume of size {volume_size_gib}GB is smaller than the image, expect size >= "
        f"{-(-virtual_size_bytes // GIB)}GB",
        reason="block-device-mapping",
    )


def _check_words(request: images_pb2.RegisterImageRequest) -> None:
    check_words(request.name, request.description)
    for value, known, parameter in (
        (request.architecture, ARCHITECTURES, "architecture"),
        (request.disk_format, ("qcow2", "raw"), "diskFormat"),
        (request.virtualization_type, ("hvm",), "virtualizationType"),
        (request.boot_mode, ("legacy-bios", "uefi-preferred"), "bootMode"),
        (request.imds_support, IMDS_SUPPORT, "imdsSupport"),
        (request.sriov_net_support, ("simple",), "sriovNetSupport"),
    ):
        if value:
            check_among(parameter, value, known)
    if request.root_device_name and not _DEVICE.fullmatch(request.root_device_name):
        raise invalid("rootDeviceName", request.root_device_name, "a device such as /dev/sda1")


def _root_mapping(request: images_pb2.RegisterImageRequest) -> instances_pb2.BlockDeviceMapping:
    """What is asked for the root disk of a file, filled up with EC2's defaults.

    Raises UNSUPPORTED for further disks, and for what a file's disk cannot have.
    """
    check_mappings(request.block_devices)
    root_device = request.root_device_name or DEFAULT_ROOT_DEVICE
    root = instances_pb2.BlockDeviceMapping(
        device_name=root_device, volume_size_gib=0, delete_on_termination=True
    )
    for mapping in request.block_devices:
        said = {field.name for field, _ in mapping.ListFields()}
        if is_beside_root(mapping.device_name, root_device):
            raise bad_mapping(f"Invalid device name {mapping.device_name}")
        is_root = canonical_name(mapping.device_name) == canonical_name(root_device)
        if not is_root or said - _OF_A_FILE:
            raise CloudError(
                Kind.UNSUPPORTED,
                f"An image that is a file has its root device ({root_device}) only, with a size, "
                "a volume type and whether it is deleted on termination.",
                noun="image",
            )
        root.MergeFrom(mapping)
        size_gib = root.volume_size_gib
        if mapping.HasField("volume_size_gib") and not 1 <= size_gib <= ROOT_VOLUME_GIB_MAX:
            raise invalid("volumeSize", str(size_gib), f"between 1 and {ROOT_VOLUME_GIB_MAX}")
    return root
