"""qcow2 files built byte by byte: sound ones, and ones that each are wrong in one thing. And a
sound one that cannot be read for a while.
"""

import contextlib
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

CLUSTER_BITS = 16
CLUSTER = 1 << CLUSTER_BITS
SIZE = 1 << 20
BACKING_FORMAT, DATA_FILE_NAME, ENCRYPTION = 0xE2792ACA, 0x44415441, 0x0537BE77
OWN, COMPRESSED = 1 << 63, 1 << 62  # flags of an entry of a table


@dataclass
class Qcow2:
    """The fields of a header, and what is in the tables. ``build`` lays out in clusters: header,
    refcount table, refcounts, L1 table, and whatever is in ``more``; by default an empty disk of
    1 MiB.
    """

    magic: bytes = b"QFI\xfb"
    version: int = 3
    backing_file_offset: int = 0
    backing_file_size: int = 0
    cluster_bits: int = CLUSTER_BITS
    size: int = SIZE
    crypt_method: int = 0
    l1_size: int | None = None  # as many as the size needs
    l1_table_offset: int = 3 * CLUSTER
    refcount_table_offset: int = CLUSTER
    refcount_table_clusters: int = 1
    nb_snapshots: int = 0
    snapshots_offset: int = 0
    incompatible: int = 0
    compatible: int = 0
    autoclear: int = 0
    refcount_order: int = 4
    header_length: int = 104
    extensions: list[tuple[int, bytes]] = field(default_factory=list)
    extensions_end: bool = True
    tail: bytes = b""
    compression: int | None = None  # a byte of a longer header
    refcount_table: tuple[int, ...] = (2 * CLUSTER,)
    refcounts: tuple[int, ...] = (1, 1, 1, 1)
    l1_table: tuple[int, ...] = ()
    more: tuple[tuple[int, ...], ...] = ()  # clusters of 8-byte numbers
    clusters: int | None = None  # fewer: the file is cut off there

    def build(self) -> bytes:
        header = struct.pack(
            ">4sIQIIQIIQQIIQ",
            self.magic,
            self.version,
            self.backing_file_offset,
            self.backing_file_size,
            self.cluster_bits,
            self.size,
            self.crypt_method,
            -(-self.size // (CLUSTER * CLUSTER // 8)) if self.l1_size is None else self.l1_size,
            self.l1_table_offset,
            self.refcount_table_offset,
            self.refcount_table_clusters,
            self.nb_snapshots,
            self.snapshots_offset,
        )
        if self.version >= 3:
            header += struct.pack(
                ">QQQII",
                self.incompatible,
                self.compatible,
                self.autoclear,
                self.refcount_order,
                self.header_length if self.compression is None else 112,
            )
        if self.compression is not None:
            header += bytes([self.compression]) + bytes(7)
        for kind, content in self.extensions:
            header += struct.pack(">II", kind, len(content)) + content
            header += bytes(-len(content) % 8)
        if self.extensions_end:
            header += bytes(8)
        else:
            header += struct.pack(">II", 0x1234, 0) * ((CLUSTER - len(header)) // 8)
        header = (header + self.tail).ljust(CLUSTER, b"\0")
        refcounts = struct.pack(f">{len(self.refcounts)}H", *self.refcounts)
        tables = [_table(table) for table in (self.refcount_table, (), self.l1_table, *self.more)]
        tables[1] = refcounts.ljust(CLUSTER, b"\0")
        return b"".join([header, *tables][: self.clusters])


def _table(entries: tuple[int, ...]) -> bytes:
    return struct.pack(f">{len(entries)}Q", *entries).ljust(CLUSTER, b"\0")


def disk(*l2_table: int, refcounts: tuple[int, ...] = (1,) * 6, **fields) -> Qcow2:
    """An image with an L2 table in cluster 4 and a cluster of data in cluster 5."""
    fields.setdefault("l1_table", (OWN | 4 * CLUSTER,))
    return Qcow2(refcounts=refcounts, more=(l2_table, (0x1234,)), **fields)


def compressed(offset: int, sectors: int) -> int:
    """An L2 table's entry for a compressed cluster, of clusters of CLUSTER bytes."""
    return COMPRESSED | (sectors - 1) << 62 - (CLUSTER_BITS - 8) | offset


DATA = 5 * CLUSTER
SOUND = {
    "an empty disk": Qcow2(),
    "of version 2": Qcow2(version=2),
    "that may hold zstd": Qcow2(incompatible=1 << 3, compression=1),
    "with an extended L2 table": disk(OWN | DATA, 1, incompatible=1 << 4),
    "with data": disk(OWN | DATA),
    "with zeros that have their place": disk(OWN | DATA | 1, 1),
    "with more refcounts than it needs": disk(DATA, refcounts=(1, 1, 1, 1, 1, 2, 7)),
    "with compressed data": disk(
        compressed(DATA + 3, 1), compressed(DATA + 700, 4), refcounts=(1, 1, 1, 1, 1, 2)
    ),
}

# what -> (the file, a word of the refusal)
HOSTILE = {
    "a backing file": (Qcow2(backing_file_offset=512, backing_file_size=11), "backing file"),
    "a backing file's length only": (Qcow2(backing_file_size=11), "backing file"),
    "a backing file's format": (Qcow2(extensions=[(BACKING_FORMAT, b"raw")]), "backing file"),
    "an external data file": (Qcow2(incompatible=1 << 2), "data file"),
    "a data file's name alone": (
        Qcow2(extensions=[(DATA_FILE_NAME, b"/etc/shadow")]),
        "data file",
    ),
    "a data file after a harmless extension": (
        Qcow2(extensions=[(0x6803F857, bytes(48)), (DATA_FILE_NAME, b"/dev/sda")]),
        "data file",
    ),
    "encryption (AES)": (Qcow2(crypt_method=1), "encrypted"),
    "encryption (LUKS)": (Qcow2(crypt_method=2), "encrypted"),
    "an encryption header": (Qcow2(extensions=[(ENCRYPTION, bytes(16))]), "encryption"),
    "an unknown incompatible feature": (Qcow2(incompatible=1 << 40), "incompatible"),
    "the dirty bit": (Qcow2(incompatible=1), "not closed properly"),
    "the corrupt bit": (Qcow2(incompatible=2), "not closed properly"),
    "internal snapshots": (Qcow2(nb_snapshots=1), "snapshots"),
    "a version from the future": (Qcow2(version=4), "version"),
    "version 1": (Qcow2(version=1), "version"),
    "another magic": (Qcow2(magic=b"QFI\xfa"), "is not"),
    "raw bytes declared as qcow2": (Qcow2(magic=b"\0\0\0\0"), "is not"),
    "tiny clusters": (Qcow2(cluster_bits=8), "clusters"),
    "huge clusters": (Qcow2(cluster_bits=30), "clusters"),
    "wide refcounts": (Qcow2(refcount_order=7), "refcounts"),
    "a short header": (Qcow2(header_length=72), "header"),
    "an endless header": (Qcow2(header_length=1 << 31), "header"),
    "a size of half a sector": (Qcow2(size=SIZE + 100), "sectors"),
    "no size": (Qcow2(size=0), "sectors"),
    "a size beyond all bounds": (Qcow2(size=1 << 62, l1_size=1 << 20), "L1 table"),
    "an L1 table beyond the file": (Qcow2(l1_table_offset=400 * CLUSTER), "beyond the end"),
    "an L1 table of 16 GiB": (Qcow2(l1_size=(1 << 31)), "L1 table"),
    "an L1 table in the header": (Qcow2(l1_table_offset=0), "not where"),
    "an L1 table between clusters": (Qcow2(l1_table_offset=CLUSTER + 512), "not where"),
    "an L1 table too small": (Qcow2(size=1 << 40, l1_size=1), "too small"),
    "no refcount table": (Qcow2(refcount_table_clusters=0), "refcount table"),
    "a refcount table beyond the file": (
        Qcow2(refcount_table_offset=400 * CLUSTER),
        "beyond the end",
    ),
    "a refcount table of 256 TiB": (Qcow2(refcount_table_clusters=(1 << 32) - 1), "refcount table"),
    "extensions without end": (Qcow2(extensions_end=False), "do not end"),
    "a cut file": (Qcow2(clusters=2), "beyond the end"),
    "a compression of another kind": (Qcow2(incompatible=1 << 3, compression=2), "compression"),
    "a compression that is not said": (Qcow2(compression=1), "compression"),
    "a snapshot table between clusters": (Qcow2(snapshots_offset=7), "snapshot table"),
    "refcounts of zero": (disk(OWN | DATA, refcounts=()), "refcounts are wrong .cluster 0 "),
    "a refcount of zero": (disk(OWN | DATA, refcounts=(1, 1, 1, 1, 1)), "cluster 5 is in use"),
    "no refcounts": (disk(OWN | DATA, refcount_table=()), "refcounts are wrong"),
    "refcounts beyond the file": (disk(refcount_table=(99 * CLUSTER,)), "beyond the end"),
    "refcounts between clusters": (disk(refcount_table=(2 * CLUSTER + 8,)), "not where"),
    "refcounts that are the header": (disk(refcount_table=(2 * CLUSTER, 4 * CLUSTER)), "overlaps"),
    "a refcount table in the header": (Qcow2(l1_table_offset=CLUSTER), "overlaps"),
    "an L2 table beyond the file": (disk(l1_table=(OWN | 9 * CLUSTER,)), "L2 table lies beyond"),
    "an L2 table that is the L1 table": (disk(l1_table=(OWN | 3 * CLUSTER,)), "overlaps"),
    "one L2 table twice": (disk(size=1 << 30, l1_table=(OWN | 4 * CLUSTER,) * 2), "overlaps"),
    "an entry of the L1 table that is none": (disk(l1_table=(OWN | 4 * CLUSTER | 1 << 56,)), "L1"),
    "an entry of an L2 table that is none": (disk(OWN | DATA | 2), "mean nothing"),
    "data beyond the file": (disk(OWN | 6 * CLUSTER), "content lies beyond"),
    "data that was cut off": (disk(OWN | DATA, clusters=5), "content lies beyond"),
    "data between clusters": (disk(OWN | DATA - 512), "not where"),
    "data that is a table": (disk(OWN | 3 * CLUSTER), "overlaps"),
    "one cluster twice": (disk(OWN | DATA, OWN | DATA), "overlaps"),
    "a shared cluster that is said to be its own": (
        disk(OWN | DATA, refcounts=(1, 1, 1, 1, 1, 2)),
        "refcounts are wrong",
    ),
    "its own cluster that is said to be shared": (disk(DATA), "refcounts are wrong"),
    "compressed data beyond the file": (disk(compressed(6 * CLUSTER, 1)), "content lies beyond"),
    "compressed data that was cut off": (
        disk(compressed(DATA + CLUSTER - 512, 2)),
        "content lies beyond",
    ),
    "compressed data in a table": (disk(compressed(4 * CLUSTER + 99, 1)), "overlaps"),
    "compressed data counted too low": (
        disk(compressed(DATA, 1), compressed(DATA + 600, 1)),
        "cluster 5 is in use and has 1",
    ),
    "compressed data to be written in place": (disk(OWN | compressed(DATA, 1)), "in place"),
    "parts of a cluster that is not there": (disk(0, 1, incompatible=1 << 4), "contradicts"),
    "parts that are there and zeros": (
        disk(OWN | DATA, 1 << 32 | 1, incompatible=1 << 4),
        "contradicts",
    ),
}


@contextlib.contextmanager
def broken(path: Path) -> Iterator[None]:
    """Whoever opens the file meanwhile cannot read what it holds: its tables are nowhere."""
    with open(path, "r+b", buffering=0) as file:
        (first_table,) = struct.unpack(">Q", os.pread(file.fileno(), 8, 40))
        kept = os.pread(file.fileno(), 8, first_table)
        os.pwrite(file.fileno(), struct.pack(">Q", 1 << 63 | 512), first_table)
        yield
        os.pwrite(file.fileno(), kept, first_table)
