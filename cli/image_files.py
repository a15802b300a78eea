"""Recognises the format of an image file by its content, never by its name.

    disk_format(path)            "qcow2" or "raw"; CliError says what else it is, and what to do
    disk_format(path, "raw")     the user's word for it: anything but a disk of another format
    check(path, "qcow2")         CliError where no guest could start from it: the server's own look

Called by cli/images before a byte is sent.
"""

import stat
from pathlib import Path

from cli.errors import CliError
from protos import disk_files

QCOW2_VERSIONS = (2, 3)
_HEAD_BYTES = 8 * 1024  # where a partition table begins
_CONVERT = "convert it first: `qemu-img convert -O qcow2 {file} image.qcow2`"
_DECRYPT = "decrypt it first, as by `cryptsetup`"
_UNPACK = "unpack it first, and import the disk that is in it"
# What protos/disk_files calls it -> what the file is, what to do
_FOREIGN = {
    "vmdk": ("a VMDK disk", _CONVERT),
    "vhd": ("a VHD disk", _CONVERT),
    "vhdx": ("a VHDX disk", _CONVERT),
    "vdi": ("a VDI disk", _CONVERT),
    "qed": ("a QED disk", _CONVERT),
    "parallels": ("a Parallels disk", _CONVERT),
    "luks": ("an encrypted disk (LUKS)", _DECRYPT),
    **{kind: (f"packed by {kind}", _UNPACK) for kind in ("gzip", "xz", "bzip2", "zstd", "lz4")},
    **{kind: (f"a {kind} archive", _UNPACK) for kind in ("zip", "7z", "rar", "cpio")},
    "tar": ("a tar archive (an OVA is one)", _UNPACK),
    "elf": ("a program (ELF)", "import a disk"),
    "text": ("text, no disk", "was an error page downloaded in its place?"),
    "iso": (
        "an ISO image of a CD",
        "install from it onto a disk and import that; if it is made to start from a disk too, say "
        "--disk-format raw",
    ),
}
_RAW = ((510, b"\x55\xaa"), (512, b"EFI PART"), (4096, b"EFI PART"))  # MBR, GPT


def disk_format(file: Path, declared: str | None = None) -> str:
    """Raises CliError for what cannot become an image, or is not as ``declared``."""
    head, kind = _look(file)
    if not head:
        raise CliError(f"{file} is empty: was its download cut off?")
    if kind == "qcow2":
        return _qcow2(file, int.from_bytes(head[4:8]), declared)
    what, what_to_do = _foreign(head, kind)
    if declared == "qcow2":
        raise CliError(f"{file} is no qcow2 disk: it is {what or 'perhaps a raw one'}")
    if what and (declared is None or what_to_do in (_CONVERT, _DECRYPT)):
        raise CliError(f"{file} is {what}: {what_to_do.format(file=file)}")
    return "raw"


def check(file: Path, disk_format: str) -> None:
    """Raises CliError for what the server would refuse only after the upload."""
    try:
        with file.open("rb") as content:
            disk_files.inspect(content, disk_format)
    except disk_files.Refused as why:
        raise CliError(f"{file} cannot be used as an image: {why}") from why
    except OSError as failure:
        raise _unreadable(file, failure) from failure


def _qcow2(file: Path, version: int, declared: str | None) -> str:
    if declared == "raw":
        raise CliError(f"{file} is a qcow2 disk, and a guest could not start from it as a raw one")
    if version not in QCOW2_VERSIONS:
        what_to_do = _CONVERT.format(file=file)
        raise CliError(f"{file} is a qcow disk of version {version}: {what_to_do}")
    return "qcow2"


def _foreign(head: bytes, kind: str) -> tuple[str, str]:
    """What the file is, and what to do; two empty texts where it is a raw disk."""
    if kind:
        return _FOREIGN.get(kind, (f"no disk ({kind})", "import a disk"))
    if any(head[place : place + len(mark)] == mark for place, mark in _RAW):
        return "", ""
    return (
        "no qcow2 disk, and no raw one with a partition table",
        "nothing would start from it. If it is a raw disk nevertheless, say --disk-format raw",
    )


def _look(file: Path) -> tuple[bytes, str]:
    """The first bytes, and what the file evidently is. Raises CliError where it cannot be read."""
    try:
        if not stat.S_ISREG(file.stat().st_mode):
            raise CliError(
                f"{file} is no file: copy a disk into one first, as by `qemu-img convert -O qcow2`"
            )
        with file.open("rb") as content:
            return content.read(_HEAD_BYTES), disk_files.foreign(content)
    except OSError as failure:
        raise _unreadable(file, failure) from failure


def _unreadable(file: Path, failure: OSError) -> CliError:
    return CliError(f"{file} cannot be read: {failure.strerror}")
