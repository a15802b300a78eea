"""The Volumes service. Volumes are written by instances/launch and settle, as they come and go with
instances."""

from collections.abc import Sequence

from peewee import JOIN

from controller.call import Call
from controller.db.filters import (
    boolean,
    choice,
    column,
    constant,
    integer,
    page_of,
    tag_filters,
    timestamp,
    where,
)
from controller.db.schema import Placement, Volume
from controller.db.session import Database
from controller.lookup import select_page
from controller.tags.rules import tags_of
from protos.cloud.v1 import common_pb2, volumes_pb2

LARGEST_PAGE = 500
_ATTACHED = Volume.instance_id.is_null(False)
_CREATING = _ATTACHED & ((Placement.ran_ms == 0) | Placement.ran_ms.is_null())
_FILTERS = {
    "volume-id": column(Volume.volume_id),
    "availability-zone": column(Volume.availability_zone),
    "create-time": timestamp(Volume.created_ms),
    "encrypted": boolean(Volume.encrypted),
    "size": integer(Volume.size_gib),
    "snapshot-id": column(Volume.snapshot_id),
    "volume-type": column(Volume.volume_type),
    "multi-attach-enabled": constant("false"),
    "fast-restored": constant("false"),
    "status": choice({"available": ~_ATTACHED, "in-use": _ATTACHED}),
    "attachment.instance-id": column(Volume.instance_id),
    "attachment.device": column(Volume.device_name),
    "attachment.attach-time": timestamp(Volume.attached_ms),
    "attachment.delete-on-termination": boolean(Volume.delete_on_termination),
    "attachment.status": choice({"attaching": _CREATING, "attached": Placement.ran_ms > 0}),
    **tag_filters(Volume.volume_id),
}


class VolumesServicer:
    def __init__(self, db: Database):
        self._db = db

    def Describe(self, request, call: Call) -> volumes_pb2.DescribeVolumesResponse:
        """Three statements a page."""
        page = page_of(request.page, largest=LARGEST_PAGE, explicit_ids=request.volume_ids)
        query = (
            Volume.select(Volume, Placement.ran_ms)
            .join(
                Placement,
                JOIN.LEFT_OUTER,
                on=(Placement.instance_id == Volume.instance_id) & Placement.live,
            )
            .where(Volume.account_id == call.account_id)
        )
        conditions = where(_FILTERS, request.filters)
        with self._db.read() as session:
            rows, next_token = select_page(
                session, query, Volume.volume_id, "volume", request.volume_ids, conditions, page
            )
            tags = tags_of(session, [row.volume_id for row in rows])
        return volumes_pb2.DescribeVolumesResponse(
            volumes=[_message(row, tags.get(row.volume_id, ())) for row in rows],
            next_token=next_token,
        )


def _message(row, tags: Sequence[common_pb2.Tag]) -> volumes_pb2.Volume:
    message = volumes_pb2.Volume(
        volume_id=row.volume_id,
        owner_id=row.account_id,
        availability_zone=row.availability_zone,
        size_gib=row.size_gib,
        snapshot_id=row.snapshot_id,
        state="in-use" if row.instance_id else "available",
        create_time_ms=row.created_ms,
        volume_type=row.volume_type,
        iops=row.iops,
        throughput_mibps=row.throughput_mibps,
        encrypted=row.encrypted,
        tags=tags,
    )
    if row.instance_id:
        message.attachments.append(
            volumes_pb2.VolumeAttachment(
                volume_id=row.volume_id,
                instance_id=row.instance_id,
                device=row.device_name,
                state="attached" if row.ran_ms else "attaching",
                attach_time_ms=row.attached_ms,
                delete_on_termination=row.delete_on_termination,
            )
        )
    return message
