"""Until when a statement may run: a query has a price, and an account pays no more than this.

    with deadline.of(call):       on this thread; what is raised when it has passed is TooSlow
    deadline.passed()             asked by the database while a statement runs (kernel/sqlite)

Statements of the controller itself and of its hosts have none: nobody else writes them, and what
they cannot do is done by nobody.
"""

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import peewee

from controller.kernel.call import Call
from protos.errors import CloudError, Kind

LIMIT_S = 5.0  # half of what a gateway waits for its answer


class TooSlow(CloudError):
    """The statement was ended; the transaction is undone, and nothing runs it again by itself."""

    def __init__(self, because: object):
        super().__init__(
            Kind.UNAVAILABLE,
            "The request takes too long. Ask for less at once (fewer filters or values, a page by "
            "MaxResults), or try again later.",
            reason="too-slow",
            because=because,
        )


class Deadline:
    """See the module's head. Threads may share it: each has its own time."""

    def __init__(self, limit_s: float = LIMIT_S, clock: Callable[[], float] = time.monotonic):
        self._limit_s, self._clock, self._thread = limit_s, clock, threading.local()

    @contextmanager
    def of(self, call: Call) -> Iterator[None]:
        """Raises TooSlow."""
        self._thread.until = self._clock() + self._limit_s if call.account_id else math.inf
        try:
            yield
        except peewee.OperationalError as failure:
            if self.passed():
                raise TooSlow(failure) from failure
            raise
        finally:
            self._thread.until = math.inf

    def passed(self) -> bool:
        return self._clock() > getattr(self._thread, "until", math.inf)
