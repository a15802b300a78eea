"""qcow2 files: the fields of a header, and whether a guest could start from the file.

    header = check(file, file_bytes)      header and tables are sound; raises Refused
    header = read_header(start)           the fields only, of any qcow2 file
    name, format = backing_of(start)      what it stands on; two empty texts for nothing

``check`` refuses what is unsound and what reaches outside of the file: a backing file, a data file,
encryption, internal snapshots, a file that was cut off, tables that overlap or lie beyond its end,
refcounts that call used clusters free. No field is trusted. The work is bounded: a cluster is read
once at most, two bytes are kept for each of at most CLUSTERS_MAX clusters, and at most
L2_ENTRIES_MAX entries are looked at. What it does not read is the content of the disk.

Used by the controller (what comes into its store) and the host agent (before any program opens a
file). Source: QEMU's docs/interop/qcow2.txt, and qcow2-refcount.c for what "qemu-img check" calls
a corruption. Pure.
"""

import struct
import sys
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import BinaryIO

MAGIC = b"QFI\xfb"
V2_LENGTH, V3_LENGTH = 72, 104
DIRTY, CORRUPT, DATA_FILE, COMPRESSION_TYPE, EXTENDED_L2 = (1 << bit for bit in range(5))
ALLOWED_INCOMPATIBLE = COMPRESSION_TYPE | EXTENDED_L2
COMPRESSION_TYPES = 2  # zlib and zstd
EXTENSION_END, BACKING_FORMAT = 0, 0xE2792ACA
FORBIDDEN_EXTENSIONS = {
    BACKING_FORMAT: "a backing file",
    0x44415441: "an external data file",
    0x0537BE77: "encryption",
}
SECTOR_BYTES = 512
L1_BYTES_MAX = 32 << 20  # QEMU's own bound
REFCOUNT_TABLE_BYTES_MAX = 8 << 20  # QEMU's own bound
CLUSTERS_MAX = 1 << 24  # of a file: 1 TiB where they are of 64 KiB, which is QEMU's default
L2_ENTRIES_MAX = 1 << 25  # in the tables that are there: a full disk of 2 TiB, by the same
REPAIR = "repair it with qemu-img check -r all"

_HEADER_V2 = struct.Struct(">4sIQIIQIIQQIIQ")
_HEADER_V3 = struct.Struct(">QQQII")  # follows version 2's
_CLUSTER_BITS = range(9, 22)
_COMPRESSED, _COPIED = 1 << 62, 1 << 63
_OFFSET = 0x00FF_FFFF_FFFF_FE00  # of a standard L2 entry and an L1 entry
_L1_RESERVED = 0x7F00_0000_0000_01FF
_L2_RESERVED = 0x3F00_0000_0000_01FE  # of a standard entry
# What a cluster is held by: so many compressed clusters, or one of these.
_METADATA, _SHARED, _OWN = 0xFFFF, 0xFFFE, 0xFFFD  # _OWN: its entry says that its refcount is 1
_COMPRESSED_MAX = 0xFFFC


class Refused(ValueError):
    """The file may not be used; the message says why and goes on after "The image: "."""


@dataclass(frozen=True)
class Header:
    """The fields of a qcow2 header that are looked at. Offsets and sizes in bytes."""

    version: int
    backing_file_offset: int
    backing_file_size: int
    cluster_bits: int
    size: int
    crypt_method: int
    l1_size: int  # entries
    l1_table_offset: int
    refcount_table_offset: int
    refcount_table_clusters: int
    snapshots: int
    snapshots_offset: int
    incompatible: int
    refcount_order: int
    length: int
    compression_type: int


def check(file: BinaryIO, file_bytes: int) -> Header:
    """The header of a sound file, whose length is ``file_bytes``. Raises Refused, OSError."""
    start = _read(file, 0, min(file_bytes, 1 << _CLUSTER_BITS[-1]))
    header = read_header(start)
    _check_fields(header, file_bytes)
    _check_extensions(start[header.length : 1 << header.cluster_bits])
    _Tables(file, file_bytes, header).check()
    return header


