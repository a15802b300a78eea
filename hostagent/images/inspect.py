"""Whether an image file may be used: strictly what it was declared to be, and nothing that reaches
outside of itself.

    inspect(path, "qcow2", max_virtual_bytes, run) -> virtual size in bytes

A qcow2 header can name a backing file or a data file (any file of the host), claim a size or tables
that make QEMU eat the memory, or carry features that an older QEMU reads wrongly: the header is
checked here before any program opens the file, then qemu-img looks at the rest within limits of
memory and time. The format is never probed: raw is raw, whatever its first bytes say
(docs/interop/qcow2.txt in QEMU's source is the format's reference). Called by the cache, once a
file.
"""

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hostagent.drivers import DriverError
from hostagent.shell import Limits, Result

MAGIC = b"QFI\xfb"
HEADER_V2 = struct.Struct(">4sIQIIQIIQQIIQ")
HEADER_V3 = struct.Struct(">QQQII")  # follows version 2's
V2_LENGTH = 72
V3_LENGTH = 104

DIRTY, CORRUPT, DATA_FILE, COMPRESSION_TYPE, EXTENDED_L2 = (1 << bit for bit in range(5))
ALLOWED_INCOMPATIBLE = COMPRESSION_TYPE | EXTENDED_L2
EXTENSION_END = 0
FORBIDDEN_EXTENSIONS = {
    0xE2792ACA: "a backing file",
    0x44415441: "an external data file",
    0x0537BE77: "encryption",
}
MAX_L1_BYTES = 32 * 1024 * 1024  # QEMU's own bound
MAX_REFCOUNT_TABLE_BYTES = 8 * 1024 * 1024  # QEMU's own bound
QEMU_IMG_LIMITS = Limits(memory_mib=1024, cpu_s=60)
QEMU_IMG_TIMEOUT_S = 300.0
LEAKS_ONLY = 3  # qemu-img check: space is wasted, nothing is wrong


class Refused(DriverError):
    """The file may not be used, now or ever."""

    def __init__(self, why: str):
        super().__init__(f"the image may not be used: {why}", transient=False)


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
    incompatible: int
    refcount_order: int
    length: int


def inspect(
    path: Path, disk_format: str, max_virtual_bytes: int, run: Callable[..., Result]
) -> int:
    """The image's virtual size. Raises Refused, or CommandError where qemu-img cannot be run."""
    file_bytes = path.stat().st_size
    if disk_format == "raw":
        size = file_bytes
    elif disk_format == "qcow2":
        with open(path, "rb") as file:
            size = check_header(file.read(1 << 21), file_bytes)
    else:
        raise Refused(f"its format is declared as {disk_format!r}, not raw or qcow2")
    if not 0 < size <= max_virtual_bytes:
        raise Refused(f"its disk of {size} bytes is not between 1 and {max_virtual_bytes}")
    if disk_format == "qcow2":
        check_with_qemu(path, size, run)
    return size


