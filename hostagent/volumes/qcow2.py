"""Volumes as qcow2 files: a thin overlay on the image's file, or blank. No copy, no conversion.

    folder/<volume id>.qcow2       renamed here whole
    folder/<volume id>.new         being made; dropped at the agent's start and before each try

The overlay states its backing file's format, so that nothing is probed. Called by the disks step,
only while no domain has the file open.
"""

import json
import os
import re
from collections.abc import Callable, Collection
from pathlib import Path

from hostagent.drivers import Disk, DriverError
from hostagent.shell import Limits, Result
from protos.cloud.v1 import fleet_pb2

LIMITS = Limits(memory_mib=1024, cpu_s=60)
_ID = re.compile(r"vol-[0-9a-f]{8,17}")


class Qcow2Volumes:
    """drivers.Volumes."""

    def __init__(self, folder: Path, run: Callable[..., Result]):
        self._folder, self._run = folder, run
        folder.mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        """Drops what a cut left unfinished. Before the first ``ensure``."""
        for unfinished in self.unfinished():
            Path(unfinished).unlink()

    def unfinished(self) -> list[str]:
        return sorted(str(path) for path in self._folder.glob("*.new"))

    def ensure(self, disk: fleet_pb2.DiskSpec, base: Path | None) -> Disk:
        path = self._path(disk.volume_id)
        if disk.image.digest and base is None:
            raise DriverError(f"{disk.volume_id}: its image is not here", transient=False)
        if path.exists():
            self._grow(path, disk.size_bytes)
        else:
            self._create(path, disk, base)
        return Disk(
            disk.volume_id,
            disk.device_name,
            path,
            "qcow2",
            base,
            disk.image.disk_format if base else "",
        )

    def remove(self, volume_id: str) -> None:
        self._path(volume_id).unlink(missing_ok=True)
        self._path(volume_id).with_suffix(".new").unlink(missing_ok=True)

    def volumes(self) -> Collection[str]:
        return sorted(path.stem for path in self._folder.glob("*.qcow2"))

    def _create(self, path: Path, disk: fleet_pb2.DiskSpec, base: Path | None) -> None:
        """An overlay may not be smaller than its image: the guest would lose the image's end."""
        size = max(disk.size_bytes, disk.image.virtual_size_bytes)
        if size <= 0:
            raise DriverError(f"{disk.volume_id}: no size is given", transient=False)
        unfinished = path.with_suffix(".new")
        unfinished.unlink(missing_ok=True)
        on_base = ["-b", base, "-F", disk.image.disk_format] if base else []
        self._run(
            ["qemu-img", "create", "-q", "-f", "qcow2", *on_base, unfinished, str(size)],
            limits=LIMITS,
        )
        os.chmod(unfinished, 0o600)  # tenants' data
        sync(unfinished)
        os.replace(unfinished, path)
        sync(path.parent)

    def _grow(self, path: Path, size: int) -> None:
        told = self._run(["qemu-img", "info", "-f", "qcow2", "--output=json", path], limits=LIMITS)
        if json.loads(told.stdout)["virtual-size"] < size:
            self._run(["qemu-img", "resize", "-q", "-f", "qcow2", path, str(size)], limits=LIMITS)

    def _path(self, volume_id: str) -> Path:
        if not _ID.fullmatch(volume_id):
            raise DriverError(f"{volume_id!r} is no volume's id", transient=False)
        return self._folder / f"{volume_id}.qcow2"


def sync(path: Path) -> None:
    """A file's or a folder's content is on the disk when this returns: what has its name is whole,
    also after a power failure.
    """
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)
