"""Reading images: who sees which, with the filters that EC2 documents. Called by the service (rpc).

An account sees its own images and those that it may launch (storage/images/sharing), of these
without the tags, which are their owner's alone (EC2 User Guide, "Tag your resources"). The
operator's account is the "amazon" of this cloud: its public images carry that alias, so that
scripts that ask for Owners=["amazon"] find what the cloud offers.
"""

from collections.abc import Sequence
from typing import NamedTuple

from peewee import SQL, fn

from controller.identity.shares import OPERATOR_ALIAS, offered, owned_by
from controller.identity.tags import rules as tags
from controller.identity.tags.filters import tag_filters
from controller.kernel.database import Session
from controller.kernel.filters import (
    NOTHING,
    Condition,
    any_of,
    boolean,
    choice,
    column,
    constant,
    custom,
    either,
    integer,
    page_of,
    timestamp,
    where,
)
from controller.kernel.lookup import select_page
from controller.kernel.rows import columns
from controller.kernel.table import Clause
from controller.storage.images.devices import disks_of
from controller.storage.images.sharing import SHARES, known_to, visible_to
from controller.tables.identity import Account, Tag
from controller.tables.storage import Image, ImageBlockDevice
from protos.cloud.v1 import common_pb2, images_pb2

_ALIASES = ("aws-marketplace", "aws-backup-vault", "microsoft")  # nobody here
_ABSENT = custom(lambda values: NOTHING)  # known to EC2; nothing here has it

_STATES = {
    "pending": Image.status.in_(("queued", "saving", "snapshotting")),
    "available": Image.status == "active",
    "failed": Image.status == "killed",
}
_DISKS = ImageBlockDevice.select(SQL("1")).where(ImageBlockDevice.image_id == Image.image_id)
_EBS = ImageBlockDevice.virtual_name == ""


def _disk(of_row: Condition, of_file: Condition) -> Condition:
    """Any disk of an image: one of its rows, or the only one of a file."""

    def condition(values: Sequence[str]) -> Clause:
        rows = fn.EXISTS(_DISKS.where(of_row(values)))
        return rows | ((Image.mapped_devices == 0) & of_file(values))

    return condition


def _ebs(of_row: Condition) -> Condition:
    """What an instance-store disk does not have."""
    return lambda values: _EBS & of_row(values)


FILTERS: dict[str, Condition] = {
    "architecture": column(Image.architecture),
    "block-device-mapping.delete-on-termination": _disk(
        _ebs(boolean(ImageBlockDevice.delete_on_termination)),
        boolean(Image.root_delete_on_termination),
    ),
    "block-device-mapping.device-name": _disk(
        column(ImageBlockDevice.device_name), column(Image.root_device_name)
    ),
    "block-device-mapping.snapshot-id": any_of(
        _DISKS.where(ImageBlockDevice.snapshot_id != ""), ImageBlockDevice.snapshot_id
    ),
    "block-device-mapping.volume-size": _disk(
        _ebs(integer(ImageBlockDevice.size_gib)), integer(Image.root_volume_size_gib)
    ),
    "block-device-mapping.volume-type": _disk(
        _ebs(column(ImageBlockDevice.volume_type)), column(Image.root_volume_type)
    ),
    "block-device-mapping.encrypted": constant("false"),
    "boot-mode": column(Image.boot_mode),
    "creation-date": timestamp(Image.created_ms),
    "description": column(Image.description),
    "ena-support": boolean(Image.ena_support),
    "free-tier-eligible": constant("false"),
    "hypervisor": constant("xen"),
    "image-allowed": constant("true"),
    "image-id": column(Image.image_id),
    "image-type": constant("machine"),
    "is-public": boolean(Image.public),
    "manifest-location": column(Image.image_location),
    "name": column(Image.name),
    "owner-alias": choice({OPERATOR_ALIAS: offered(Image)}),
    "owner-id": column(Image.account_id),
    "root-device-name": column(Image.root_device_name),
    "root-device-type": constant("ebs"),
    "sriov-net-support": column(Image.sriov_net_support),
    "source-instance-id": column(Image.source_instance_id),
    "state": choice(_STATES),
    "state-reason-code": column(Image.state_reason_code),
    "state-reason-message": column(Image.state_reason_message),
    "virtualization-type": column(Image.virtualization_type),
    **{
        name: _ABSENT
        for name in (
            "image-watermark.source-image-creation-time",
            "image-watermark.source-image-id",
            "image-watermark.source-image-region",
            "image-watermark.watermark-creation-time",
            "image-watermark.watermark-key",
            "instance-type-specification.supported-instance-type",
            "instance-type-specification.unsupported-instance-type",
            "kernel-id",
            "platform",
            "product-code",
            "product-code.type",
            "public-ssm-parameter-name",
            "ramdisk-id",
            "scan-result.critical-fix-available-since",
            "scan-result.finding-scan-date",
            "scan-result.high-fix-available-since",
            "scan-result.highest-finding-severity-label",
            "scan-result.informational-fix-available-since",
            "scan-result.low-fix-available-since",
            "scan-result.medium-fix-available-since",
            "source-image-id",
            "source-image-region",
        )
    },
}


