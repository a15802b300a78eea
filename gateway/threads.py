"""A bounded pool of threads that the event loop hands work to, made as they are needed.

    threads = Threads(32, "http");  result = await threads.run(function, *arguments)

asyncio's run_in_executor does the same with a lock, a second future and a chain between the two: 20
to 25 µs a call more, of the gateway's few hundred (docs/decisions/0105). Called by gateway/http.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class Threads:
    """All but the threads' own loop runs on the event loop, so nothing is locked."""

    def __init__(self, most: int, name: str):
        self._most, self._name = most, name
        self._work: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._started = self._wanted = 0

    def run(self, function: Callable[..., T], *arguments: object) -> asyncio.Future[T]:
        """Calls it in the next thread that is free."""
        loop = asyncio.get_running_loop()
        result: asyncio.Future[T] = loop.create_future()
        self._wanted += 1
        if self._started < min(self._wanted, self._most):
            self._started += 1
            threading.Thread(target=self._serve, name=self._name, daemon=True).start()
        self._work.put((loop, result, function, arguments))
        return result

    def stop(self) -> None:
        """Stops the threads, each when it is free."""
        for _ in range(self._started):
            self._work.put(None)

    def _serve(self) -> None:
        while (work := self._work.get()) is not None:
            loop, result, function, arguments = work
            try:
                value, failure = function(*arguments), None
            except BaseException as caught:
                value, failure = None, caught
            if not loop.is_closed():  # which it is when stopping has not waited for us
                loop.call_soon_threadsafe(self._end, result, value, failure)

    def _end(self, result: asyncio.Future[T], value: T, failure: BaseException | None) -> None:
        self._wanted -= 1
        if result.cancelled():
            return
        if failure is None:
            result.set_result(value)
        else:
            result.set_exception(failure)
