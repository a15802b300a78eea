"""What hosts say of guests' devices, taken in: volumes and network interfaces, which are both
attached by columns of the same names (docs/decisions/0600).

Called by fleet/reports inside the report's transaction.
"""

from peewee import Case

from controller.db.schema import NetworkInterface, Placement, Volume
from controller.db.session import Transaction
from protos.cloud.v1 import fleet_pb2

_DEVICES = {Volume: Volume.volume_id, NetworkInterface: NetworkInterface.network_interface_id}


def note_failures(
    tx: Transaction, one: fleet_pb2.InstanceObservation, devices_generation: int
) -> None:
    """What went wrong with the devices of an instance, under the observation's generation, and that
    nothing does any more with the others. devices_generation: of its guest before this."""
    failures = {failure.id: failure for failure in one.device_failures}
    for table, key in _DEVICES.items():
        mine = (table.instance_id == one.instance_id) & (table.attach_generation <= one.generation)
        tx.advance(
            table,
            {"attach_message": "", "busy": False},
            mine,
            table.attach_message != "",
            ~table.failed,
            key.not_in(sorted(failures)),
        )
        for device_id, failure in failures.items():
            comes = ~table.detaching & (table.attach_generation > devices_generation)
            tx.advance(
                table,
                {
                    "attach_message": failure.message or "The host does not say why.",
                    "busy": failure.busy,
                    "failed": Case(None, [(comes, True)], table.failed),
                },
                mine,
                key == device_id,
            )


def leap(tx: Transaction, host_id: str, generation: int) -> None:
    """The host knows generations that never were here: what is asked of its guests' devices is
    asked again under one that it takes for new."""
    here = (Placement.host_id == host_id) & Placement.live
    guests = Placement.select(Placement.instance_id).where(here)
    moved = [
        tx.advance(
            table,
            {"attach_generation": generation},
            table.instance_id.in_(guests),
            table.attach_generation > 0,
        )
        for table in _DEVICES
    ]
    if any(moved):
        tx.advance(Placement, {"devices_wanted": generation}, here, Placement.devices_wanted > 0)
