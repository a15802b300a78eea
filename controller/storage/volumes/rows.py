"""Volumes with what their states are derived from, and finding those that a caller named.

Called by storage/volumes/rules, attachments, reconcile and describe inside their sessions.
"""

from collections.abc import Sequence

from peewee import JOIN, ModelSelect, fn

from controller.hosts import guests
from controller.hosts.guests import ATTACHMENT_FIELDS, HOME, with_attachment, with_guest, with_home
from controller.kernel.database import Session
from controller.kernel.lookup import check_ids, not_found
from controller.kernel.owned import Owned
from controller.tables.compute import Attachment, Instance, Placement
from controller.tables.hosts import Assignment
from controller.tables.storage import Volume

OWNED = Owned(
    *("volume", Volume.volume_id, Volume.account_id),
    sums={"gigabytes": fn.SUM(Volume.size_gib)},
    facts={
        "ec2:VolumeID": Volume.volume_id,
        "ec2:AvailabilityZone": Volume.availability_zone,
        "ec2:Encrypted": Volume.encrypted,
        "ec2:VolumeSize": Volume.size_gib,
        "ec2:VolumeType": Volume.volume_type,
        "ec2:VolumeIops": Volume.iops,
        "ec2:VolumeThroughput": Volume.throughput_mibps,
        "ec2:ParentSnapshot": ("snapshot", Volume.snapshot_id),
    },
)
# What the home has seen of it, and the guest of the instance that it is attached to; None where
# there is none.
SEEN_FIELDS = (
    HOME.observed.alias("observed"),
    HOME.observed_revision.alias("observed_revision"),
    HOME.reason_message.alias("observed_message"),
    Placement.ran_ms,
    Placement.devices_revision,
    Placement.host_id.alias("guest_host_id"),
    Assignment.observed.alias("guest"),
    Assignment.observed_revision.alias("guest_revision"),
    Instance.intent_revision,
    Instance.desired.alias("wanted"),
)


def volumes_query(*more) -> ModelSelect:
    """All volumes, each with its attachment, and the guest that has it."""
    query = Volume.select(Volume, *ATTACHMENT_FIELDS, *SEEN_FIELDS, *more)
    query = with_attachment(query, Volume.volume_id)
    query = query.join(Instance, JOIN.LEFT_OUTER, on=Instance.instance_id == Attachment.instance_id)
    query = with_guest(query, Instance.instance_id)
    return with_home(query)


def find_volume(session: Session, account_id: str, volume_id: str):
    """The account's volume, a row of ``volumes_query``. Raises MALFORMED_ID, NOT_FOUND, DENIED."""
    check_ids("volume", [volume_id])
    row = session.one(
        volumes_query().where(Volume.volume_id == volume_id, Volume.account_id == account_id)
    )
    if row is None:
        raise not_found("volume", volume_id)
    session.authorize("volume", [volume_id])
    return row


def own(account_id: str, *more) -> ModelSelect:
    return volumes_query(*more).where(Volume.account_id == account_id)


def is_quiesced(row) -> bool:
    """Nothing runs that could have the volume's disk."""
    return guests.quiesced(row.wanted, row.guest, row.guest_revision, row.intent_revision)


def ids_of(rows: Sequence) -> list[str]:
    return [row.volume_id for row in rows]
