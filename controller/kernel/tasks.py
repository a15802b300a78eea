"""Runs the reconcile tasks that are due; the failure of one does not stop the others.

``run_due()`` is called each second by the server's thread, and by simulations with their own
clocks. A task is a function of a Call; it takes no hint of what changed, so two controllers that
run the same one at once are slow, not wrong.
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
    """Both in milliseconds: ``clock`` says what time it is, and may be set; ``monotonic`` never
    goes back, and says what is due."""

    def __init__(
        self, tasks: Sequence[Task], clock: Callable[[], int], monotonic: Callable[[], int]
    ):
        self._tasks, self._clock, self._monotonic = tasks, clock, monotonic
        self._due_ms = dict.fromkeys((task.name for task in tasks), monotonic())

    def run_due(self) -> int:
        """Runs each task whose time has come; answers after how long the next is due."""
        now_ms = self._monotonic()
        for task in self._tasks:
            if self._due_ms[task.name] > now_ms:
                continue
            self._due_ms[task.name] = now_ms + task.interval_ms
            try:
                task.run_once(system_call(self._clock()))
            except Exception:
                log.exception("task %s failed; it is run again in time", task.name)
        return min(self._due_ms.values()) - now_ms

    def run_all(self) -> None:
        """Runs every task, due or not, for tests. Failures are raised."""
        for task in self._tasks:
            task.run_once(system_call(self._clock()))
