"""What a disk file says of itself: format, virtual size, and whether it is safe. Pure.

Called by controller/storage/images/store while a file comes in. Formats are declared by the caller
and checked here against the bytes, never guessed: a raw disk whose first bytes are a qcow2 header
written by a hostile guest is refused as raw, and nothing that points at another file (backing file,
external data file, encryption, an unknown incompatible feature) comes into the store
(CVE-2024-32498, CVE-2026-24708). The host agent looks again, with qemu-img, before it uses a file.

Source: QEMU's docs/interop/qcow2.txt, "Header" and "Header extensions".
"""

import struct
from dataclasses import dataclass

from protos.errors import CloudError, Kind

MAGIC = b"QFI\xfb"
HEAD_BYTES = 64 * 1024  # the header lies in the first cluster; extensions beyond this are refused
_VERSION_2_BYTES = 72
_VERSION_3_BYTES = 104
_HEADER = struct.Struct(">4sIQIIQIIQQIIQ")  # magic … snapshots_offset
_FEATURES = struct.Struct(">QQQII")
_DIRTY, _CORRUPT, _DATA_FILE, _COMPRESSION_TYPE, _EXTENDED_L2 = 1, 2, 4, 8, 16
_KNOWN_INCOMPATIBLE = _COMPRESSION_TYPE | _EXTENDED_L2
_EXTENSION_END, _EXTENSION_DATA_FILE = 0, 0x44415441
_VIRTUAL_SIZE_MAX = 64 << 40
DISK_FORMATS = ("qcow2", "raw")
# First bytes of what is a disk in another format: refused as "raw", for a tool that probes would
# read it as that.
_FOREIGN = {
    MAGIC: "qcow2",
    b"KDMV": "vmdk",
    b"# Disk DescriptorFile": "vmdk",
    b"conectix": "vhd",
    b"vhdxfile": "vhdx",
    b"QED\0": "qed",
    b"LUKS\xba\xbe": "luks",
    b"<<< ": "vdi",
}
_SECTOR_BYTES = 512


@dataclass(frozen=True)
class DiskFile:
    disk_format: str
    virtual_size_bytes: int


def inspect(head: bytes, disk_format: str, size_bytes: int) -> DiskFile:
    """What the file is that begins with ``head`` (HEAD_BYTES, or all of it). Raises INVALID.

    ``disk_format`` is the declared one, "qcow2" or "raw"; ``size_bytes`` is the file's length.
    """
    if disk_format == "qcow2":
        return DiskFile("qcow2", _virtual_size_of_qcow2(head, size_bytes))
    if disk_format != "raw":
        raise refused(f"Disk format '{disk_format}' is not one of {', '.join(DISK_FORMATS)}")
    for magic, name in _FOREIGN.items():
        if head.startswith(magic):
            raise refused(f"The file was declared to be raw but begins as {name} does")
    if size_bytes == 0 or size_bytes % _SECTOR_BYTES:
        raise refused(f"A raw disk is a whole number of {_SECTOR_BYTES}-byte sectors")
    return DiskFile("raw", size_bytes)


def refused(message: str) -> CloudError:
    return CloudError(Kind.INVALID, message, noun="image")


def _virtual_size_of_qcow2(head: bytes, size_bytes: int) -> int:
    if len(head) < _VERSION_2_BYTES or not head.startswith(MAGIC):
        raise refused("The file was declared to be qcow2 but has no qcow2 header")
    (
        _,
        version,
        backing_offset,
        backing_size,
        cluster_bits,
        virtual_size,
        crypt,
        l1_entries,
        *_,
    ) = _HEADER.unpack_from(head)
    if version not in (2, 3):
        raise refused(f"qcow2 version {version} is not known")
    if backing_offset or backing_size:
        raise refused("The image has a backing file; flatten it first (qemu-img convert)")
    if crypt:
        raise refused("The image is encrypted")
    if not 9 <= cluster_bits <= 21:
        raise refused(f"The image's cluster size (2^{cluster_bits}) is out of range")
    if not 0 < virtual_size <= _VIRTUAL_SIZE_MAX:
        raise refused("The image's virtual size is zero or beyond 64 TiB")
    if l1_entries * 8 > size_bytes:
        raise refused("The image's header does not fit its length")
    if version == 3:
        _check_version_3(head)
    return virtual_size


def _check_version_3(head: bytes) -> None:
    if len(head) < _VERSION_3_BYTES:
        raise refused("The image's header is cut short")
    incompatible, _, _, _, header_length = _FEATURES.unpack_from(head, _VERSION_2_BYTES)
    if incompatible & _DATA_FILE:
        raise refused("The image keeps its data in another file")
    if incompatible & _CORRUPT:
        raise refused("The image is marked as corrupt")
    if incompatible & _DIRTY:
        raise refused("The image was not closed cleanly; repair it first (qemu-img check -r all)")
    if incompatible & ~_KNOWN_INCOMPATIBLE:
        raise refused("The image needs features that are not known here")
    if not _VERSION_3_BYTES <= header_length <= len(head) or header_length % 8:
        raise refused("The image's header has an impossible length")
    _check_extensions(head, header_length)


def _check_extensions(head: bytes, offset: int) -> None:
    while offset + 8 <= len(head):
        kind, length = struct.unpack_from(">II", head, offset)
        if kind == _EXTENSION_END:
            return
        if kind == _EXTENSION_DATA_FILE:
            raise refused("The image names another file for its data")
        offset += 8 + (length + 7) // 8 * 8
    raise refused("The image's header extensions have no end")
