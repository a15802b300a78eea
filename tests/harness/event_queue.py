"""Simulated time: a clock that moves only from one event to the next, and the events.

Used by the simulated cloud (cloud.py). Two events of one millisecond happen in the order in which
they were written down, so that a run is a function of its seed alone.
"""

import heapq
import itertools
from collections.abc import Callable

START_MS = 1_700_000_000_000  # any moment: the rooms see a plausible date, always the same


class EventQueue:
    """What will happen when. ``now_ms`` is the clock of every process in the simulation."""

    def __init__(self, start_ms: int = START_MS):
        self.now_ms = start_ms
        self._order = itertools.count()
        self._events: list[tuple[int, int, str, Callable[[], None]]] = []

    def clock(self) -> int:
        """Milliseconds since the Unix epoch: what the rooms are given as their clock."""
        return self.now_ms

    def at(self, when_ms: int, what: str, act: Callable[[], None]) -> None:
        """``act`` is called at ``when_ms``, or now where that has passed."""
        heapq.heappush(self._events, (max(when_ms, self.now_ms), next(self._order), what, act))

    def after(self, delay_ms: int, what: str, act: Callable[[], None]) -> None:
        self.at(self.now_ms + delay_ms, what, act)

    def next_ms(self) -> int | None:
        """When the next event is due; None where nothing is planned."""
        return self._events[0][0] if self._events else None

    def step(self) -> str:
        """Moves the clock to the next event and lets it happen; answers what it was."""
        self.now_ms, _, what, act = heapq.heappop(self._events)
        act()
        return what