class ImageRow(NamedTuple):
    image_id: str
    name: str
    description: str
    account_id: str
    status: str
    public: bool
    architecture: str
    image_location: str
    root_device_name: str
    disk_format: str
    container_format: str
    digest: str | None
    size_bytes: int
    virtual_size_bytes: int
    root_volume_size_gib: int
    root_delete_on_termination: bool
    root_volume_type: str
    ena_support: bool
    sriov_net_support: str
    boot_mode: str
    imds_support: str
    mapped_devices: int
    source_instance_id: str
    state_reason_code: str
    state_reason_message: str
    created_ms: int
    is_offered: bool


def describe_images(
    session: Session, account_id: str, request: images_pb2.DescribeImagesRequest
) -> images_pb2.DescribeImagesResponse:
    """Three statements a page. An image that is deregistered is left out where it is named, as EC2
    does. Raises INVALID, MALFORMED_ID, NOT_FOUND."""
    query = (
        Image.select(*columns(ImageRow, Image), offered(Image).alias("is_offered"))
        .join(Account, on=Account.account_id == Image.account_id)
        .where(visible_to(account_id))
    )
    filters = FILTERS | tag_filters(Image.image_id, Tag.account_id == account_id)
    conditions = where(filters, request.filters)
    if request.owners:
        conditions.append(owned_by(Image.account_id, request.owners, account_id, _ALIASES))
    if request.executable_users:
        # Launch permissions; an owner's own is implicit and not asked for.
        shown = [SHARES.shown_with(who, account_id) for who in request.executable_users]
        conditions.append(either(shown))
    page = page_of(request.page, smallest=1, explicit_ids=request.image_ids)
    known = Image.select(Image.image_id).where(known_to(account_id))
    rows, token = select_page(
        *(session, query, Image.image_id, "image", request.image_ids, conditions, page),
        known=known,
        row=ImageRow,
    )
    tagged = tags.tags_of(session, [r.image_id for r in rows if r.account_id == account_id])
    disks = disks_of(session, rows)
    return images_pb2.DescribeImagesResponse(
        images=[_message(row, tagged[row.image_id], disks[row.image_id]) for row in rows],
        next_token=token,
    )


def describe_image(session: Session, account_id: str, image_id: str) -> images_pb2.Image:
    request = images_pb2.DescribeImagesRequest(image_ids=[image_id])
    return describe_images(session, account_id, request).images[0]


_SHOWN_STATES = {
    "queued": "pending",
    "saving": "pending",
    "snapshotting": "pending",
    "active": "available",
    "killed": "failed",
}


def _message(
    row: ImageRow,
    image_tags: Sequence[common_pb2.Tag],
    disks: Sequence[images_pb2.ImageBlockDevice],
) -> images_pb2.Image:
    message = images_pb2.Image(
        image_id=row.image_id,
        name=row.name,
        description=row.description,
        owner_id=row.account_id,
        owner_alias=OPERATOR_ALIAS if row.is_offered else "",
        state=_SHOWN_STATES[row.status],
        public=row.public,
        architecture=row.architecture,
        image_location=row.image_location,
        root_device_name=row.root_device_name,
        disk_format=row.disk_format,
        container_format=row.container_format,
        digest=row.digest or "",
        size_bytes=row.size_bytes,
        virtual_size_bytes=row.virtual_size_bytes,
        creation_date_ms=row.created_ms,
        tags=image_tags,
        block_devices=disks,
        source_instance_id=row.source_instance_id,
        ena_support=row.ena_support,
        sriov_net_support=row.sriov_net_support,
        boot_mode=row.boot_mode,
        imds_support=row.imds_support,
    )
    if row.state_reason_code:
        message.state_reason.CopyFrom(
            common_pb2.StateReason(code=row.state_reason_code, message=row.state_reason_message)
        )
    return message
