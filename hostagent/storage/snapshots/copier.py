"""One snapshot's copy: a frozen layer, with all below it, into the controller's store of blocks.

    copied = copy(volumes, blocks, source, tell)      Copied(digest, size_bytes, added_bytes)

Reads what was written since the snapshot before, where there is one whose manifest the store still
has, and everything otherwise. Only blocks that the store lacks are sent, so that a copy that was
cut costs the reading again and no more. Holds BATCH blocks in memory at once, and 36 bytes for each
block of the volume. Called by the pool of copies; ``tell(percent)`` may raise to leave off.
"""

import hashlib
import heapq
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from hostagent.kernel.errors import DriverError
from hostagent.storage.blocks import Blocks, Gone
from hostagent.storage.drivers import Extent, Volumes
from protos.manifest import (
    BLOCK_BYTES,
    Manifest,
    ManifestError,
    block_name,
    blocks_of,
    digest_of,
)

log = logging.getLogger(__name__)

BATCH = 16  # blocks read, and sent, at once
ASK_MOST = 256  # digests in one question: the store may have to read them all before it answers
_ZEROS = bytes(BLOCK_BYTES)


@dataclass(frozen=True)
class Base:
    """A snapshot before: layer ``number`` and all below it read as its manifest says."""

    number: int  # -1: what the volume began as
    digest: str


@dataclass(frozen=True)
class Source:
    """What is to be copied. ``base`` None: nothing of it is known in the store."""

    snapshot_id: str
    volume_id: str
    number: int
    base: Base | None = None


@dataclass(frozen=True)
class Copied:
    """The manifest's digest, how much its blocks are, and how much of that was new."""

    digest: str
    size_bytes: int
    added_bytes: int


def copy(volumes: Volumes, blocks: Blocks, source: Source, tell: Callable[[int], None]) -> Copied:
    """Raises DriverError. The same again comes to the same."""
    known = _known(blocks, source.base)
    try:
        return _Copy(volumes, blocks, source, known, tell).run()
    except _NotAsKnown as surprise:
        log.error("%s: %s; everything is read", source.volume_id, surprise)
        return _Copy(volumes, blocks, source, None, tell).run()


class _NotAsKnown(Exception):
    """The layers do not hold what the manifest before says."""


