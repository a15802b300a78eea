"""The host's image cache: one fetch per image and host, whoever asks; content-addressed and
bounded.

    images = Cache(folder, fetch, in_use, settings, pool, clock, run, blocks)
                                 clock: ms, never back
    images.ensure(source) -> Path, or NotYet while it is on its way, or DriverError (never usable)

    folder/<sha256>.<format>     published: fetched, verified, inspected, renamed here whole; of a
                                 snapshot ("blocks") the volume, raw, by its manifest's digest
    folder/partial/<sha256>      on its way; what a cut left is gone on with from where it ended

Least recently used images go first when the cache is larger than it should be; one that the ledger
says some disk stands on never goes. Called by the image step (ensure) and sync (cached); the
fetches run in ``pool``. Promises: a published file matches its digest and passed inspection as its
format.
"""

import hashlib
import logging
import os
import re
import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass
from pathlib import Path

from hostagent.kernel.errors import DriverError, NotYet
from hostagent.kernel.shell import Run
from hostagent.storage.blocks import Blocks
from hostagent.storage.drivers import file_format
from hostagent.storage.images.inspect import inspect
from hostagent.storage.snapshots.restore import restore
from protos.cloud.v1 import fleet_pb2
from protos.errors import CloudError, Kind
from protos.files import sync
from protos.private_files import make_folder
from protos.threads import submit

log = logging.getLogger(__name__)

# (digest, offset) -> the image's bytes from there on
Fetch = Callable[[str, int], Iterator[bytes]]

_DIGEST = re.compile(r"sha256:([0-9a-f]{64})")
_HASH_CHUNK = 1 << 20
RETRY_MS = 1_000
RETRY_MOST_MS = 15_000  # after failure on failure (the controller is away)
REFUSAL_HOLDS_MS = 60_000  # those who waited hear it too, and nobody fetches it ten times in a row


@dataclass(frozen=True)
class Settings:
    """``cache_bytes`` is what the cache is kept below, as far as images in use allow."""

    cache_bytes: int
    max_virtual_bytes: int


@dataclass
class _Job:
    """A fetch that goes on."""

    source: fleet_pb2.ImageSource
    got_bytes: int = 0
    stage: str = "waiting for its turn"

    def progress(self) -> str:
        mib = 1 << 20
        done = f"{self.got_bytes // mib} of {self.source.size_bytes // mib} MiB"
        return f"{self.source.image_id}: {self.stage}, {done}"


