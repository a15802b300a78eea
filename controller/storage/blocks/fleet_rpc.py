"""The Fleet service's block rpcs: hosts bring snapshots' blocks and manifests, and fetch those
of volumes to be restored (docs/decisions/0601).

``FleetServicer`` (hosts/rpc) has these methods as its own. Blocks are nobody's by themselves: a
host brings and fetches what it likes, as with images. A manifest belongs to a snapshot, and only
the host that copies it may bring it.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

from controller.kernel.call import Call
from controller.kernel.database import Database, Session
from controller.kernel.units import GIB
from controller.storage.blocks.store import BLOCK, MANIFEST, BlockStore, names_of
from controller.tables.storage import Snapshot, Volume
from protos.cloud.v1 import fleet_pb2
from protos.errors import CloudError, Kind
from protos.manifest import BLOCK_BYTES, Manifest, ManifestError, encoded_bytes_max

DIGESTS_MAX = 4096  # in one question
FETCH_MAX = 256  # blocks in one stream
CHUNK_BYTES = 1 << 20


class BlocksRpc:
    """streams: so many transfers at once, shared with images, for each holds one of the server's
    threads."""

    def __init__(self, db: Database, store: BlockStore, streams: threading.BoundedSemaphore):
        self._db, self._store, self._streams = db, store, streams

    def MissingBlocks(self, request: fleet_pb2.BlockDigests, call: Call) -> fleet_pb2.BlockDigests:
        """Blocks that are not known to be whole are read first: a host asks for a few at a time."""
        _check_count(request, DIGESTS_MAX)
        return fleet_pb2.BlockDigests(digests=self._store.missing(BLOCK, request.digests))

    def StoreBlocks(
        self, requests: Iterator[fleet_pb2.Block], call: Call
    ) -> fleet_pb2.StoreBlocksResponse:
        """Raises INVALID for a block that is not what its digest says; those before it stay."""
        stored = 0
        with self._turn():
            for block in requests:
                if len(block.data) != BLOCK_BYTES:
                    raise CloudError(
                        Kind.INVALID, f"A block has {BLOCK_BYTES} bytes.", noun="snapshot"
                    )
                if self._store.put(BLOCK, block.digest, block.data):
                    stored += len(block.data)
        return fleet_pb2.StoreBlocksResponse(stored_bytes=stored)

    def StoreManifest(
        self, requests: Iterator[fleet_pb2.ManifestChunk], call: Call
    ) -> fleet_pb2.StoreManifestResponse:
        """The snapshot has its bytes when this returns; the host's next report completes it.

        Raises INVALID, DENIED, NOT_FOUND (snapshot), WRONG_STATE where the store lacks a block, or
        the snapshot is not to be copied any more.
        """
        first = next(iter(requests), None)
        if first is None:
            raise _refused("A manifest begins with its snapshot and digest")
        with self._db.read(call) as session:
            most = encoded_bytes_max(_copied_by(session, call, first.snapshot_id) * GIB)
        with self._turn():
            data = _joined(first, requests, most)
            manifest = _decoded(data)
            if lacking := self._lacking(manifest):
                raise CloudError(
                    Kind.WRONG_STATE,
                    f"The store lacks block {lacking} of this manifest.",
                    noun="snapshot",
                    id=first.snapshot_id,
                )
            self._store.put(MANIFEST, first.digest, data)
        with self._db.write(call) as tx:
            size_gib = max(-(-manifest.size_bytes // GIB), 1)
            _copied_by(tx, call, first.snapshot_id)
            tx.advance(
                Snapshot,
                {"digest": first.digest, "size_bytes": manifest.named_bytes, "size_gib": size_gib},
                Snapshot.snapshot_id == first.snapshot_id,
                Snapshot.status == "pending",
            )
        return fleet_pb2.StoreManifestResponse()

    def FetchManifest(
        self, request: fleet_pb2.FetchImageRequest, call: Call
    ) -> Iterator[fleet_pb2.ImageChunk]:
        with self._turn():
            data = self._store.get(MANIFEST, request.digest)
            for start in range(request.offset, len(data), CHUNK_BYTES):
                yield fleet_pb2.ImageChunk(data=data[start : start + CHUNK_BYTES])

    def FetchBlocks(self, request: fleet_pb2.BlockDigests, call: Call) -> Iterator[fleet_pb2.Block]:
        _check_count(request, FETCH_MAX)
        with self._turn():
            for digest in request.digests:
                yield fleet_pb2.Block(digest=digest, data=self._store.get(BLOCK, digest))

    def _lacking(self, manifest: Manifest) -> str:
        """The first block of it that the store has not; '' where it has all."""
        hashes = sorted({hash_bytes for _, hash_bytes in manifest})
        for start in range(0, len(hashes), DIGESTS_MAX):
            missing = self._store.missing(BLOCK, names_of(hashes[start : start + DIGESTS_MAX]))
            if missing:
                return missing[0]
        return ""

    @contextmanager
    def _turn(self) -> Iterator[None]:
        if not self._streams.acquire(blocking=False):
            raise CloudError(
                Kind.UNAVAILABLE,
                "Too many images and snapshots are carried at once. Try again.",
                reason="busy",
            )
        try:
            yield
        finally:
            self._streams.release()


class CopyRow(NamedTuple):
    host_id: str | None
    status: str
    volume_id: str
    size_gib: int


def _copied_by(session: Session, call: Call, snapshot_id: str) -> int:
    """The size in GiB of the snapshot that the calling host is to copy: of the volume as it is now,
    where that was grown since."""
    row = session.one(
        Snapshot.select(Snapshot.host_id, Snapshot.status, Snapshot.volume_id, Snapshot.size_gib)
        .where(Snapshot.snapshot_id == snapshot_id)
        .limit(1),
        CopyRow,
    )
    if row is None:
        raise CloudError(
            Kind.NOT_FOUND,
            f"The snapshot '{snapshot_id}' does not exist.",
            noun="snapshot",
            id=snapshot_id,
        )
    if call.peer != f"host:{row.host_id}":
        raise CloudError(
            Kind.DENIED,
            "A host brings snapshots of its own volumes only.",
            noun="snapshot",
            id=snapshot_id,
            because=f"{call.peer} brought one of {row.host_id}",
        )
    if row.status != "pending":
        raise CloudError(
            Kind.WRONG_STATE,
            f"The snapshot is not pending but {row.status}.",
            noun="snapshot",
            id=snapshot_id,
        )
    query = Volume.select(Volume.size_gib).where(Volume.volume_id == row.volume_id)
    now_gib = session.value(query, int)
    return max(row.size_gib, now_gib or 0)


def _joined(
    first: fleet_pb2.ManifestChunk, rest: Iterator[fleet_pb2.ManifestChunk], most: int
) -> bytes:
    data = bytearray(first.data)
    for chunk in rest:
        data += chunk.data
        if len(data) > most:
            break
    if len(data) > most:
        raise _refused(f"The manifest is longer than the {most} bytes that its volume can need")
    return bytes(data)


def _decoded(data: bytes) -> Manifest:
    try:
        return Manifest.decode(data)
    except ManifestError as failure:
        raise _refused(f"That is no manifest: {failure}") from failure


def _check_count(request: fleet_pb2.BlockDigests, most: int) -> None:
    if len(request.digests) > most:
        raise _refused(f"At most {most} blocks can be named at once")


def _refused(message: str) -> CloudError:
    return CloudError(Kind.INVALID, message, noun="snapshot")