def read_header(start: bytes) -> Header:
    """The header as it stands, of a version and a cluster size that exist. Raises Refused."""
    if len(start) < V2_LENGTH or start[:4] != MAGIC:
        raise Refused("it is declared as qcow2 and is not")
    _, version, *fields = _HEADER_V2.unpack_from(start)
    bits = fields[2]
    incompatible, order, length = 0, 4, V2_LENGTH
    if version == 3:
        if len(start) < V3_LENGTH:
            raise Refused("its header is cut short")
        incompatible, _, _, order, length = _HEADER_V3.unpack_from(start, V2_LENGTH)
        if not V3_LENGTH <= length <= min(4096, len(start)) or length % 8:
            raise Refused(f"its header cannot be {length} bytes long")
    elif version != 2:
        raise Refused(f"its version is {version}, not 2 or 3")
    if bits not in _CLUSTER_BITS:
        raise Refused(f"its clusters are of 2^{bits} bytes, not 2^9 to 2^21")
    if order > 6:
        raise Refused(f"its refcounts are of 2^{order} bits, not 2^0 to 2^6")
    compression = start[V3_LENGTH] if length > V3_LENGTH else 0
    fields += (incompatible, order, length, compression)
    return Header(version, *fields)


def backing_of(start: bytes) -> tuple[str, str]:
    """The backing file's name and format. Raises Refused, also for one that states no format.

    ``start`` has the header, its extensions and the name: QEMU keeps all in the first cluster.
    """
    header = read_header(start)
    if not header.backing_file_offset:
        return "", ""
    name = start[header.backing_file_offset :][: header.backing_file_size].decode()
    for kind, data in _extensions(start[header.length :]):
        if kind == BACKING_FORMAT:
            return name, data.decode()
    raise Refused("it does not say what format it stands on")


