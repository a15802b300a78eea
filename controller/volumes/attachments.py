"""AttachVolume and DetachVolume: which instance has a volume, by which device name.

Called by volumes/rpc. An attachment is columns of the volume. Coming and going are changes of the
instance's disks, stamped with the generation of its host that says so; once its guest has the
devices of that generation the one is attached and the other let go (volumes/settle). Nothing waits
for a guest that is not there.
"""

from controller.call import Call
from controller.db.schema import Host, Volume
from controller.db.session import Database, Transaction
from controller.fleet.changes import Changes
from controller.instances.rules import find as find_instances
from controller.instances.state import RUNNING, STOPPED
from controller.instances.view import state_of
from controller.volumes import state
from controller.volumes.devices import ATTACHED_MAX, canonical_name, is_device_name
from controller.volumes.release import let_go
from controller.volumes.rows import at_rest, find_volume
from controller.volumes.rules import wrong_state
from protos.errors import CloudError, Kind, invalid_parameter, missing_parameter


class Attachments:
    def __init__(self, db: Database, changes: Changes):
        self._db, self._changes = db, changes

    def attach(self, call: Call, volume_id: str, instance_id: str, device: str) -> object:
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
            served_to = "" if volume.host_id == instance.host_id else instance.host_id
            if served_to:
                _check_served(tx, volume)
            changes = {
                "instance_id": instance_id,
                "device_name": device,
                "position": position,
                "delete_on_termination": False,
                "attached_ms": call.now_ms,
                "served_to": served_to,
                "busy": False,
                "failed": False,
                "attach_message": "",
            }
            is_it = Volume.volume_id == volume_id
            tx.advance(Volume, changes, is_it, Volume.instance_id.is_null())
            if served_to:
                served = {"generation": self._changes.volumes(tx, volume.host_id)}
                tx.advance(Volume, served, is_it)
            generation = self._changes.devices(tx, [instance_id])[instance.host_id]
            tx.advance(Volume, {"attach_generation": generation}, is_it)
            return find_volume(tx, call.account_id, volume_id)

    def detach(
        self, call: Call, volume_id: str, instance_id: str, device: str, force: bool
    ) -> object:
        """The volume's row with its attachment as it is now: gone already where no guest runs.
        Asked again, the guest is asked again. Raises NOT_FOUND, WRONG_STATE."""
        with self._db.write(call) as tx:
            row = find_volume(tx, call.account_id, volume_id)
            if row.desired == "deleted" or row.instance_id is None:
                raise wrong_state(row, "detached")
            if (instance_id and instance_id != row.instance_id) or (
                device and canonical_name(device) != canonical_name(row.device_name)
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
            begin_detach(tx, self._changes, row, force=force)
            if at_rest(row):
                let_go(tx, self._changes, [row])
            return row


def begin_detach(tx: Transaction, changes: Changes, row, *, force: bool) -> None:
    """The guest is to lose the volume; ``force``: without being asked."""
    is_it = Volume.volume_id == row.volume_id
    going = {"detaching": True, "forced": force or row.forced, "busy": False, "failed": False}
    tx.advance(Volume, going | {"attach_message": ""}, is_it)
    moved = changes.devices(tx, [row.instance_id])
    if moved:
        tx.advance(Volume, {"attach_generation": max(moved.values())}, is_it)


def _check_volume(row) -> None:
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


def _check_instance(row) -> None:
    if state_of(row) not in (RUNNING, STOPPED):
        raise _not_running(row)


def _not_running(row) -> CloudError:
    return CloudError(
        Kind.WRONG_STATE,
        f"Instance '{row.instance_id}' is not 'running'.",
        noun="instance",
        id=row.instance_id,
        reason="not-running",
    )


def _position(tx: Transaction, instance, device: str) -> int:
    """0 for the root disk, else the first that is free: a guest gives what is plugged in the first
    name that is free, and has it at its next start if the disks are then in this order. Raises
    INVALID for a name that is none or is taken, QUOTA."""
    if not is_device_name(device):
        raise invalid_parameter(
            f"Value ({device}) for parameter device is invalid. {device} is not a valid EBS device "
            "name."
        )
    there = tx.rows(
        Volume.select(Volume.device_name, Volume.position).where(
            Volume.instance_id == instance.instance_id
        )
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


def _check_served(tx: Transaction, volume) -> None:
    """A volume at home elsewhere comes over the network, where its home serves volumes."""
    if not tx.value(Host.select(Host.volume_endpoint).where(Host.host_id == volume.host_id)):
        raise CloudError(
            Kind.UNSUPPORTED,
            f"The volume '{volume.volume_id}' is on another host than the instance, and that host "
            "serves no volumes to others.",
            noun="volume",
            id=volume.volume_id,
        )
