"""What hosts say of guests, beside their assignments; registered as the kind's observer.

Called in the report's transaction with what is newer than what was known. The only writer of what
placements keep of a guest (status check, devices and network that it has, reboots done), and of
what went wrong with the devices of one.
"""

import logging
from collections.abc import Sequence
from typing import NamedTuple

from peewee import Case, fn

from controller.hosts.feed import Feed
from controller.hosts.kinds import Stale
from controller.kernel.database import Transaction
from controller.kernel.rows import columns
from controller.kernel.table import Column
from controller.tables.compute import Attachment, Instance, Placement
from controller.tables.nouns import INSTANCE
from protos.cloud.v1 import fleet_pb2

log = logging.getLogger(__name__)

WORDS = {
    fleet_pb2.UNSEEN: "unseen",
    fleet_pb2.PREPARING: "preparing",
    fleet_pb2.OBSERVED_RUNNING: "running",
    fleet_pb2.STOPPING: "stopping",
    fleet_pb2.OBSERVED_STOPPED: "stopped",
    fleet_pb2.EXITED: "exited",
    fleet_pb2.FAILED: "failed",
    fleet_pb2.ABSENT: "absent",
}
STATUS_CHECKS = {
    fleet_pb2.NOT_CHECKED: "",
    fleet_pb2.INITIALIZING: "initializing",
    fleet_pb2.CHECK_PASSED: "passed",
    fleet_pb2.CHECK_FAILED: "failed",
}
PASSING = frozenset(["unseen", "preparing", "stopping"])
HAS_CONSEQUENCES = frozenset(["stopped", "exited", "failed", "absent"])


class Asked(NamedTuple):
    instance_id: str
    starts: int
    reboots: int


class Seen(NamedTuple):
    instance_id: str
    devices_wanted: int


def word(one: fleet_pb2.Observation) -> str:
    return WORDS[one.instance.observed]


def observe(
    feed: Feed, tx: Transaction, host_id: str, seen: Sequence[fleet_pb2.Observation]
) -> bool:
    """Takes in what a host saw of its guests; answers whether something follows."""
    if stale := _counted_further(tx, seen):
        log.warning("%s counts more starts or reboots than were asked for: %s", host_id, stale)
        catch_up(feed, tx, stale)
    failing = [one.id for one in seen if one.instance.device_failures]
    before = _devices_before(tx, host_id, failing)
    rows = tx.advance_many(
        Placement,
        ("instance_id", "host_id"),
        [_row(host_id, one) for one in seen],
        guard="old.live",
        sets={
            "ran_start": "CASE WHEN old.ran_start < new.ran_start"
            " THEN new.ran_start ELSE old.ran_start END",
            "devices_revision": "CASE WHEN old.devices_revision < new.devices_revision"
            " THEN new.devices_revision ELSE old.devices_revision END",
        },
        returning=Seen,
    )
    changing = {row.instance_id for row in rows if row.devices_wanted}
    for one in seen:
        if one.id in changing:
            _note_failures(tx, one, before.get(one.id, 0))
    return bool(changing) or any(word(one) in HAS_CONSEQUENCES for one in seen)


def catch_up(feed: Feed, tx: Transaction, stale: Sequence[Stale]) -> None:
    """All that was asked of the instances is asked again under revisions that their host takes for
    new; what it counted goes on from there."""
    for one in stale:
        seen, is_it = one.observation, Instance.instance_id == one.resource_id
        counted = {
            "reboots": _counted_on(
                Instance.reboots, Placement.reboots_done, seen.instance.reboots_done
            ),
            "starts": _counted_on(Instance.starts, Placement.ran_start, seen.instance.starts),
        }
        passed = {"revision": _at_least(Instance.revision, seen.revision)}
        tx.advance(Instance, {**passed, **counted}, is_it)
    ids = [one.resource_id for one in stale]
    revisions = feed.revise(tx, INSTANCE, ids, stamps=("intent_revision", "metadata_revision"))
    for instance_id, revision in revisions.items():
        stamped = Attachment.instance_id == instance_id, Attachment.revision > 0
        if tx.advance(Attachment, {"revision": revision}, *stamped):
            waits = Placement.instance_id == instance_id, Placement.live
            tx.advance(Placement, {"devices_wanted": revision}, *waits)


def _counted_further(tx: Transaction, seen: Sequence[fleet_pb2.Observation]) -> list[Stale]:
    """Those whose host has counted more starts or reboots than were ever asked for here: under
    whatever revision, this database is an older copy. A launch costs no statement."""
    counted = {one.id: one for one in seen if one.instance.starts > 1 or one.instance.reboots_done}
    if not counted:
        return []
    asked = Instance.select(*columns(Asked, Instance))
    rows = tx.rows(asked.where(Instance.instance_id.in_(sorted(counted))), Asked)
    return [
        Stale(row.instance_id, counted[row.instance_id])
        for row in rows
        if row.starts < counted[row.instance_id].instance.starts
        or row.reboots < counted[row.instance_id].instance.reboots_done
    ]


def _counted_on(asked: Column, done: Column, seen: int) -> Case:
    """What was asked for, where the host has counted up to ``seen``: what was still to come by this
    database's own count is to come after that."""
    live = (Placement.instance_id == Instance.instance_id) & Placement.live
    waits = fn.COALESCE(Placement.select(asked - done).where(live), 0)
    return Case(None, [(asked > seen, asked), (waits > 0, seen + waits)], seen)


def _at_least(column: Column, least: int) -> Case:
    return Case(None, [(column < least, least)], column)


def _row(host_id: str, one: fleet_pb2.Observation) -> dict[str, object]:
    seen = one.instance
    return {
        "instance_id": one.id,
        "host_id": host_id,
        "devices_revision": seen.devices_revision,
        "network_revision": seen.network_revision,
        "reboots_done": seen.reboots_done,
        "status_check": STATUS_CHECKS[seen.status_check],
        "status_check_since_ms": seen.status_check_since_ms,
        "ran_start": seen.ran_start,
    }


def _devices_before(tx: Transaction, host_id: str, ids: Sequence[str]) -> dict[str, int]:
    """The revisions whose devices the guests had when they were last heard of."""
    if not ids:
        return {}
    query = Placement.select(Placement.instance_id, Placement.devices_revision)
    here = Placement.instance_id.in_(list(ids)), Placement.host_id == host_id
    return dict(tx.tuples(query.where(*here, Placement.live)))


def _note_failures(tx: Transaction, one: fleet_pb2.Observation, devices_revision: int) -> None:
    """What went wrong with the devices of an instance, under the observation's revision, and that
    nothing does any more with the others. devices_revision: of its guest before this."""
    failures = {failure.id: failure for failure in one.instance.device_failures}
    mine = (Attachment.instance_id == one.id) & (Attachment.revision <= one.revision)
    tx.advance(
        Attachment,
        {"message": "", "busy": False},
        mine,
        Attachment.message != "",
        ~Attachment.failed,
        Attachment.device_id.not_in(sorted(failures)),
    )
    for device_id, failure in failures.items():
        comes = ~Attachment.detaching & (Attachment.revision > devices_revision)
        tx.advance(
            Attachment,
            {
                "message": failure.message or "The host does not say why.",
                "busy": failure.busy,
                "failed": Case(None, [(comes, True)], Attachment.failed),
            },
            mine,
            Attachment.device_id == device_id,
        )
