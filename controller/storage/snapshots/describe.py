"""Reading snapshots: who sees which, with the filters that EC2 documents. Called by the service
(rpc).

An account sees its own snapshots, those shared with it, and public ones; of others' not the tags,
which are their owner's alone.
"""

from collections.abc import Sequence
from typing import NamedTuple

from controller.identity.shares import OPERATOR_ALIAS, offered, owned_by
from controller.identity.tags.filters import tag_filters
from controller.identity.tags.rules import tags_of
from controller.kernel.call import Call
from controller.kernel.database import Session
from controller.kernel.filters import (
    NOTHING,
    Condition,
    choice,
    column,
    constant,
    custom,
    either,
    integer,
    like,
    page_of,
    timestamp,
    where,
)
from controller.kernel.lookup import select_page
from controller.kernel.rows import columns
from controller.kernel.table import Clause
from controller.storage.snapshots.sources import SHARES, visible_to
from controller.tables.identity import Account, Tag
from controller.tables.storage import Snapshot
from protos.cloud.v1 import common_pb2, volumes_pb2


def _progress(values: Sequence[str]) -> Clause:
    """As shown: "42%"."""
    shown = [number for number in range(101) if any(like(v, f"{number}%") for v in values)]
    return Snapshot.progress.in_(shown) if shown else NOTHING


FILTERS: dict[str, Condition] = {
    "description": column(Snapshot.description),
    "encrypted": constant("false"),
    "owner-alias": choice({OPERATOR_ALIAS: offered(Snapshot)}),
    "owner-id": column(Snapshot.account_id),
    "progress": custom(_progress),
    "snapshot-id": column(Snapshot.snapshot_id),
    "start-time": timestamp(Snapshot.started_ms),
    "status": column(Snapshot.status),
    "storage-tier": constant("standard"),
    "transfer-type": custom(lambda values: NOTHING),  # of copies between regions: none here
    "volume-id": column(Snapshot.volume_id),
    "volume-size": integer(Snapshot.size_gib),
}


class SnapshotRow(NamedTuple):
    snapshot_id: str
    volume_id: str
    account_id: str
    description: str
    status: str
    status_message: str
    progress: int
    started_ms: int
    completed_ms: int
    size_gib: int
    digest: str | None
    size_bytes: int
    added_bytes: int
    is_offered: bool


def describe_snapshots(
    session: Session, call: Call, request: volumes_pb2.DescribeSnapshotsRequest
) -> volumes_pb2.DescribeSnapshotsResponse:
    """Two statements a page. Raises INVALID, MALFORMED_ID, NOT_FOUND."""
    account_id = call.account_id
    query = (
        Snapshot.select(*columns(SnapshotRow, Snapshot), offered(Snapshot).alias("is_offered"))
        .join(Account, on=Account.account_id == Snapshot.account_id)
        .where(visible_to(account_id))
    )
    known = FILTERS | tag_filters(Snapshot.snapshot_id, Tag.account_id == account_id)
    conditions = where(known, request.filters)
    if request.owners:
        conditions.append(owned_by(Snapshot.account_id, request.owners, account_id))
    if request.restorable_by:
        conditions.append(either([_restorable(who, account_id) for who in request.restorable_by]))
    page = page_of(request.page, explicit_ids=request.snapshot_ids)
    key, asked = Snapshot.snapshot_id, request.snapshot_ids
    rows, token = select_page(
        session, query, key, "snapshot", asked, conditions, page, row=SnapshotRow
    )
    tagged = tags_of(session, [row.snapshot_id for row in rows if row.account_id == account_id])
    return volumes_pb2.DescribeSnapshotsResponse(
        snapshots=[_message(row, tagged[row.snapshot_id]) for row in rows], next_token=token
    )


def describe_snapshot(session: Session, call: Call, snapshot_id: str) -> volumes_pb2.Snapshot:
    request = volumes_pb2.DescribeSnapshotsRequest(snapshot_ids=[snapshot_id])
    return describe_snapshots(session, call, request).snapshots[0]


def _restorable(who: str, account_id: str) -> Clause:
    """Whoever may make volumes of it: "all" of public ones, an account of its own and those shared
    with it by name."""
    shared = SHARES.shown_with(who, account_id)
    if who == "all":
        return shared
    return shared | (Snapshot.account_id == (account_id if who == "self" else who))


def _message(row: SnapshotRow, snapshot_tags: Sequence[common_pb2.Tag]) -> volumes_pb2.Snapshot:
    completed = row.status == "completed"
    return volumes_pb2.Snapshot(
        snapshot_id=row.snapshot_id,
        volume_id=row.volume_id,
        owner_id=row.account_id,
        owner_alias=OPERATOR_ALIAS if row.is_offered else "",
        description=row.description,
        state=row.status,
        state_message=row.status_message,
        progress=row.progress,
        start_time_ms=row.started_ms,
        completion_time_ms=row.completed_ms if completed else 0,
        volume_size_gib=row.size_gib,
        digest=(row.digest or "") if completed else "",
        size_bytes=row.size_bytes,
        added_bytes=row.added_bytes,
        tags=snapshot_tags,
    )
