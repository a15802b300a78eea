"""Attaches devices to instances and detaches them.

Called by compute/attachments/volumes and interfaces (the calls of users), and by
compute/attachments/reconcile; launches write theirs themselves (compute/launch/run). Both are
changes of the instance, stamped with the revision that says so; once its guest has the devices of
that revision, the one is attached and the other let go of (reconcile). Nothing waits for a guest
that is not there.
"""

from collections.abc import Sequence
from typing import NamedTuple

from controller.hosts.attachment_states import INTERFACE, VOLUME
from controller.hosts.feed import Feed
from controller.hosts.guests import revise_devices
from controller.kernel.database import Transaction
from controller.kernel.rows import columns
from controller.network.interfaces import rules as interfaces
from controller.storage.volumes import release as volumes
from controller.tables.compute import Attachment
from controller.tables.network import NetworkInterface
from controller.tables.nouns import VPC


class AttachedDevice(NamedTuple):
    device_id: str
    kind: str
    instance_id: str
    forced: bool
    message: str


def attach(
    tx: Transaction, feed: Feed, kind: str, device_id: str, instance_id: str, **how: object
) -> None:
    """Attaches a device: its guest is told to plug it in. ``how``: the columns of its attachment.
    The caller has checked that it has none."""
    revision = revise_devices(tx, feed, [instance_id])[instance_id]
    row: dict[str, object] = {
        "kind": kind,
        "device_id": device_id,
        "instance_id": instance_id,
        "delete_on_termination": False,
        "attached_ms": tx.call.now_ms,
        "revision": revision,
    }
    tx.insert(Attachment, [row | how])
    _tell_vpc(tx, feed, kind, device_id)


def detach(
    tx: Transaction, feed: Feed, device_id: str, *, force: bool = False, let_go: bool = False
) -> None:
    """The guest is to lose the device, as ``begin_detach`` has it; where it has been ``let_go``
    already, it is attached to nothing at once."""
    query = Attachment.select(*columns(AttachedDevice, Attachment))
    (attachment,) = tx.rows(query.where(Attachment.device_id == device_id), AttachedDevice)
    begin_detach(tx, feed, attachment, force=force)
    if let_go:
        end(tx, feed, [attachment])


def begin_detach(
    tx: Transaction, feed: Feed, attachment: AttachedDevice, *, force: bool = False
) -> None:
    """Begins to take a device from its guest; ``force``: without asking the guest. Asked again, the
    guest is asked again."""
    instance_id = attachment.instance_id
    going = {
        "detaching": True,
        "forced": force or attachment.forced,
        "busy": False,
        "failed": False,
        "message": "",
        "revision": revise_devices(tx, feed, [instance_id])[instance_id],
    }
    tx.advance(Attachment, going, Attachment.device_id == attachment.device_id)
    _tell_vpc(tx, feed, attachment.kind, attachment.device_id)


def end(tx: Transaction, feed: Feed, attachments: Sequence[AttachedDevice]) -> None:
    """Removes the attachments of devices that no guest has any more."""
    if not attachments:
        return
    ids = [one.device_id for one in attachments]
    tx.delete(Attachment, Attachment.device_id.in_(ids))
    volumes.detached(tx, feed, [one.device_id for one in attachments if one.kind == VOLUME])
    interfaces.detached(tx, [one.device_id for one in attachments if one.kind == INTERFACE])


def _tell_vpc(tx: Transaction, feed: Feed, kind: str, device_id: str) -> None:
    """An interface's groups and addresses come to its VPC's hosts with it, and go with it."""
    if kind == INTERFACE:
        interface = NetworkInterface.network_interface_id == device_id
        query = NetworkInterface.select(NetworkInterface.vpc_id).where(interface)
        feed.revise(tx, VPC, tx.column(query, str), at_once=False)
