"""Images: registered, made available or failed, deregistered.

Called by the door (rpc), by images/fetch and images/collect. The statuses are the store's, EC2
sees four of them:

    queued → saving → active                      pending, pending, available
             saving → killed                      failed
    any    → pending_delete → deleted             deregistered: not found any more

Instances that run from a deregistered image run on: their disks name the bytes by digest, and
bytes stay while anything names them (images/collect). Source: EC2 API Reference, RegisterImage,
DeregisterImage.
"""

import random
import re
from collections.abc import Sequence

from controller.config import ImagesConfig
from controller.db.schema import Image, ImageBlob, ImageUpload
from controller.db.session import Session, Transaction
from controller.images import locations
from controller.images.store import StoredFile
from controller.lookup import check_ids, not_found
from controller.tags import rules as tags
from controller.tags.checks import tags_of_specifications
from protos.cloud.v1 import images_pb2
from protos.errors import CloudError, Kind
from protos.ids import new_id

GIB = 1 << 30
LIVING = ("queued", "saving", "active")
GONE = ("pending_delete", "deleted")
ARCHITECTURES = ("x86_64", "i386", "arm64")
DEFAULT_ROOT_DEVICE = "/dev/sda1"
ROOT_VOLUME_GIB_MAX = 16_384
# EC2 API Reference, RegisterImage: 3-128 of these.
_NAME = re.compile(r"[a-zA-Z0-9()\[\] ./\-'@_]{3,128}")
_DEVICE = re.compile(r"/dev/[a-z][a-z0-9/]{1,30}")


def register(
    tx: Transaction,
    rng: random.Random,
    config: ImagesConfig,
    request: images_pb2.RegisterImageRequest,
) -> str:
    """A new image, active where its bytes are uploaded, else queued to be fetched. Answers its id.

    Raises INVALID, DENIED (public, by another than the operator), EXISTS (name), NOT_FOUND
    (upload), UNSUPPORTED.
    """
    call = tx.call
    wanted = tags_of_specifications(request.tag_specifications, "image")
    _check_words(request)
    if request.public and not call.operator:
        raise CloudError(
            Kind.DENIED, "Only the operator's account may make images public.", noun="image"
        )
    root = _root_mapping(request)
    row = {
        "image_id": new_id("image", rng),
        "account_id": call.account_id,
        "name": request.name,
        "description": request.description,
        "status": "queued",
        "public": request.public,
        "architecture": request.architecture or ARCHITECTURES[0],
        "image_location": request.image_location,
        "root_device_name": request.root_device_name or DEFAULT_ROOT_DEVICE,
        "disk_format": request.disk_format or locations.format_of(request.image_location),
        "root_volume_size_gib": root.volume_size_gib,
        "root_delete_on_termination": root.delete_on_termination,
        "root_volume_type": root.volume_type or "gp2",
        "ena_support": request.ena_support,
        "boot_mode": request.boot_mode,
        "imds_support": request.imds_support,
        "created_ms": call.now_ms,
    }
    digest = locations.digest_of(request.image_location)
    if digest:
        row |= _of_upload(tx, digest, request.disk_format, root.volume_size_gib)
    else:
        locations.check_url(request.image_location, config.sources)
    _check_name_is_free(tx, call.account_id, request.name)
    tx.insert(Image, [row])
    tags.add(tx, call.account_id, [("image", [row["image_id"]], wanted["image"])])
    return row["image_id"]


def deregister(tx: Transaction, image_id: str) -> None:
    """The image is not found any more; its bytes go once nothing needs them.

    Raises NOT_FOUND, DENIED.
    """
    check_ids("image", [image_id])
    image = tx.one(
        Image.select(Image.account_id, Image.public, Image.status).where(
            Image.image_id == image_id, Image.status.not_in(GONE)
        )
    )
    mine = image is not None and image.account_id == tx.call.account_id
    if not mine and (image is None or not (image.public and image.status == "active")):
        raise not_found("image", image_id)
    if not mine:
        raise CloudError(
            Kind.DENIED, f"Not authorized for image:{image_id}", noun="image", id=image_id
        )
    tx.advance(
        Image,
        {"status": "pending_delete", "deleted_ms": tx.call.now_ms},
        Image.image_id == image_id,
        Image.status.not_in(GONE),
    )


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
    going = tx.value(ImageBlob.select(ImageBlob.condemned).where(ImageBlob.digest == stored.digest))
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


