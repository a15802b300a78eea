"""The agent's core: sync, work queue and workers together, with no thread, clock or network of its
own. It knows no kind of resource.

    agent.apply(spec) -> HostReport          HostAgent.Apply
    agent.report() -> HostReport             Fleet.Report's request,
    agent.delivered(report, answer)          and what to do with its answer
    agent.take_in(spec)                      a HostSpec from wherever
    agent.run_due(now) -> next time | None   all that is due, in the caller's thread (simulation)
    agent.take(now, most), agent.step(key, now)    the same by a pool of threads (loops)
    agent.wake(key)                          something may have happened to it
    agent.has_news() -> bool                 something settled that no report has held yet

Made by app.build; driven by server and kernel/loops in production, by the simulation in tests.
``now`` is in milliseconds of a clock that never goes back. ``on_work`` is called, from any thread,
when something became due at once; ``on_news`` when a report is worth sending.
"""

from collections.abc import Callable, Mapping

from hostagent.kernel.kinds import Key, Worker
from hostagent.kernel.ledger import Ledger
from hostagent.kernel.sync import Sync
from hostagent.kernel.work_queue import WorkQueue
from protos.cloud.v1 import fleet_pb2

HOST = Key("host", "", "")  # the host itself: looked over now and then


class Agent:
    """workers: (kind, role) -> what makes a worker of an id. host: the worker of the host itself.
    after_defect_ms: when to look again, where a worker has ended by an exception. ``checkpoint``
    is called with a name before and after each step of a worker."""

    def __init__(
        self,
        ledger: Ledger,
        sync: Sync,
        workers: Mapping[tuple[str, str], Callable[[str], Worker]],
        host: Worker,
        after_defect_ms: int,
        checkpoint: Callable[[str], None] = lambda name: None,
    ):
        self._ledger, self._sync, self._new_worker = ledger, sync, workers
        self._after_defect_ms, self._checkpoint = after_defect_ms, checkpoint
        self._queue: WorkQueue[Key] = WorkQueue()
        self._kept: dict[Key, Worker] = {HOST: host}
        self._by_name = {(kind.name, kind.role): kind for kind in ledger.kinds}
        self.on_work: Callable[[], None] = lambda: None
        self.on_news: Callable[[], None] = lambda: None
        self.wake(HOST)
        for kind in ledger.kinds:
            for name in ledger.of(kind).all():
                self.wake(kind.key(name))

    # -- messages ------------------------------------------------------------------------------

    def apply(self, spec: fleet_pb2.HostSpec) -> fleet_pb2.HostReport:
        """Durable before it answers; the work is done afterwards. CloudError: see Sync.take_in."""
        self.take_in(spec)
        report = self._sync.report()
        self._sync.said(report)
        return report

    def take_in(self, spec: fleet_pb2.HostSpec) -> None:
        for key in sorted(self._sync.take_in(spec)):  # a set's order is another in each process
            self.wake(key)

    def report(self) -> fleet_pb2.HostReport:
        return self._sync.report()

    def delivered(self, report: fleet_pb2.HostReport, answer: fleet_pb2.HostSpec) -> None:
        """``report`` was answered. Without this call (it failed) the next report says it again."""
        self._sync.said(report)
        self.take_in(answer)

    def has_news(self) -> bool:
        return self._sync.has_news()

    @property
    def report_interval_ms(self) -> int:
        """What the controller asked for; 0 where it has not yet."""
        return self._ledger.settings.report_interval_ms

    # -- work ----------------------------------------------------------------------------------

    def wake(self, key: Key) -> None:
        """Its worker looks at once. From any thread."""
        self._queue.wake(key)
        self.on_work()

    def run_due(self, now: int) -> int | None:
        """Steps all that is due, and what that made due, one by one; answers when more will be."""
        while keys := self._queue.take(now, 1):
            self.step(keys[0], now)
        return self._queue.next_due()

    def take(self, now: int, most: int) -> list[Key]:
        """Keys that are due, now in the caller's hands: each must be given to ``step``."""
        return self._queue.take(now, most)

    def next_due(self) -> int | None:
        return self._queue.next_due()

    def is_quiet(self) -> bool:
        """Nothing is due at once and nothing is being done."""
        return self._queue.is_quiet()

    def step(self, key: Key, now: int) -> None:
        """One thing for one key. ``now`` is when it was taken."""
        when: int | None = now + self._after_defect_ms  # should a defect end this
        try:
            when = self._step(key, now)
        finally:
            self._queue.put_back(key, when)
        if self._sync.has_news():
            self.on_news()

    def _step(self, key: Key, now: int) -> int | None:
        if key not in self._kept:
            self._kept[key] = self._new_worker[key.kind, key.role](key.id)
        self._checkpoint(f"agent: begin {' '.join(key)}")
        when = self._kept[key].step(now)
        self._checkpoint(f"agent: end {' '.join(key)}")
        kind = self._by_name.get((key.kind, key.role))
        if kind is not None and when is None and self._ledger.of(kind).get(key.id) is None:
            self._kept.pop(key, None)
        return when
