"""Steps as a person watches them: a spinner on a terminal, one line for each when it is done.

with progress.step("certificates") as step:
    step.say("renewing")          while it takes
    step.result("renewed")        beside the mark in the end
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext

from rich.console import Console
from rich.markup import escape
from rich.status import Status

NAME_WIDTH = 14


class Step:
    def __init__(self, name: str, status: Status):
        self._name, self._status, self.outcome = name, status, ""

    def say(self, text: str) -> None:
        self._status.update(f"{self._name:<{NAME_WIDTH}} {escape(text)}")

    def result(self, text: str) -> None:
        self.outcome = text


class Progress:
    """Writes to ``console``; times come from ``clock`` (seconds)."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic):
        self._console, self._clock = console, clock

    @contextmanager
    def step(self, name: str) -> Iterator[Step]:
        began = self._clock()
        status = self._console.status(f"{name:<{NAME_WIDTH}}")
        step = Step(name, status)
        try:
            # Elsewhere than on a terminal the spinner would only swallow the ends of lines.
            with status if self._console.is_terminal else nullcontext():
                yield step
        except BaseException:
            self._console.print(f"[red]✗[/red] {name}")
            raise
        took = self._clock() - began
        time_text = f"  [dim]{took:.1f} s[/dim]" if took >= 0.05 else ""
        self._console.print(
            f"[green]✓[/green] {name:<{NAME_WIDTH}} {escape(step.outcome)}{time_text}",
            highlight=False,
            soft_wrap=True,
        )

    def print(self, text: str = "") -> None:
        self._console.print(text, highlight=False, markup=False, soft_wrap=True)
