"""Builds the demo image, once for each state of this folder and of Debian's packages."""

import contextlib
import fcntl
import hashlib
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cli.demo_image import contents, debian, disk
from cli.demo_image.debian import BuildError, Sysroot
from protos.files import sync

HERE = Path(__file__).parent
KEPT = 2  # images in the cache: this one and the one before


def ensure(cache: Path, say: Callable[[str], None]) -> Path:
    """The image's file in ``cache``; ``say`` hears what takes its time.

    Raises BuildError. Complete or not there at all: the file gets its name when it is finished.
    """
    if platform.machine() != "x86_64":
        raise BuildError(
            f"the demo image is built for x86_64, and this machine is {platform.machine()}"
        )
    kernel_package = debian.kernel_package()
    roots = (*contents.GUEST_PACKAGES, *contents.BUILD_PACKAGES)
    names = [*debian.with_libraries(roots), kernel_package]
    key = _key(debian.available(names))
    target = cache / f"pileus-demo-{key}.qcow2"
    if target.exists():
        return target
    with work_folder(cache) as work, _modes_as_a_system_has_them():
        say(f"downloading {len(names)} Debian packages")
        sysroot = Sysroot.unpack(names, work)
        say("making the root file system")
        root = work / "root"
        contents.make_root(sysroot, kernel_package.removeprefix("linux-image-"), root)
        say("making the disk")
        disk.make_disk(sysroot, root, work, work / "disk.qcow2")
        sync(work / "disk.qcow2")
        (work / "disk.qcow2").rename(target)
        sync(cache)
    _forget_old(cache, target)
    return target


@contextmanager
def work_folder(cache: Path) -> Iterator[Path]:
    """A folder to build in, gone at the end; those of builds that were killed go at the beginning.

    Each is locked by who builds in it. The cache itself is locked only until ours is.
    """
    cache.mkdir(parents=True, exist_ok=True)
    with _locked(cache, fcntl.LOCK_EX):
        for folder in cache.glob("build-*"):
            with (
                contextlib.suppress(BlockingIOError),
                _locked(folder, fcntl.LOCK_EX | fcntl.LOCK_NB),
            ):
                shutil.rmtree(folder, ignore_errors=True)  # what is left goes the next time
        made = tempfile.mkdtemp(prefix="build-", dir=cache)
        held = _lock(Path(made), fcntl.LOCK_EX)
    try:
        yield Path(made)
    finally:
        shutil.rmtree(made)
        os.close(held)


@contextmanager
def _modes_as_a_system_has_them() -> Iterator[None]:
    """The guest's folders get the modes that they have here, whatever the umask was."""
    before = os.umask(0o022)
    try:
        yield
    finally:
        os.umask(before)


@contextmanager
def _locked(folder: Path, how: int) -> Iterator[None]:
    held = _lock(folder, how)
    try:
        yield
    finally:
        os.close(held)


def _lock(folder: Path, how: int) -> int:
    """The folder, opened: closing it ends the lock. BlockingIOError where another has it."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(opened, how)
    except OSError:
        os.close(opened)
        raise
    return opened


def _key(packages: list[debian.Package]) -> str:
    digest = hashlib.sha256()
    for package in packages:
        digest.update(f"{package.file} {package.digest}\n".encode())
    sources = [
        path for path in HERE.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]
    for path in sorted(sources):
        digest.update(f"{path.relative_to(HERE)} {path.stat().st_size}\n".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _forget_old(cache: Path, newest: Path) -> None:
    images = sorted(cache.glob("pileus-demo-*.qcow2"), key=lambda path: path.stat().st_mtime)
    for old in images[:-KEPT]:
        if old != newest:
            old.unlink(missing_ok=True)