def check_header(start: bytes, file_bytes: int) -> int:
    """The virtual size that a sound qcow2 header states. ``start`` holds the first cluster at least
    (2 MiB, or the file). Pure; raises Refused.
    """
    header = read_header(start)
    cluster = 1 << header.cluster_bits
    if header.backing_file_offset or header.backing_file_size:
        raise Refused("it names a backing file")
    if header.crypt_method:
        raise Refused("it is encrypted")
    if header.snapshots:
        raise Refused("it holds internal snapshots")
    _check_features(header.incompatible)
    if header.size % 512:
        raise Refused("its size is no number of sectors")
    _check_table(
        "L1 table", header.l1_table_offset, header.l1_size * 8, MAX_L1_BYTES, cluster, file_bytes
    )
    entries = cluster // (16 if header.incompatible & EXTENDED_L2 else 8)
    if header.l1_size < -(-header.size // (cluster * entries)):
        raise Refused("its L1 table is too small for its size")
    _check_table(
        "refcount table",
        header.refcount_table_offset,
        header.refcount_table_clusters * cluster,
        MAX_REFCOUNT_TABLE_BYTES,
        cluster,
        file_bytes,
    )
    if not header.refcount_table_clusters:
        raise Refused("it has no refcount table")
    _check_extensions(start[header.length : cluster])
    return header.size


def read_header(start: bytes) -> Header:
    """The header as it stands, of a version and a cluster size that exist. Raises Refused."""
    if len(start) < V2_LENGTH or start[:4] != MAGIC:
        raise Refused("it is declared as qcow2 and is not")
    (
        _,
        version,
        backing_offset,
        backing_size,
        cluster_bits,
        size,
        crypt,
        l1_size,
        l1_offset,
        refcount_offset,
        refcount_clusters,
        snapshots,
        _,
    ) = HEADER_V2.unpack_from(start)
    incompatible, refcount_order, length = 0, 4, V2_LENGTH
    if version == 3 and len(start) >= V3_LENGTH:
        incompatible, _, _, refcount_order, length = HEADER_V3.unpack_from(start, V2_LENGTH)
        if not V3_LENGTH <= length <= 4096 or length % 8:
            raise Refused(f"its header is {length} bytes long")
    elif version != 2:
        raise Refused(f"its version is {version}, not 2 or 3")
    if not 9 <= cluster_bits <= 21:
        raise Refused(f"its clusters are of 2^{cluster_bits} bytes, not 2^9 to 2^21")
    if refcount_order > 6:
        raise Refused(f"its refcounts are of 2^{refcount_order} bits, not 2^0 to 2^6")
    return Header(
        version,
        backing_offset,
        backing_size,
        cluster_bits,
        size,
        crypt,
        l1_size,
        l1_offset,
        refcount_offset,
        refcount_clusters,
        snapshots,
        incompatible,
        refcount_order,
        length,
    )


def check_with_qemu(path: Path, size: int, run: Callable[..., Result]) -> None:
    """qemu-img's opinion of the tables behind the header, and that it reads the header as we do."""
    told = run(
        ["qemu-img", "info", "-f", "qcow2", "--output=json", path],
        limits=QEMU_IMG_LIMITS,
        timeout_s=QEMU_IMG_TIMEOUT_S,
        accept=range(256),
    )
    if told.returncode:
        raise Refused(f"qemu-img cannot read it: {told.stderr.strip()[-500:]}")
    info = json.loads(told.stdout)
    data_file = info.get("format-specific", {}).get("data", {}).get("data-file")
    if "backing-filename" in info or data_file or info.get("encrypted"):
        raise Refused("qemu-img finds a backing file, a data file or encryption in it")
    if info.get("virtual-size") != size:
        raise Refused("qemu-img reads another size from it")
    checked = run(
        ["qemu-img", "check", "-f", "qcow2", path],
        limits=QEMU_IMG_LIMITS,
        timeout_s=QEMU_IMG_TIMEOUT_S,
        accept=range(256),
    )
    if checked.returncode not in (0, LEAKS_ONLY):
        said = (checked.stderr.strip() or checked.stdout.strip())[-500:]
        raise Refused(f"qemu-img finds it broken: {said}")


def _check_features(incompatible: int) -> None:
    if incompatible & DATA_FILE:
        raise Refused("it names an external data file")
    if incompatible & (DIRTY | CORRUPT):
        raise Refused("it was not closed properly or is corrupt: repair it with qemu-img check -r")
    if incompatible & ~ALLOWED_INCOMPATIBLE:
        raise Refused(f"it has incompatible features {incompatible:#x}")


def _check_table(
    name: str, offset: int, length: int, most: int, cluster: int, file_bytes: int
) -> None:
    if length > most:
        raise Refused(f"its {name} of {length} bytes is larger than {most}")
    if offset % cluster or (length and not offset):
        raise Refused(f"its {name} is not where one can be")
    if offset + length > file_bytes:
        raise Refused(f"its {name} lies beyond the end of the file")


def _check_extensions(area: bytes) -> None:
    """Walks the header extensions (type, length, data padded to 8) up to the end mark."""
    at = 0
    while at + 8 <= len(area):
        kind, length = struct.unpack_from(">II", area, at)
        if kind == EXTENSION_END:
            return
        if kind in FORBIDDEN_EXTENSIONS:
            raise Refused(f"it names {FORBIDDEN_EXTENSIONS[kind]}")
        at += 8 + (length + 7) // 8 * 8
    raise Refused("its header extensions do not end")
