"""Images that make nothing but keep count: with FakeNetwork and FakeVolumes, which are to be had
from here too, the other half of the fake hypervisor.

Shipped for ``--hypervisor fake`` and used by tests and simulations. They check what real ones would
trip over (a disk on an image that is not cached), so that a wrong order of steps fails here too.
What they hold stands for the host's disk: it outlives the agent as long as the object does.
"""

import threading
from collections.abc import Callable, Collection
from pathlib import Path

from hostagent.drivers import DriverError, NotYet
from hostagent.network.fake import FakeNetwork as FakeNetwork
from hostagent.volumes.fake import FakeVolumes as FakeVolumes
from protos.cloud.v1 import fleet_pb2


class FakeImages:
    """Every image comes after ``fetch_ms``; those in ``broken`` never do."""

    def __init__(self, clock: Callable[[], int], fetch_ms: int = 0):
        self._clock, self.fetch_ms = clock, fetch_ms
        self._lock = threading.RLock()
        self._arrives: dict[str, int] = {}
        self.fetches = 0
        self.broken: set[str] = set()

    def ensure(self, source: fleet_pb2.ImageSource) -> Path:
        with self._lock:
            if source.digest in self.broken:
                raise DriverError(f"{source.image_id} does not match its digest", transient=False)
            if source.digest not in self._arrives:
                self.fetches += 1
                self._arrives[source.digest] = self._clock() + self.fetch_ms
            left = self._arrives[source.digest] - self._clock()
            if left > 0:
                raise NotYet(f"fetching {source.image_id}", retry_ms=left)
            return Path("/fake/images") / source.digest.removeprefix("sha256:")

    def cached(self) -> Collection[str]:
        with self._lock:
            now = self._clock()
            return sorted(digest for digest, at in self._arrives.items() if at <= now)

    def watch(self, on_change: Callable[[str], None]) -> None:
        """They come by the clock: ``NotYet.retry_ms`` is exact."""
