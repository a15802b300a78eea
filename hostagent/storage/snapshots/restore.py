"""A manifest's volume as a sparse raw file: every block fetched, verified, written to its place.

    restore(blocks, digest, file, most_bytes, tell) -> the volume's size

Called by images.cache for a source of the format "blocks", with a partial file that gets its name
when this has returned: a block that is not what its name says is asked for once more, then ends it,
and no half volume is left to be taken for one. Cut, it goes on behind the blocks that are in the
file already, which are verified as well.
"""

import hashlib
import logging
from collections.abc import Callable, Sequence
from typing import BinaryIO

from hostagent.kernel.errors import DriverError
from hostagent.storage.blocks import Blocks
from protos.manifest import BLOCK_BYTES, Manifest, ManifestError, block_name, digest_of

log = logging.getLogger(__name__)

BATCH = 64  # blocks in one stream


def restore(
    blocks: Blocks, digest: str, file: BinaryIO, most_bytes: int, tell: Callable[[int], None]
) -> int:
    """``tell(bytes done)``. Raises DriverError."""
    manifest = _manifest(blocks, digest)
    if manifest.size_bytes > most_bytes:
        raise DriverError(
            f"the volume has {manifest.size_bytes} bytes, {most_bytes} are allowed", transient=False
        )
    file.truncate(_whole(manifest.size_bytes))
    batch: list[tuple[int, bytes]] = []
    for done, (index, name) in enumerate(manifest):
        tell(done * BLOCK_BYTES)
        if not _is_there(file, index, name):
            batch.append((index, name))
        if len(batch) == BATCH:
            _fetch(blocks, batch, file)
            batch = []
    _fetch(blocks, batch, file)
    file.truncate(manifest.size_bytes)
    tell(manifest.named_bytes)
    return manifest.size_bytes


def _manifest(blocks: Blocks, digest: str) -> Manifest:
    data = blocks.fetch_manifest(digest)
    if digest_of(data) != digest:
        raise DriverError(f"manifest {digest} is damaged in the store", transient=False)
    try:
        return Manifest.decode(data)
    except ManifestError as failure:
        raise DriverError(f"{digest} is no manifest: {failure}", transient=False) from failure


def _is_there(file: BinaryIO, index: int, name: bytes) -> bool:
    """From before a cut. A hole costs one look."""
    file.seek(index * BLOCK_BYTES)
    first = file.read(4096)
    if not any(first):
        return False
    return hashlib.sha256(first + file.read(BLOCK_BYTES - len(first))).digest() == name


def _fetch(blocks: Blocks, batch: Sequence[tuple[int, bytes]], file: BinaryIO) -> None:
    if not batch:
        return
    if damaged := _fetch_once(blocks, batch, file):
        log.warning("%d blocks came damaged, and are asked for again", len(damaged))
        damaged = _fetch_once(blocks, damaged, file)
    for index, name in damaged:
        raise DriverError(
            f"block {index} ({block_name(name)}) is damaged in the store", transient=False
        )


def _fetch_once(
    blocks: Blocks, batch: Sequence[tuple[int, bytes]], file: BinaryIO
) -> list[tuple[int, bytes]]:
    """Answers those that were not what their names say."""
    wanted, damaged = [block_name(name) for _, name in batch], []
    count = 0
    for (index, name), data in zip(batch, blocks.fetch(wanted), strict=False):
        count += 1
        if len(data) != BLOCK_BYTES or hashlib.sha256(data).digest() != name:
            damaged.append((index, name))
            continue
        file.seek(index * BLOCK_BYTES)
        file.write(data)
    if count < len(batch):
        raise DriverError(f"{count} of {len(batch)} blocks came")
    return damaged


def _whole(size_bytes: int) -> int:
    return -(-size_bytes // BLOCK_BYTES) * BLOCK_BYTES
