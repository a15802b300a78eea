"""The parts of the demo image that are plain bytes, and its guest's scripts."""

import gzip
import struct
import subprocess
from pathlib import Path

import pytest

from cli.demo_image import contents, disk
from cli.demo_image.build import work_folder
from cli.demo_image.debian import BuildError, Sysroot

SCRIPTS = [
    path
    for path in sorted(contents.GUEST.rglob("*"))
    if path.is_file() and path.read_bytes()[:2] == b"#!"
]


@pytest.fixture
def sysroot(tmp_path) -> Sysroot:
    files = {
        "usr/bin/busybox": b"busybox",
        "usr/lib/grub/i386-pc/boot.img": b"\xeb" * 512,
        **{f"usr/lib/modules/6.1/kernel/{name}.ko": name.encode() for name in contents.MODULES},
    }
    for name, content in files.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return Sysroot(tmp_path)


def entries(archive: bytes) -> dict[str, tuple[int, bytes]]:
    """Of a "newc" archive: name -> (mode, content)."""
    found, at = {}, 0
    while True:
        assert archive[at : at + 6] == b"070701"
        numbers = [int(archive[at + 6 + 8 * i : at + 14 + 8 * i], 16) for i in range(13)]
        mode, size, name_size = numbers[1], numbers[6], numbers[11]
        name = archive[at + 110 : at + 110 + name_size - 1].decode()
        start = at + 110 + name_size + -(110 + name_size) % 4
        if name == "TRAILER!!!":
            return found
        found[name] = (mode, archive[start : start + size])
        at = start + size + -size % 4


def test_the_initramfs_holds_what_its_init_needs(sysroot):
    found = entries(gzip.decompress(contents.make_initramfs(sysroot, "6.1")))
    assert found["init"][0] == 0o100755
    assert found["bin/busybox"] == (0o100755, b"busybox")
    order = found["modules/order"][1].decode().split()
    assert order.index("virtio_ring") < order.index("virtio") < order.index("virtio_blk")
    assert {f"modules/{name}.ko" for name in order} <= set(found)
    assert found["modules"][0] == 0o040755


def test_a_missing_module_is_said(tmp_path):
    with pytest.raises(BuildError, match="no module virtio_ring"):
        contents.make_initramfs(Sysroot(tmp_path), "6.1")


def test_the_boot_sector_has_one_bootable_linux_partition(sysroot):
    sector = disk._boot_sector(sysroot, 64 * disk.MIB)
    assert len(sector) == 512 and sector[510:] == b"\x55\xaa"
    flag, _, kind, _, start, size = struct.unpack_from("<B3sB3sII", sector, 446)
    assert (flag, kind, start, size) == (0x80, 0x83, 2048, 64 * 2048)
    # Where the guest's init writes the partition's new length.
    assert struct.unpack_from("<I", sector, 458)[0] == size


@pytest.mark.parametrize("path", SCRIPTS, ids=lambda path: str(path.relative_to(contents.GUEST)))
def test_the_guests_scripts_are_shell(path: Path):
    done = subprocess.run(["sh", "-n", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_a_killed_build_left_goes_with_the_next(tmp_path):
    (tmp_path / "build-killed").mkdir()
    (tmp_path / "build-killed" / "disk.qcow2").write_bytes(b"half")
    (tmp_path / "pileus-demo-0.qcow2").write_bytes(b"whole")
    with work_folder(tmp_path) as mine, work_folder(tmp_path) as theirs:
        assert mine.exists() and theirs.exists() and mine != theirs
        assert not (tmp_path / "build-killed").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["pileus-demo-0.qcow2"]
