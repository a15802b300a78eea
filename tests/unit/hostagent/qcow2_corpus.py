"""qcow2 files built byte by byte: a sound one, and hostile ones that each lie about one thing. And
a sound one that cannot be read for a while.
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


@dataclass
class Qcow2:
    """The fields of a header; ``build`` lays out an empty image of 1 MiB around them."""

    magic: bytes = b"QFI\xfb"
    version: int = 3
    backing_file_offset: int = 0
    backing_file_size: int = 0
    cluster_bits: int = CLUSTER_BITS
    size: int = SIZE
    crypt_method: int = 0
    l1_size: int = 1
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
    clusters: int = 4

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
            self.l1_size,
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
                self.header_length,
            )
        for kind, content in self.extensions:
            header += struct.pack(">II", kind, len(content)) + content
            header += bytes(-len(content) % 8)
        if self.extensions_end:
            header += bytes(8)
        else:
            header += struct.pack(">II", 0x1234, 0) * ((CLUSTER - len(header)) // 8)
        header = (header + self.tail).ljust(CLUSTER, b"\0")
        refcount_table = struct.pack(">Q", 2 * CLUSTER).ljust(CLUSTER, b"\0")
        refcounts = struct.pack(">4H", 1, 1, 1, 1).ljust(CLUSTER, b"\0")
        l1_table = bytes(CLUSTER)
        return (header + refcount_table + refcounts + l1_table)[: self.clusters * CLUSTER]


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
    "no size": (Qcow2(size=0), "between"),
    "a size beyond the limit": (Qcow2(size=1 << 62, l1_size=1 << 20), "L1 table"),
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