def contents(blob, root_volume_size_gib: int) -> dict:
    """The columns of an image that has its bytes. ``blob``: a row of image_blob or a StoredFile."""
    needed = -(-blob.virtual_size_bytes // GIB)
    return {
        "status": "active",
        "digest": blob.digest,
        "disk_format": blob.disk_format,
        "size_bytes": blob.size_bytes,
        "virtual_size_bytes": blob.virtual_size_bytes,
        "root_volume_size_gib": max(needed, root_volume_size_gib),
    }


def check_size(blob, config: ImagesConfig) -> None:
    if blob.virtual_size_bytes > config.max_virtual_bytes:
        raise CloudError(
            Kind.INVALID,
            f"The disk is larger ({blob.virtual_size_bytes} bytes) than what is allowed "
            f"({config.max_virtual_bytes})",
            noun="image",
        )


def _of_upload(tx: Transaction, digest: str, declared: str, root_volume_size_gib: int) -> dict:
    blob = tx.one(
        ImageBlob.select(
            ImageBlob.digest,
            ImageBlob.disk_format,
            ImageBlob.size_bytes,
            ImageBlob.virtual_size_bytes,
        )
        .join(ImageUpload, on=ImageUpload.digest == ImageBlob.digest)
        .where(
            ImageBlob.digest == digest,
            ImageBlob.condemned == False,  # noqa: E712 - SQL's
            ImageUpload.account_id == tx.call.account_id,
        )
    )
    if blob is None:
        raise CloudError(
            Kind.INVALID,
            f"Nothing was uploaded by this account as {digest}",
            noun="image",
            id="ImageLocation",
        )
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


def _check_name_is_free(session: Session, account_id: str, name: str) -> None:
    query = Image.select(Image.image_id).where(
        Image.account_id == account_id, Image.name == name, Image.status.in_(LIVING)
    )
    if taken := session.value(query):
        raise CloudError(
            Kind.EXISTS, f"AMI name {name} is already in use by AMI {taken}", noun="image", id=taken
        )


def _check_words(request: images_pb2.RegisterImageRequest) -> None:
    if not request.name:
        raise _missing("Name")
    if not request.image_location:
        raise _missing("ImageLocation")
    if not _NAME.fullmatch(request.name):
        raise CloudError(
            Kind.INVALID,
            "AMI names must be between 3 and 128 characters long, and may contain letters, "
            "numbers, '(', ')', '[', ']', ' ', '.', '/', '-', ''', '@' and '_'",
            noun="image",
            reason="image-name-malformed",
        )
    if len(request.description) > 255:
        raise _invalid("description", request.description[:32] + "…", "at most 255 characters")
    for value, known, parameter in (
        (request.architecture, ARCHITECTURES, "architecture"),
        (request.disk_format, ("qcow2", "raw"), "diskFormat"),
        (request.virtualization_type, ("hvm",), "virtualizationType"),
        (request.boot_mode, ("legacy-bios", "uefi-preferred"), "bootMode"),
        (request.imds_support, ("v2.0",), "imdsSupport"),
    ):
        if value and value not in known:
            raise _invalid(parameter, value, "one of " + ", ".join(known))
    if request.root_device_name and not _DEVICE.fullmatch(request.root_device_name):
        raise _invalid("rootDeviceName", request.root_device_name, "a device such as /dev/sda1")


def _root_mapping(
    request: images_pb2.RegisterImageRequest,
) -> images_pb2.BlockDeviceMappingSize:
    """What is asked for the root disk, filled up with EC2's defaults.

    Raises UNSUPPORTED for further disks.
    """
    root_device = request.root_device_name or DEFAULT_ROOT_DEVICE
    root = images_pb2.BlockDeviceMappingSize(
        device_name=root_device, volume_size_gib=0, delete_on_termination=True
    )
    mapped: Sequence[images_pb2.BlockDeviceMappingSize] = request.block_devices
    for mapping in mapped:
        if mapping.device_name != root_device:
            raise CloudError(
                Kind.UNSUPPORTED,
                f"An image has its root device ({root_device}) only; '{mapping.device_name}' "
                "cannot be mapped.",
                noun="image",
            )
        root.MergeFrom(mapping)
    if len(mapped) > 1:
        raise CloudError(
            Kind.INVALID,
            f"The device '{root_device}' is mapped more than once",
            reason="block-device-mapping",
        )
    sized = bool(mapped) and mapped[0].HasField("volume_size_gib")
    if sized and not 1 <= root.volume_size_gib <= ROOT_VOLUME_GIB_MAX:
        raise _invalid(
            "volumeSize", str(root.volume_size_gib), f"between 1 and {ROOT_VOLUME_GIB_MAX}"
        )
    return root


def _missing(parameter: str) -> CloudError:
    return CloudError(
        Kind.INVALID,
        f"The request must contain the parameter {parameter}",
        reason="missing-parameter",
        id=parameter,
    )


def _invalid(parameter: str, value: str, expected: str) -> CloudError:
    return CloudError(
        Kind.INVALID,
        f"Value ({value}) for parameter {parameter} is invalid. Expected: {expected}.",
        noun="parameter",
        id=parameter,
    )
