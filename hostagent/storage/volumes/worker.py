"""One volume in its own right: made, grown, deleted, as its specification says.

    worker = VolumeWorker("vol-1", ledger, manager, limits)
    worker.step(now) -> when to step again; None: when something is told

    PRESENT    made where it never was here, served to the hosts named,
               grown where it is smaller                                 -> VOLUME_HERE
               after some tries, or what cannot be                       -> VOLUME_FAILED
    DELETED    removed, never while a guest has it open; for ever        -> VOLUME_GONE

Called by the work queue, never twice at once for one volume. What failed stands until the volume is
specified anew. A volume whose files are lost is not made again: a blank one is not what was there.
"""

import logging
from collections.abc import Callable

from hostagent.kernel.errors import DriverError, NotYet
from hostagent.storage.limits import StorageLimits
from hostagent.storage.volumes.disk_specs import disk_of, outlives
from hostagent.storage.volumes.kind import Volume
from hostagent.storage.volumes.known import VolumeLedger
from hostagent.storage.volumes.manager import VolumeManager
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
        ledger: VolumeLedger,
        manager: VolumeManager,
        limits: StorageLimits,
        checkpoint: Callable[[str], None] = lambda name: None,
    ):
        self.volume_id, self._ledger, self._manager = volume_id, ledger, manager
        self._limits, self._checkpoint = limits, checkpoint

    def step(self, now: int) -> int | None:
        """Raises nothing that a driver may raise."""
        record = self._ledger.volumes.get(self.volume_id)
        if record is None or not record.revision:
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

    def _is_done(self, record: Volume) -> bool:
        settled = (VOLUME_HERE, VOLUME_FAILED, VOLUME_GONE)
        same = record.progress.revision == record.revision
        return same and record.progress.observed in settled

    def _keep_served(self, record: Volume, now: int) -> int | None:
        """Where it is served: whatever serves it may have died."""
        if not record.spec.served_to_host_ids or record.progress.observed != VOLUME_HERE:
            return None
        self._manager.serve(disk_of(record.spec), record.spec.served_to_host_ids)
        return now + self._limits.export_audit_ms

    def _make_true(self, record: Volume, now: int) -> int | None:
        self._checkpoint(f"volume: begin {self.volume_id}")
        if record.spec.desired == VOLUME_DELETED or self._went_with_its_instance():
            self._manager.serve(disk_of(record.spec), ())
            self._manager.remove(self.volume_id)
            self._note(record, VOLUME_GONE, made=False, size_bytes=0)
            return None
        here = self._manager.chain(self.volume_id)
        if not here and not record.progress.made:
            self._note(record, VOLUME_MAKING)
        if not here:
            self._manager.make(disk_of(record.spec))
        self._manager.serve(disk_of(record.spec), record.spec.served_to_host_ids)
        size_bytes = self._manager.grow(self.volume_id, record.spec.size_bytes)
        self._checkpoint(f"volume: made {self.volume_id}")
        self._note(record, VOLUME_HERE, made=True, size_bytes=size_bytes)
        return now + self._limits.export_audit_ms if record.spec.served_to_host_ids else None

    def _went_with_its_instance(self) -> bool:
        """Removed, or about to be, by the instance's end (DeleteOnTermination)."""
        return any(
            disk.volume_id == self.volume_id and not outlives(disk)
            for entry in self._ledger.instances.all().values()
            if entry.progress.observed == fleet_pb2.ABSENT
            for disk in entry.spec.disks
        )

    def _retry(self, record: Volume, failure: DriverError, now: int) -> int | None:
        tries = record.progress.attempts if record.progress.tried == record.revision else 0
        tries += 1
        log.warning("%s: try %d: %s", self.volume_id, tries, failure)
        over = not failure.transient or tries >= self._limits.volume_attempts
        lasting = record.spec.desired == VOLUME_DELETED or self._is_done(record)
        if over and not lasting:
            self._note(record, VOLUME_FAILED, message=str(failure), attempts=tries)
            return None
        self._ledger.volumes.note(self.volume_id, attempts=tries, tried=record.revision)
        return now + self._limits.backoff(tries)

    def _note(
        self,
        record: Volume,
        observed: fleet_pb2.ObservedVolume,
        *,
        message: str = "",
        **changes: int,
    ) -> None:
        noted = self._ledger.volumes.note(
            self.volume_id,
            observed=observed,
            message=message,
            revision=record.revision,
            **{"attempts": 0, "tried": record.revision, **changes},
        )
        if noted:
            name = fleet_pb2.ObservedVolume.Name(observed)
            log.info("%s is %s %s", self.volume_id, name.lower(), message)
            self._checkpoint(f"volume: noted {self.volume_id}")
