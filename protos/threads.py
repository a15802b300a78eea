"""Threads that must live, and work whose failure nobody waits for.

    thread = vital("heartbeat", run); thread.start()      ``run`` returns when it is told to stop
    submit(pool, work, *given)                            what it raises is said

A process one of whose threads has failed still looks alive, and does only a part of its work: it
ends instead, at once and loudly, and its supervisor starts it anew. All services can be killed at
any moment. Used by controller, gateway (where the end of one process ends all) and hostagent.
"""

import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import ParamSpec

P = ParamSpec("P")

log = logging.getLogger(__name__)


def end_process() -> None:
    """At once, with the exit code 1: for who cannot raise."""
    logging.shutdown()
    os._exit(1)


def vital(
    name: str, run: Callable[[], object], failed: Callable[[], object] = end_process
) -> threading.Thread:
    """A thread, not started yet, that ends the process where ``run`` raises. ``failed`` does."""

    def watched() -> None:
        try:
            run()
        except BaseException:  # SystemExit, too, which would end the thread without a word
            log.critical("the thread %s has failed, and so this process ends", name, exc_info=True)
            failed()

    return threading.Thread(target=watched, name=name, daemon=True)


def submit(pool: Executor, work: Callable[P, object], /, *args: P.args, **kwargs: P.kwargs) -> None:
    """To a pool; nobody asks for what comes of it."""
    pool.submit(work, *args, **kwargs).add_done_callback(_say)


def _say(done: Future[object]) -> None:
    if not done.cancelled() and (failure := done.exception()) is not None:
        log.critical("work in the background has failed", exc_info=failure)
