"""What hosts say of volumes, taken in: the only writer of volume.observed, and of what went wrong
with an attachment.

Called by fleet/reports inside the report's transaction. Late and doubled reports touch nothing.
"""

from peewee import Case

from controller.db.prepared import prepared
from controller.db.schema import Host, Placement, Volume, VolumeModification
from controller.db.session import Transaction
from protos.cloud.v1 import fleet_pb2

OBSERVED = {
    fleet_pb2.VOLUME_UNSEEN: "",
    fleet_pb2.VOLUME_MAKING: "making",
    fleet_pb2.VOLUME_HERE: "here",
    fleet_pb2.VOLUME_FAILED: "failed",
    fleet_pb2.VOLUME_GONE: "gone",
}
PASSING = {fleet_pb2.VOLUME_UNSEEN, fleet_pb2.VOLUME_MAKING}


def take_in(tx: Transaction, report: fleet_pb2.HostReport) -> bool:
    """Advances the volumes that the report names; answers whether something may follow."""
    follows = False
    for one in report.volumes:
        advanced = tx.advance_by(
            _observe_query(
                about=one.volume_id,
                host_id=report.host_id,
                observed=OBSERVED[one.observed],
                observed_generation=one.generation,
                observed_message=one.message,
                epoch=report.epoch,
                sequence=one.sequence,
                here=one.observed == fleet_pb2.VOLUME_HERE,
            )
        )
        follows |= bool(advanced) and one.observed not in PASSING
    return follows


@prepared
def _observe_query(
    about, host_id, observed, observed_generation, observed_message, epoch, sequence, here
):
    older = (Volume.epoch < epoch) | ((Volume.epoch == epoch) & (Volume.sequence < sequence))
    return Volume.update(
        {
            Volume.observed: observed,
            Volume.observed_generation: observed_generation,
            Volume.observed_message: observed_message,
            Volume.epoch: epoch,
            Volume.sequence: sequence,
            Volume.made: Case(None, [(Volume.made, True)], here),
        }
    ).where(Volume.volume_id == about, Volume.host_id == host_id, older)


def note_devices(
    tx: Transaction, one: fleet_pb2.InstanceObservation, devices_generation: int
) -> None:
    """What went wrong with the disks of an instance, under the observation's generation, and that
    nothing does any more with the others. devices_generation: of its guest before this."""
    mine = (Volume.instance_id == one.instance_id) & (Volume.attach_generation <= one.generation)
    failures = {failure.id: failure for failure in one.device_failures}
    tx.advance(
        Volume,
        {"attach_message": "", "busy": False},
        mine,
        Volume.attach_message != "",
        ~Volume.failed,
        Volume.volume_id.not_in(sorted(failures)),
    )
    for volume_id, failure in failures.items():
        comes = ~Volume.detaching & (Volume.attach_generation > devices_generation)
        tx.advance(
            Volume,
            {
                "attach_message": failure.message or "The host does not say why.",
                "busy": failure.busy,
                "failed": Case(None, [(comes, True)], Volume.failed),
            },
            mine,
            Volume.volume_id == volume_id,
        )


def leap(tx: Transaction, host_id: str, generation: int) -> None:
    """The host knows generations that never were here: all of volumes that it should know is said
    again under one that it takes for new."""
    here = Volume.host_id == host_id
    known = here & (Volume.generation > 0)
    if tx.advance(Volume, {"generation": generation}, known):
        tx.advance(Host, {"volumes_generation": generation}, Host.host_id == host_id)
    placed = Placement.select(Placement.instance_id).where(
        Placement.host_id == host_id, Placement.live
    )
    guests = Volume.instance_id.in_(placed)
    if tx.advance(Volume, {"attach_generation": generation}, guests, Volume.attach_generation > 0):
        tx.advance(
            Placement,
            {"devices_wanted": generation},
            Placement.host_id == host_id,
            Placement.live,
            Placement.devices_wanted > 0,
        )
    change = VolumeModification
    for column, volumes in (("volume_generation", here), ("devices_generation", guests)):
        waits = change.volume_id.in_(Volume.select(Volume.volume_id).where(volumes))
        tx.advance(change, {column: generation}, waits, getattr(change, column) > 0)