def _check_fields(header: Header, file_bytes: int) -> None:
    cluster = 1 << header.cluster_bits
    if header.backing_file_offset or header.backing_file_size:
        raise Refused("it names a backing file; flatten it first (qemu-img convert)")
    if header.crypt_method:
        raise Refused("it is encrypted")
    if header.snapshots:
        raise Refused("it holds internal snapshots; flatten it first (qemu-img convert)")
    if header.snapshots_offset % cluster:  # may be there still when the last snapshot is gone
        raise Refused("its snapshot table is not where one can be")
    _check_features(header)
    if not header.size or header.size % SECTOR_BYTES:
        raise Refused(
            f"its size of {header.size} bytes is no number of {SECTOR_BYTES}-byte sectors"
        )
    l1_bytes = header.l1_size * 8
    _check_table("L1 table", header.l1_table_offset, l1_bytes, L1_BYTES_MAX, cluster, file_bytes)
    if header.l1_size < -(-header.size // (cluster * _l2_entries(header))):
        raise Refused("its L1 table is too small for its size")
    if not header.refcount_table_clusters:
        raise Refused("it has no refcount table")
    _check_table(
        "refcount table",
        header.refcount_table_offset,
        header.refcount_table_clusters * cluster,
        REFCOUNT_TABLE_BYTES_MAX,
        cluster,
        file_bytes,
    )


def _check_features(header: Header) -> None:
    features = header.incompatible
    if features & DATA_FILE:
        raise Refused("it names an external data file")
    if features & (DIRTY | CORRUPT):
        raise Refused(f"it was not closed properly or is corrupt: {REPAIR}")
    if features & ~ALLOWED_INCOMPATIBLE:
        raise Refused(f"it has incompatible features {features:#x}, which are not known here")
    kind = header.compression_type
    if kind >= COMPRESSION_TYPES or bool(kind) != bool(features & COMPRESSION_TYPE):
        raise Refused(f"its compression of type {kind} is not known here")


def _check_table(
    name: str, offset: int, length: int, most: int, cluster: int, file_bytes: int
) -> None:
    if length > most:
        raise Refused(f"its {name} of {length} bytes is larger than {most}")
    if offset % cluster or (length and not offset):
        raise Refused(f"its {name} is not where one can be")
    if offset + length > file_bytes:
        raise _beyond(name, file_bytes)


def _beyond(name: str, file_bytes: int) -> Refused:
    return Refused(f"its {name} lies beyond the end of the file: only {file_bytes} bytes are there")


def _check_extensions(area: bytes) -> None:
    for kind, _ in _extensions(area):
        if kind in FORBIDDEN_EXTENSIONS:
            raise Refused(f"it names {FORBIDDEN_EXTENSIONS[kind]}")


def _extensions(area: bytes) -> Iterator[tuple[int, bytes]]:
    """The header extensions (type, length, data padded to 8) up to the end mark."""
    at = 0
    while at + 8 <= len(area):
        kind, length = struct.unpack_from(">II", area, at)
        if kind == EXTENSION_END:
            return
        yield kind, area[at + 8 : at + 8 + length]
        at += 8 + (length + 7) // 8 * 8
    raise Refused("its header extensions do not end")


class _Tables:
    """The tables behind a header whose own fields are sound, and which cluster holds what."""

    def __init__(self, file: BinaryIO, file_bytes: int, header: Header):
        self._file, self._file_bytes, self._header = file, file_bytes, header
        self._bits, self._cluster = header.cluster_bits, 1 << header.cluster_bits
        clusters = -(-file_bytes // self._cluster)
        if clusters > CLUSTERS_MAX:
            raise _too_much(f"{clusters} clusters of {self._cluster} bytes")
        self._held = array("H", bytes(2 * clusters))

    def check(self) -> None:
        header = self._header
        table_bytes = header.refcount_table_clusters * self._cluster
        self._hold("header", 0, header.length)
        self._hold("refcount table", header.refcount_table_offset, table_bytes)
        self._hold("L1 table", header.l1_table_offset, header.l1_size * 8)
        blocks = self._numbers(header.refcount_table_offset, table_bytes)
        for offset in filter(None, blocks):
            self._hold("refcount block", offset, self._cluster)
        l1 = self._numbers(header.l1_table_offset, header.l1_size * 8)
        tables = [entry for entry in l1 if entry]
        entries = len(tables) * _l2_entries(header)
        if entries > L2_ENTRIES_MAX:
            raise _too_much(f"{entries} entries in its L2 tables")
        for entry in tables:  # all of them before the first is read: none is read twice
            _check_reserved("L1 table", entry & _L1_RESERVED)
            self._hold("L2 table", entry & _OFFSET, self._cluster, _mark(entry))
        for entry in tables:
            self._check_l2(entry & _OFFSET)
        self._check_refcounts(blocks)

    def _check_l2(self, offset: int) -> None:
        entries = self._numbers(offset, self._cluster)
        if self._header.incompatible & EXTENDED_L2:
            for entry, parts in zip(entries[::2], entries[1::2], strict=True):
                _check_parts(entry, parts)
            entries = entries[::2]
        for entry in entries:
            if entry & _COMPRESSED:
                self._hold_compressed(entry)
            elif entry:
                _check_reserved("L2 table", entry & _L2_RESERVED)
                if entry & _OFFSET:
                    self._hold_data(entry & _OFFSET, _mark(entry))

    def _hold(self, name: str, offset: int, length: int, mark: int = _METADATA) -> None:
        if offset % self._cluster:
            raise Refused(f"its {name} is not where one can be")
        if offset + length > self._file_bytes:
            raise _beyond(name, self._file_bytes)
        first = offset >> self._bits
        for index in range(first, first + -(-length // self._cluster)):
            if self._held[index]:
                raise Refused(f"its {name} overlaps with something else")
            self._held[index] = mark

    def _hold_data(self, offset: int, mark: int) -> None:
        """The file's last cluster may be there in part."""
        if offset & (self._cluster - 1):
            raise Refused("a cluster of its disk is not where one can be")
        if offset >= self._file_bytes:
            raise _beyond("disk's content", self._file_bytes)
        index = offset >> self._bits
        if self._held[index]:
            raise Refused("a cluster of its disk overlaps with something else")
        self._held[index] = mark

    def _hold_compressed(self, entry: int) -> None:
        """Compressed clusters lie at any byte, end within a sector, and share clusters."""
        shift = 62 - (self._bits - 8)
        offset = entry & ((1 << shift) - 1)
        sectors = ((entry & (_COMPRESSED - 1)) >> shift) + 1
        end = (offset // SECTOR_BYTES + sectors) * SECTOR_BYTES
        if entry & _COPIED:
            raise Refused("a compressed cluster says that it can be written in place")
        if offset >= self._file_bytes or end - SECTOR_BYTES >= self._file_bytes:
            raise _beyond("disk's content", self._file_bytes)
        last = min(end - 1, self._file_bytes - 1)
        for index in range(offset >> self._bits, (last >> self._bits) + 1):
            if self._held[index] >= _COMPRESSED_MAX:
                raise Refused("a compressed cluster overlaps with something else")
            self._held[index] += 1

    def _check_refcounts(self, blocks: Sequence[int]) -> None:
        """A cluster that is held more often than its refcount says would be given away again."""
        order = self._header.refcount_order
        per_block = (self._cluster * 8) >> order
        for number in range(-(-len(self._held) // per_block)):
            held = self._held[number * per_block : (number + 1) * per_block]
            offset = blocks[number] if number < len(blocks) else 0
            if not offset:
                counts: Iterable[int] = bytes(len(held))
            else:
                length = -(-(len(held) << order) // 8)
                counts = _refcounts(_read(self._file, offset, length), order)
            for index, (mark, count) in enumerate(zip(held, counts, strict=False)):
                if mark and not _fits(mark, count):
                    raise Refused(
                        f"its refcounts are wrong (cluster {number * per_block + index} is in use "
                        f"and has {count}): {REPAIR}"
                    )

    def _numbers(self, offset: int, length: int) -> "array[int]":
        return _big_endian("Q", _read(self._file, offset, length))


def _mark(entry: int) -> int:
    return _OWN if entry & _COPIED else _SHARED


def _check_reserved(name: str, bits: int) -> None:
    if bits:
        raise Refused(f"an entry of its {name} has bits set that mean nothing")


def _check_parts(entry: int, parts: int) -> None:
    """Of a cluster of 32 parts: which are there (the lower half), which read as zeros."""
    there, zeros = parts & 0xFFFF_FFFF, parts >> 32
    if there & zeros or (there and not entry & _OFFSET) or (parts and entry & _COMPRESSED):
        raise Refused("an entry of its L2 table contradicts itself")


def _fits(mark: int, count: int) -> bool:
    """A refcount that is too high wastes space and does no harm."""
    if mark == _METADATA:
        return count >= 1
    if mark == _OWN:
        return count == 1
    return count >= 2 if mark == _SHARED else count >= mark


def _l2_entries(header: Header) -> int:
    """Of one L2 table, which is a cluster."""
    return (1 << header.cluster_bits) // (16 if header.incompatible & EXTENDED_L2 else 8)


def _refcounts(data: bytes, order: int) -> Sequence[int]:
    if order < 3:
        width = 1 << order
        mask = (1 << width) - 1
        return [byte >> shift & mask for byte in data for shift in range(0, 8, width)]
    return data if order == 3 else _big_endian("HIQ"[order - 4], data)


def _big_endian(kind: str, data: bytes) -> "array[int]":
    numbers = array(kind, data)
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers


def _read(file: BinaryIO, offset: int, length: int) -> bytes:
    file.seek(offset)
    data = file.read(length)
    if len(data) < length:
        raise Refused("it became shorter while it was read")
    return data


def _too_much(what: str) -> Refused:
    return Refused(f"it has {what}, more than are looked at; convert it (qemu-img convert)")
