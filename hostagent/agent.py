"""The agent's core: sync, agenda and workers together, with no thread, clock or network of its own.

    agent.apply(spec) -> HostReport          HostAgent.Apply
    agent.report() -> HostReport             Fleet.Report's request,
    agent.delivered(report, answer)          and what to do with its answer
    agent.take_in(spec)                      a HostSpec from wherever
    agent.run_due(now) -> next time | None   all that is due, in the caller's thread (simulation)
    agent.take(now, most), agent.step(key, now)    the same by a pool of threads (server)
    agent.look_at("i-1")                     something may have happened to it; "" = to any
    agent.has_news() -> bool                 something settled that no report has held yet

Made by app.build; driven by server in production, by the simulation in tests. ``now`` is in
milliseconds of a clock that never goes back. ``on_work`` is called, from any thread, when something
became due at once; ``on_news`` when a report is worth sending.
"""

import logging
from collections.abc import Callable

from hostagent.agenda import Agenda
from hostagent.audit import Audit
from hostagent.drivers import DriverError, NotYet
from hostagent.ledger import Ledger
from hostagent.limits import Limits
from hostagent.snapshots.copies import Copies
from hostagent.snapshots.memory import waiting_for
from hostagent.snapshots.worker import SnapshotWorker
from hostagent.steps import Drivers
from hostagent.sync import Sync
from hostagent.volumes.worker import VolumeWorker
from hostagent.worker import Worker
from protos.cloud.v1 import fleet_pb2

log = logging.getLogger(__name__)

Key = tuple[str, str]  # ("instance" | "volume" | "snapshot" | "vpc" | "host", id)
_HOST: Key = ("host", "")


class Agent:
    """See the module's head."""

    def __init__(
        self,
        ledger: Ledger,
        sync: Sync,
        drivers: Drivers,
        audit: Audit,
        limits: Limits,
        new_worker: Callable[[str], Worker],
        new_volume_worker: Callable[[str], VolumeWorker],
        snapshots: SnapshotWorker,
        copies: Copies,
    ):
        self._ledger, self._sync, self._on, self._audit = ledger, sync, drivers, audit
        self._limits, self._new_worker = limits, new_worker
        self._new_volume_worker, self._snapshots = new_volume_worker, snapshots
        self._agenda: Agenda[Key] = Agenda()
        self._workers: dict[str, Worker] = {}
        self._volume_workers: dict[str, VolumeWorker] = {}
        self.on_work: Callable[[], None] = lambda: None
        self.on_news: Callable[[], None] = lambda: None
        drivers.hypervisor.watch(self.look_at)
        drivers.images.watch(self._image_changed)
        copies.watch(lambda snapshot_id: self._wake(("snapshot", snapshot_id)))
        self._wake(_HOST)
        for instance_id in ledger.instances():
            self._wake(("instance", instance_id))
        for volume_id in ledger.volumes.all():
            self._wake(("volume", volume_id))
        for snapshot_id in ledger.snapshots.all():
            self._wake(("snapshot", snapshot_id))
        for vpc_id in sorted(drivers.vpcs.wanted()):
            self._wake(("vpc", vpc_id))

    # -- messages ------------------------------------------------------------------------------

    def apply(self, spec: fleet_pb2.HostSpec) -> fleet_pb2.HostReport:
        """Durable before it answers; the work is done afterwards. CloudError: see Sync.take_in."""
        self.take_in(spec)
        report = self._sync.report()
        self._sync.said(report)
        return report

    def take_in(self, spec: fleet_pb2.HostSpec) -> None:
        for key in sorted(self._sync.take_in(spec)):  # a set's order is another in each process
            self._wake(key)

    def report(self) -> fleet_pb2.HostReport:
        return self._sync.report()

    def delivered(self, report: fleet_pb2.HostReport, answer: fleet_pb2.HostSpec) -> None:
        """``report`` was answered. Without this call (it failed) the next report says it again."""
        self._sync.said(report)
        self.take_in(answer)

    def knows(self, instance_id: str) -> bool:
        return self._ledger.get(instance_id) is not None

    def has_news(self) -> bool:
        return self._sync.has_news()

    @property
    def report_interval_ms(self) -> int:
        """What the controller asked for; 0 where it has not yet."""
        return self._ledger.settings.report_interval_ms

    # -- work ----------------------------------------------------------------------------------

    def look_at(self, instance_id: str) -> None:
        """From any thread. A domain that is not in the ledger concerns the next audit only."""
        if not instance_id:
            self.on_news()  # said at once, where it was said that the hypervisor is away
        for name in (instance_id,) if instance_id else self._ledger.instances():
            if self._ledger.get(name) is not None:
                self._wake(("instance", name))
                for snapshot_id in waiting_for(self._ledger.snapshots.all(), name):
                    self._wake(("snapshot", snapshot_id))

    def run_due(self, now: int) -> int | None:
        """Steps all that is due, and what that made due, one by one; answers when more will be."""
        while keys := self._agenda.take(now, 1):
            self.step(keys[0], now)
        return self._agenda.next_due()

    def take(self, now: int, most: int) -> list[Key]:
        """Keys that are due, now in the caller's hands: each must be given to ``step``."""
        return self._agenda.take(now, most)

    def next_due(self) -> int | None:
        return self._agenda.next_due()

    def is_quiet(self) -> bool:
        """Nothing is due at once and nothing is being done."""
        return self._agenda.is_quiet()

    def step(self, key: Key, now: int) -> None:
        """One thing for one key. ``now`` is when it was taken."""
        when: int | None = now + self._limits.backoff_most_ms  # should a defect end this
        try:
            when = self._step(key, now)
        finally:
            self._agenda.put_back(key, when)
        if self._sync.has_news():
            self.on_news()

    def _step(self, key: Key, now: int) -> int | None:
        kind, name = key
        if kind == "instance":
            when = self._worker(name).step(now)
            if self._ledger.get(name) is None:
                self._workers.pop(name, None)
            return when
        if kind == "volume":
            return self._step_volume(name, now)
        if kind == "snapshot":
            return self._snapshots.step(name, now)
        if kind == "vpc":
            return self._on.vpcs.step(name, now)
        try:
            self._on.network.ensure_host()
            self._sync.set_orphans(self._audit.tidy())
        except NotYet as wait:
            return now + wait.retry_ms
        except DriverError as failure:
            log.warning("the host could not be looked over: %s", failure)
            return now + self._limits.backoff_most_ms
        return now + self._limits.audit_ms

    def _step_volume(self, volume_id: str, now: int) -> int | None:
        if volume_id not in self._volume_workers:
            self._volume_workers[volume_id] = self._new_volume_worker(volume_id)
        when = self._volume_workers[volume_id].step(now)
        if self._ledger.volumes.get(volume_id) is None:
            self._volume_workers.pop(volume_id, None)
        return when

    def _worker(self, instance_id: str) -> Worker:
        if instance_id not in self._workers:
            self._workers[instance_id] = self._new_worker(instance_id)
        return self._workers[instance_id]

    def _image_changed(self, digest: str) -> None:
        for name, entry in self._ledger.instances().items():
            if any(disk.image.digest == digest for disk in entry.spec.disks):
                self._wake(("instance", name))
        for name, record in self._ledger.volumes.all().items():
            if record.spec.source.digest == digest:
                self._wake(("volume", name))

    def _wake(self, key: Key) -> None:
        self._agenda.wake(key)
        self.on_work()
