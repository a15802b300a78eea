"""What a layer's file says of itself: its size, and what it stands on. No program is started.

    read(path) -> Header(size_bytes, backing, backing_format)

For layers that this host made; files of unknown origin are looked at by images.inspect.
protos/qcow2 reads both. QEMU rewrites a header in one cluster, so that a reader
sees the old one or the new one. Called by volumes.qcow2.
"""

from dataclasses import dataclass
from pathlib import Path

from hostagent.kernel.errors import DriverError
from protos.qcow2 import Refused, backing_of, read_header

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
        size_bytes, (backing, backing_format) = read_header(start).size, backing_of(start)
    except Refused as broken:
        raise DriverError(f"{path} is broken: {broken}", transient=False) from broken
    return Header(size_bytes, Path(backing) if backing else None, backing_format)
