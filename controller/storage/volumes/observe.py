"""What hosts say of volumes in their own right: the only writer of volume.made.

Registered as the kind's observer; called in the report's transaction with what is newer than what
was known.
"""

from collections.abc import Sequence

from controller.hosts.feed import Feed
from controller.hosts.kinds import Stale
from controller.kernel.database import Transaction
from controller.storage.volumes.revisions import revise
from controller.tables.storage import Volume, VolumeModification
from protos.cloud.v1 import fleet_pb2

WORDS = {
    fleet_pb2.VOLUME_UNSEEN: "",
    fleet_pb2.VOLUME_MAKING: "making",
    fleet_pb2.VOLUME_HERE: "here",
    fleet_pb2.VOLUME_FAILED: "failed",
    fleet_pb2.VOLUME_GONE: "gone",
}
PASSING = frozenset(["", "making"])


def word(one: fleet_pb2.Observation) -> str:
    return WORDS[one.volume.observed]


def observe(tx: Transaction, host_id: str, seen: Sequence[fleet_pb2.Observation]) -> bool:
    """Notes which volumes have been whole; answers whether something may follow."""
    here = [one.id for one in seen if one.volume.observed == fleet_pb2.VOLUME_HERE]
    if here:
        tx.advance(Volume, {"made": True}, Volume.volume_id.in_(here), ~Volume.made)
    return any(word(one) not in PASSING for one in seen)


def catch_up(feed: Feed, tx: Transaction, stale: Sequence[Stale]) -> None:
    """The volumes' revisions go on behind what the host has seen, and what is being modified waits
    for the new ones."""
    for one in stale:
        is_it = Volume.volume_id == one.resource_id
        tx.advance(Volume, {"revision": one.observation.revision}, is_it)
        revision = revise(tx, feed, [one.resource_id], {}).get(one.resource_id, 0)
        waits = VolumeModification.volume_id == one.resource_id
        change = {"volume_revision": revision}
        tx.advance(VolumeModification, change, waits, VolumeModification.volume_revision > 0)
