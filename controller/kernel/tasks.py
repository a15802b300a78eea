"""Runs the reconcile tasks that are due; the failure of one does not stop the others.

``run_due(now_ms)`` is called each second by the server's thread, and by simulations with their own
clock. A task is a function of a Call; it takes no hint of what changed, so two controllers that run
the same one at once are slow, not wrong.
"""

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from controller.kernel.call import Call, system_call

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    name: str
    interval_ms: int
    run_once: Callable[[Call], object]


class Driver:
    def __init__(self, tasks: Sequence[Task]):
        self._tasks = tasks
        self._due_ms = dict.fromkeys((task.name for task in tasks), 0)

    def run_due(self, now_ms: int) -> int:
        """Runs each task whose time has come; answers when the next is due."""
        for task in self._tasks:
            if self._due_ms[task.name] > now_ms:
                continue
            self._due_ms[task.name] = now_ms + task.interval_ms
            try:
                task.run_once(system_call(now_ms))
            except Exception:
                log.exception("task %s failed; it is run again in time", task.name)
        return min(self._due_ms.values())

    def run_all(self, now_ms: int) -> None:
        """Runs every task, due or not, for tests. Failures are raised."""
        for task in self._tasks:
            task.run_once(system_call(now_ms))
