"""Copies that go on in the background, one a snapshot.

    copies = Copies(volumes, blocks, pool)
    copies.ensure(source) -> Copied, or NotYet while it goes on, or DriverError
    copies.percent(snapshot_id) -> how far
    copies.stop(snapshot_id)            NotYet until it has left off

Called by the snapshots' worker. What ended is told once, to the ``ensure`` that asks for it; after
a failure the next one begins anew, and sends what is missing.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from dataclasses import dataclass

from hostagent.kernel.errors import DriverError, NotYet
from hostagent.storage.blocks import Away, Blocks
from hostagent.storage.drivers import Volumes
from hostagent.storage.snapshots.copier import Copied, Source, copy

log = logging.getLogger(__name__)

LOOK_MS = 1_000
AWAY_MS = 5_000


class _Stopped(DriverError):
    """It is not wanted any more."""


@dataclass
class _Job:
    source: Source
    percent: int = 0
    stopping: bool = False
    copied: Copied | None = None
    failure: DriverError | None = None

    @property
    def is_over(self) -> bool:
        return self.copied is not None or self.failure is not None


class Inline(Executor):
    """Does at once what is submitted, in the caller's thread: for simulations."""

    def submit(self, fn, /, *args, **kwargs) -> Future:
        future: Future = Future()
        future.set_result(fn(*args, **kwargs))
        return future


class Copies:
    """See the module's head. Thread-safe."""

    def __init__(self, volumes: Volumes, blocks: Blocks, pool: Executor):
        self._volumes, self._blocks, self._pool = volumes, blocks, pool
        self._lock = threading.Lock()
        self._jobs: dict[str, _Job] = {}
        self._on_change: Callable[[str], None] = lambda snapshot_id: None

    def watch(self, on_change: Callable[[str], None]) -> None:
        """Calls ``on_change(snapshot_id)`` from any thread when a copy has ended."""
        self._on_change = on_change

    def ensure(self, source: Source) -> Copied:
        name = source.snapshot_id
        with self._lock:
            job = self._jobs.get(name)
            begins = job is None
            if begins:
                job = self._jobs[name] = _Job(source)
        if begins:
            self._pool.submit(self._work, job)
        with self._lock:
            if not job.is_over:
                raise NotYet(f"{name}: {job.percent} % copied", retry_ms=LOOK_MS)
            self._jobs.pop(name, None)
        if isinstance(job.failure, Away):
            raise NotYet(str(job.failure), retry_ms=AWAY_MS)
        if job.failure is not None:
            raise job.failure
        return job.copied

    def percent(self, snapshot_id: str) -> int:
        job = self._jobs.get(snapshot_id)
        return job.percent if job else 0

    def stop(self, snapshot_id: str) -> None:
        with self._lock:
            job = self._jobs.get(snapshot_id)
            if job is None:
                return
            job.stopping = True
            if not job.is_over:
                raise NotYet(f"{snapshot_id}: its copy leaves off", retry_ms=LOOK_MS)
            del self._jobs[snapshot_id]

    def _work(self, job: _Job) -> None:
        def tell(percent: int) -> None:
            if job.stopping:
                raise _Stopped("it is not wanted any more")
            job.percent = percent

        try:
            job.copied = copy(self._volumes, self._blocks, job.source, tell)
        except DriverError as failure:
            job.failure = failure
        except Exception as bug:
            log.exception("%s: a defect in the agent", job.source.snapshot_id)
            job.failure = DriverError(f"a defect in the agent: {bug!r}")
        if job.failure is None or not job.failure.transient:  # else it is looked at when it is time
            self._on_change(job.source.snapshot_id)
