"""Volumes served by nobody: what a fake host serves to other fake ones.

    exports = FakeExports(volumes, endpoint="fake:10809")
    exports.hosts                     volume -> hosts that may have it; for invariants
    exports.lose_power()              the server dies

It ends with the agent's process, as a storage daemon may at any time; the volumes' workers serve
anew what should be served. A commit is done at once.
"""

import threading
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from hostagent.kernel.errors import DriverError
from hostagent.storage.drivers import Disk, GuestDisk
from hostagent.storage.volumes.fake import FakeVolumes, parse_layer

HOLDER = "the fake host's server"


class FakeExports:
    """drivers.Exports. Thread-safe."""

    def __init__(self, volumes: FakeVolumes, endpoint: str = "fake:10809"):
        self.endpoint, self._volumes, self._lock = endpoint, volumes, threading.RLock()
        self.hosts: dict[str, tuple[str, ...]] = {}
        self._written: dict[str, Path] = {}

    def serve(self, disk: Disk, host_ids: Collection[str]) -> None:
        with self._lock:
            self.hosts[disk.volume_id] = tuple(sorted(host_ids))
            self._written.setdefault(disk.volume_id, disk.path)

    def withdraw(self, volume_id: str) -> None:
        with self._lock:
            self.hosts.pop(volume_id, None)
            self._written.pop(volume_id, None)

    def served(self) -> Collection[str]:
        with self._lock:
            return sorted(self.hosts)

    def holder(self, volume_id: str) -> str | None:
        return HOLDER if volume_id in self.hosts else None

    def disks(self, holder: str) -> Sequence[GuestDisk]:
        with self._lock:
            return [
                GuestDisk(name, path, self._size_of(name, path))
                for name, path in self._written.items()
            ]

    def resize_disk(self, holder: str, volume_id: str, size_bytes: int) -> None:
        with self._lock:
            self._volumes.resize(volume_id, self._written[volume_id], size_bytes)

    def freeze_disks(self, holder: str, layers: Mapping[str, Path], quiesce: bool) -> None:
        with self._lock:
            for volume_id, layer in layers.items():
                if parse_layer(layer)[1] <= parse_layer(self._written[volume_id])[1]:
                    raise DriverError(f"{volume_id}: {layer} is no layer above", transient=False)
            self._written.update(layers)

    def lose_power(self) -> None:
        """What is served no more is served anew, from the highest layer."""
        with self._lock:
            self.hosts, self._written = {}, {}

    def commit_disk(self, holder: str, volume_id: str, lowest: Path, top: Path) -> None:
        self._volumes.merge(volume_id, parse_layer(lowest)[1], parse_layer(top)[1])

    def _size_of(self, volume_id: str, path: Path) -> int:
        chain = self._volumes.chain(volume_id)
        return next(layer.size_bytes for layer in chain if layer.path == path)
