"""What a file is that is to become an image: told by its content, never by its name.

    disk_format(path)            "qcow2" or "raw"; CliError says what else it is, and what to do
    disk_format(path, "raw")     the user's word for it: anything but a disk of another format

Called by cli/images before a byte is sent. The server looks at a qcow2 file more closely (whether a
guest could start from it); here what is no disk at all, or another kind of disk, is told apart.
Sources: the formats' own specifications (signatures and their places).
"""

import stat
from pathlib import Path

from cli.errors import CliError

QCOW2_VERSIONS = (2, 3)
_HEAD_BYTES = 64 * 1024  # every signature but a fixed VHD's, which is in the last 512 bytes
_CONVERT = "convert it first: `qemu-img convert -O qcow2 {file} image.qcow2`"
_DECRYPT = "decrypt it first, as by `cryptsetup`"
_UNPACK = "unpack it first, and import the disk that is in it"
# (where, what is there, what the file is, what to do)
_SIGNATURES = (
    (0, b"KDMV", "a VMDK disk", _CONVERT),
    (0, b"COWD", "a VMDK disk", _CONVERT),
    (0, b"# Disk DescriptorFile", "the description of a VMDK disk", _CONVERT),
    (0, b"conectix", "a VHD disk", _CONVERT),
    (0, b"vhdxfile", "a VHDX disk", _CONVERT),
    (0x40, b"\x7f\x10\xda\xbe", "a VDI disk", _CONVERT),
    (0, b"QED\0", "a QED disk", _CONVERT),
    (0, b"WithoutFreeSpace", "a Parallels disk", _CONVERT),
    (0, b"WithouFreSpacExt", "a Parallels disk", _CONVERT),
    (0, b"LUKS\xba\xbe", "an encrypted disk (LUKS)", _DECRYPT),
    (0, b"\x1f\x8b", "packed by gzip", _UNPACK),
    (0, b"\xfd7zXZ\0", "packed by xz", _UNPACK),
    (0, b"BZh", "packed by bzip2", _UNPACK),
    (0, b"\x28\xb5\x2f\xfd", "packed by zstd", _UNPACK),
    (0, b"\x04\x22\x4d\x18", "packed by lz4", _UNPACK),
    (0, b"PK\x03\x04", "a zip archive", _UNPACK),
    (0, b"7z\xbc\xaf\x27\x1c", "a 7z archive", _UNPACK),
    (257, b"ustar", "a tar archive (an OVA is one)", _UNPACK),
    (0, b"\x7fELF", "a program (ELF)", "import a disk"),
    (
        32769,
        b"CD001",
        "an ISO image of a CD",
        "install from it onto a disk and import that; if it is made to start from a disk too, say "
        "--disk-format raw",
    ),
)
_RAW = ((510, b"\x55\xaa"), (512, b"EFI PART"), (4096, b"EFI PART"))  # MBR, GPT


def disk_format(file: Path, declared: str | None = None) -> str:
    """Raises CliError for what cannot become an image, or is not as ``declared``."""
    head, tail = _ends(file)
    if not head:
        raise CliError(f"{file} is empty: was its download cut off?")
    if head.startswith(b"QFI\xfb"):
        return _qcow2(file, int.from_bytes(head[4:8]), declared)
    what, what_to_do = _stranger(head, tail)
    if declared == "qcow2":
        raise CliError(f"{file} is no qcow2 disk: it is {what or 'perhaps a raw one'}")
    if what and (declared is None or what_to_do in (_CONVERT, _DECRYPT)):
        raise CliError(f"{file} is {what}: {what_to_do.format(file=file)}")
    return "raw"


def _qcow2(file: Path, version: int, declared: str | None) -> str:
    if declared == "raw":
        raise CliError(f"{file} is a qcow2 disk, and a guest could not start from it as a raw one")
    if version not in QCOW2_VERSIONS:
        what_to_do = _CONVERT.format(file=file)
        raise CliError(f"{file} is a qcow disk of version {version}: {what_to_do}")
    return "qcow2"


def _stranger(head: bytes, tail: bytes) -> tuple[str, str]:
    """What the file is, and what to do; two empty texts where it is a raw disk."""
    for place, signature, what, what_to_do in _SIGNATURES:
        if head[place : place + len(signature)] == signature:
            return what, what_to_do
    if tail.startswith(b"conectix"):
        return "a VHD disk", _CONVERT
    if any(head[place : place + len(mark)] == mark for place, mark in _RAW):
        return "", ""
    if _is_text(head):
        return "text, no disk", "was an error page downloaded in its place?"
    return (
        "no qcow2 disk, and no raw one with a partition table",
        "nothing would start from it. If it is a raw disk nevertheless, say --disk-format raw",
    )


def _is_text(head: bytes) -> bool:
    try:
        text = head[:1024].decode()
    except UnicodeDecodeError as mistake:
        if mistake.start < 1020:  # else a letter may be cut in two
            return False
        text = head[: mistake.start].decode()
    return all(letter.isprintable() or letter in "\t\r\n\f" for letter in text)


def _ends(file: Path) -> tuple[bytes, bytes]:
    """The first bytes, and the last 512. Raises CliError where they cannot be read."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise CliError(
                f"{file} is no file: copy a disk into one first, as by `qemu-img convert -O qcow2`"
            )
        with file.open("rb") as content:
            head = content.read(_HEAD_BYTES)
            content.seek(max(0, file.stat().st_size - 512))
            return head, content.read(512)
    except OSError as failure:
        raise CliError(f"{file} cannot be read: {failure.strerror}") from failure