class Cache:
    """drivers.Images. Thread-safe."""

    def __init__(
        self,
        folder: Path,
        fetch: Fetch,
        in_use: Callable[[], Collection[str]],
        settings: Settings,
        pool: Executor,
        clock: Callable[[], int],
        run: Run,
        blocks: Blocks,
    ):
        self._folder, self._fetch, self._in_use, self._settings = folder, fetch, in_use, settings
        self._pool, self._clock, self._run, self._blocks = pool, clock, run, blocks
        self._lock = threading.RLock()
        self._jobs: dict[Path, _Job] = {}
        self._refusals: dict[Path, tuple[DriverError, int]] = {}
        self._failures: dict[Path, tuple[int, str, int]] = {}  # how many, why, not before
        self._on_change: Callable[[str], None] = lambda digest: None
        self._partial = folder / "partial"
        for place in (folder, self._partial):
            make_folder(place)

    # -- drivers.Images ------------------------------------------------------------------------

    def ensure(self, source: fleet_pb2.ImageSource) -> Path:
        path = self._path(source)
        with self._lock:
            if path.exists():
                os.utime(path)  # the least recently used one goes first
                return path
            refusal, until = self._refusals.get(path, (None, 0))
            if refusal is not None and self._clock() < until:
                raise refusal
            self._refusals.pop(path, None)
            job = self._jobs.get(path)
            if job is None:
                _, why, not_before = self._failures.get(path, (0, "", 0))
                if self._clock() < not_before:
                    raise NotYet(why, retry_ms=not_before - self._clock())
                job = self._jobs[path] = _Job(source)
                submit(self._pool, self._work, path, job)
            raise NotYet(job.progress(), retry_ms=RETRY_MS)

    def cached(self) -> Collection[str]:
        return sorted({f"sha256:{path.stem}" for path in self._published()})

    def watch(self, on_change: Callable[[str], None]) -> None:
        self._on_change = on_change

    # -- one image -----------------------------------------------------------------------------

    def _work(self, path: Path, job: _Job) -> None:
        """In the pool: all of it, or a reason why not. A passing trouble leaves the partial file
        for the next ``ensure`` to go on with.
        """
        failure: DriverError | None = None
        try:
            self._make(path, job)
        except DriverError as expected:
            failure = expected
        except Exception as bug:
            log.exception("image %s: a defect in the agent", job.source.digest)
            failure = DriverError(f"a defect in the agent: {bug!r}")
        with self._lock:
            del self._jobs[path]
            known, _, _ = self._failures.pop(path, (0, "", 0))
            if failure is not None:
                self._note_failure(path, job.source, failure, known + 1)
        if failure is None or not failure.transient:
            self._on_change(job.source.digest)

    def _note_failure(
        self, path: Path, source: fleet_pb2.ImageSource, failure: DriverError, times: int
    ) -> None:
        why = f"image {source.image_id} ({source.digest}): {failure}"
        log.warning("%s", why)
        if failure.transient:
            pause = min(RETRY_MS << min(times - 1, 10), RETRY_MOST_MS)
            self._failures[path] = (times, why, self._clock() + pause)
        else:
            named = DriverError(why, transient=False, because=failure.because)
            self._refusals[path] = (named, self._clock() + REFUSAL_HOLDS_MS)

    def _make(self, path: Path, job: _Job) -> None:
        source = job.source
        self._make_room(source.size_bytes)
        partial = self._partial / path.stem
        job.stage = "fetching"
        if source.disk_format == "blocks":
            self._restore(partial, job)
            self._publish(partial, path)
            return
        resumed = self._download(partial, job)
        if resumed != source.digest:
            partial.unlink(missing_ok=True)
            raise DriverError(
                f"what was fetched has digest {resumed}, not {source.digest}",
                transient=job.stage == "resuming",
            )
        job.stage = "inspecting"
        try:
            size = inspect(partial, source.disk_format, self._settings.max_virtual_bytes, self._run)
            if source.virtual_size_bytes not in (0, size):
                raise DriverError(
                    f"the image's disk has {size} bytes, {source.virtual_size_bytes} were declared",
                    transient=False,
                )
        except DriverError as failure:
            if not failure.transient:
                partial.unlink(missing_ok=True)
            raise
        self._publish(partial, path)
        log.info("image %s is here (%d MiB)", source.image_id, job.got_bytes >> 20)

    def _restore(self, partial: Path, job: _Job) -> None:
        """A snapshot's volume; what is in it is a guest's, and never looked at but as raw."""

        def tell(done_bytes: int) -> None:
            job.got_bytes = done_bytes

        partial.touch()
        try:
            with open(partial, "rb+") as file:
                most = self._settings.max_virtual_bytes
                restore(self._blocks, job.source.digest, file, most, tell)
                file.flush()
                os.fsync(file.fileno())
        except OSError as failure:
            raise DriverError(f"it cannot be kept: {failure.strerror}") from failure
        except DriverError as failure:
            if not failure.transient:
                partial.unlink(missing_ok=True)
            raise

    def _download(self, partial: Path, job: _Job) -> str:
        """Fetches what is missing; answers the digest of the whole. Raises DriverError."""
        digest, most = hashlib.sha256(), job.source.size_bytes
        try:
            with open(partial, "ab+") as file:
                file.seek(0)
                while chunk := file.read(_HASH_CHUNK):
                    digest.update(chunk)
                    job.got_bytes += len(chunk)
                if job.got_bytes:
                    job.stage = "resuming"
                for chunk in self._missing(job, most):
                    job.got_bytes += len(chunk)
                    if most and job.got_bytes > most:
                        raise DriverError(f"it is larger than {most} bytes", transient=False)
                    digest.update(chunk)
                    file.write(chunk)
                file.flush()
                os.fsync(file.fileno())
        except OSError as failure:
            raise DriverError(f"it cannot be kept: {failure.strerror}") from failure
        except CloudError as failure:
            gone = failure.kind is Kind.NOT_FOUND
            raise DriverError(f"it cannot be fetched: {failure}", transient=not gone) from failure
        if most and job.got_bytes < most:
            raise DriverError(f"its end is missing: {job.got_bytes} of {most} bytes came")
        return "sha256:" + digest.hexdigest()

    def _missing(self, job: _Job, most: int) -> Iterator[bytes]:
        if most and job.got_bytes >= most:
            return iter(())  # whole already: cut between the last byte and the renaming
        return self._fetch(job.source.digest, job.got_bytes)

    def _publish(self, partial: Path, path: Path) -> None:
        """Disks read it, nobody writes it; its name is there only with all of its content."""
        os.chmod(partial, 0o400)
        os.replace(partial, path)
        sync(self._folder)

    # -- the bound -----------------------------------------------------------------------------

    def _make_room(self, wanted_bytes: int) -> None:
        """Evicts the least recently used ones until ``wanted_bytes`` more would fit."""
        with self._lock:
            in_use = set(self._in_use())
            files = sorted(
                ((path.stat(), path) for path in self._published()),
                key=lambda found: found[0].st_mtime_ns,
            )
            total = wanted_bytes + sum(_taken_bytes(status) for status, _ in files)
            for status, path in files:
                if total <= self._settings.cache_bytes:
                    return
                if f"sha256:{path.stem}" not in in_use:
                    log.info("image sha256:%s leaves the cache", path.stem)
                    path.unlink()
                    total -= _taken_bytes(status)

    def _published(self) -> list[Path]:
        return [path for path in self._folder.iterdir() if path.suffix in (".qcow2", ".raw")]

    def start(self) -> None:
        """Drops what nobody waits for any more. Before the first ``ensure``."""
        wanted = {digest.removeprefix("sha256:") for digest in self._in_use()}
        for partial in self._partial.iterdir():
            if partial.name not in wanted:
                partial.unlink()

    def unfinished(self) -> list[str]:
        """Partial files, for the audit."""
        return sorted(str(partial) for partial in self._partial.iterdir())

    def _path(self, source: fleet_pb2.ImageSource) -> Path:
        match = _DIGEST.fullmatch(source.digest)
        if match is None or source.disk_format not in ("qcow2", "raw", "blocks"):
            raise DriverError(
                f"image {source.image_id}: {source.disk_format!r} with digest {source.digest!r} "
                "cannot be used",
                transient=False,
            )
        return self._folder / f"{match[1]}.{file_format(source)}"


def _taken_bytes(status: os.stat_result) -> int:
    """A volume's file is mostly holes."""
    return min(status.st_size, status.st_blocks * 512)
