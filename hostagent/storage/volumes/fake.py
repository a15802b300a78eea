"""Volumes that are no files, with content: what the fake host and the simulations have for disks.

    volumes = FakeVolumes(rng)                in memory: they outlive the agent as the object does
    volumes = FakeVolumes(path=file)          in a file: they outlive the process too
    volumes.write("vol-1", 4096, b"..")       what a guest would do
    volumes.made                              volume -> its layers; for invariants

They behave as qcow2 chains do, with the same mistakes noticed (a layer that is not there, a base
that is not cached), so that a wrong order of steps fails here too. Contract tests run on both.
``read_base`` tells what a base's file holds; it is all zeros where nobody does.
"""

import json
import random
import threading
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hostagent.kernel.errors import DriverError
from hostagent.storage.drivers import READ_MOST_BYTES, Disk, Extent, Layer, file_format
from protos.cloud.v1 import fleet_pb2
from protos.files import write_whole

BLOCK = 4096
FOLDER = Path("/fake/volumes")


@dataclass
class FakeLayer:
    """Block number -> its bytes in hex; "" for a block of zeros."""

    number: int
    size_bytes: int
    blocks: dict[int, str] = field(default_factory=dict)


@dataclass
class FakeVolume:
    """The lowest layer first."""

    base: str
    base_format: str
    layers: list[FakeLayer]


def _zeros(path: Path, start: int, length: int) -> bytes:
    return bytes(length)


