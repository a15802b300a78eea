"""One snapshot, from its specification to its end.

    worker = SnapshotWorker("snap-1", ledger, manager, copies, limits)
    worker.step(now) -> when to step again; None: when something is told

    choose    the layer that is written just now becomes its point in time: its number is noted
    freeze    that layer is frozen, whether or not a guest runs     -> SNAPSHOT_COPYING
              (with those of its group, at one moment; where its guest is to be off, then)
    copy      in the background, again after any cut                -> SNAPSHOT_DONE | _FAILED
    release   what no copy reads any more becomes one layer; then it can be forgotten
    cancelled: the copy leaves off, release                         -> SNAPSHOT_GONE

Called by the work queue, never twice at once for one snapshot, but for several of one volume at
once. The frozen layer is the truth: after any kill the copy begins anew, and sends what is missing.
The layers of a volume are committed when no copy of it goes on; one that begins meanwhile waits.
"""

import logging
from collections.abc import Callable, Mapping

from hostagent.kernel.errors import DriverError, NotYet
from hostagent.storage.limits import StorageLimits
from hostagent.storage.snapshots.copier import Base, Source
from hostagent.storage.snapshots.copies import Copies
from hostagent.storage.snapshots.progress import (
    SETTLED,
    Snapshot,
    SnapshotLedger,
    is_unfrozen,
)
from hostagent.storage.volumes.disk_specs import disk_of, is_here, outlives
from hostagent.storage.volumes.known import source_of
from hostagent.storage.volumes.manager import VolumeManager
from protos.cloud.v1 import fleet_pb2

log = logging.getLogger(__name__)

WAIT_MS = 1_000


