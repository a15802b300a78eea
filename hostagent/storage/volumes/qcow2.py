"""Volumes as chains of qcow2 files: a thin overlay on the image's file, or blank, and a layer more
for every snapshot that is not committed yet. No copy, no conversion.

    folder/<volume id>.<n>.qcow2   layer n, renamed here whole; it stands on the next lower one, the
                                   lowest on a file of the image cache or on nothing
    folder/<volume id>.new         being made; dropped at the agent's start and before each try
    folder/reading/                ranges on their way to a reader; dropped at the agent's start

Which layers make the chain is what the headers say, from the highest down: a file that no header
leads to was committed, and goes. Every layer states its backing file's format, so that nothing is
probed. Called by the volume manager and the steps.
"""

import json
import logging
import os
import re
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path

from hostagent.kernel.errors import DriverError
from hostagent.kernel.shell import DEFAULT_TIMEOUT_S, MAX_OUTPUT_BYTES, Limits, Result, Run
from hostagent.storage.drivers import READ_MOST_BYTES, Disk, Extent, Layer, file_format
from hostagent.storage.volumes import header
from protos.cloud.v1 import fleet_pb2
from protos.files import sync
from protos.private_files import make_folder

log = logging.getLogger(__name__)

LIMITS = Limits(memory_mib=1024, cpu_s=60)
COMMIT_LIMITS = Limits(memory_mib=1024, cpu_s=4 * 3600)
COMMIT_TIMEOUT_S = 8 * 3600.0
READ_TIMEOUT_S = 300.0
MAP_BYTES = 16 << 30  # of a volume, at once: a map of it in its smallest pieces fits the output
MAP_OUTPUT_BYTES = 64 << 20
SECTOR = 512
_ID = re.compile(r"vol-[0-9a-f]{8,17}")
_LAYER = re.compile(r"(vol-[0-9a-f]{8,17})\.(\d{1,9})\.qcow2")


