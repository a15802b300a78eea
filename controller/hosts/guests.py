"""What queries of several nouns join to a row: an instance's guest (its live placement, and what
was observed of it), a device's attachment, a volume's home; and whether a guest is quiesced.

Quiesced: no guest runs that could have an instance's disks and interfaces, so that they may be
taken from it, or copied, without asking its host. Stricter than the visible state "stopped"
(compute/instances/state): a start that was given up shows as stopped while its host, which was told
to start it, has not said yet what became of it (compute/instances/overdue). So "stopped" counts
only under the newest intent. What is nowhere any more (no live placement, absent) is quiesced
whatever is wanted.

Called by the queries of network, storage and compute.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple, Protocol

from peewee import JOIN, SQL

from controller.hosts.feed import Feed
from controller.kernel.database import Transaction
from controller.kernel.table import Clause, Column, Select
from controller.tables.compute import Attachment, Instance, Placement
from controller.tables.hosts import Assignment
from controller.tables.nouns import INSTANCE
from controller.tables.storage import Volume

# Of a placement, the assignment with what its host has seen. The kind is written out as the partial
# index has it: it is found by its words.
SEEN = (
    (Assignment.kind == SQL("'instance'"))
    & (Assignment.resource_id == Placement.instance_id)
    & (Assignment.host_id == Placement.host_id)
)
# Of an instance joined with its guest: the observation was made under the newest intent.
FRESH = Assignment.observed_revision >= Instance.intent_revision
QUIESCED = (
    Assignment.observed.is_null()
    | (Assignment.observed == "absent")
    | ((Assignment.observed == "stopped") & (Instance.desired == "stopped") & FRESH)
)
# Of a volume in its own right: what its home has seen; NULL of one that only a launch made.
HOME = Assignment.alias("home")
_AT_HOME = (
    (HOME.kind == SQL("'volume'"))
    & (HOME.resource_id == Volume.volume_id)
    & (HOME.host_id == Volume.host_id)
)
# Of a device joined with its attachment (``with_attachment``); NULL where it has none.
ATTACHMENT_FIELDS: Mapping[str, Clause] = {
    "instance_id": Attachment.instance_id,
    "attachment_id": Attachment.attachment_id,
    "device_name": Attachment.device_name,
    "position": Attachment.position,
    "delete_on_termination": Attachment.delete_on_termination,
    "attached_ms": Attachment.attached_ms,
    "attach_revision": Attachment.revision.alias("attach_revision"),
    "detaching": Attachment.detaching,
    "forced": Attachment.forced,
    "busy": Attachment.busy,
    "failed": Attachment.failed,
    "attach_message": Attachment.message.alias("attach_message"),
}


def with_guest(query: Select, instance_id: Clause) -> Select:
    """Adds the live placement of the instance and its assignment, or NULLs."""
    live = (Placement.instance_id == instance_id) & Placement.live
    return query.join(Placement, JOIN.LEFT_OUTER, on=live).join(
        Assignment, JOIN.LEFT_OUTER, on=SEEN
    )


def with_attachment(query: Select, device_id: Column) -> Select:
    """Adds a volume's or network interface's attachment, or NULLs."""
    return query.join(Attachment, JOIN.LEFT_OUTER, on=Attachment.device_id == device_id)


def with_home(query: Select) -> Select:
    """Adds what a volume's home has seen of it, or NULLs."""
    return query.join(HOME, JOIN.LEFT_OUTER, on=_AT_HOME)


def quiesced(
    desired: str | None,
    observed: str | None,
    observed_revision: int | None,
    intent_revision: int | None,
) -> bool:
    """observed None: there is no live placement, or no instance at all."""
    if observed is None or observed == "absent":
        return True
    fresh = (observed_revision or 0) >= (intent_revision or 0)
    return observed == desired == "stopped" and fresh


class Guest(Protocol):
    """An instance's row with its guest's columns, None where it has none."""

    @property
    def desired(self) -> str: ...
    @property
    def intent_revision(self) -> int: ...
    @property
    def observed(self) -> str | None: ...
    @property
    def observed_revision(self) -> int | None: ...


def is_quiesced(instance: Guest) -> bool:
    return quiesced(
        instance.desired, instance.observed, instance.observed_revision, instance.intent_revision
    )


class Revised(NamedTuple):
    instance_id: str


def revise_devices(
    tx: Transaction, feed: Feed, instance_ids: Collection[str], **changes: object
) -> dict[str, int]:
    """Disks or interfaces of the instances came, are to go, or are to be otherwise: instance id ->
    the revision that says so. It is so once their guests have the devices of that revision."""
    revisions = feed.revise(tx, INSTANCE, instance_ids, changes)
    if revisions:
        tx.advance_many(
            Placement,
            ("instance_id",),
            [{"instance_id": one, "devices_wanted": number} for one, number in revisions.items()],
            guard="old.live",
            returning=Revised,
        )
    return revisions
