"""What a guest was asked for (to shut down, to reboot) and since when, in one worker's memory.

It may be lost at any time: then the guest is asked anew. ``now`` and what is answered (when to look
again) are the worker's milliseconds.
"""

from hostagent.compute.limits import Limits
from protos.cloud.v1 import fleet_pb2


class ShutdownRequest:
    def __init__(self, limits: Limits):
        self._limits = limits
        self._first: int | None = None
        self._last = 0

    def __bool__(self) -> bool:
        return self._first is not None

    def forget(self) -> None:
        self._first = None

    def is_recent(self, now: int) -> bool:
        """It need not be said again yet."""
        return bool(self) and now - self._last < self._limits.ask_again_ms

    def is_overdue(self, spec: fleet_pb2.InstanceSpec, now: int) -> bool:
        """The guest's time is up."""
        return self._first is not None and now - self._first >= self._limit(spec)

    def note(self, spec: fleet_pb2.InstanceSpec, now: int) -> int:
        """The guest was asked just now."""
        if self._first is None:
            self._first = now
        self._last = now
        return min(now + self._limits.poll_ms, self._first + self._limit(spec))

    def wait(self, spec: fleet_pb2.InstanceSpec, now: int) -> int:
        if self._first is None:
            self._first = now  # it goes down by itself; the limit counts from here
        return min(now + self._limits.poll_ms, max(now + 1, self._first + self._limit(spec)))

    def _limit(self, spec: fleet_pb2.InstanceSpec) -> int:
        stays = spec.desired == fleet_pb2.RUNNING
        return self._limits.reboot_ms if stays else self._limits.shutdown_ms
