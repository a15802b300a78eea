"""What a layer's file says of itself: its size, and what it stands on. No program is started.

    read(path) -> Header(size_bytes, backing, backing_format)

For layers that this host made; files of unknown origin are looked at by images.inspect.
protos/qcow2 reads the fields. QEMU rewrites a header in one cluster, so that a reader
sees the old one or the new one. Called by volumes.qcow2.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

from hostagent.kernel.errors import DriverError
from protos.qcow2 import EXTENSION_END, Refused, read_header

BACKING_FORMAT = 0xE2792ACA  # the header extension that names it
READ_BYTES = 1 << 16  # QEMU keeps header, extensions and the backing file's name in the first


@dataclass(frozen=True)
class Header:
    """``size_bytes`` is what a guest sees."""

    size_bytes: int
    backing: Path | None
    backing_format: str


def read(path: Path) -> Header:
    """Raises DriverError for a file that is no layer, OSError for one that is not there."""
    with open(path, "rb") as file:
        start = file.read(READ_BYTES)
    try:
        fields = read_header(start)
    except Refused as broken:
        raise DriverError(f"{path} is broken: {broken}", transient=False) from broken
    if not fields.backing_file_offset:
        return Header(fields.size, None, "")
    end = fields.backing_file_offset + fields.backing_file_size
    backing = start[fields.backing_file_offset : end].decode()
    return Header(fields.size, Path(backing), _backing_format(start[fields.length :], path))


def _backing_format(extensions: bytes, path: Path) -> str:
    at = 0
    while at + 8 <= len(extensions):
        kind, length = struct.unpack_from(">II", extensions, at)
        if kind == EXTENSION_END:
            break
        if kind == BACKING_FORMAT:
            return extensions[at + 8 : at + 8 + length].decode()
        at += 8 + (length + 7) // 8 * 8
    raise DriverError(f"{path} does not say what format it stands on", transient=False)