class Qcow2Volumes:
    """drivers.Volumes."""

    def __init__(self, folder: Path, run: Run):
        self._folder, self._run, self._reading = folder, run, folder / "reading"
        for place in (folder, self._reading):
            make_folder(place)

    def start(self) -> None:
        """Drops what a cut left unfinished. Before the first ``ensure``."""
        for unfinished in self.unfinished():
            Path(unfinished).unlink()

    def unfinished(self) -> list[str]:
        left = [*self._folder.glob("*.new"), *self._reading.iterdir()]
        return sorted(str(path) for path in left)

    # -- drivers.Volumes -----------------------------------------------------------------------

    def ensure(self, disk: fleet_pb2.DiskSpec, base: Path | None) -> Disk:
        if disk.image.digest and base is None:
            raise DriverError(
                f"{disk.volume_id}: its image {disk.image.image_id} is not here", transient=False
            )
        if self._files(disk.volume_id):
            self.grow(disk.volume_id, disk.size_bytes)
        else:
            self._create(disk, base)
        found = self.find(disk)
        if found is None:
            raise DriverError(f"{disk.volume_id} was taken away while it was made")
        return found

    def find(self, disk: fleet_pb2.DiskSpec) -> Disk | None:
        chain = self.chain(disk.volume_id)
        if not chain:
            return None
        lowest = header.read(chain[0].path)
        *frozen, top = chain
        return Disk(
            disk.volume_id,
            disk.device_name,
            top.path,
            "qcow2",
            lowest.backing,
            lowest.backing_format,
            tuple(layer.path for layer in reversed(frozen)),
            disk.iops,
            disk.throughput_mibps,
            top.size_bytes,
            position=disk.position,
        )

    def grow(self, volume_id: str, size_bytes: int) -> None:
        top = self._top(volume_id)
        if top.size_bytes < size_bytes:
            self._qemu_img("resize", "-q", "-f", "qcow2", top.path, str(size_bytes))

    def remove(self, volume_id: str) -> None:
        """The highest first: what is left after a cut is still a chain of the volume's."""
        for _, path in reversed(self._files(volume_id)):
            path.unlink(missing_ok=True)
        self._unfinished_path(volume_id).unlink(missing_ok=True)

    def volumes(self) -> Collection[str]:
        found = (_LAYER.fullmatch(path.name) for path in self._folder.glob("*.qcow2"))
        return sorted({match[1] for match in found if match})

    def chain(self, volume_id: str) -> list[Layer]:
        files = self._files(volume_id)
        numbers = {path: number for number, path in files}
        path: Path | None = files[-1][1] if files else None
        chain: list[Layer] = []
        while path is not None and path in numbers:
            told = header.read(path)
            chain.append(Layer(numbers.pop(path), path, told.size_bytes))
            path = told.backing
        if path is not None and path.parent == self._folder:
            raise DriverError(f"{volume_id}: its layer {path} is lost", transient=False)
        return chain[::-1]

    def bases(self) -> Collection[Path]:
        """What layers here stand on, as far as they say it: one that cannot be read is its volume's
        trouble, and what that began as is in the ledger."""
        found = set()
        for volume_id in self.volumes():
            for _, path in self._files(volume_id):
                try:
                    found.add(header.read(path).backing)
                except FileNotFoundError:
                    continue  # committed or removed meanwhile
                except (DriverError, OSError) as failure:
                    log.error("what %s stands on cannot be read: %s", path, failure)
        return sorted(path for path in found if path and path.parent != self._folder)

    def add_layer(self, volume_id: str, above: int) -> Path:
        below = self._layer(volume_id, above)
        for number, path in self._files(volume_id):
            if number > above:
                path.unlink()
        size = header.read(below).size_bytes
        made = self._path(volume_id, above + 1)
        self._make(volume_id, made, size, ["-b", below, "-F", "qcow2"])
        return made

    def commit(self, volume_id: str, number: int) -> None:
        chain = self.chain(volume_id)
        frozen = [layer for layer in chain[:-1] if layer.number <= number]
        if len(frozen) > 1:
            lowest, highest = frozen[0].path, frozen[-1].path
            above = chain[len(frozen)].path
            self._qemu_img(
                *("commit", "-q", "-f", "qcow2", "-d", "-b", lowest, highest),
                limits=COMMIT_LIMITS,
                timeout_s=COMMIT_TIMEOUT_S,
            )
            sync(lowest)
            self._qemu_img("rebase", "-u", "-f", "qcow2", "-b", lowest, "-F", "qcow2", above)
            sync(above)
        if chain:
            self.drop_unused(volume_id, chain[-1].number)

    def drop_unused(self, volume_id: str, top: int) -> None:
        chain = self.chain(volume_id)
        while chain and chain[-1].number > top:
            chain.pop()
        if not chain or chain[-1].number != top:
            raise DriverError(f"{volume_id} has no layer {top}", transient=False)
        needed = {layer.number for layer in chain}
        for number, path in reversed(self._files(volume_id)):
            if number not in needed:
                path.unlink(missing_ok=True)

    def extents(self, volume_id: str, number: int) -> list[Extent]:
        path = self._layer(volume_id, number)
        alone = {"driver": "qcow2", "backing": None, "file": _file(path)}
        return self._map(alone, header.read(path).size_bytes)

    def base_extents(self, volume_id: str) -> list[Extent]:
        chain = self.chain(volume_id)
        lowest = header.read(chain[0].path) if chain else None
        if lowest is None or lowest.backing is None:
            return []
        alone = {"driver": lowest.backing_format, "file": _file(lowest.backing)}
        return self._map(alone, chain[-1].size_bytes)

    def _map(self, alone: Mapping[str, object], size_bytes: int) -> list[Extent]:
        """What a file itself holds, without what it may stand on."""
        extents: list[Extent] = []
        for start in range(0, size_bytes, MAP_BYTES):
            told = self._qemu_img(
                *("map", "-U", "--output=json", f"--start-offset={start}"),
                *(f"--max-length={MAP_BYTES}", _as_json(alone)),
                max_output_bytes=MAP_OUTPUT_BYTES,
            )
            for part in json.loads(told.stdout):
                if part["present"]:
                    _append(extents, Extent(part["start"], part["length"], part["zero"]))
        return extents

    def read(self, volume_id: str, number: int, start: int, length: int) -> bytes:
        if start < 0 or not 0 <= length <= READ_MOST_BYTES:
            raise DriverError(f"{length} bytes at {start} cannot be read at once", transient=False)
        path = self._layer(volume_id, number)
        first = start - start % SECTOR
        end = min(-(-(start + length) // SECTOR) * SECTOR, header.read(path).size_bytes)
        if end <= first:
            return bytes(length)
        layer = {"driver": "qcow2", "file": _file(path)}
        part = {"driver": "raw", "offset": first, "size": end - first, "file": layer}
        with tempfile.NamedTemporaryFile(dir=self._reading) as kept:
            self._qemu_img(
                *("convert", "-q", "-U", "-O", "raw", _as_json(part), kept.name),
                timeout_s=READ_TIMEOUT_S,
            )
            with open(kept.name, "rb") as file:
                file.seek(start - first)
                return file.read(length).ljust(length, b"\0")

    # -- files ---------------------------------------------------------------------------------

    def _create(self, disk: fleet_pb2.DiskSpec, base: Path | None) -> None:
        """An overlay may not be smaller than its image: the guest would lose the image's end."""
        size = max(disk.size_bytes, disk.image.virtual_size_bytes)
        if size <= 0:
            raise DriverError(f"{disk.volume_id}: no size is given", transient=False)
        on_base: list[str | Path] = ["-b", base, "-F", file_format(disk.image)] if base else []
        self._make(disk.volume_id, self._path(disk.volume_id, 0), size, on_base)

    def _make(self, volume_id: str, path: Path, size: int, backing: list[str | Path]) -> None:
        unfinished = self._unfinished_path(volume_id)
        unfinished.unlink(missing_ok=True)
        self._qemu_img("create", "-q", "-f", "qcow2", *backing, unfinished, str(size))
        os.chmod(unfinished, 0o600)  # tenants' data
        sync(unfinished)
        os.replace(unfinished, path)
        sync(path.parent)

    def _qemu_img(
        self,
        *words: str | Path,
        limits: Limits = LIMITS,
        timeout_s: float = DEFAULT_TIMEOUT_S,
        max_output_bytes: int = MAX_OUTPUT_BYTES,
    ) -> Result:
        return self._run(
            ["qemu-img", *words],
            limits=limits,
            timeout_s=timeout_s,
            max_output_bytes=max_output_bytes,
        )

    def _files(self, volume_id: str) -> list[tuple[int, Path]]:
        """All layers' files that are there, of the chain or not, the lowest number first."""
        _check(volume_id)
        found = (_LAYER.fullmatch(path.name) for path in self._folder.glob(f"{volume_id}.*.qcow2"))
        numbers = sorted(int(match[2]) for match in found if match)
        return [(number, self._path(volume_id, number)) for number in numbers]

    def _top(self, volume_id: str) -> Layer:
        chain = self.chain(volume_id)
        if not chain:
            raise DriverError(f"{volume_id} is not on this host", transient=False)
        return chain[-1]

    def _layer(self, volume_id: str, number: int) -> Path:
        for layer in self.chain(volume_id):
            if layer.number == number:
                return layer.path
        raise DriverError(f"{volume_id} has no layer {number}", transient=False)

    def _path(self, volume_id: str, number: int) -> Path:
        return self._folder / f"{volume_id}.{number}.qcow2"

    def _unfinished_path(self, volume_id: str) -> Path:
        _check(volume_id)
        return self._folder / f"{volume_id}.new"


def _check(volume_id: str) -> None:
    if not _ID.fullmatch(volume_id):
        raise DriverError(f"{volume_id!r} is no volume's id", transient=False)


def _file(path: Path) -> dict[str, str]:
    return {"driver": "file", "filename": str(path)}


def _as_json(options: Mapping[str, object]) -> str:
    return "json:" + json.dumps(options)


def _append(extents: list[Extent], part: Extent) -> None:
    """Adjacent ones of a kind become one."""
    if extents and part.zeros == extents[-1].zeros:
        last = extents[-1]
        if last.start + last.length == part.start:
            extents[-1] = Extent(last.start, last.length + part.length, part.zeros)
            return
    extents.append(part)
