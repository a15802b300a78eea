"""Reading volumes, their status and their modifications: three statements a page at most, whatever
its size. Called by storage/volumes/rpc; pages are by key.

Sources: the EC2 API Reference's lists of filters of DescribeVolumes, DescribeVolumeStatus and
DescribeVolumesModifications.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from controller.config import Zone
from controller.hosts.attachment_states import VOLUME_STATES as ATTACHMENT_STATES
from controller.hosts.attachment_states import volume_attachment_state
from controller.identity.tags.filters import tag_filters
from controller.identity.tags.rules import tags_of
from controller.kernel.call import Call
from controller.kernel.database import Session
from controller.kernel.filters import (
    NOTHING,
    Condition,
    boolean,
    choice,
    column,
    constant,
    custom,
    integer,
    page_of,
    timestamp,
    where,
)
from controller.kernel.lookup import check_found, check_ids, select_page
from controller.kernel.rows import columns
from controller.storage.volumes import state
from controller.storage.volumes.conditions import VOLUME_STATES, shown_iops_are
from controller.storage.volumes.rows import VolumeRow, own, volumes_query
from controller.storage.volumes.types import shown_iops
from controller.tables.compute import Attachment
from controller.tables.hosts import Host
from controller.tables.storage import Volume, VolumeModification
from protos.cloud.v1 import common_pb2, volumes_pb2

LARGEST_PAGE = 500
_ABSENT = custom(lambda values: NOTHING)  # known to EC2; nothing here has it


def _of_attached(condition: Condition) -> Condition:
    """What a volume that is attached to nothing does not have."""
    return lambda values: Attachment.device_id.is_null(False) & condition(values)


_FILTERS: dict[str, Condition] = {
    "volume-id": column(Volume.volume_id),
    "availability-zone": column(Volume.availability_zone),
    "create-time": timestamp(Volume.created_ms),
    "encrypted": boolean(Volume.encrypted),
    "size": integer(Volume.size_gib),
    "snapshot-id": column(Volume.snapshot_id),
    "volume-type": column(Volume.volume_type),
    "iops": shown_iops_are,
    "throughput": integer(Volume.throughput_mibps),
    "multi-attach-enabled": constant("false"),
    "fast-restored": constant("false"),
    "operator.managed": constant("false"),
    "operator.principal": _ABSENT,
    "status": choice(VOLUME_STATES),
    "attachment.instance-id": column(Attachment.instance_id),
    "attachment.device": column(Attachment.device_name),
    "attachment.attach-time": _of_attached(timestamp(Attachment.attached_ms)),
    "attachment.delete-on-termination": _of_attached(boolean(Attachment.delete_on_termination)),
    "attachment.status": choice(ATTACHMENT_STATES),
    **tag_filters(Volume.volume_id),
}


def volume_filters(zones: Sequence[Zone]) -> Mapping[str, Condition]:
    """Of DescribeVolumes."""
    by_id = {zone.id: Volume.availability_zone == zone.name for zone in zones}
    return _FILTERS | {"availability-zone-id": choice(by_id)}


# A home's health, in the words of a volume's status: not seeing it is not knowing.
_UNMADE = VOLUME_STATES[state.CREATING] | VOLUME_STATES[state.ERROR]
STATUS: Mapping[str, tuple[str, str]] = {
    "up": ("ok", "passed"),
    "silent": ("insufficient-data", "insufficient-data"),
    "lost": ("impaired", "failed"),
}
_STATUS_WORDS = {
    "ok": (Host.health == "up") & ~_UNMADE,
    "impaired": ((Host.health == "lost") & ~_UNMADE) | VOLUME_STATES[state.ERROR],
    "insufficient-data": ((Host.health == "silent") & ~_UNMADE) | VOLUME_STATES[state.CREATING],
}
_STATUS_FILTERS: Mapping[str, Condition] = {
    "availability-zone": column(Volume.availability_zone),
    "volume-status.status": choice(_STATUS_WORDS),
    "volume-status.details-name": choice(
        {"io-enabled": Volume.volume_id.is_null(False), "io-performance": Volume.volume_id != ""}
    ),
    "volume-status.details-status": choice(
        {
            "passed": _STATUS_WORDS["ok"],
            "failed": _STATUS_WORDS["impaired"],
            "insufficient-data": _STATUS_WORDS["insufficient-data"],
        }
    ),
    **{
        name: _ABSENT
        for name in (
            "action.code",
            "action.description",
            "action.event-id",
            "event.description",
            "event.event-id",
            "event.event-type",
            "event.not-after",
            "event.not-before",
        )
    },
}

_CHANGE = VolumeModification
_MODIFICATION_FILTERS: Mapping[str, Condition] = {
    "modification-state": column(_CHANGE.state),
    "original-iops": integer(_CHANGE.original_iops),
    "original-size": integer(_CHANGE.original_size_gib),
    "original-volume-type": column(_CHANGE.original_type),
    "originalMultiAttachEnabled": constant("false"),
    "start-time": timestamp(_CHANGE.started_ms),
    "target-iops": integer(_CHANGE.target_iops),
    "target-size": integer(_CHANGE.target_size_gib),
    "target-volume-type": column(_CHANGE.target_type),
    "targetMultiAttachEnabled": constant("false"),
    "volume-id": column(_CHANGE.volume_id),
}


class StatusRow(NamedTuple):
    """A volume with the health of its home."""

    volume_id: str
    availability_zone: str
    iops: int
    desired: str
    made: bool
    instance_id: str | None
    observed: str | None
    health: str


class ModificationRow(NamedTuple):
    volume_id: str
    state: str
    started_ms: int
    ended_ms: int
    message: str
    original_size_gib: int
    original_type: str
    original_iops: int
    original_throughput_mibps: int
    target_size_gib: int
    target_type: str
    target_iops: int
    target_throughput_mibps: int


def describe(
    session: Session,
    call: Call,
    request: volumes_pb2.DescribeVolumesRequest,
    filters: Mapping[str, Condition],
) -> volumes_pb2.DescribeVolumesResponse:
    """``filters``: volume_filters."""
    page = page_of(request.page, largest=LARGEST_PAGE, explicit_ids=request.volume_ids)
    conditions = where(filters, request.filters)
    query, ids = own(call.account_id), request.volume_ids
    rows, token = select_page(
        session, query, Volume.volume_id, "volume", ids, conditions, page, row=VolumeRow
    )
    tags = tags_of(session, [row.volume_id for row in rows])
    return volumes_pb2.DescribeVolumesResponse(
        volumes=[_message(row, tags.get(row.volume_id, ())) for row in rows], next_token=token
    )


def statuses(
    session: Session, call: Call, request: volumes_pb2.DescribeVolumesRequest
) -> volumes_pb2.DescribeVolumeStatusResponse:
    page = page_of(request.page, explicit_ids=request.volume_ids)
    conditions = where(_STATUS_FILTERS, request.filters)
    query = (
        volumes_query(StatusRow, health=Host.health)
        .join(Host, on=Host.host_id == Volume.host_id)
        .where(Volume.account_id == call.account_id)
    )
    ids = request.volume_ids
    rows, token = select_page(
        session, query, Volume.volume_id, "volume", ids, conditions, page, row=StatusRow
    )
    return volumes_pb2.DescribeVolumeStatusResponse(
        statuses=[_status(row) for row in rows], next_token=token
    )


def modifications(
    session: Session, call: Call, request: volumes_pb2.DescribeVolumesRequest
) -> volumes_pb2.DescribeVolumesModificationsResponse:
    """The newest of each volume. Raises NOT_FOUND for a named volume that is not there (volume) or
    was never modified (volume-modification)."""
    page = page_of(request.page, explicit_ids=request.volume_ids)
    conditions = where(_MODIFICATION_FILTERS, request.filters)
    query = (
        _CHANGE.select(*columns(ModificationRow, _CHANGE))
        .join(Volume, on=Volume.volume_id == _CHANGE.volume_id)
        .where(Volume.account_id == call.account_id)
    )
    ids = request.volume_ids
    check_ids("volume", ids)
    if ids:
        asked = Volume.select(Volume.volume_id).where(Volume.volume_id.in_(list(ids)))
        own_ones = asked.where(Volume.account_id == call.account_id)
        check_found(session, own_ones, "volume", ids, set())
    rows, token = select_page(
        *(session, query, _CHANGE.volume_id, "volume", ids, conditions, page),
        absent="volume-modification",
        row=ModificationRow,
    )
    return volumes_pb2.DescribeVolumesModificationsResponse(
        modifications=[modification_message(row) for row in rows], next_token=token
    )


def volume_message(session: Session, call: Call, volume_id: str) -> volumes_pb2.Volume:
    (row,) = session.rows(own(call.account_id).where(Volume.volume_id == volume_id), VolumeRow)
    return _message(row, tags_of(session, [volume_id]).get(volume_id, ()))


def attachment_message(row: VolumeRow, shown: str = "") -> volumes_pb2.VolumeAttachment:
    return volumes_pb2.VolumeAttachment(
        volume_id=row.volume_id,
        instance_id=row.instance_id,
        device=row.device_name,
        state=shown or volume_attachment_state(row, row.ran_start, row.guest, row.devices_revision),
        attach_time_ms=row.attached_ms,
        delete_on_termination=row.delete_on_termination,
    )


def modification_message(row: ModificationRow) -> volumes_pb2.VolumeModification:
    return volumes_pb2.VolumeModification(
        volume_id=row.volume_id,
        modification_state=row.state,
        progress=100 if row.state == "completed" else 0,
        start_time_ms=row.started_ms,
        end_time_ms=row.ended_ms,
        original_size_gib=row.original_size_gib,
        target_size_gib=row.target_size_gib,
        original_volume_type=row.original_type,
        target_volume_type=row.target_type,
        original_iops=shown_iops(row.original_type, row.original_size_gib, row.original_iops),
        target_iops=shown_iops(row.target_type, row.target_size_gib, row.target_iops),
        original_throughput_mibps=row.original_throughput_mibps,
        target_throughput_mibps=row.target_throughput_mibps,
        status_message=row.message,
    )


def _message(row: VolumeRow, tags: Sequence[common_pb2.Tag]) -> volumes_pb2.Volume:
    message = volumes_pb2.Volume(
        volume_id=row.volume_id,
        owner_id=row.account_id,
        availability_zone=row.availability_zone,
        size_gib=row.size_gib,
        snapshot_id=row.snapshot_id,
        state=state.volume_state(row),
        create_time_ms=row.created_ms,
        volume_type=row.volume_type,
        iops=shown_iops(row.volume_type, row.size_gib, row.iops),
        throughput_mibps=row.throughput_mibps,
        encrypted=row.encrypted,
        tags=tags,
    )
    if row.instance_id:
        message.attachments.append(attachment_message(row))
    return message


def _status(row: StatusRow) -> volumes_pb2.VolumeStatus:
    seen = state.volume_state(row)
    status, enabled = STATUS[row.health]
    if seen == state.CREATING:
        status, enabled = STATUS["silent"]
    elif seen == state.ERROR:
        status, enabled = STATUS["lost"]
    return volumes_pb2.VolumeStatus(
        volume_id=row.volume_id,
        availability_zone=row.availability_zone,
        status=status,
        io_enabled=enabled,
        io_performance="normal" if row.iops and status == "ok" else "not-applicable",
    )
