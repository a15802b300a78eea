"""A cache of images that fetches nothing but keeps count: for ``--hypervisor fake``, tests and
simulations.

What it holds stands for the host's disk: it outlives the agent as long as the object does.
"""

import contextlib
import os
import threading
from collections.abc import Callable, Collection
from pathlib import Path

from hostagent.kernel.errors import DriverError, NotYet
from hostagent.storage.blocks import Away, Blocks
from hostagent.storage.drivers import Extent
from hostagent.storage.snapshots.restore import restore
from protos.cloud.v1 import fleet_pb2
from protos.files import sync
from protos.manifest import SIZE_BYTES_MAX
from protos.private_files import make_folder

FOLDER = Path("/fake/images")


class FakeImages:
    """Every image comes after ``fetch_ms``; those in ``broken`` never do. Snapshots' content is
    restored into ``folder`` where there is a store of ``blocks`` to fetch it from.
    """

    def __init__(
        self,
        clock: Callable[[], int],
        fetch_ms: int = 0,
        *,
        blocks: Blocks | None = None,
        folder: Path = FOLDER,
    ):
        self._clock, self.fetch_ms, self._blocks, self._folder = clock, fetch_ms, blocks, folder
        self._lock = threading.RLock()
        self._arrives: dict[str, int] = {}
        self.fetches = 0
        self.broken: set[str] = set()

    def ensure(self, source: fleet_pb2.ImageSource) -> Path:
        with self._lock:
            if source.digest in self.broken:
                raise DriverError(f"{source.image_id} does not match its digest", transient=False)
            if source.disk_format == "blocks" and self._blocks is not None:
                self._restore(source, self._blocks)
            if source.digest not in self._arrives:
                self.fetches += 1
                self._arrives[source.digest] = self._clock() + self.fetch_ms
            left = self._arrives[source.digest] - self._clock()
            if left > 0:
                raise NotYet(f"fetching {source.image_id}", retry_ms=left)
            return FOLDER / source.digest.removeprefix("sha256:")

    def read(self, path: Path, start: int, length: int) -> bytes:
        """What a volume on it reads: of a restored snapshot its content, of others zeros."""
        kept = self._folder / path.name
        if not kept.exists():
            return bytes(length)
        with kept.open("rb") as file:
            file.seek(start)
            return file.read(length).ljust(length, b"\0")

    def holds(self, path: Path) -> list[Extent]:
        """Where its content is."""
        kept, at = self._folder / path.name, 0
        found: list[Extent] = []
        if not kept.exists():
            return []
        with kept.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            with contextlib.suppress(OSError):  # ENXIO: nothing but a hole from here on
                while at < size:
                    start = os.lseek(file.fileno(), at, os.SEEK_DATA)
                    at = os.lseek(file.fileno(), start, os.SEEK_HOLE)
                    found.append(Extent(start, at - start, zeros=False))
        return found

    def _restore(self, source: fleet_pb2.ImageSource, blocks: Blocks) -> None:
        """At once; verified, as the real cache does."""
        make_folder(self._folder)
        kept = self._folder / source.digest.removeprefix("sha256:")
        if kept.exists():
            return
        partial = kept.with_suffix(".part")
        try:
            with partial.open("wb+") as file:
                restore(blocks, source.digest, file, SIZE_BYTES_MAX, lambda done: None)
        except Away as failure:
            raise NotYet(str(failure), retry_ms=1000) from failure
        sync(partial)
        os.replace(partial, kept)

    def cached(self) -> Collection[str]:
        with self._lock:
            now = self._clock()
            return sorted(digest for digest, at in self._arrives.items() if at <= now)

    def watch(self, on_change: Callable[[str], None]) -> None:
        """They come by the clock: ``NotYet.retry_ms`` is exact."""
