"""One volume in its own right: made, grown, deleted, as its specification says.

    worker = VolumeWorker("vol-1", ledger, drivers, limits)
    worker.step(now) -> when to step again; None: when something is told

    PRESENT    made where it never was here, served to the hosts named,
               grown where it is smaller                                 -> VOLUME_HERE
               after some tries, or what cannot be                       -> VOLUME_FAILED
    DELETED    removed, never while a guest has it open; for ever        -> VOLUME_GONE

Called by the agenda, never twice at once for one volume. What failed stands until the volume is
specified anew. A volume whose files are lost is not made again: a blank one is not what was there.
"""

import logging
from collections.abc import Callable

from hostagent.drivers import DriverError, NotYet
from hostagent.ledger import Ledger, outlives
from hostagent.limits import Limits
from hostagent.records import Record, VolumeProgress
from hostagent.steps import Drivers
from protos.cloud.v1 import fleet_pb2
from protos.cloud.v1.fleet_pb2 import (
    VOLUME_DELETED,
    VOLUME_FAILED,
    VOLUME_GONE,
    VOLUME_HERE,
    VOLUME_MAKING,
)

log = logging.getLogger(__name__)


class VolumeWorker:
    """See the module's head."""

    def __init__(
        self,
        volume_id: str,
        ledger: Ledger,
        drivers: Drivers,
        limits: Limits,
        checkpoint: Callable[[str], None] = lambda name: None,
    ):
        self.volume_id, self._ledger, self._on, self._limits = volume_id, ledger, drivers, limits
        self._checkpoint = checkpoint

    def step(self, now: int) -> int | None:
        """Raises nothing that a driver may raise."""
        record = self._ledger.volumes.get(self.volume_id)
        if record is None or not record.spec.generation:
            return None  # forgotten, or an instance's affair until it is specified
        try:
            if self._is_done(record):
                return self._keep_served(record, now)
            return self._make_true(record, now)
        except NotYet as wait:
            return now + wait.retry_ms
        except DriverError as failure:
            return self._retry(record, failure, now)
        except Exception as bug:
            log.exception("%s: a defect in the agent", self.volume_id)
            return self._retry(record, DriverError(f"defect in the agent: {bug!r}"), now)

    def _is_done(self, record: Record[VolumeProgress]) -> bool:
        settled = (VOLUME_HERE, VOLUME_FAILED, VOLUME_GONE)
        same = record.progress.generation == record.spec.generation
        return same and record.progress.observed in settled

    def _keep_served(self, record: Record[VolumeProgress], now: int) -> int | None:
        """Where it is served: whatever serves it may have died."""
        if not record.spec.served_to_host_ids or record.progress.observed != VOLUME_HERE:
            return None
        self._on.keeper.serve(disk_of(record.spec), record.spec.served_to_host_ids)
        return now + self._limits.export_audit_ms

    def _make_true(self, record: Record[VolumeProgress], now: int) -> int | None:
        self._checkpoint(f"volume: begin {self.volume_id}")
        if record.spec.desired == VOLUME_DELETED or self._went_with_its_instance():
            self._on.keeper.serve(disk_of(record.spec), ())
            self._on.keeper.remove(self.volume_id)
            self._note(record, VOLUME_GONE, made=False, size_bytes=0)
            return None
        here = self._on.volumes.chain(self.volume_id)
        if not here and not record.progress.made:
            self._note(record, VOLUME_MAKING)
        if not here:
            self._on.keeper.make(disk_of(record.spec))
        self._on.keeper.serve(disk_of(record.spec), record.spec.served_to_host_ids)
        size_bytes = self._on.keeper.grow(self.volume_id, record.spec.size_bytes)
        self._checkpoint(f"volume: made {self.volume_id}")
        self._note(record, VOLUME_HERE, made=True, size_bytes=size_bytes)
        return now + self._limits.export_audit_ms if record.spec.served_to_host_ids else None

    def _went_with_its_instance(self) -> bool:
        """Removed, or about to be, by the instance's end (DeleteOnTermination)."""
        return any(
            disk.volume_id == self.volume_id and not outlives(disk)
            for entry in self._ledger.instances().values()
            if entry.progress.observed == fleet_pb2.ABSENT
            for disk in entry.spec.disks
        )

    def _retry(self, record: Record[VolumeProgress], failure: DriverError, now: int) -> int | None:
        generation = record.spec.generation
        tries = record.progress.attempts if record.progress.tried == generation else 0
        tries += 1
        log.warning("%s: try %d: %s", self.volume_id, tries, failure)
        over = not failure.transient or tries >= self._limits.volume_attempts
        lasting = record.spec.desired == VOLUME_DELETED or self._is_done(record)
        if over and not lasting:
            self._note(record, VOLUME_FAILED, message=str(failure), attempts=tries)
            return None
        self._ledger.volumes.note(self.volume_id, attempts=tries, tried=generation)
        return now + self._limits.backoff(tries)

    def _note(
        self, record: Record[VolumeProgress], observed: int, *, message: str = "", **changes
    ) -> None:
        spec = record.spec
        noted = self._ledger.volumes.note(
            self.volume_id,
            power_safe=bool(changes.get("made")) and not record.progress.made,
            observed=observed,
            message=message,
            generation=spec.generation,
            **{"attempts": 0, "tried": spec.generation, **changes},
        )
        if noted:
            name = fleet_pb2.ObservedVolume.Name(observed)
            log.info("%s is %s %s", self.volume_id, name.lower(), message)
            self._checkpoint(f"volume: noted {self.volume_id}")


def disk_of(spec: fleet_pb2.VolumeSpec) -> fleet_pb2.DiskSpec:
    """What it is made as."""
    disk = fleet_pb2.DiskSpec(volume_id=spec.volume_id, size_bytes=spec.size_bytes)
    if spec.HasField("source"):
        disk.image.CopyFrom(spec.source)
    return disk
