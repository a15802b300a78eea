"""A snapshot's manifest: which blocks a volume was made of, as bytes of one defined shape.

    manifest = Manifest(size_bytes, entries)        entries: (index, SHA-256 digest), ascending
    data = manifest.encode(); digest_of(data)       its name, "sha256:<hex>"
    Manifest.decode(data)                           raises ManifestError for anything else

A volume is cut in blocks of BLOCK_BYTES; one that is all zeros is not named (docs/decisions/0601).
The bytes, all numbers big-endian:

    8   magic "PILEUSM1"
    8   the volume's size in bytes
    4   a block's size in bytes
    4   how many blocks follow
    36  for each, by ascending index: 4 bytes index, 32 bytes SHA-256

Every block has BLOCK_BYTES: that of a volume's end is filled up with zeros. The same content is
always the same bytes. Used by the controller (which stores) and the host agent (which makes and
reads them). Pure.
"""

import hashlib
import struct
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator

BLOCK_BYTES = 1 << 20
SIZE_BYTES_MAX = 16 << 40  # of a volume: 16 TiB
_HEAD = struct.Struct(">8sQII")
_ENTRY = struct.Struct(">I32s")
_MAGIC = b"PILEUSM1"
_HASH_BYTES = 32


class ManifestError(ValueError):
    """These bytes are no manifest; the message says why."""


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def block_name(hash_bytes: bytes) -> str:
    """A block's digest as it is written: "sha256:<hex>"."""
    return "sha256:" + hash_bytes.hex()


def hash_of(name: str) -> bytes:
    """``block_name`` backwards. Raises ValueError for what is none."""
    scheme, _, digits = name.partition(":")
    hash_bytes = bytes.fromhex(digits)
    if scheme != "sha256" or len(digits) != 2 * _HASH_BYTES or hash_bytes.hex() != digits:
        raise ValueError(f"{name!r} is no digest")
    return hash_bytes


def encoded_bytes_max(size_bytes: int) -> int:
    """How long the manifest of a volume of that size can be."""
    return _HEAD.size + _ENTRY.size * blocks_of(size_bytes)


def blocks_of(size_bytes: int) -> int:
    return -(-size_bytes // BLOCK_BYTES)


class Manifest:
    """Immutable. Costs 36 bytes a block, however it was made."""

    def __init__(self, size_bytes: int, entries: Iterable[tuple[int, bytes]] = ()):
        """Raises ManifestError for entries that no volume of this size can have."""
        if not 0 <= size_bytes <= SIZE_BYTES_MAX:
            raise ManifestError(f"a volume has no {size_bytes} bytes")
        self.size_bytes = size_bytes
        self._indexes = array("I")
        hashes = bytearray()
        before, beyond = -1, blocks_of(size_bytes)
        for index, hash_bytes in entries:
            if not before < index < beyond or len(hash_bytes) != _HASH_BYTES:
                raise ManifestError(f"block {index} is out of order, too far or not named well")
            self._indexes.append(index)
            hashes += hash_bytes
            before = index
        self._hashes = bytes(hashes)

    @classmethod
    def decode(cls, data: bytes) -> "Manifest":
        """Raises ManifestError."""
        if len(data) < _HEAD.size:
            raise ManifestError("it is too short")
        magic, size_bytes, block_bytes, count = _HEAD.unpack_from(data)
        if magic != _MAGIC or block_bytes != BLOCK_BYTES:
            raise ManifestError("it does not begin as a manifest of this version does")
        if len(data) != _HEAD.size + count * _ENTRY.size:
            raise ManifestError(f"{count} blocks do not fit its {len(data)} bytes")
        return cls(size_bytes, _ENTRY.iter_unpack(memoryview(data)[_HEAD.size :]))

    def encode(self) -> bytes:
        parts = [_HEAD.pack(_MAGIC, self.size_bytes, BLOCK_BYTES, len(self))]
        parts += [_ENTRY.pack(index, hash_bytes) for index, hash_bytes in self]
        return b"".join(parts)

    def __len__(self) -> int:
        return len(self._indexes)

    def __iter__(self) -> Iterator[tuple[int, bytes]]:
        for at, index in enumerate(self._indexes):
            yield index, self._hash_at(at)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Manifest) and self.encode() == other.encode()

    def get(self, index: int) -> bytes | None:
        """The SHA-256 of that block; None where it is all zeros."""
        at = bisect_left(self._indexes, index)
        there = at < len(self) and self._indexes[at] == index
        return self._hash_at(at) if there else None

    @property
    def named_bytes(self) -> int:
        """Of the blocks that it names, each as often as it is there."""
        return len(self) * BLOCK_BYTES

    def _hash_at(self, at: int) -> bytes:
        return self._hashes[at * _HASH_BYTES : (at + 1) * _HASH_BYTES]
