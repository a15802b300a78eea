"""What becomes an image is told by its content; what does not is refused with what to do."""

import gzip
import io
import lzma
import os
import tarfile
import zipfile

import pytest

from cli.errors import CliError
from cli.image_files import check, disk_format
from tests.unit.qcow2_corpus import HOSTILE, disk

MBR = bytes(510) + b"\x55\xaa"
PLAIN = bytes(range(256)) * 2048  # bytes of nothing in particular


def at(place: int, mark: bytes, size: int = 65536) -> bytes:
    return (bytes(place) + mark).ljust(size, b"\0")


def packed(kind: str) -> bytes:
    whole = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(whole, "w") as archive:
            archive.writestr(zipfile.ZipInfo("disk.raw"), MBR)
    else:
        with tarfile.open(fileobj=whole, mode="w") as archive:
            member = tarfile.TarInfo("disk.vmdk")
            member.size = len(MBR)
            archive.addfile(member, io.BytesIO(MBR))
    return whole.getvalue()


@pytest.fixture
def file(tmp_path):
    def write(content: bytes):
        path = tmp_path / "disk.img"
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"QFI\xfb\0\0\0\x03" + bytes(500), "qcow2"),
        (b"QFI\xfb\0\0\0\x02" + bytes(500), "qcow2"),
        (MBR, "raw"),
        (MBR + b"EFI PART".ljust(512, b"\0"), "raw"),
        (at(512, b"EFI PART"), "raw"),
        (at(4096, b"EFI PART"), "raw"),
    ],
)
def test_disks(file, content, expected):
    assert disk_format(file(content)) == disk_format(file(content), expected) == expected


@pytest.mark.parametrize(
    ("content", "what", "what_to_do"),
    [
        (b"KDMV\1\0\0\0" + bytes(500), "a VMDK disk", "qemu-img convert -O qcow2"),
        (b"# Disk DescriptorFile\nversion=1\n", "VMDK", "qemu-img convert"),
        (at(0, b"conectix"), "a VHD disk", "qemu-img convert"),
        (MBR + bytes(512) + b"conectix" + bytes(504), "a VHD disk", "qemu-img convert"),
        (at(0, b"vhdxfile"), "a VHDX disk", "qemu-img convert"),
        (at(0x40, b"\x7f\x10\xda\xbe"), "a VDI disk", "qemu-img convert"),
        (b"QFI\xfb\0\0\0\x01" + bytes(500), "qcow disk of version 1", "qemu-img convert"),
        (at(32769, b"CD001"), "an ISO image", "--disk-format raw"),
        (MBR + at(32769 - 512, b"CD001"), "an ISO image", "--disk-format raw"),
        (gzip.compress(MBR, mtime=0), "packed by gzip", "unpack it"),
        (lzma.compress(MBR), "packed by xz", "unpack it"),
        (packed("zip"), "a zip archive", "unpack it"),
        (packed("tar"), "a tar archive", "unpack it"),
        (b"", "is empty", "cut off"),
        (b"<!DOCTYPE html>\n<title>404 Not Found</title>\n", "text, no disk", "an error page"),
        ("Größe\r\n".encode() * 400, "text, no disk", "an error page"),
        (PLAIN, "no raw one with a partition table", "--disk-format raw"),
        (bytes(1024 * 1024), "no raw one with a partition table", "--disk-format raw"),
    ],
)
def test_what_is_no_image_is_refused_with_what_to_do(file, content, what, what_to_do):
    path = file(content)
    with pytest.raises(CliError) as refused:
        disk_format(path)
    assert what in refused.value.message and what_to_do in refused.value.message
    with pytest.raises(CliError):
        disk_format(path, "qcow2")


@pytest.mark.parametrize("content", [PLAIN, at(32769, b"CD001"), bytes(512)])
def test_what_the_user_declares_to_be_raw_is(file, content):
    assert disk_format(file(content), "raw") == "raw"


@pytest.mark.parametrize(
    ("content", "declared", "says"),
    [
        (b"", "raw", "is empty"),
        (b"QFI\xfb\0\0\0\x03" + bytes(500), "raw", "is a qcow2 disk"),
        (MBR, "qcow2", "is no qcow2 disk"),
        (b"KDMV" + bytes(508), "raw", "is a VMDK disk: convert it"),
    ],
)
def test_what_is_not_as_declared(file, content, declared, says):
    with pytest.raises(CliError, match=says):
        disk_format(file(content), declared)


@pytest.mark.parametrize("what", ["internal snapshots", "data that was cut off"])
def test_what_no_guest_could_start_from_is_refused_before_it_is_sent(file, what):
    image, why = HOSTILE[what]
    path = file(image.build())
    assert disk_format(path) == "qcow2"
    with pytest.raises(CliError, match=f"cannot be used as an image: .*{why}"):
        check(path, "qcow2")
    check(file(disk().build()), "qcow2")


def test_what_cannot_be_read(tmp_path):
    with pytest.raises(CliError, match="cannot be read: No such file"):
        disk_format(tmp_path / "nothing")
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(CliError, match="is no file"):
            disk_format(path)
