"""AttachVolume and DetachVolume: which instance has a volume, by which device name.

Called by storage/volumes/rpc. What an attachment is, and what becomes of it:
compute/attachments/rules.
"""

from typing import NamedTuple

from controller.compute.attachments import rules
from controller.compute.instances.rules import find as find_instances
from controller.compute.instances.state import RUNNING, STOPPED
from controller.compute.instances.view import InstanceRow, state_of
from controller.hosts.attachment_states import VOLUME
from controller.hosts.feed import Feed
from controller.kernel.call import Call
from controller.kernel.database import Database, Transaction
from controller.kernel.rows import columns
from controller.storage.devices import ATTACHED_MAX, canonical_name, is_device_name
from controller.storage.volumes import state
from controller.storage.volumes.revisions import revise
from controller.storage.volumes.rows import VolumeRow, find_volume, is_quiesced
from controller.storage.volumes.rules import wrong_state
from controller.tables.compute import Attachment
from controller.tables.hosts import Host
from protos.errors import CloudError, Kind, invalid_parameter, missing_parameter


class OtherVolume(NamedTuple):
    device_name: str
    position: int


class VolumeAttachments:
    def __init__(self, db: Database, feed: Feed):
        self._db, self._feed = db, feed

    def attach(self, call: Call, volume_id: str, instance_id: str, device: str) -> VolumeRow:
        """The volume's row with its attachment. Raises INVALID, NOT_FOUND, WRONG_STATE, QUOTA,
        UNSUPPORTED."""
        for value, name in ((volume_id, "volume"), (instance_id, "instance"), (device, "device")):
            if not value:
                raise missing_parameter(name)
        with self._db.write(call) as tx:
            volume = find_volume(tx, call.account_id, volume_id)
            instance = find_instances(tx, call.account_id, [instance_id])[0]
            _check_volume(volume)
            _check_instance(instance)
            if volume.availability_zone != instance.availability_zone:
                raise CloudError(
                    Kind.INVALID,
                    f"The volume '{volume_id}' is not in the same availability zone as instance "
                    f"'{instance_id}'",
                    noun="volume",
                    id=volume_id,
                    reason="zone-mismatch",
                )
            position = _position(tx, instance, device)
            served_to = "" if volume.host_id == instance.host_id else instance.host_id or ""
            if served_to:
                _check_served(tx, volume)
            if served_to:
                revise(tx, self._feed, [volume_id], {"served_to": served_to})
            rules.attach(
                *(tx, self._feed, VOLUME, volume_id, instance_id),
                device_name=device,
                position=position,
            )
            return find_volume(tx, call.account_id, volume_id)

    def detach(
        self, call: Call, volume_id: str, instance_id: str, device: str, force: bool
    ) -> VolumeRow:
        """The volume's row with its attachment as it is now: gone already where no guest runs.
        Asked again, the guest is asked again. Raises NOT_FOUND, WRONG_STATE."""
        with self._db.write(call) as tx:
            row = find_volume(tx, call.account_id, volume_id)
            if row.desired == "deleted" or row.instance_id is None:
                raise wrong_state(row, "detached")
            if (instance_id and instance_id != row.instance_id) or (
                device and canonical_name(device) != canonical_name(row.device_name or "")
            ):
                raise CloudError(
                    Kind.NOT_FOUND,
                    f"The volume '{volume_id}' is not attached to instance "
                    f"'{instance_id or row.instance_id}' as device '{device or row.device_name}'.",
                    noun="volume",
                    id=volume_id,
                    reason="attachment",
                )
            instance = find_instances(tx, call.account_id, [row.instance_id])[0]
            if instance.desired == "terminated":
                raise CloudError(
                    Kind.WRONG_STATE,
                    f"Unable to detach volume '{volume_id}' from instance '{row.instance_id}'. "
                    "The instance is not in a state in which volumes can be detached.",
                    noun="instance",
                    id=row.instance_id,
                )
            if row.position == 0 and state_of(instance) != STOPPED:
                raise CloudError(
                    Kind.WRONG_STATE,
                    f"Unable to detach root volume '{volume_id}' from instance '{row.instance_id}'",
                    noun="volume",
                    id=volume_id,
                    reason="root",
                )
            rules.detach(tx, self._feed, volume_id, force=force, let_go=is_quiesced(row))
            return row


def _check_volume(row: VolumeRow) -> None:
    seen = state.volume_state(row)
    if seen == state.IN_USE:
        raise CloudError(
            Kind.WRONG_STATE,
            f"{row.volume_id} is already attached to an instance",
            noun="volume",
            id=row.volume_id,
            reason="in-use",
        )
    if seen != state.AVAILABLE:
        raise wrong_state(row, "attached")


def _check_instance(row: InstanceRow) -> None:
    if state_of(row) not in (RUNNING, STOPPED):
        raise _not_running(row)


def _not_running(row: InstanceRow) -> CloudError:
    return CloudError(
        Kind.WRONG_STATE,
        f"Instance '{row.instance_id}' is not 'running'.",
        noun="instance",
        id=row.instance_id,
        reason="not-running",
    )


def _position(tx: Transaction, instance: InstanceRow, device: str) -> int:
    """0 for the root disk, else the first that is free: a guest gives what is plugged in the first
    name that is free, and has it at its next start if the disks are then in this order. Raises
    INVALID for a name that is none or is taken, QUOTA."""
    if not is_device_name(device):
        raise invalid_parameter(
            f"Value ({device}) for parameter device is invalid. {device} is not a valid EBS device "
            "name."
        )
    there = tx.rows(
        Attachment.select(*columns(OtherVolume, Attachment)).where(
            Attachment.instance_id == instance.instance_id, Attachment.kind == VOLUME
        ),
        OtherVolume,
    )
    name = canonical_name(device)
    if name in {canonical_name(row.device_name) for row in there}:
        raise invalid_parameter(
            f"Invalid value '{device}' for unixDevice. Attachment point {device} is already in use"
        )
    if len(there) >= ATTACHED_MAX:
        raise CloudError(
            Kind.QUOTA,
            f"The instance '{instance.instance_id}' has {ATTACHED_MAX} volumes, the most that it "
            "can have.",
            noun="attachment",
            id=instance.instance_id,
        )
    if name == canonical_name(instance.root_device_name):
        if state_of(instance) != STOPPED:
            raise invalid_parameter(
                f"The root device {device} of a running instance cannot be attached."
            )
        return 0
    taken = {row.position for row in there}
    return next(position for position in range(1, ATTACHED_MAX + 1) if position not in taken)


def _check_served(tx: Transaction, volume: VolumeRow) -> None:
    """A volume at home elsewhere comes over the network, where its home serves volumes."""
    home = Host.select(Host.volume_endpoint).where(Host.host_id == volume.host_id)
    if not tx.value(home, str):
        raise CloudError(
            Kind.UNSUPPORTED,
            f"The volume '{volume.volume_id}' is on another host than the instance, and that host "
            "serves no volumes to others.",
            noun="volume",
            id=volume.volume_id,
        )
