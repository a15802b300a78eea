"""Runs the gateway in several processes: this one, and those that it forks at the start.

    workers.run(2, serve)      # serve(stopped) works until stopped() has returned

Forked is while there is neither a thread nor a gRPC channel, which no fork survives; what is loaded
by then is in memory once. When one process ends, all do, and who supervises them starts them anew:
a parent that did nothing but that would cost 12 MB. The forked ones wait at a pipe of which the
first holds the other end. It is closed by the first when it stops, or by the kernel when it dies.

Called by gateway/server.
"""

import contextlib
import gc
import logging
import os
import signal
import time
from collections.abc import Callable

log = logging.getLogger(__name__)

Work = Callable[[Callable[[], None]], None]

# For the others, from when all are told to end. What is in flight has http.Limits.stop_s of it, and
# the supervisor waits a little longer before it kills (cli/services).
GRACE_S = 12.0
SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGCHLD)


class WorkerDied(Exception):
    """One of the processes ended unasked; the others have been stopped."""


def run(count: int, serve: Work) -> None:
    """Works in ``count`` processes until SIGTERM or SIGINT. Raises WorkerDied."""
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)  # threads inherit it: only we hear of them
    gc.collect()
    gc.freeze()  # the collector writes into what it visits, and a page written to is shared no more
    inner, outer = os.pipe()
    others = {_fork(serve, inner, outer) for _ in range(count - 1)}
    died: set[int] = set()
    until = 0.0

    def stopped() -> None:
        nonlocal until
        # SIGCHLD comes also where one was stopped for a while (SIGSTOP), and has not ended.
        while signal.sigwait(SIGNALS) == signal.SIGCHLD:
            died.update(_ended())
            if died:
                break
        until = time.monotonic() + GRACE_S
        os.close(outer)

    serve(stopped)
    _await(others - died, until)
    if died:
        raise WorkerDied("a worker has died")


def _fork(serve: Work, inner: int, outer: int) -> int:
    """Gives the child's process id; the child itself never leaves this function."""
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.close(outer)
        # What a terminal or systemd sends to all of a group is for the first to act on.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        serve(lambda: _await_end(inner))
        code = 0
    except Exception:
        log.exception("a worker failed")
    finally:
        logging.shutdown()
        os._exit(code)


def _await_end(pipe: int) -> None:
    os.read(pipe, 1)  # nothing is ever written: this returns when the other end is closed


def _await(running: set[int], deadline: float) -> None:
    while running := running - set(_ended()):
        left = deadline - time.monotonic()
        if left <= 0:
            log.error("workers %s do not end, and are killed", sorted(running))
            for pid in running:
                with contextlib.suppress(ProcessLookupError):  # it has just ended
                    os.kill(pid, signal.SIGKILL)
            return
        signal.sigtimedwait([signal.SIGCHLD], left)


def _ended() -> list[int]:
    """The children that have ended since this was asked last."""
    found = []
    with contextlib.suppress(ChildProcessError):  # there are none at all
        while (pid := os.waitpid(-1, os.WNOHANG)[0]) != 0:
            found.append(pid)
    return found
