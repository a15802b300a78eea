"""The Fleet service: reports in, specs out, and images and blocks to hosts that need them."""

import threading
from collections.abc import Callable, Iterator
from typing import Protocol

from controller.hosts.delivery import Delivery
from controller.hosts.reports import Reports, says_everything
from controller.hosts.specs import Specs
from controller.kernel.call import Call
from controller.kernel.database import Database
from protos.cloud.v1 import fleet_pb2
from protos.errors import CloudError, Kind


class Blocks(Protocol):
    """The service's rpcs about snapshots' blocks (storage/blocks)."""

    def MissingBlocks(
        self, request: fleet_pb2.BlockDigests, call: Call
    ) -> fleet_pb2.BlockDigests: ...
    def StoreBlocks(
        self, requests: Iterator[fleet_pb2.Block], call: Call
    ) -> fleet_pb2.StoreBlocksResponse: ...
    def StoreManifest(
        self, requests: Iterator[fleet_pb2.ManifestChunk], call: Call
    ) -> fleet_pb2.StoreManifestResponse: ...
    def FetchManifest(
        self, request: fleet_pb2.FetchImageRequest, call: Call
    ) -> Iterator[fleet_pb2.ImageChunk]: ...
    def FetchBlocks(
        self, request: fleet_pb2.BlockDigests, call: Call
    ) -> Iterator[fleet_pb2.Block]: ...


class FleetServicer:
    """read_blob(digest, offset) → chunks of bytes; raises CloudError NOT_FOUND
    (storage/images/store).

    streams: how many images and blocks may be carried at once, for each holds one of the server's
    threads, and reports must not wait for them.
    """

    def __init__(
        self,
        db: Database,
        reports: Reports,
        delivery: Delivery,
        specs: Specs,
        read_blob: Callable[[str, int], Iterator[bytes]],
        blocks: Blocks,
        streams: threading.BoundedSemaphore,
    ):
        self._db, self._reports, self._delivery = db, reports, delivery
        self._specs, self._read_blob = specs, read_blob
        self._streams = streams
        self.MissingBlocks, self.StoreBlocks = blocks.MissingBlocks, blocks.StoreBlocks
        self.StoreManifest = blocks.StoreManifest
        self.FetchManifest, self.FetchBlocks = blocks.FetchManifest, blocks.FetchBlocks

    def Report(self, request: fleet_pb2.HostReport, call: Call) -> fleet_pb2.HostSpec:
        _check_peer(call, request.host_id)
        received = self._reports.take_in(call, request)
        if received.forgotten:
            return self._specs.say_everything(received)
        self._delivery.acknowledged(request.host_id, request.position)
        says_all = says_everything(request)
        if received.position == request.position and not received.has_consequences and not says_all:
            return self._specs.nothing_new(received)
        base = 0 if says_all else request.position
        with self._db.read(call) as session:
            outgoing = self._specs.read(session, request.host_id, base)
        return outgoing.spec if outgoing else self._specs.nothing_new(received)

    def FetchImage(
        self, request: fleet_pb2.FetchImageRequest, call: Call
    ) -> Iterator[fleet_pb2.ImageChunk]:
        """Streams an image. Raises UNAVAILABLE while too many are fetched; the host tries again."""
        if not self._streams.acquire(blocking=False):
            raise CloudError(
                Kind.UNAVAILABLE, "Too many images are fetched at once. Try again.", reason="busy"
            )
        try:
            for chunk in self._read_blob(request.digest, request.offset):
                yield fleet_pb2.ImageChunk(data=chunk)
        finally:
            self._streams.release()


def _check_peer(call: Call, host_id: str) -> None:
    """A host speaks for itself only."""
    if call.peer != f"host:{host_id}":
        raise CloudError(
            Kind.DENIED,
            "A host reports for itself only.",
            noun="host",
            id=host_id,
            because=f"{call.peer} reported as {host_id}",
        )
