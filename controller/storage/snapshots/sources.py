"""What a volume made of a snapshot begins as, and who may make one.

Called by the rules of volumes and launches, and by images of snapshots, inside their transactions.
An account sees its own snapshots, those shared with it, and public ones.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from controller.identity.shares import Shares
from controller.kernel.call import Call
from controller.kernel.database import Session
from controller.kernel.lookup import check_ids, check_there
from controller.kernel.owned import Owned
from controller.kernel.rows import columns
from controller.kernel.table import Clause
from controller.kernel.units import GIB
from controller.tables.storage import Snapshot, SnapshotShare
from protos.errors import CloudError, Kind

DISK_FORMAT = "blocks"  # fleet.ImageSource: the digest is a manifest's
GONE = "deleting"
OWNED = Owned(
    "snapshot",
    Snapshot.snapshot_id,
    Snapshot.account_id,
    Snapshot.status != GONE,
    facts={
        "ec2:SnapshotID": Snapshot.snapshot_id,
        "ec2:Owner": Snapshot.account_id,
        "ec2:VolumeSize": Snapshot.size_gib,
        "ec2:ParentVolume": ("volume", Snapshot.volume_id),
    },
)
SHARES = Shares(Snapshot.snapshot_id, SnapshotShare.snapshot_id, "snapshot")


@dataclass(frozen=True)
class Source:
    """A snapshot that volumes can be made of. The fields are those of a volume's row and of
    fleet.ImageSource: the volume keeps them, so that it does not need the snapshot any more."""

    snapshot_id: str
    digest: str
    size_gib: int
    size_bytes: int  # of the blocks that it names
    disk_format: str = DISK_FORMAT

    @property
    def virtual_size_bytes(self) -> int:
        return self.size_gib * GIB


class SourceRow(NamedTuple):
    snapshot_id: str
    status: str
    digest: str | None
    size_gib: int
    size_bytes: int


def visible_to(account_id: str) -> Clause:
    """The condition for snapshots that an account may see and restore."""
    own = Snapshot.account_id == account_id
    shared = SHARES.with_account(account_id)
    return (Snapshot.status != GONE) & (own | SHARES.with_all | shared)


def source_of(session: Session, call: Call, snapshot_id: str) -> Source:
    """What a new volume of the caller's begins as. Raises as ``find_sources``."""
    return find_sources(session, call, [snapshot_id])[snapshot_id]


def find_sources(session: Session, call: Call, snapshot_ids: Iterable[str]) -> dict[str, Source]:
    """By id, what new volumes of the caller's begin as: one statement where any is named.

    Raises MALFORMED_ID, NOT_FOUND, WRONG_STATE for one that is not completed.
    """
    wanted = list(dict.fromkeys(snapshot_ids))
    check_ids("snapshot", wanted)
    if not wanted:
        return {}
    rows = session.rows(
        Snapshot.select(*columns(SourceRow, Snapshot)).where(
            Snapshot.snapshot_id.in_(wanted), visible_to(call.account_id)
        ),
        SourceRow,
    )
    check_there("snapshot", wanted, {row.snapshot_id for row in rows})
    session.authorize("snapshot", wanted)
    for row in rows:
        if row.status != "completed":
            raise CloudError(
                Kind.WRONG_STATE,
                f"Snapshot is in invalid state - {row.status}",
                noun="snapshot",
                id=row.snapshot_id,
            )
    return {
        row.snapshot_id: Source(row.snapshot_id, row.digest or "", row.size_gib, row.size_bytes)
        for row in rows
    }
