"""What a simulated host's agent works with that is not a shipped fake: the controller's store as it
is reached through the simulated network, an image cache that fetches from it, background work, and
guests whose lives are told.

Made and used by SimHost (hosts.py).
"""

import random
from collections.abc import Callable
from concurrent.futures import Executor, Future
from pathlib import Path

from hostagent.compute.drivers import Power
from hostagent.compute.hypervisors.fake_guests import FakeState
from hostagent.kernel.errors import DriverError, NotYet
from hostagent.storage.blocks import Blocks
from hostagent.storage.images.fake import FakeImages
from protos.cloud.v1 import fleet_pb2
from protos.errors import CloudError, Kind
from tests.harness.event_queue import EventQueue

ALIVE = (Power.PAUSED.value, Power.RUNNING.value, Power.SHUTTING_DOWN.value)
RETRY_MS = 1_000
FETCH_MS = 300  # of an image
COPY_MS = (20, 3_000)  # from a copy's being asked for to its reading

# fleet(method, request or list of requests) -> answer or list of answers: a call of the Fleet
# service through the simulated network; raises CloudError
Fleet = Callable[[str, object], object]


class FleetThroughNetwork:
    """The client of the controller's store that FleetBlocks is given. Each call is a checkpoint, so
    that a copy and a restore can be cut in their middle."""

    def __init__(self, fleet: Fleet, checkpoint: Callable[[str], None]):
        self._fleet, self._checkpoint = fleet, checkpoint

    def MissingBlocks(self, request, *, timeout_s: float = 0.0):
        return self._call("MissingBlocks", request)

    def StoreBlocks(self, requests, *, timeout_s: float = 0.0):
        return self._call("StoreBlocks", list(requests))

    def StoreManifest(self, requests, *, timeout_s: float = 0.0):
        return self._call("StoreManifest", list(requests))

    def FetchManifest(self, request, *, timeout_s: float = 0.0):
        return self._call("FetchManifest", request)

    def FetchBlocks(self, request, *, timeout_s: float = 0.0):
        return self._call("FetchBlocks", request)

    def _call(self, method: str, request):
        self._checkpoint(f"store: before {method}")
        answer = self._fleet(method, request)
        self._checkpoint(f"store: after {method}")
        return answer


class SimImages(FakeImages):
    """The fake cache, but what is not here yet has to be had from the controller."""

    def __init__(self, events: EventQueue, fleet: Fleet, blocks: Blocks, folder: Path):
        super().__init__(events.clock, fetch_ms=FETCH_MS, blocks=blocks, folder=folder)
        self._fleet, self._here = fleet, set()

    def ensure(self, source: fleet_pb2.ImageSource) -> Path:
        if source.disk_format != "blocks" and source.digest not in self._here:
            self._fetch(source)
            self._here.add(source.digest)
        return super().ensure(source)

    def _fetch(self, source: fleet_pb2.ImageSource) -> None:
        try:
            chunks = self._fleet("FetchImage", fleet_pb2.FetchImageRequest(digest=source.digest))
        except CloudError as failure:
            if failure.kind is Kind.UNAVAILABLE:
                raise NotYet(f"fetching {source.image_id}", retry_ms=RETRY_MS) from failure
            raise DriverError(f"{source.image_id} cannot be had: {failure}") from failure
        size = sum(len(chunk.data) for chunk in chunks)
        if size != source.size_bytes:
            raise DriverError(f"{source.image_id} has {size} bytes", transient=False)


class SimState(FakeState):
    """The fake's guests. ``lived(name, alive)`` hears when one begins and ceases to use its disks,
    in the order in which it happens."""

    def __init__(self, lived: Callable[[str, bool], None]):
        self._lived, self._living = lived, set()
        super().__init__()

    def keep(self) -> None:
        living = {name for name, guest in self.guests.items() if guest.power in ALIVE}
        for name in sorted(living ^ self._living):
            self._lived(name, name in living)
        self._living = living


class Later(Executor):
    """Does what is submitted, whole, at some moment soon, unless the process has ended by then.
    ``at(delay_ms, what, act)`` is the process's."""

    def __init__(self, rng: random.Random, at: Callable[[int, str, Callable[[], object]], None]):
        self._rng, self._at = rng, at

    def submit(self, fn, /, *args, **kwargs) -> Future:
        future: Future = Future()
        delay_ms = self._rng.randrange(*COPY_MS)
        self._at(delay_ms, "copies", lambda: future.set_result(fn(*args, **kwargs)))
        return future
