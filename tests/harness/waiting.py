"""Waiting for what happens by itself: asked again and again until it is so, never slept for."""

import threading
import time
from collections.abc import Callable

LOOK_S = 0.01
LIMIT_S = 30.0  # generous: only a failure takes so long

_never = threading.Event()


def wait_until(what: str, happened: Callable[[], object], limit_s: float = LIMIT_S):
    """The first true answer of ``happened``; AssertionError where there is none in time."""
    until = time.monotonic() + limit_s
    while not (answer := happened()):
        assert time.monotonic() < until, f"{what} did not come about within {limit_s:g} s"
        _never.wait(LOOK_S)
    return answer
