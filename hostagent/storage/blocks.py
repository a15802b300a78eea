"""The controller's store of blocks, as this host needs it (docs/decisions/0601).

``Blocks`` is what the copier and the restorer know of it; ``FleetBlocks`` asks the controller.
Everything raises DriverError: transient where asking again later can help, and ``Away`` where the
controller does not answer or is busy, which is nobody's failed try.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Never, Protocol

from hostagent.kernel.errors import DriverError
from protos.cloud.v1 import fleet_pb2
from protos.errors import CloudError, Kind

if TYPE_CHECKING:
    from protos.cloud.v1.clients import FleetClient

TIMEOUT_S = 600.0  # of one call: at most a batch of blocks
CHUNK_BYTES = 1 << 20


class Away(DriverError):
    """The store cannot be asked just now."""


class Gone(DriverError):
    """The store has not (any more) what was asked for."""


class Blocks(Protocol):
    def missing(self, digests: Sequence[str]) -> list[str]:
        """Those that the store lacks; the others stay for as long as a copy takes."""

    def store(self, blocks: Iterable[tuple[str, bytes]]) -> int:
        """Answers how many bytes were new."""

    def store_manifest(self, snapshot_id: str, digest: str, data: bytes) -> None: ...

    def fetch_manifest(self, digest: str) -> bytes:
        """Not verified. Raises Gone."""

    def fetch(self, digests: Sequence[str]) -> Iterator[bytes]:
        """In the order asked for. Not verified. Raises Gone."""


class FleetBlocks:
    """Blocks, by the Fleet service."""

    def __init__(self, fleet: "FleetClient"):
        self._fleet = fleet

    def missing(self, digests: Sequence[str]) -> list[str]:
        with _translated():
            request = fleet_pb2.BlockDigests(digests=digests)
            return list(self._fleet.MissingBlocks(request, timeout_s=TIMEOUT_S).digests)

    def store(self, blocks: Iterable[tuple[str, bytes]]) -> int:
        stream = (fleet_pb2.Block(digest=digest, data=data) for digest, data in blocks)
        with _translated():
            return self._fleet.StoreBlocks(stream, timeout_s=TIMEOUT_S).stored_bytes

    def store_manifest(self, snapshot_id: str, digest: str, data: bytes) -> None:
        def chunks() -> Iterator[fleet_pb2.ManifestChunk]:
            yield fleet_pb2.ManifestChunk(snapshot_id=snapshot_id, digest=digest)
            for start in range(0, len(data), CHUNK_BYTES):
                yield fleet_pb2.ManifestChunk(data=data[start : start + CHUNK_BYTES])

        with _translated():
            self._fleet.StoreManifest(chunks(), timeout_s=TIMEOUT_S)

    def fetch_manifest(self, digest: str) -> bytes:
        request = fleet_pb2.FetchImageRequest(digest=digest)
        with _translated():
            stream = self._fleet.FetchManifest(request, timeout_s=TIMEOUT_S)
            return b"".join(chunk.data for chunk in stream)

    def fetch(self, digests: Sequence[str]) -> Iterator[bytes]:
        request = fleet_pb2.BlockDigests(digests=digests)
        with _translated():
            for block in self._fleet.FetchBlocks(request, timeout_s=TIMEOUT_S):
                yield block.data


class NoBlocks:
    """A host that cannot reach a store: nothing is copied, nothing restored. For the audit of a
    host, and where an agent is driven without a controller."""

    def __getattr__(self, name: str) -> Callable[..., Never]:
        def refuse(*given: object) -> Never:
            raise Away("there is no store of snapshots here")

        return refuse


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except CloudError as failure:
        if failure.kind is Kind.UNAVAILABLE:
            raise Away(f"the controller's store: {failure}") from failure
        if failure.kind is Kind.NOT_FOUND:
            raise Gone(f"the controller's store: {failure}", transient=False) from failure
        passing = failure.kind in (Kind.WRONG_STATE, Kind.BUG)
        raise DriverError(f"the controller's store: {failure}", transient=passing) from failure
