"""What is in the guest: the root tree and the initramfs. Pure file work; called by ``build``."""

import gzip
import lzma
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from cli.demo_image.debian import LOADER, BuildError, Sysroot

GUEST = Path(__file__).with_name("guest")

# Packages that the guest is made of, beside the kernel; then those that only the build needs.
GUEST_PACKAGES = (
    "bash",
    "busybox-static",
    "ca-certificates",
    "curl",
    "dropbear-bin",
    "e2fsprogs",
    "libpam-modules",
    "openssh-sftp-server",
    "qemu-guest-agent",
    "sudo",
    "zlib1g",
)
BUILD_PACKAGES = ("grub-common", "grub-pc-bin")

PROGRAMS = (
    "usr/bin/bash",
    "usr/bin/curl",
    "usr/bin/dropbearkey",
    "usr/bin/sudo",
    "usr/lib/openssh/sftp-server",
    "usr/libexec/sudo/sudoers.so",
    "usr/lib/x86_64-linux-gnu/security/pam_deny.so",
    "usr/lib/x86_64-linux-gnu/security/pam_permit.so",
    "usr/sbin/dropbear",
    "usr/sbin/qemu-ga",
    "usr/sbin/resize2fs",
)
SETUID = {"usr/bin/sudo"}

# In the order in which they load (virtio_ring before virtio). ext4 and ACPI are built into the
# cloud kernel.
MODULES = (
    "virtio_ring",
    "virtio",
    "virtio_pci_legacy_dev",
    "virtio_pci_modern_dev",
    "virtio_pci",
    "virtio_blk",
    "virtio-rng",
    "virtio_balloon",
    "failover",
    "net_failover",
    "virtio_net",
    "virtio_console",
    "evdev",
    "button",
)

# busybox's applets that would mislead in this guest.
NOT_LINKED = {"bash", "dpkg", "dpkg-deb", "mke2fs", "rpm", "rpm2cpio"}

FOLDERS = (
    "dev",
    "etc",
    "home/ec2-user",
    "mnt",
    "proc",
    "root",
    "run",
    "sys",
    "tmp",
    "usr/bin",
    "usr/local/bin",
    "var/lib/cloud/instances",
    "var/log",
)


def make_root(sysroot: Sysroot, kernel: str, root: Path) -> None:
    """Fills ``root`` with the guest's file system, kernel and initramfs included."""
    for folder in FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)
    for link, target in (
        ("bin", "usr/bin"),
        ("sbin", "usr/bin"),
        ("usr/sbin", "bin"),
        ("lib", "usr/lib"),
        ("lib64", "usr/lib/x86_64-linux-gnu"),
        ("var/run", "../run"),
        ("init", "usr/bin/init"),
    ):
        (root / link).symlink_to(target)
    for program in (LOADER, *PROGRAMS, *sysroot.libraries(PROGRAMS)):
        _copy(sysroot.file(program), root / program, 0o4755 if program in SETUID else 0o755)
    (root / "usr/lib/sftp-server").symlink_to("openssh/sftp-server")
    _install_busybox(sysroot, root)
    _install_certificates(sysroot, root)
    _copy_guest_files(root)
    (root / "boot").chmod(0o755)
    _copy(sysroot.file(f"boot/vmlinuz-{kernel}"), root / "boot/vmlinuz", 0o644)
    (root / "boot/initrd.gz").write_bytes(make_initramfs(sysroot, kernel))


def make_initramfs(sysroot: Sysroot, kernel: str) -> bytes:
    """A gzipped cpio archive with busybox, the modules and guest/initramfs/init."""
    modules = {
        f"modules/{name}.ko": _module(sysroot.path / f"usr/lib/modules/{kernel}", name)
        for name in MODULES
    }
    files = {
        "init": ((GUEST / "initramfs/init").read_bytes(), 0o755),
        "bin/busybox": (sysroot.file("usr/bin/busybox").read_bytes(), 0o755),
        "modules/order": ("".join(f"{name}\n" for name in MODULES).encode(), 0o644),
        **{path: (content, 0o644) for path, content in modules.items()},
    }
    return gzip.compress(b"".join(_cpio(files)), compresslevel=9, mtime=0)


def _cpio(files: dict[str, tuple[bytes, int]]) -> Iterable[bytes]:
    """The "newc" format (Linux, Documentation/driver-api/early-userspace/buffer-format.rst)."""
    folders = {str(parent) for path in files for parent in Path(path).parents} - {"."}
    entries = [
        *((path, b"", 0o040755) for path in sorted(folders)),
        *((path, content, 0o100000 | mode) for path, (content, mode) in sorted(files.items())),
        ("TRAILER!!!", b"", 0),
    ]
    for inode, (path, content, mode) in enumerate(entries, start=1):
        name = path.encode() + b"\0"
        numbers = (inode, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name), 0)
        header = b"070701" + b"".join(b"%08x" % number for number in numbers)
        yield _padded(header + name) + _padded(content)


def _padded(data: bytes) -> bytes:
    return data + b"\0" * (-len(data) % 4)


def _module(tree: Path, name: str) -> bytes:
    found = sorted(tree.rglob(f"{name}.ko*"))
    if not found:
        raise BuildError(f"the kernel package has no module {name}")
    content = found[0].read_bytes()
    return lzma.decompress(content) if found[0].suffix == ".xz" else content


def _install_busybox(sysroot: Sysroot, root: Path) -> None:
    busybox = root / "usr/bin/busybox"
    _copy(sysroot.file("usr/bin/busybox"), busybox, 0o755)
    for applet in sysroot.run("usr/bin/busybox", "--list").split():
        link = root / "usr/bin" / applet
        if applet not in NOT_LINKED and not link.exists():
            link.symlink_to("busybox")
    (root / "usr/bin/init").unlink(missing_ok=True)
    (root / "usr/bin/init").symlink_to("busybox")


def _install_certificates(sysroot: Sysroot, root: Path) -> None:
    bundle = root / "etc/ssl/certs/ca-certificates.crt"
    bundle.parent.mkdir(parents=True)
    authorities = sorted(sysroot.file("usr/share/ca-certificates").rglob("*.crt"))
    bundle.write_bytes(b"".join(path.read_bytes() for path in authorities))


def _copy_guest_files(root: Path) -> None:
    """guest/ as it is, the initramfs apart; what begins with "#!" becomes executable."""
    for source in sorted(GUEST.rglob("*")):
        name = source.relative_to(GUEST)
        if source.is_dir() or name.parts[0] == "initramfs":
            continue
        script = source.read_bytes()[:2] == b"#!"
        _copy(source, root / name, 0o755 if script else 0o644)
    (root / "etc/shadow").chmod(0o600)
    (root / "etc/sudoers").chmod(0o440)
    (root / "root").chmod(0o700)


def _copy(source: Path, target: Path, mode: int) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, target)
    os.chmod(target, mode)
