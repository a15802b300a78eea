"""A digest of everything that happened in a run, in order: equal runs have equal digests.

Lines are kept for the last part only, to be shown when an invariant breaks.
"""

import hashlib
from collections import deque

WIDTH = 300  # of a line that is shown; the digest is of all of it


class Trace:
    """``say`` adds a line; ``digest`` is of all lines so far; ``show`` prints them from now on."""

    def __init__(self, shown: int = 80):
        self._hash = hashlib.sha256()
        self._printing = False
        self.last: deque[str] = deque(maxlen=shown)
        self.count = 0

    def say(self, now_ms: int, line: str) -> None:
        self.count += 1
        self._hash.update(f"{now_ms} {line}\n".encode())
        self.last.append(f"{now_ms / 1000:.3f} {line[:WIDTH]}")
        if self._printing:
            print(self.last[-1])

    def show(self) -> None:
        self._printing = True

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()
