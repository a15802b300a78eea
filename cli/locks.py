"""Locks between runs of ``pileus``, which end with their process, however it ends.

    with alone(layout) as locks:         this state dir is ours
        subprocess.run(..., pass_fds=locks)
    with Claims() as claims:             of this machine, until the block ends
        claims.take("port 7701")         False: another `up` is about to use it

Both end with their processes, so that nothing stale is left. The lock of a state dir is inherited
by the commands that work in it: one whose `up` was killed is waited for, too. Called by ``up`` and
``down``.
"""

import errno
import fcntl
import os
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cli import cloud
from cli.errors import CliError
from cli.layout import Layout

PATIENCE_S, POLL_S = 20.0, 0.1


@contextmanager
def alone(
    layout: Layout,
    waiting: Callable[[], None] = lambda: None,
    *,
    make: bool = True,
    patience_s: float = PATIENCE_S,
) -> Iterator[tuple[int, ...]]:
    """One ``up`` or ``down`` of a cloud at a time; gives the file descriptor that is the lock.

    Waits for another one, after it has said so by ``waiting``. Raises CliError where that works on.
    A state dir that is not there is made, or, if it is not to be made, there is nothing to lock.
    """
    deadline, told = time.monotonic() + patience_s, False
    while (lock := _try(layout, make)) == _BUSY:
        if time.monotonic() > deadline:
            raise CliError(f"another `pileus up` or `down` works on {layout.root}")
        if not told:
            waiting()
            told = True
        time.sleep(POLL_S)
    try:
        yield () if lock is None else (lock,)
    finally:
        if lock is not None:
            _remove_if_empty(layout)
            os.close(lock)


_BUSY = -1


def _try(layout: Layout, make: bool) -> int | None:
    """The folder, opened and locked; None where it is not there, _BUSY where another has it."""
    try:
        if make:
            layout.root.mkdir(parents=True, exist_ok=True)
        folder = os.open(layout.root, os.O_RDONLY | os.O_DIRECTORY)
    except FileNotFoundError:
        return _BUSY if make else None  # removed between the two: once more
    except OSError as failure:
        if isinstance(failure, PermissionError):
            cloud.load(layout)  # another user's: says whose
        raise CliError(f"the state dir cannot be used: {failure}") from failure
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if _is_still(layout, folder):
            return folder
    except BlockingIOError:
        pass
    except BaseException:
        os.close(folder)
        raise
    os.close(folder)
    return _BUSY


def _is_still(layout: Layout, folder: int) -> bool:
    """Whether the path leads to the folder that was opened: another run may have removed it."""
    try:
        return os.path.samestat(os.stat(layout.root), os.fstat(folder))
    except FileNotFoundError:
        return False


def _remove_if_empty(layout: Layout) -> None:
    """A cloud that was refused leaves no folder behind."""
    if layout.root.exists() and not any(layout.root.iterdir()):
        layout.root.rmdir()


class Claims:
    """What this run is about to use of the machine, by names that one process can hold at a time.

    A name is a socket's in Linux's abstract namespace: one for each network namespace, as ports
    are, without a file, and free at the end of the process that holds it.
    """

    def __init__(self) -> None:
        self._held: dict[str, socket.socket] = {}

    def __enter__(self) -> "Claims":
        return self

    def __exit__(self, *failure: object) -> None:
        for held in self._held.values():
            held.close()

    def take(self, name: str) -> bool:
        """Whether nobody else has it; then it is ours, and stays so."""
        if name in self._held:
            return True
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0pileus claims {name}")
        except OSError as failure:
            claim.close()
            if failure.errno == errno.EADDRINUSE:
                return False
            raise
        self._held[name] = claim
        return True
