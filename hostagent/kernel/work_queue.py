"""When to look at what: keys with the time they are due, each in one pair of hands at a time.

    queue.wake("i-1")                   look at it now (from any thread; said twice counts once)
    queue.take(now, most) -> keys       those that are due, now in the caller's hands
    queue.put_back("i-1", when)         done with it; None: not before somebody wakes it
    queue.next_due() -> time | None

A key that is woken while it is in hands is due at once when it is put back: nothing said meanwhile
is missed. Called by agent. Bound: one entry a key, and put_back(None) removes it.
"""

import heapq
import threading
from collections.abc import Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class WorkQueue(Generic[K]):
    """See the module's head. Times are milliseconds of the scale that the caller uses."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._due: dict[K, int] = {}
        self._heap: list[tuple[int, int, K]] = []
        self._busy: set[K] = set()
        self._woken: set[K] = set()
        self._turn = 0  # first come, first served among those due at the same time

    def wake(self, key: K) -> None:
        with self._lock:
            if key in self._busy:
                self._woken.add(key)
            else:
                self._put(key, 0)

    def take(self, now: int, most: int | None = None) -> list[K]:
        """At most ``most`` keys that are due, the longest waiting first."""
        taken: list[K] = []
        with self._lock:
            while self._heap and (most is None or len(taken) < most):
                when, _, key = self._heap[0]
                if self._due.get(key) == when and when > now:
                    break
                heapq.heappop(self._heap)
                if self._due.get(key) == when:  # else it was put elsewhere since
                    del self._due[key]
                    self._busy.add(key)
                    taken.append(key)
        return taken

    def put_back(self, key: K, when: int | None) -> None:
        with self._lock:
            self._busy.discard(key)
            if key in self._woken:
                self._woken.discard(key)
                self._put(key, 0)
            elif when is not None:
                self._put(key, when)

    def next_due(self) -> int | None:
        """When the first key is due; None where nothing is, or all of it is in hands."""
        with self._lock:
            while self._heap and self._due.get(self._heap[0][2]) != self._heap[0][0]:
                heapq.heappop(self._heap)
            return self._heap[0][0] if self._heap else None

    def is_quiet(self) -> bool:
        """Nothing is due at once and nothing in hands."""
        with self._lock:
            return not self._busy and 0 not in self._due.values()

    def _put(self, key: K, when: int) -> None:
        if self._due.get(key) != when:
            self._due[key] = when
            self._turn += 1
            heapq.heappush(self._heap, (when, self._turn, key))
