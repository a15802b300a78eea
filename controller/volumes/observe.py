"""What hosts say of volumes, taken in: the only writer of volume.observed.

Called by fleet/reports inside the report's transaction. Late and doubled reports touch nothing.
"""

from peewee import Case

from controller.db.prepared import prepared
from controller.db.schema import Host, Placement, Volume, VolumeModification
from controller.db.session import Transaction
from controller.fleet.heard import older
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
    return Volume.update(
        {
            Volume.observed: observed,
            Volume.observed_generation: observed_generation,
            Volume.observed_message: observed_message,
            Volume.epoch: epoch,
            Volume.sequence: sequence,
            Volume.made: Case(None, [(Volume.made, True)], here),
        }
    ).where(Volume.volume_id == about, Volume.host_id == host_id, older(Volume, epoch, sequence))


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
    change = VolumeModification
    for column, volumes in (("volume_generation", here), ("devices_generation", guests)):
        waits = change.volume_id.in_(Volume.select(Volume.volume_id).where(volumes))
        tx.advance(change, {column: generation}, waits, getattr(change, column) > 0)
