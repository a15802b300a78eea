"""Builds the demo image, once for each state of this folder and of Debian's packages."""

import hashlib
import platform
import tempfile
from collections.abc import Callable
from pathlib import Path

from cli.demo_image import contents, debian, disk
from cli.demo_image.debian import BuildError, Sysroot

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
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="build-", dir=cache) as folder:
        work = Path(folder)
        say(f"downloading {len(names)} Debian packages")
        sysroot = Sysroot.unpack(names, work)
        say("making the root file system")
        root = work / "root"
        contents.make_root(sysroot, kernel_package.removeprefix("linux-image-"), root)
        say("making the disk")
        disk.make_disk(sysroot, root, work, work / "disk.qcow2")
        (work / "disk.qcow2").rename(target)
    _forget_old(cache, target)
    return target


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
