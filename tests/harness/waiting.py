"""Waiting for what happens by itself: asked again and again until it is so, never slept for."""

import threading
import time
from collections.abc import Callable

LOOK_S = 0.01
LIMIT_S = 30.0  # generous: only a failure takes so long

_never = threading.Event()


def wait_until(
    what: str | Callable[[], str],
    happened: Callable[[], object],
    limit_s: float = LIMIT_S,
    look_s: float = LOOK_S,
):
    """The first true answer of ``happened``, asked every ``look_s``; AssertionError where there is
    none in time. ``what``: that it waits for, or what says so in the end."""
    until = time.monotonic() + limit_s
    while not (answer := happened()):
        if time.monotonic() >= until:
            name = what if isinstance(what, str) else what()
            raise AssertionError(f"not within {limit_s:g} s: {name}")
        _never.wait(look_s)
    return answer
