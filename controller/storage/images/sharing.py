"""Who sees and launches an image, and what its owner changes about it.

Called by the service (rpc), describe and deregister. As EC2 has it: an image is its owner's, those
accounts' that may launch it, and, where it is public, everybody's; only its owner sees who may. Who
may launch an image has the data of its snapshots, without owning these. Source: EC2 API Reference,
DescribeImageAttribute, ModifyImageAttribute, ResetImageAttribute.
"""

from typing import NamedTuple

from peewee import SQL, fn

from controller.identity.quotas.rules import Quotas, exceeded
from controller.identity.shares import Shares
from controller.kernel.call import Call
from controller.kernel.database import Session, Transaction
from controller.kernel.lookup import check_ids, not_found
from controller.kernel.owned import Owned
from controller.kernel.rows import columns
from controller.kernel.table import Clause
from controller.storage.images.devices import disks_of
from controller.storage.images.words import IMDS_SUPPORT, check_among, check_description
from controller.storage.states import GONE
from controller.tables.storage import Image, ImageShare
from protos.cloud.v1 import images_pb2
from protos.errors import CloudError, Kind

OWNED = Owned(
    "image",
    Image.image_id,
    Image.account_id,
    Image.status.not_in(GONE),
    facts={
        "ec2:ImageID": Image.image_id,
        "ec2:Owner": Image.account_id,
        "ec2:Public": Image.public,
    },
)
PUBLIC_IMAGES = "public_images_per_account"
SHARES = Shares(Image.image_id, ImageShare.image_id, "image")


class OwnImage(NamedTuple):
    image_id: str
    account_id: str
    status: str
    public: bool
    description: str
    boot_mode: str
    imds_support: str
    sriov_net_support: str
    mapped_devices: int
    root_device_name: str
    root_volume_size_gib: int
    root_delete_on_termination: bool
    root_volume_type: str


def visible_to(account_id: str) -> Clause:
    """An account sees its own images, and those it may launch once they are available."""
    own, active = Image.account_id == account_id, Image.status == "active"
    launched = (SHARES.with_all & active) | (SHARES.with_account(account_id) & active)
    return Image.status.not_in(GONE) & (own | launched)


def known_to(account_id: str) -> Clause:
    """As ``visible_to``, with those that have been deregistered since, while their rows last."""
    launched = SHARES.with_all | SHARES.with_account(account_id)
    return (Image.account_id == account_id) | (launched & Image.status.in_(("active", *GONE)))


def no_longer_available(image_id: str) -> CloudError:
    """The refusal of a deregistered image, in EC2's words."""
    return CloudError(
        Kind.WRONG_STATE,
        f"The image ID '{image_id}' is no longer available",
        noun="image",
        id=image_id,
        reason="unavailable",
    )


def own(session: Session, call: Call, image_id: str) -> OwnImage:
    """The caller's. Raises MALFORMED_ID, NOT_FOUND, DENIED also for one that he may only
    launch, WRONG_STATE for one that is deregistered."""
    check_ids("image", [image_id])
    query = Image.select(*columns(OwnImage, Image))
    row = session.one(query.where(Image.image_id == image_id, known_to(call.account_id)), OwnImage)
    if row is None:
        raise not_found("image", image_id)
    if row.status in GONE:
        raise no_longer_available(image_id)
    if row.account_id != call.account_id:
        raise CloudError(
            Kind.DENIED, f"Not authorized for image:{image_id}", noun="image", id=image_id
        )
    session.authorize("image", [image_id])
    return row


def attributes(session: Session, call: Call, image_id: str) -> images_pb2.ImageSharing:
    """Raises as ``own``."""
    row = own(session, call, image_id)
    return images_pb2.ImageSharing(
        image_id=image_id,
        public=row.public,
        account_ids=SHARES.of(session, image_id),
        description=row.description,
        block_devices=disks_of(session, [row])[image_id],
        boot_mode=row.boot_mode,
        imds_support=row.imds_support,
        sriov_net_support=row.sriov_net_support,
    )


def check_may_publish(tx: Transaction, quotas: Quotas) -> None:
    """Whether the caller may have one more public image, which all others find by its name. The
    operator's are the cloud's own. Raises QUOTA."""
    if tx.call.operator:
        return
    own = Image.account_id == tx.call.account_id, SHARES.with_all, Image.status.not_in(GONE)
    there = tx.value(Image.select(fn.COUNT(SQL("1"))).where(*own), int) or 0
    maximum = quotas.maximum(tx, tx.call.account_id, PUBLIC_IMAGES)
    if there >= maximum:
        message = (
            f"The maximum number of public images ({maximum}) has been reached. "
            "The operator of this cloud says who may publish images."
        )
        raise exceeded(tx.call, PUBLIC_IMAGES, message, "image")


def modify(
    tx: Transaction, quotas: Quotas, request: images_pb2.ModifyImageAttributeRequest
) -> None:
    """Raises as ``own``, and INVALID, QUOTA."""
    row = own(tx, tx.call, request.image_id)
    if request.public and not row.public:
        check_may_publish(tx, quotas)
    changes: dict[str, object] = {}
    if request.HasField("description"):
        check_description(request.description)
        changes["description"] = request.description
    if request.HasField("imds_support"):
        check_among("imdsSupport", request.imds_support, IMDS_SUPPORT)
        changes["imds_support"] = request.imds_support
    if changes:
        tx.advance(Image, changes, Image.image_id == request.image_id)
    SHARES.change(tx, request.image_id, request)


def reset(tx: Transaction, image_id: str) -> None:
    """Ends all shares: the image is its owner's alone again."""
    own(tx, tx.call, image_id)
    SHARES.reset(tx, image_id)
