"""Whether a file is the disk that it is declared to be, and what it evidently is otherwise.

    found = inspect(file, "qcow2")        DiskFile(disk_format, virtual_size_bytes); raises Refused
    found = declared(file, "raw")         the same, of a raw file without a look at its content
    disk_format = format_of(start)        qcow2 where it begins as one, else raw
    word = foreign(file)                  "gzip", "vmdk", "text" ...: another kind of file; "" else

Formats are declared and checked against the bytes, never guessed: a raw disk whose first bytes are
a qcow2 header that a hostile guest wrote is refused as raw, and nothing that points at another file
passes (CVE-2024-32498, CVE-2026-24708). ``file`` is open for reading and can seek; a few sectors of
it are read, and of a qcow2 file its tables (protos/qcow2).

Used by the controller's store, the host agent's image cache and the CLI. Pure.
"""

import os
from dataclasses import dataclass
from typing import BinaryIO

from protos import qcow2
from protos.qcow2 import SECTOR_BYTES
from protos.qcow2 import Refused as Refused

DISK_FORMATS = ("qcow2", "raw")
_START_BYTES = 34 * 1024  # up to an ISO 9660 file system's first descriptor
_BOOT_SIGNATURE = b"\x55\xaa"
# What other files have at (offset): refused as raw, for they are no disks, or disks that a tool
# which probes would read as something else.
_MARKS = (
    (0, qcow2.MAGIC, "qcow2"),
    (0, b"KDMV", "vmdk"),
    (0, b"COWD", "vmdk"),
    (0, b"# Disk DescriptorFile", "vmdk"),
    (0, b"conectix", "vhd"),
    (0, b"vhdxfile", "vhdx"),
    (0, b"QED\0", "qed"),
    (0, b"LUKS\xba\xbe", "luks"),
    (0, b"<<< ", "vdi"),
    (64, b"\x7f\x10\xda\xbe", "vdi"),
    (0, b"WithoutFreeSpace", "parallels"),
    (0, b"WithouFreSpacExt", "parallels"),
    (0, b"\x1f\x8b", "gzip"),
    (0, b"\xfd7zXZ\0", "xz"),
    (0, b"BZh", "bzip2"),
    (0, b"\x28\xb5\x2f\xfd", "zstd"),
    (0, b"\x04\x22\x4d\x18", "lz4"),
    (0, b"LZIP", "lzip"),
    (0, b"PK\3\4", "zip"),
    (0, b"7z\xbc\xaf\x27\x1c", "7z"),
    (0, b"Rar!\x1a\x07", "rar"),
    (257, b"ustar", "tar"),
    (0, b"070701", "cpio"),
    (0, b"!<arch>\n", "deb"),
    (0, b"\x7fELF", "elf"),
    (0, b"%PDF-", "pdf"),
    (32_769, b"CD001", "iso"),
)
_TEXT_BYTES = 1024


@dataclass(frozen=True)
class DiskFile:
    disk_format: str  # qcow2 | raw
    virtual_size_bytes: int  # what a guest sees


def inspect(file: BinaryIO, disk_format: str) -> DiskFile:
    """What the file is, which is declared as ``disk_format``. Raises Refused, OSError."""
    found = declared(file, disk_format)
    if disk_format == "raw":
        _check_raw(file, found.virtual_size_bytes)
    return found


def declared(file: BinaryIO, disk_format: str) -> DiskFile:
    """What the file is if it is what it is declared as. Raises Refused, OSError.

    A raw file is taken as it is: the host agent has it from a store that looked at its content.
    """
    size_bytes = file.seek(0, os.SEEK_END)
    if not size_bytes:
        raise Refused("it is empty")
    if disk_format == "qcow2":
        return DiskFile("qcow2", qcow2.check(file, size_bytes).size)
    if disk_format != "raw":
        raise Refused(f"its format is declared as {disk_format!r}, not raw or qcow2")
    return DiskFile("raw", size_bytes)


def format_of(start: bytes) -> str:
    """For who is not told the format: decided once, and declared from then on."""
    return "qcow2" if start.startswith(qcow2.MAGIC) else "raw"


def foreign(file: BinaryIO) -> str:
    """What the file evidently is, other than a raw disk: a word for it, or ""."""
    size_bytes = file.seek(0, os.SEEK_END)
    file.seek(0)
    start = file.read(_START_BYTES)
    for offset, mark, word in _MARKS:
        if start.startswith(mark, offset):
            return word
    if _is_text(start[:_TEXT_BYTES]):
        return "text"
    file.seek(max(0, size_bytes - SECTOR_BYTES))
    return "vhd" if file.read(8) == b"conectix" else ""  # a fixed one says it at its end only


def _check_raw(file: BinaryIO, size_bytes: int) -> None:
    word = foreign(file)
    if word and not (word == "iso" and _boots(file)):  # some ISO images are made to be disks, too
        raise Refused(f"it is declared as raw and begins as {word} does")
    if size_bytes % SECTOR_BYTES:
        raise Refused(
            f"its {size_bytes} bytes are no whole number of {SECTOR_BYTES}-byte sectors, as a raw "
            "disk's are: it may be cut off, or something else"
        )


def _boots(file: BinaryIO) -> bool:
    file.seek(SECTOR_BYTES - 2)
    return file.read(2) == _BOOT_SIGNATURE


def _is_text(start: bytes) -> bool:
    """UTF-8 that can be printed; its last letter may be cut in two."""
    try:
        text = start.decode()
    except UnicodeDecodeError as mistake:
        if mistake.start < len(start) - 3:
            return False
        text = start[: mistake.start].decode()
    return bool(text) and all(letter.isprintable() or letter in "\t\r\n\f" for letter in text)
