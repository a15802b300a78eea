"""Timing two things in turn, A B A B ..., so that a comparison holds when the speed drifts."""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Minimum, median and maximum of some figures."""

    low: float
    median: float
    high: float

    @classmethod
    def of(cls, figures: list[float]) -> "Spread":
        return cls(min(figures), statistics.median(figures), max(figures))

    def __format__(self, spec: str) -> str:
        return f"{self.median:{spec}} ({self.low:{spec}} .. {self.high:{spec}})"


def rate(call: Callable[[], object], seconds: float) -> float:
    """Calls per second of ``call`` made one after another for about ``seconds``."""
    calls, begin = 0, time.perf_counter()
    while (took := time.perf_counter() - begin) < seconds:
        call()
        calls += 1
    return calls / took


def duration(call: Callable[[], object]) -> float:
    """Seconds that one call takes."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def in_turn(
    a: Callable[[], float], b: Callable[[], float], rounds: int
) -> tuple[Spread, Spread, Spread]:
    """Figures of a, of b, and of a/b round by round. Each runs once before, uncounted."""
    a(), b()
    figures = [(a(), b()) for _ in range(rounds)]
    return (
        Spread.of([x for x, _ in figures]),
        Spread.of([y for _, y in figures]),
        Spread.of([x / y for x, y in figures]),
    )


def report(title: str, rows: list[tuple[str, object]]) -> None:
    """Prints a table of two columns."""
    print(title)
    width = max(len(label) for label, _ in rows)
    for label, figure in rows:
        print(f"  {label:{width}}  {figure}")
