"""Snapshots: asked for, deleted, shared.

Called by the service (rpc) and by images made of instances. The statuses are EC2's, and one more:

    pending → completed | error         as the host says (observe)
    any     → gone, or deleting → gone  where its host still has to be told to leave off

A snapshot depends on no other and on no volume: what it is made of stays as long as its row
(storage/snapshots/collect). Source: EC2 API Reference, CreateSnapshot, DeleteSnapshot,
ModifySnapshotAttribute.
"""

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from peewee import JOIN

from controller.hosts.feed import Feed
from controller.hosts.guests import HOME, with_attachment, with_home
from controller.identity.quotas.rules import Quotas
from controller.identity.tags import rules as tags
from controller.identity.tags.checks import tags_of_specifications
from controller.kernel.call import Call
from controller.kernel.database import Session, Transaction
from controller.kernel.lookup import check_ids, not_found
from controller.kernel.rows import columns
from controller.kernel.table import Select
from controller.storage.snapshots.sources import GONE, SHARES, visible_to
from controller.storage.states import LIVING, UNMADE
from controller.tables.compute import Attachment, Instance
from controller.tables.nouns import SNAPSHOT
from controller.tables.storage import Image, ImageBlockDevice, Snapshot, SnapshotShare, Volume
from protos.cloud.v1 import volumes_pb2
from protos.errors import CloudError, Kind
from protos.ids import new_id

DESCRIPTION_CHARS_MAX = 255
PENDING_PER_VOLUME_MAX = 5  # each is a layer that the volume's reads go through


@dataclass(frozen=True)
class Moment:
    """When snapshots are taken: those for one image at one moment, and, where it says so, while the
    guest of an instance is off (docs/decisions/0602)."""

    image_id: str = ""
    off_instance_id: str = ""
    quiesce: bool = False


SOME_TIME = Moment()


class VolumeRow(NamedTuple):
    """A volume, with what its home has seen, its attachment and its instance, or None."""

    volume_id: str
    account_id: str
    host_id: str | None
    size_gib: int
    desired: str
    made: bool
    observed: str | None
    detaching: bool | None
    delete_on_termination: bool | None
    wanted: str | None


class OwnSnapshot(NamedTuple):
    account_id: str
    status: str
    host_id: str | None
    public: bool


class SnapshotRules:
    def __init__(self, rng: random.Random, quotas: Quotas, feed: Feed):
        self._rng, self._quotas, self._feed = rng, quotas, feed

    def create(self, tx: Transaction, request: volumes_pb2.CreateSnapshotRequest) -> str:
        """Answers the new snapshot's id.

        Raises INVALID, MALFORMED_ID, NOT_FOUND (volume), WRONG_STATE, QUOTA.
        """
        wanted = tags_of_specifications(request.tag_specifications, "snapshot")["snapshot"]
        check_ids("volume", [request.volume_id])
        query = _volumes().where(Volume.volume_id == request.volume_id)
        volume = tx.one(query, VolumeRow)
        if volume is None or volume.account_id != tx.call.account_id:
            raise not_found("volume", request.volume_id)
        tx.authorize("volume", [request.volume_id])
        (snapshot_id,) = self.take(tx, [volume], request.description, wanted)
        return snapshot_id

    def take_of(
        self,
        tx: Transaction,
        volume_ids: Sequence[str],
        description: str,
        wanted: Mapping[str, str],
        moment: Moment,
    ) -> list[str]:
        """One of each of these volumes of the caller's, in their order. What is told of them to a
        host is one message."""
        found = {row.volume_id: row for row in tx.rows(_volumes_of(volume_ids), VolumeRow)}
        volumes = [found[volume_id] for volume_id in volume_ids]
        return self.take(tx, volumes, description, wanted, moment)

    def take(
        self,
        tx: Transaction,
        volumes: Sequence[VolumeRow],
        description: str,
        wanted: Mapping[str, str],
        moment: Moment = SOME_TIME,
    ) -> list[str]:
        if len(description) > DESCRIPTION_CHARS_MAX:
            raise CloudError(
                Kind.INVALID,
                f"The description has at most {DESCRIPTION_CHARS_MAX} characters.",
                noun="parameter",
            )
        homes = [_home_of(tx, volume) for volume in volumes]
        self._quotas.charge(tx, tx.call.account_id, {"snapshots": len(volumes)})
        hosts = Counter(homes)
        made = [new_id("snapshot", self._rng) for _ in volumes]
        rows = [
            {
                "snapshot_id": snapshot_id,
                "account_id": tx.call.account_id,
                "volume_id": volume.volume_id,
                "host_id": host_id,
                "size_gib": volume.size_gib,
                "description": description,
                "status": "pending",
                "quiesce": moment.quiesce,
                "image_id": moment.image_id,
                "image_snapshots": hosts[host_id],
                "off_instance_id": moment.off_instance_id,
                "started_ms": tx.call.now_ms,
            }
            for snapshot_id, volume, host_id in zip(made, volumes, homes, strict=True)
        ]
        tx.insert(Snapshot, rows)
        for host_id in sorted(hosts):
            here = {one: 1 for one, home in zip(made, homes, strict=True) if home == host_id}
            self._feed.assign_to(tx, SNAPSHOT, host_id, here)
        tags.add(tx, tx.call.account_id, [("snapshot", made, wanted)])
        return made

    def delete(self, tx: Transaction, snapshot_id: str) -> None:
        """Deletes a snapshot: it is not found any more, and its bytes go once nothing names them.
        One that is being copied is left off.

        Raises MALFORMED_ID, NOT_FOUND, DENIED, WRONG_STATE (an image is made of it).
        """
        snapshot = own(tx, tx.call, snapshot_id)
        if image_id := _image_of(tx, tx.call, snapshot_id):
            raise CloudError(
                Kind.WRONG_STATE,
                f"The snapshot {snapshot_id} is currently in use by {image_id}",
                noun="snapshot",
                id=snapshot_id,
                reason="in-use",
            )
        self._quotas.refund(tx, snapshot.account_id, {"snapshots": 1})
        tags.remove_all(tx, [snapshot_id])
        is_it = Snapshot.snapshot_id == snapshot_id
        if snapshot.host_id is None:
            tx.delete(Snapshot, is_it)
            return
        tx.delete(SnapshotShare, SnapshotShare.snapshot_id == snapshot_id)
        left_off = {"status": GONE, "digest": None, "public": False}
        self._feed.revise(tx, SNAPSHOT, [snapshot_id], left_off)

    def share(self, tx: Transaction, request: volumes_pb2.ModifySnapshotAttributeRequest) -> None:
        """Raises MALFORMED_ID, NOT_FOUND, DENIED, INVALID."""
        own(tx, tx.call, request.snapshot_id)
        if request.HasField("public"):
            key = "ec2:Add/group" if request.public else "ec2:Remove/group"
            tx.authorize("snapshot", [request.snapshot_id], context={key: ["all"]})
        SHARES.change(tx, request.snapshot_id, request)

    def unshare(self, tx: Transaction, snapshot_id: str) -> None:
        """Ends all shares: the snapshot is its owner's alone again."""
        own(tx, tx.call, snapshot_id)
        SHARES.reset(tx, snapshot_id)