class SnapshotWorker:
    """See the module's head."""

    def __init__(
        self,
        snapshot_id: str,
        ledger: SnapshotLedger,
        manager: VolumeManager,
        copies: Copies,
        limits: StorageLimits,
        checkpoint: Callable[[str], None] = lambda name: None,
    ):
        self.snapshot_id = snapshot_id
        self._ledger, self._manager, self._copies = ledger, manager, copies
        self._limits, self._checkpoint = limits, checkpoint

    def step(self, now: int) -> int | None:
        """Raises nothing that a driver may raise."""
        record = self._ledger.snapshots.get(self.snapshot_id)
        if record is None:
            return None
        try:
            return self._make_true(record)
        except NotYet as wait:
            self._note_percent()
            return now + wait.retry_ms
        except DriverError as failure:
            return self._retry(record, failure, now)
        except Exception as bug:
            log.exception("%s: a defect in the agent", self.snapshot_id)
            return self._retry(record, DriverError(f"a defect: {bug!r}"), now)

    def _make_true(self, record: Snapshot) -> int | None:
        progress = record.progress
        if record.spec.cancelled:
            self._copies.stop(self.snapshot_id)
            if progress.observed != fleet_pb2.SNAPSHOT_GONE:
                self._note(record, fleet_pb2.SNAPSHOT_GONE, released=False)
        elif progress.observed not in SETTLED:
            self._copy(record)
        now = self._ledger.snapshots.get(self.snapshot_id)
        if now is not None and not now.progress.released:
            self._release(now)
        return None

    def _copy(self, record: Snapshot) -> None:
        volume_id, number = record.spec.volume_id, self._freeze(record)
        if record.progress.observed != fleet_pb2.SNAPSHOT_COPYING:
            self._note(record, fleet_pb2.SNAPSHOT_COPYING)
        if self._is_being_committed(volume_id):
            raise NotYet(f"{volume_id}: its layers are being committed", retry_ms=WAIT_MS)
        base = self._base(volume_id, number)
        copied = self._copies.ensure(Source(self.snapshot_id, volume_id, number, base))
        self._checkpoint(f"snapshot: copied {self.snapshot_id}")
        known = self._ledger.copied.get(volume_id)
        if known is None or known.number < number:
            self._ledger.copied.set(volume_id, Base(number, copied.digest))
        self._note(
            record,
            fleet_pb2.SNAPSHOT_DONE,
            progress=100,
            digest=copied.digest,
            size_bytes=copied.size_bytes,
            added_bytes=copied.added_bytes,
        )

    def _freeze(self, record: Snapshot) -> int:
        """With all of its group, whose volumes nobody else touches meanwhile: no guest starts on
        them. Answers the number of its own layer, which is frozen.
        """
        group = self._group(record)
        with self._manager.held(one.spec.volume_id for one in group.values()):
            for name, one in group.items():
                self._check_off(name, one)
            self._check_whole(record)
            numbers = {one.spec.volume_id: self._choose(name, one) for name, one in group.items()}
            self._join_parted(group, numbers)
            self._checkpoint(f"snapshot: freeze {self.snapshot_id}")
            self._manager.freeze_all(numbers, quiesce=record.spec.quiesce)
        return numbers[record.spec.volume_id]

    def _group(self, record: Snapshot) -> dict[str, Snapshot]:
        """It, and those that are to be of the same moment."""
        others = self._ledger.snapshots.all() if record.spec.group else {}
        return {
            name: one
            for name, one in others.items()
            if one.spec.group == record.spec.group and is_unfrozen(one)
        } | {self.snapshot_id: record}

    def _check_whole(self, record: Snapshot) -> None:
        """Raises where others of its group have had their moment, and this host no longer knows of
        that."""
        spec = record.spec
        here = [one.spec.group for one in self._ledger.snapshots.all().values()].count(spec.group)
        if record.progress.number < 0 and here < spec.group_size:
            raise DriverError(
                f"its moment is over: of the {spec.group_size} snapshots of one moment, "
                f"{spec.group_size - here} are not known here",
                transient=False,
            )

    def _join_parted(self, group: Mapping[str, Snapshot], numbers: dict[str, int]) -> None:
        """Where a cut came between the freezing of several, those that are frozen get a later
        moment: that of the others."""
        tops = {volume_id: self._manager.top(volume_id).number for volume_id in numbers}
        if all(tops[volume_id] > number for volume_id, number in numbers.items()):
            return
        for name, one in group.items():
            volume_id = one.spec.volume_id
            if tops[volume_id] > numbers[volume_id]:
                numbers[volume_id] = tops[volume_id]
                self._ledger.snapshots.note(name, number=tops[volume_id])

    def _check_off(self, snapshot_id: str, record: Snapshot) -> None:
        """Raises NotYet while its guest is to be off and is not."""
        spec = record.spec
        if spec.off_instance_id and is_unfrozen(record):
            guest = self._manager.guest(spec.volume_id)
            if guest is not None:
                self._ledger.snapshots.note(snapshot_id, attempts=0)
                raise NotYet(f"{spec.volume_id}: {guest} is not off yet", retry_ms=WAIT_MS)

    def _choose(self, snapshot_id: str, record: Snapshot) -> int:
        """The layer whose freezing is the point in time. Noted first, so that a cut between the
        freezing and the noting does not take a later one."""
        if record.progress.number >= 0:
            return record.progress.number
        volume_id = record.spec.volume_id
        if not self._manager.chain(volume_id):
            self._make(volume_id)
        number = self._manager.top(volume_id).number
        self._ledger.snapshots.note(snapshot_id, number=number)
        return number

    def _make(self, volume_id: str) -> None:
        """Its point in time is before anybody wrote to it. Whoever is to make it may never come to
        that, and an instance that ends waits for its snapshots."""
        try:
            self._manager.make(self._disk(volume_id))
        except NotYet as wait:  # what it began as is on its way; meanwhile its instance may end
            raise NotYet(wait.progress, retry_ms=min(wait.retry_ms, WAIT_MS)) from wait

    def _disk(self, volume_id: str) -> fleet_pb2.DiskSpec:
        for entry in self._ledger.instances.all().values():
            for disk in entry.spec.disks:
                if disk.volume_id == volume_id and is_here(disk):
                    if entry.spec.desired == fleet_pb2.TERMINATED and not outlives(disk):
                        raise DriverError(f"{volume_id} is gone with its instance", transient=False)
                    return disk
        known = self._ledger.volumes.get(volume_id)
        if known is None:
            raise DriverError(f"{volume_id} is not on this host", transient=False)
        return disk_of(known.spec)

    def _base(self, volume_id: str, number: int) -> Base | None:
        """The newest snapshot below the layer whose manifest is known; or what the volume began as,
        where that was one."""
        known = self._ledger.copied.get(volume_id)
        if known is not None and known.number < number:
            return known
        source = source_of(self._ledger, volume_id)
        if source is not None and source.disk_format == "blocks":
            return Base(-1, source.digest)
        return None

    # -- afterwards ----------------------------------------------------------------------------

    def _release(self, record: Snapshot) -> None:
        """Commits what is frozen, unless a copy still reads it: then the last one does."""
        volume_id, began = record.spec.volume_id, record.progress.releasing
        if self._guest_waits(volume_id):
            raise NotYet(f"{volume_id}: a guest is held off for it", retry_ms=WAIT_MS)
        if record.progress.number >= 0 and self._manager.chain(volume_id):
            # Said before it is looked who copies, as a copy chooses its layer before it looks here:
            # at least one of the two sees the other.
            self._ledger.snapshots.note(self.snapshot_id, releasing=True)
            copied = self._being_copied(volume_id)
            if began or not copied:
                self._commit(volume_id, copied)
        self._checkpoint(f"snapshot: released {self.snapshot_id}")
        self._ledger.snapshots.note(self.snapshot_id, releasing=False, released=True, attempts=0)

    def _being_copied(self, volume_id: str) -> list[int]:
        """The layers that are to be read, with all below them."""
        return [
            other.progress.number
            for other in self._ledger.snapshots.all().values()
            if other.spec.volume_id == volume_id
            and other.progress.number >= 0
            and other.progress.observed not in SETTLED
        ]

    def _commit(self, volume_id: str, copied: list[int]) -> None:
        """All that is frozen, below what waits to be read. What no manifest has must not go below
        what one has: then the next snapshot could not tell it from what was copied."""
        frozen = min([self._manager.top(volume_id).number, *copied]) - 1
        known = self._ledger.copied.get(volume_id)
        below = [one for one in self._manager.chain(volume_id) if one.number <= frozen]
        if known is not None and below and below[-1].number > known.number:
            self._ledger.copied.drop(volume_id)
        self._manager.commit(volume_id, frozen)

    def _guest_waits(self, volume_id: str) -> bool:
        """Its guest is to be off no longer than it must: what takes long begins afterwards."""
        return any(
            other.spec.volume_id == volume_id and other.spec.off_instance_id and is_unfrozen(other)
            for other in self._ledger.snapshots.all().values()
        )

    def _is_being_committed(self, volume_id: str) -> bool:
        return any(
            other.progress.releasing and other.spec.volume_id == volume_id
            for other in self._ledger.snapshots.all().values()
        )

    # -- saying it -----------------------------------------------------------------------------

    def _note_percent(self) -> None:
        now, percent = (
            self._ledger.snapshots.get(self.snapshot_id),
            self._copies.percent(self.snapshot_id),
        )
        if now is None or now.progress.observed in SETTLED:
            return
        if percent > now.progress.progress:  # what failed before is overcome
            self._ledger.snapshots.note(self.snapshot_id, progress=percent, attempts=0)

    def _retry(self, record: Snapshot, failure: DriverError, now: int) -> int:
        current = self._ledger.snapshots.get(self.snapshot_id)
        if current is None:
            return now
        tries = current.progress.attempts + 1
        log.warning("%s: try %d: %s", self.snapshot_id, tries, failure)
        over = not failure.transient or tries >= self._limits.volume_attempts
        if over and current.progress.observed not in SETTLED and not current.spec.cancelled:
            self._note(current, fleet_pb2.SNAPSHOT_FAILED, message=str(failure))
            return now + self._limits.backoff_ms
        self._ledger.snapshots.note(self.snapshot_id, attempts=tries)
        return now + self._limits.backoff(tries)

    def _note(
        self, record: Snapshot, observed: fleet_pb2.ObservedSnapshot, **changes: str | int
    ) -> None:
        noted = self._ledger.snapshots.note(
            self.snapshot_id,
            observed=observed,
            revision=record.revision,
            attempts=0,
            **changes,
        )
        if noted:
            name = fleet_pb2.ObservedSnapshot.Name(observed)
            log.info("%s is %s %s", self.snapshot_id, name.lower(), changes.get("message", ""))
            self._checkpoint(f"snapshot: noted {self.snapshot_id}")
