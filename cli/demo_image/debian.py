"""Debian's packages, downloaded and unpacked beside the machine's own: nothing is installed.

Called by ``build``. ``Sysroot.run`` starts an unpacked program with the libraries
that came along, so that the image is the same whatever this machine has installed.
"""

import re
import shutil
import subprocess
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

# /usr is merged in Debian from 12 on; packages that still ship /bin unpack through these links.
MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")
NOT_UNPACKED = (
    "--exclude=./usr/share/doc",
    "--exclude=./usr/share/man",
    "--exclude=./usr/share/locale",
)
LIBRARY_FOLDERS = ("usr/lib/x86_64-linux-gnu", "usr/lib", "usr/libexec/sudo")
LOADER = "usr/lib/x86_64-linux-gnu/ld-linux-x86-64.so.2"

_URI = re.compile(r"'(?P<uri>[^']+)' (?P<file>\S+) (?P<size>\d+) (?P<digest>\S+)")


class BuildError(Exception):
    """The image cannot be built here; the message says what to do."""


@dataclass(frozen=True)
class Package:
    """One .deb as apt would fetch it. ``digest`` is "SHA256:<hex>" and stands for the version."""

    file: str
    digest: str


def kernel_package() -> str:
    """The package that the cloud kernel's metapackage stands for today."""
    shown = _apt("apt-cache", "depends", "linux-image-cloud-amd64")
    names: list[str] = re.findall(r"Depends: (linux-image-[0-9]\S+)", shown)
    if not names:
        raise BuildError("apt knows no linux-image-cloud-amd64: run `apt-get update` first")
    return names[0]


def with_libraries(roots: Collection[str]) -> list[str]:
    """The packages and every lib* package that they depend on, sorted."""
    shown = _apt("apt-cache", "depends", "--recurse", "--important", *sorted(roots))
    needed = {line for line in shown.splitlines() if line and not line.startswith((" ", "<"))}
    return sorted(set(roots) | {name for name in needed if name.startswith("lib")})


def available(names: Sequence[str]) -> list[Package]:
    """What apt would download for these names, from its package lists alone."""
    found = _URI.findall(_apt("apt-get", "download", "--print-uris", *names))
    if not found:
        raise BuildError("apt has no package lists: run `apt-get update` first")
    return [Package(file, digest) for _, file, _, digest in sorted(found)]


def _apt(*command: str, folder: Path | None = None) -> str:
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, check=True, timeout=600
        )
    except FileNotFoundError as failure:
        raise BuildError(
            f"the demo image is made of Debian packages, and {command[0]} is not here"
        ) from failure
    except subprocess.CalledProcessError as failure:
        raise BuildError(f"{' '.join(command[:3])} failed: {failure.stderr.strip()}") from failure
    except subprocess.TimeoutExpired as failure:
        raise BuildError(f"{' '.join(command[:3])} did not end within ten minutes") from failure
    return done.stdout


def _unpack(package: Path, root: Path) -> None:
    # As `dpkg-deb -x` does, which would however put folders in the place of a merged /usr's links.
    with subprocess.Popen(
        ("dpkg-deb", "--fsys-tarfile", package), stdout=subprocess.PIPE
    ) as packed:
        unpacked = subprocess.run(
            ("tar", "-x", "--keep-directory-symlink", *NOT_UNPACKED, "-C", root),
            stdin=packed.stdout,
            capture_output=True,
            text=True,
            timeout=300,
        )
    if packed.returncode != 0 or unpacked.returncode != 0:
        raise BuildError(f"cannot unpack {package.name}: {unpacked.stderr.strip()}")


@dataclass(frozen=True)
class Sysroot:
    """Packages unpacked into one folder."""

    path: Path

    @classmethod
    def unpack(cls, names: Sequence[str], folder: Path) -> "Sysroot":
        """Downloads and unpacks into ``folder`` (made, must be empty)."""
        downloads, root = folder / "debs", folder / "sysroot"
        for place in (downloads, root):
            place.mkdir(parents=True)
        _apt("apt-get", "download", "-q", *names, folder=downloads)
        for link in MERGED:
            (root / "usr" / link).mkdir(parents=True)
            (root / link).symlink_to(f"usr/{link}")
        for package in sorted(downloads.glob("*.deb")):
            _unpack(package, root)
        shutil.rmtree(downloads)
        return cls(root)

    def file(self, name: str) -> Path:
        """A file of the packages; raises BuildError when no package brought it."""
        found = self.path / name
        if not found.exists():
            raise BuildError(f"no package brought /{name}; is this Debian 12 or later?")
        return found

    def run(self, program: str, *arguments: object, **environment: str) -> str:
        """Runs a program of the packages with their libraries."""
        command = [*self._loader(), self.file(program), *arguments]
        done = subprocess.run(
            [str(word) for word in command],
            capture_output=True,
            text=True,
            timeout=300,
            env={"PATH": "/usr/bin:/usr/sbin:/bin:/sbin", "LC_ALL": "C", **environment},
        )
        if done.returncode != 0:
            raise BuildError(f"{program} failed: {(done.stderr or done.stdout).strip()}")
        return done.stdout

    def libraries(self, programs: Sequence[str]) -> list[str]:
        """The shared libraries that the programs load, the loader apart: paths below the root."""
        found = set()
        for program in programs:
            done = subprocess.run(
                [str(word) for word in (*self._loader(), "--list", self.file(program))],
                capture_output=True,
                text=True,
                timeout=60,
            )
            if "not found" in done.stdout + done.stderr:
                raise BuildError(f"/{program} lacks a library: {done.stdout + done.stderr}")
            for name in map(Path, re.findall(r"=> (\S+) \(", done.stdout)):
                if not name.is_relative_to(self.path):
                    raise BuildError(f"/{program} takes {name} from this machine")
                found.add(name.relative_to(self.path).as_posix())
        return sorted(found - {LOADER})

    def _loader(self) -> list[object]:
        folders = ":".join(str(self.path / folder) for folder in LIBRARY_FOLDERS)
        return [self.file(LOADER), "--library-path", folders]