def own(session: Session, call: Call, snapshot_id: str) -> OwnSnapshot:
    """The caller's snapshot. Raises MALFORMED_ID, NOT_FOUND, DENIED also for one that he may
    only use."""
    check_ids("snapshot", [snapshot_id])
    account_id = call.account_id
    row = session.one(
        Snapshot.select(*columns(OwnSnapshot, Snapshot)).where(
            Snapshot.snapshot_id == snapshot_id, visible_to(account_id)
        ),
        OwnSnapshot,
    )
    if row is None:
        raise not_found("snapshot", snapshot_id)
    if row.account_id != account_id:
        raise CloudError(
            Kind.DENIED,
            f"Not authorized for snapshot:{snapshot_id}",
            noun="snapshot",
            id=snapshot_id,
        )
    session.authorize("snapshot", [snapshot_id])
    return row


def _volumes() -> Select:
    query = Volume.select(
        *columns(VolumeRow, Volume),
        HOME.observed.alias("observed"),
        Attachment.detaching,
        Attachment.delete_on_termination,
        Instance.desired.alias("wanted"),
    )
    query = with_attachment(query, Volume.volume_id)
    query = query.join(Instance, JOIN.LEFT_OUTER, on=Instance.instance_id == Attachment.instance_id)
    return with_home(query)


def _volumes_of(volume_ids: Sequence[str]) -> Select:
    return _volumes().where(Volume.volume_id.in_(list(volume_ids)))


def _home_of(tx: Transaction, volume: VolumeRow) -> str:
    """The host that can copy the volume. Raises WRONG_STATE, QUOTA."""
    state = ""
    with_instance = volume.delete_on_termination and not volume.detaching
    if volume.desired != "present" or (with_instance and volume.wanted == "terminated"):
        state = "deleting"
    elif volume.observed == "failed" or volume.host_id is None:
        state = "error"
    elif not volume.made:
        state = "error" if volume.observed in UNMADE else "creating"
    if state or volume.host_id is None:
        raise CloudError(
            Kind.WRONG_STATE,
            f"The volume '{volume.volume_id}' is in the state '{state}'.",
            noun="volume",
            id=volume.volume_id,
        )
    pending = Snapshot.select(Snapshot.snapshot_id).where(
        Snapshot.volume_id == volume.volume_id, Snapshot.status.in_(("pending", GONE))
    )
    if len(tx.column(pending, str)) >= PENDING_PER_VOLUME_MAX:
        raise CloudError(
            Kind.QUOTA,
            f"The volume '{volume.volume_id}' has {PENDING_PER_VOLUME_MAX} pending snapshots.",
            noun="pending-snapshot",
        )
    return volume.host_id


def _image_of(session: Session, call: Call, snapshot_id: str) -> str | None:
    """An image of the caller's that it is a disk of. Others' do not hold it, nor are they named."""
    return session.value(
        Image.select(Image.image_id)
        .join(ImageBlockDevice, on=ImageBlockDevice.image_id == Image.image_id)
        .where(
            ImageBlockDevice.snapshot_id == snapshot_id,
            Image.account_id == call.account_id,
            Image.status.in_(LIVING),
        ),
        str,
    )
