"""Volumes with what their states are derived from, and finding those that a caller named.

Called by storage/volumes (rules, modify, reconcile, describe), compute/attachments/volumes and
compute/create_image inside their sessions.
"""

from collections.abc import Mapping
from typing import NamedTuple

from peewee import JOIN, fn

from controller.hosts import guests
from controller.hosts.guests import ATTACHMENT_FIELDS, HOME, with_attachment, with_guest, with_home
from controller.kernel.database import Session
from controller.kernel.lookup import check_ids, not_found
from controller.kernel.owned import Owned
from controller.kernel.table import Clause, Select
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
# What can be selected of a volume, by name: its own columns, its attachment's, what its home has
# seen of it, and the guest of the instance that it is attached to; NULL where there is none.
_FIELDS: Mapping[str, Clause] = {
    **Volume._meta.fields,
    **ATTACHMENT_FIELDS,
    "observed": HOME.observed.alias("observed"),
    "observed_revision": HOME.observed_revision.alias("observed_revision"),
    "observed_message": HOME.reason_message.alias("observed_message"),
    "ran_start": Placement.ran_start,
    "devices_revision": Placement.devices_revision,
    "guest_host_id": Placement.host_id.alias("guest_host_id"),
    "guest": Assignment.observed.alias("guest"),
    "guest_revision": Assignment.observed_revision.alias("guest_revision"),
    "intent_revision": Instance.intent_revision,
    "wanted": Instance.desired.alias("wanted"),
}


class VolumeRow(NamedTuple):
    """A volume with its attachment, what its home has seen, and its guest, or None."""

    volume_id: str
    account_id: str
    host_id: str | None
    availability_zone: str
    size_gib: int
    volume_type: str
    iops: int
    throughput_mibps: int
    encrypted: bool
    snapshot_id: str
    created_ms: int
    desired: str
    made: bool
    served_to: str
    revision: int
    instance_id: str | None
    device_name: str | None
    position: int | None
    delete_on_termination: bool | None
    attached_ms: int | None
    attach_revision: int | None
    detaching: bool | None
    busy: bool | None
    failed: bool | None
    attach_message: str | None
    observed: str | None
    ran_start: int | None
    devices_revision: int | None
    guest_host_id: str | None
    guest: str | None
    guest_revision: int | None
    intent_revision: int | None
    wanted: str | None


def volumes_query(row: type[NamedTuple] = VolumeRow, **more: Clause) -> Select:
    """All volumes, each a ``row``, joined with their attachments and the guests that have them.
    ``more``: what it names of tables that the caller joins."""
    fields = {**more, **_FIELDS}
    query = Volume.select(*(fields[name] for name in row._fields))
    query = with_attachment(query, Volume.volume_id)
    query = query.join(Instance, JOIN.LEFT_OUTER, on=Instance.instance_id == Attachment.instance_id)
    query = with_guest(query, Instance.instance_id)
    return with_home(query)


def find_volume(session: Session, account_id: str, volume_id: str) -> VolumeRow:
    """The account's volume. Raises MALFORMED_ID, NOT_FOUND, DENIED."""
    check_ids("volume", [volume_id])
    row = session.one(own(account_id).where(Volume.volume_id == volume_id), VolumeRow)
    if row is None:
        raise not_found("volume", volume_id)
    session.authorize("volume", [volume_id])
    return row


def own(account_id: str) -> Select:
    return volumes_query().where(Volume.account_id == account_id)


def is_quiesced(row: VolumeRow) -> bool:
    """Nothing runs that could have the volume's disk."""
    return guests.quiesced(row.wanted, row.guest, row.guest_revision, row.intent_revision)