class _Copy:
    def __init__(
        self,
        volumes: Volumes,
        blocks: Blocks,
        source: Source,
        known: Manifest | None,
        tell: Callable[[int], None],
    ):
        self._volumes, self._blocks, self._source, self._tell = volumes, blocks, source, tell
        self._known, self._added = known, 0

    def run(self) -> Copied:
        size_bytes, touched = self._look()
        changed = Manifest(size_bytes, self._read(touched))
        manifest = Manifest(size_bytes, self._merged(changed, touched))
        if self._known is not None:
            self._send_untouched(manifest, changed)
        data = manifest.encode()
        digest = digest_of(data)
        self._blocks.store_manifest(self._source.snapshot_id, digest, data)
        return Copied(digest, manifest.named_bytes, self._added)

    def _look(self) -> tuple[int, list[range]]:
        """The volume's size at the point in time, and the blocks that may differ from what is
        known."""
        source = self._source
        chain = [
            layer
            for layer in self._volumes.chain(source.volume_id)
            if layer.number <= source.number
        ]
        if not chain or chain[-1].number != source.number:
            raise DriverError(f"{source.volume_id} has no layer {source.number}", transient=False)
        extents: list[Extent] = []
        if self._known is None:
            extents += self._volumes.base_extents(source.volume_id)
        known_up_to = source.base.number if source.base and self._known is not None else -1
        for layer in chain:
            if layer.number > known_up_to:
                extents += self._volumes.extents(source.volume_id, layer.number)
        wanted = (one for one in extents if self._known is not None or not one.zeros)
        return chain[-1].size_bytes, _blocks_in(wanted, blocks_of(chain[-1].size_bytes))

    def _read(self, touched: Sequence[range]) -> Iterator[tuple[int, bytes]]:
        """Names and, where the store lacks them, sends the blocks; those of zeros are left out."""
        total, done = sum(map(len, touched)), 0
        for part in _batches(touched):
            self._tell(99 * done // total)
            found = {}
            for index, block in zip(part, self._blocks_at(part), strict=True):
                if block != _ZEROS:
                    found[index] = hashlib.sha256(block).digest(), block
            self._send({block_name(name): block for name, block in found.values()})
            for index, (name, _) in found.items():
                yield index, name
            done += len(part)

    def _blocks_at(self, part: range) -> Iterator[bytes]:
        source, length = self._source, len(part) * BLOCK_BYTES
        data = self._volumes.read(source.volume_id, source.number, part.start * BLOCK_BYTES, length)
        if len(data) != length:
            raise DriverError(f"{source.volume_id}: {len(data)} bytes came for {length}")
        for start in range(0, length, BLOCK_BYTES):
            yield data[start : start + BLOCK_BYTES]

    def _send(self, found: dict[str, bytes]) -> None:
        missing = self._blocks.missing(list(found)) if found else []
        if missing:
            self._added += self._blocks.store((name, found[name]) for name in missing)

    def _merged(self, changed: Manifest, touched: Sequence[range]) -> Iterator[tuple[int, bytes]]:
        """What was read, and for all else what was known."""
        if self._known is None:
            yield from changed
            return
        covered = _Covered(touched)
        beyond = blocks_of(changed.size_bytes)
        kept = (
            (index, name) for index, name in self._known if index < beyond and index not in covered
        )
        yield from heapq.merge(kept, changed)

    def _send_untouched(self, manifest: Manifest, changed: Manifest) -> None:
        """Blocks of the snapshot before that the store has dropped meanwhile are read and sent."""
        waiting: dict[str, int] = {}
        for index, name in manifest:
            if changed.get(index) is None:
                waiting[block_name(name)] = index
            if len(waiting) >= ASK_MOST:
                self._resend(waiting)
                waiting = {}
        self._resend(waiting)

    def _resend(self, waiting: dict[str, int]) -> None:
        missing = self._blocks.missing(list(waiting)) if waiting else []
        for name in missing:
            self._tell(99)
            (block,) = self._blocks_at(range(waiting[name], waiting[name] + 1))
            if block_name(hashlib.sha256(block).digest()) != name:
                raise _NotAsKnown(f"block {waiting[name]} is not what the snapshot before says")
            self._added += self._blocks.store([(name, block)])


def _known(blocks: Blocks, base: Base | None) -> Manifest | None:
    """The manifest of the snapshot before; None where the store has it no more, or not whole."""
    if base is None:
        return None
    try:
        data = blocks.fetch_manifest(base.digest)
        if digest_of(data) != base.digest:
            raise ManifestError(f"manifest {base.digest} is damaged")
        return Manifest.decode(data)
    except (Gone, ManifestError) as failure:
        log.info("all is read: %s", failure)
        return None


def _blocks_in(extents: Iterable[Extent], beyond: int) -> list[range]:
    """The blocks that the extents touch, as ranges in order, none twice."""
    ranges = sorted(
        (extent.start // BLOCK_BYTES, -(-(extent.start + extent.length) // BLOCK_BYTES))
        for extent in extents
        if extent.length
    )
    found: list[range] = []
    for start, end in ranges:
        end = min(end, beyond)
        if found and start <= found[-1].stop:
            found[-1] = range(found[-1].start, max(end, found[-1].stop))
        elif start < end:
            found.append(range(start, end))
    return found


def _batches(touched: Sequence[range]) -> Iterator[range]:
    for part in touched:
        for start in range(part.start, part.stop, BATCH):
            yield range(start, min(start + BATCH, part.stop))


class _Covered:
    """Whether a block is in one of the ranges; asked in ascending order."""

    def __init__(self, ranges: Sequence[range]):
        self._ranges, self._at = ranges, 0

    def __contains__(self, index: int) -> bool:
        while self._at < len(self._ranges) and self._ranges[self._at].stop <= index:
            self._at += 1
        return self._at < len(self._ranges) and index in self._ranges[self._at]
