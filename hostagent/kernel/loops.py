"""The agent's threads: thin loops around the core, which knows of none.

    Pump        takes what is due from the work queue and gives it to a bounded pool
    Heartbeat   reports what is new at once (a few ms apart), and everything now and then

Started and stopped by service. Both end within a moment of ``stop``; work that is under way is let
finish, as every step can be cut anyway. Where one of them fails the process ends (protos/threads).
"""

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from hostagent.kernel.agent import Agent
from hostagent.kernel.kinds import Key
from protos.errors import CloudError
from protos.threads import submit, vital

if TYPE_CHECKING:
    from protos.cloud.v1.clients import FleetClient

log = logging.getLogger(__name__)

COALESCE_S = 0.01  # news that come so close together go in one report
REPORT_TIMEOUT_S = 10.0
_IDLE_S = 60.0


def monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


class Pump:
    """Steps what is due, ``threads`` at once."""

    def __init__(self, agent: Agent, threads: int):
        self._agent, self._free = agent, threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="worker")
        self._changed = threading.Condition()
        self._news, self._stopping = True, False
        self._thread = vital("pump", self._run)
        agent.on_work = self._wake

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify()
        self._thread.join()
        self._pool.shutdown(wait=True)

    def _wake(self) -> None:
        with self._changed:
            self._news = True
            self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._news and not self._stopping:
                    self._changed.wait(self._pause_s())
                if self._stopping:
                    return
                self._news = False
                free = self._free
            keys = self._agent.take(monotonic_ms(), free)
            with self._changed:
                self._free -= len(keys)
            for key in keys:
                submit(self._pool, self._step, key)

    def _pause_s(self) -> float:
        due = self._agent.next_due() if self._free else None
        return _IDLE_S if due is None else max(0.0, (due - monotonic_ms()) / 1000)

    def _step(self, key: Key) -> None:
        try:
            self._agent.step(key, monotonic_ms())
        except Exception:
            log.exception("the work on %s failed in a way that it should not", key)
        finally:
            with self._changed:
                self._free += 1
                self._news = True
                self._changed.notify()


class Heartbeat:
    """Calls Fleet.Report. With the controller away it goes on trying, and nothing else changes."""

    def __init__(self, agent: Agent, fleet: "FleetClient", interval_ms: int):
        self._agent, self._fleet, self._interval_ms = agent, fleet, interval_ms
        self._news, self._stopping = threading.Event(), threading.Event()
        self._failures = 0
        self._thread = vital("heartbeat", self._run)
        agent.on_news = self._news.set

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._news.set()
        self._thread.join()

    def _run(self) -> None:
        due = monotonic_ms()
        while not self._stopping.is_set():
            self._news.wait(max(0.0, (due - monotonic_ms()) / 1000))
            if self._news.is_set():
                self._stopping.wait(COALESCE_S)
                self._news.clear()
                if not self._agent.has_news() and monotonic_ms() < due:
                    continue  # an Apply's answer has said it
            due = monotonic_ms() + (self._interval() if self._report() else self._retry())

    def _interval(self) -> int:
        return self._agent.report_interval_ms or self._interval_ms

    def _retry(self) -> int:
        """Soon, then less often, never less than the heartbeat; news do not make it more often."""
        pause = min(100 << min(self._failures, 10), self._interval())
        self._stopping.wait(pause / 1000)
        self._news.clear()
        return 0

    def _report(self) -> bool:
        try:
            report = self._agent.report()
            answer = self._fleet.Report(report, timeout_s=REPORT_TIMEOUT_S)
            self._agent.delivered(report, answer)
        except CloudError as failure:
            self._failures += 1
            if self._failures == 1:
                log.warning("the controller does not take reports: %r", failure)
            return False
        except Exception:
            self._failures += 1
            log.exception("a report failed in a way that it should not")
            return False
        if self._failures:
            log.info("the controller takes reports again")
        self._failures = 0
        return True
