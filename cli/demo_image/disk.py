"""A root tree becomes a bootable disk: ext4 by ``mke2fs -d``, GRUB by ``grub-mkimage``, no mount.

Called by ``build``.

    byte 0        512                     1 MiB
    | MBR, boot.img | core.img (GRUB) ... | ext4, labelled pileus-root, to the end |
"""

import os
import stat
import struct
import subprocess
from pathlib import Path
from typing import BinaryIO

from cli.demo_image.debian import BuildError, Sysroot

SECTOR = 512
PARTITION_START = 2048  # sectors; 1 MiB, where every partitioning tool begins
MIB = 1024 * 1024
ROOM_BYTES = 24 * MIB  # beside the content, for the journal and a guest that writes before it grows

GRUB_MODULES = ("biosdisk", "part_msdos", "ext2", "normal", "configfile", "linux", "boot")
MKE2FS_CONFIGURATION = """\
[defaults]
 base_features = sparse_super,large_file,filetype,resize_inode,dir_index,ext_attr
[fs_types]
 ext4 = {
  features = has_journal,extent,huge_file,flex_bg,uninit_bg,dir_nlink,extra_isize
  inode_size = 256
 }
"""


def make_disk(sysroot: Sysroot, root: Path, work: Path, target: Path) -> None:
    """Writes ``target``, a compressed qcow2; ``work`` takes what is made on the way."""
    size = _partition_size(root)
    file_system = work / "root.ext4"
    _make_file_system(sysroot, root, work, file_system, size)
    raw = work / "disk.raw"
    with raw.open("wb") as disk:
        disk.truncate(PARTITION_START * SECTOR + size)
        disk.write(_boot_sector(sysroot, size))
        disk.write(_boot_loader(sysroot, work))
        disk.seek(PARTITION_START * SECTOR)
        _copy_sparse(file_system, disk)
    _convert(raw, target)


def _partition_size(root: Path) -> int:
    content = sum(
        -(-path.lstat().st_size // 4096) * 4096
        for path in root.rglob("*")
        if path.is_file() and not path.is_symlink()
    )
    return -(-(content + ROOM_BYTES) // MIB) * MIB


def _make_file_system(sysroot: Sysroot, root: Path, work: Path, target: Path, size: int) -> None:
    # Else mke2fs would take this machine's configuration, with features that GRUB may not read.
    configuration = work / "mke2fs.conf"
    configuration.write_text(MKE2FS_CONFIGURATION)
    with target.open("wb") as file:
        file.truncate(size)
    blocks_at_most = (
        1024 * 1024 * MIB // 4096
    )  # 1 TiB: room for the tables of a disk that grew so large
    sysroot.run(
        "usr/sbin/mke2fs",
        *("-q", "-F", "-t", "ext4", "-b", "4096", "-m", "0", "-L", "pileus-root"),
        *("-E", f"root_owner=0:0,resize={blocks_at_most}", "-d", root, target),
        MKE2FS_CONFIG=str(configuration),
    )
    _give_to_root(sysroot, root, work, target)


def _give_to_root(sysroot: Sysroot, root: Path, work: Path, file_system: Path) -> None:
    """mke2fs keeps the builder's ownership; all is root's until the guest's first boot."""
    if os.getuid() == 0:
        return
    paths = ["/" + path.relative_to(root).as_posix() for path in sorted(root.rglob("*"))]
    commands = work / "ownership"
    commands.write_text("".join(f'sif "{path}" uid 0\nsif "{path}" gid 0\n' for path in paths))
    sysroot.run("usr/sbin/debugfs", "-w", "-f", commands, file_system)


def _boot_sector(sysroot: Sysroot, size: int) -> bytes:
    """GRUB's first 440 bytes and a table of one bootable Linux partition."""
    code = sysroot.file("usr/lib/grub/i386-pc/boot.img").read_bytes()[:440]
    beyond_chs = bytes((0xFE, 0xFF, 0xFF))
    entry = struct.pack(
        "<B3sB3sII", 0x80, beyond_chs, 0x83, beyond_chs, PARTITION_START, size // SECTOR
    )
    return code + struct.pack("<IH", 0x50494C45, 0) + entry + bytes(48) + b"\x55\xaa"


def _boot_loader(sysroot: Sysroot, work: Path) -> bytes:
    core = work / "core.img"
    sysroot.run(
        "usr/bin/grub-mkimage",
        *("-O", "i386-pc", "-d", sysroot.file("usr/lib/grub/i386-pc")),
        *("-p", "(hd0,msdos1)/boot/grub", "-o", core, *GRUB_MODULES),
    )
    content = core.read_bytes()
    if len(content) > (PARTITION_START - 1) * SECTOR:
        raise BuildError("GRUB does not fit before the first partition")
    return content


def _copy_sparse(source: Path, disk: BinaryIO) -> None:
    with source.open("rb") as file:
        while block := file.read(MIB):
            if block.count(0) == len(block):
                disk.seek(len(block), os.SEEK_CUR)
            else:
                disk.write(block)


def _convert(raw: Path, target: Path) -> None:
    command = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-c", str(raw), str(target)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    except FileNotFoundError as failure:
        raise BuildError("qemu-img is not here: install qemu-utils") from failure
    except subprocess.CalledProcessError as failure:
        raise BuildError(f"qemu-img convert failed: {failure.stderr.strip()}") from failure
    target.chmod(stat.S_IRUSR | stat.S_IWUSR | stat.S_IRGRP | stat.S_IROTH)