class FakeVolumes:
    """drivers.Volumes. Thread-safe. ``failures`` is how often a call that changes something fails.

    ``made`` may also hold what is no FakeVolume: a test's stray.
    """

    def __init__(
        self,
        rng: random.Random | None = None,
        failures: float = 0.0,
        *,
        path: Path | None = None,
        read_base: Callable[[Path, int, int], bytes] = _zeros,
        base_holds: Callable[[Path], list[Extent]] | None = None,
    ):
        self._rng, self.failures = rng or random.Random(0), failures
        self._lock, self._path, self._read_base = threading.RLock(), path, read_base
        self._base_holds = base_holds
        self.made: dict[str, FakeVolume] = {}
        if path is not None and path.exists():
            kept = json.loads(path.read_text())
            self.made = {name: _volume(volume) for name, volume in kept.items()}

    # -- drivers.Volumes -----------------------------------------------------------------------

    def ensure(self, disk: fleet_pb2.DiskSpec, base: Path | None) -> Disk:
        with self._lock:
            self._maybe_fail()
            if disk.image.digest and base is None:
                raise DriverError(
                    f"{disk.volume_id}: its image {disk.image.image_id} is not here",
                    transient=False,
                )
            if disk.volume_id not in self.made:
                size = max(disk.size_bytes, disk.image.virtual_size_bytes)
                if size <= 0:
                    raise DriverError(f"{disk.volume_id}: no size is given", transient=False)
                kind = file_format(disk.image) if base else ""
                self.made[disk.volume_id] = FakeVolume(str(base or ""), kind, [FakeLayer(0, size)])
            self._grow(disk.volume_id, -1, disk.size_bytes)
            return self._found(disk)

    def find(self, disk: fleet_pb2.DiskSpec) -> Disk | None:
        with self._lock:
            return self._found(disk) if disk.volume_id in self.made else None

    def _found(self, disk: fleet_pb2.DiskSpec) -> Disk:
        volume = self._volume(disk.volume_id)
        *frozen, top = self.chain(disk.volume_id)
        return Disk(
            disk.volume_id,
            disk.device_name,
            top.path,
            "qcow2",
            Path(volume.base) if volume.base else None,
            volume.base_format,
            tuple(layer.path for layer in reversed(frozen)),
            disk.iops,
            disk.throughput_mibps,
            top.size_bytes,
            position=disk.position,
        )

    def grow(self, volume_id: str, size_bytes: int) -> None:
        with self._lock:
            self._maybe_fail()
            self._grow(volume_id, -1, size_bytes)

    def remove(self, volume_id: str) -> None:
        with self._lock:
            self._maybe_fail()
            self.made.pop(volume_id, None)
            self._keep()

    def volumes(self) -> Collection[str]:
        with self._lock:
            return sorted(self.made)

    def chain(self, volume_id: str) -> list[Layer]:
        with self._lock:
            if volume_id not in self.made:
                return []
            return [
                Layer(layer.number, layer_path(volume_id, layer.number), layer.size_bytes)
                for layer in self._volume(volume_id).layers
            ]

    def bases(self) -> Collection[Path]:
        with self._lock:
            found = {volume.base for volume in self.made.values() if isinstance(volume, FakeVolume)}
            return sorted(Path(base) for base in found if base)

    def add_layer(self, volume_id: str, above: int) -> Path:
        with self._lock:
            self._maybe_fail()
            volume = self._volume(volume_id)
            below = volume.layers[self._place(volume_id, above)]
            kept = [layer for layer in volume.layers if layer.number <= above]
            volume.layers = [*kept, FakeLayer(above + 1, below.size_bytes)]
            self._keep()
            return layer_path(volume_id, above + 1)

    def commit(self, volume_id: str, number: int) -> None:
        with self._lock:
            self._maybe_fail()
            layers = self._volume(volume_id).layers
            frozen = [layer for layer in layers[:-1] if layer.number <= number]
            if frozen:
                self.merge(volume_id, frozen[0].number, frozen[-1].number)

    def drop_unused(self, volume_id: str, top: int) -> None:
        with self._lock:
            place = self._place(volume_id, top)
            del self._volume(volume_id).layers[place + 1 :]
            self._keep()

    def extents(self, volume_id: str, number: int) -> list[Extent]:
        with self._lock:
            layer = self._volume(volume_id).layers[self._place(volume_id, number)]
            extents: list[Extent] = []
            for index in sorted(layer.blocks):
                length = min(BLOCK, layer.size_bytes - index * BLOCK)
                part = Extent(index * BLOCK, length, not layer.blocks[index])
                last = extents[-1] if extents else None
                if last and last.zeros == part.zeros and last.start + last.length == part.start:
                    extents[-1] = Extent(last.start, last.length + length, part.zeros)
                else:
                    extents.append(part)
            return extents

    def base_extents(self, volume_id: str) -> list[Extent]:
        with self._lock:
            volume = self._volume(volume_id)
            if not volume.base or self._read_base is _zeros:
                return []
            if self._base_holds is not None:
                return self._base_holds(Path(volume.base))
            return [Extent(0, volume.layers[-1].size_bytes, zeros=False)]

    def read(self, volume_id: str, number: int, start: int, length: int) -> bytes:
        if start < 0 or not 0 <= length <= READ_MOST_BYTES:
            raise DriverError(f"{length} bytes at {start} cannot be read at once", transient=False)
        with self._lock:
            place = self._place(volume_id, number)
            volume = self._volume(volume_id)
            layers = volume.layers[: place + 1]
            here = max(0, min(length, layers[-1].size_bytes - start))
            first = start // BLOCK
            content = self._blocks(volume, layers, first, -(-(start + here) // BLOCK))
            skipped = start - first * BLOCK
            return bytes(content[skipped : skipped + here]).ljust(length, b"\0")

    # -- what a guest and a hypervisor do to them ----------------------------------------------

    def write(self, volume_id: str, start: int, data: bytes, layer: Path | None = None) -> None:
        """As a guest does, to ``layer`` or the highest; whole blocks of zeros as discarded ones."""
        with self._lock:
            volume = self._volume(volume_id)
            paths = [kept.path for kept in self.chain(volume_id)]
            place = paths.index(layer) if layer is not None else len(paths) - 1
            layers = volume.layers[: place + 1]
            for index in range(start // BLOCK, -(-(start + len(data)) // BLOCK)):
                block = self._blocks(volume, layers, index, index + 1)
                first = max(start, index * BLOCK)
                end = min(start + len(data), (index + 1) * BLOCK)
                block[first - index * BLOCK : end - index * BLOCK] = data[
                    first - start : end - start
                ]
                layers[-1].blocks[index] = bytes(block).hex() if any(block) else ""
            self._keep()

    def resize(self, volume_id: str, layer: Path, size_bytes: int) -> None:
        """As a hypervisor does: the layer that it has open."""
        with self._lock:
            self._grow(volume_id, self._place(volume_id, parse_layer(layer)[1]), size_bytes)

    def merge(self, volume_id: str, lowest: int, highest: int) -> None:
        """The layers from one to the other become one, the lowest: what a commit comes to."""
        with self._lock:
            layers = self._volume(volume_id).layers
            first, last = self._place(volume_id, lowest), self._place(volume_id, highest)
            merged = layers[first]
            for layer in layers[first + 1 : last + 1]:
                merged.blocks.update(layer.blocks)
                merged.size_bytes = layer.size_bytes
            del layers[first + 1 : last + 1]
            self._keep()

    # -- inside --------------------------------------------------------------------------------

    def _grow(self, volume_id: str, place: int, size_bytes: int) -> None:
        """What is new of a layer is zeros, whatever a larger one below it holds there."""
        layers = self._volume(volume_id).layers
        layer = layers[place]
        if layer.size_bytes < size_bytes:
            for below in layers[:place]:
                hidden = (at for at in below.blocks if at * BLOCK >= layer.size_bytes)
                layer.blocks.update(dict.fromkeys(hidden, ""))
            layer.size_bytes = size_bytes
        self._keep()

    def _blocks(
        self, volume: FakeVolume, layers: list[FakeLayer], first: int, end: int
    ) -> bytearray:
        """The base's content, and over it what each layer holds of it."""
        start, length = first * BLOCK, max(0, end - first) * BLOCK
        read = self._read_base if volume.base else _zeros
        content = bytearray(read(Path(volume.base), start, length).ljust(length, b"\0"))
        for layer in layers:
            for index in layer.blocks.keys() & range(first, end):
                at = index * BLOCK - start
                block = bytes.fromhex(layer.blocks[index]).ljust(BLOCK, b"\0")
                content[at : at + BLOCK] = block
        return content

    def _volume(self, volume_id: str) -> FakeVolume:
        if volume_id not in self.made:
            raise DriverError(f"{volume_id} is not on this host", transient=False)
        return self.made[volume_id]

    def _place(self, volume_id: str, number: int) -> int:
        for place, layer in enumerate(self._volume(volume_id).layers):
            if layer.number == number:
                return place
        raise DriverError(f"{volume_id} has no layer {number}", transient=False)

    def _keep(self) -> None:
        if self._path is None:
            return
        write_whole(
            self._path, json.dumps({name: asdict(kept) for name, kept in self.made.items()})
        )

    def _maybe_fail(self) -> None:
        if self.failures and self._rng.random() < self.failures:
            raise DriverError("the disk did not do as it was told")


def layer_path(volume_id: str, number: int) -> Path:
    return FOLDER / f"{volume_id}.{number}.qcow2"


def parse_layer(path: Path) -> tuple[str, int]:
    """The other way round."""
    volume_id, number, _ = path.name.rsplit(".", 2)
    return volume_id, int(number)


def _volume(kept: dict[str, Any]) -> FakeVolume:
    layers = [
        FakeLayer(
            layer["number"],
            layer["size_bytes"],
            {int(index): block for index, block in layer["blocks"].items()},
        )
        for layer in kept["layers"]
    ]
    return FakeVolume(kept["base"], kept["base_format"], layers)
