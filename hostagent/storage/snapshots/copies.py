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
from typing import ParamSpec, TypeVar

from hostagent.kernel.errors import DriverError, NotYet
from hostagent.storage.blocks import Away, Blocks
from hostagent.storage.drivers import Volumes
from hostagent.storage.snapshots.copier import Copied, Source, copy
from protos.threads import submit

log = logging.getLogger(__name__)
P = ParamSpec("P")
T = TypeVar("T")

LOOK_MS = 1_000
AWAY_MS = 5_000


class _Stopped(DriverError):
    """It is not wanted any more."""


@dataclass
class _Job:
    source: Source
    percent: int = 0
    stopping: bool = False
    outcome: Copied | DriverError | None = None  # None: it goes on


class Inline(Executor):
    """Does at once what is submitted, in the caller's thread: for simulations."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Future[T]:
        future: Future[T] = Future()
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
            begins = name not in self._jobs
            job = self._jobs.setdefault(name, _Job(source))
        if begins:
            submit(self._pool, self._work, job)
        with self._lock:
            outcome = job.outcome
            if outcome is None:
                raise NotYet(f"{name}: {job.percent} % copied", retry_ms=LOOK_MS)
            self._jobs.pop(name, None)
        if isinstance(outcome, Away):
            raise NotYet(str(outcome), retry_ms=AWAY_MS)
        if isinstance(outcome, DriverError):
            raise outcome
        return outcome

    def percent(self, snapshot_id: str) -> int:
        job = self._jobs.get(snapshot_id)
        return job.percent if job else 0

    def stop(self, snapshot_id: str) -> None:
        with self._lock:
            job = self._jobs.get(snapshot_id)
            if job is None:
                return
            job.stopping = True
            if job.outcome is None:
                raise NotYet(f"{snapshot_id}: its copy leaves off", retry_ms=LOOK_MS)
            del self._jobs[snapshot_id]

    def _work(self, job: _Job) -> None:
        def tell(percent: int) -> None:
            if job.stopping:
                raise _Stopped("it is not wanted any more")
            job.percent = percent

        outcome: Copied | DriverError
        try:
            outcome = copy(self._volumes, self._blocks, job.source, tell)
        except DriverError as failure:
            outcome = failure
        except Exception as bug:
            log.exception("%s: a defect in the agent", job.source.snapshot_id)
            outcome = DriverError(f"a defect in the agent: {bug!r}")
        job.outcome = outcome
        if isinstance(outcome, Copied) or not outcome.transient:  # else when it is time
            self._on_change(job.source.snapshot_id)
