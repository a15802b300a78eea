"""Where the bytes of images are: content-addressed, complete or not there at all.

Called by controller/storage/images (upload, fetch, collect) and, to hand files to hosts, by
controller/hosts (FetchImage). The rows that say which digest is whose are
controller/storage/images/rules' business; this knows files only.

    <root>/blobs/<sha256 hex>      whole, inspected, never changed; becomes real by rename
    <root>/incoming/*.part         being written; of no meaning to anyone but its writer
    <root>/incoming/*.hidden       on its way out

A second backend (S3, Swift) is one class with the methods of ``ImageStore``;
tests/unit/controller/test_image_store.py is the contract.
"""

import contextlib
import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from controller.kernel.files import modified_s, space_of
from protos import disk_files
from protos.errors import CloudError, Kind
from protos.files import sync
from protos.private_files import make_folder
from protos.qcow2 import Refused

CHUNK_BYTES = 1024 * 1024
_HIDDEN = ".hidden"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
# As disk_format: qcow2 where the file begins as one, else raw; decided once, then declared.
DECIDE_BY_HEADER = ""


@dataclass(frozen=True)
class StoredFile:
    digest: str  # "sha256:<hex>"
    disk_format: str  # qcow2 | raw
    size_bytes: int
    virtual_size_bytes: int


class ImageStore(Protocol):
    def add(self, chunks: Iterable[bytes], disk_format: str, limit_bytes: int) -> StoredFile: ...

    def size_of(self, digest: str) -> int: ...

    def has(self, digest: str) -> bool: ...

    def read(self, digest: str, offset: int = 0) -> Iterator[bytes]: ...

    def hide(self, digest: str) -> None: ...

    def remove_hidden(self) -> None: ...

    def untouched(self, since_s: float) -> list[str]: ...

    def sweep_incoming(self, untouched_since_s: float) -> int: ...


def is_digest(text: str) -> bool:
    return bool(_DIGEST.fullmatch(text))


class FileStore:
    """Images as files under ``root``.

    Any number of threads and processes may use one folder at once.
    """

    def __init__(self, root: Path, checkpoint: Callable[[str], None] = lambda name: None):
        self._blobs, self._incoming = root / "blobs", root / "incoming"
        self._checkpoint = checkpoint
        for folder in (root, self._blobs, self._incoming):
            make_folder(folder)

    def add(self, chunks: Iterable[bytes], disk_format: str, limit_bytes: int) -> StoredFile:
        """Takes a file in. ``disk_format``: qcow2, raw or DECIDE_BY_HEADER.

        Durable when it returns; the same bytes again are the same file. Raises INVALID for what
        is too big or not what it was declared to be, UNAVAILABLE where there is no space for it,
        and whatever ``chunks`` raises; nothing is left behind then.
        """
        with space_of("images"):
            return self._add(chunks, disk_format, limit_bytes)

    def _add(self, chunks: Iterable[bytes], disk_format: str, limit_bytes: int) -> StoredFile:
        descriptor, name = tempfile.mkstemp(suffix=".part", dir=self._incoming)
        part = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                hexdigest, size_bytes = _copy(chunks, file, limit_bytes)
                file.flush()
                os.fsync(file.fileno())
            found = _inspect(part, disk_format)
            self._checkpoint("image:before-rename")
            os.replace(part, self._blobs / hexdigest)
            sync(self._blobs)
            self._checkpoint("image:after-rename")
        finally:
            part.unlink(missing_ok=True)
        return StoredFile(
            f"sha256:{hexdigest}", found.disk_format, size_bytes, found.virtual_size_bytes
        )

    def size_of(self, digest: str) -> int:
        """The file's length in bytes. Raises NOT_FOUND."""
        try:
            return self._path(digest).stat().st_size
        except FileNotFoundError as failure:
            raise _missing(digest) from failure

    def has(self, digest: str) -> bool:
        return is_digest(digest) and self._path(digest).exists()

    def read(self, digest: str, offset: int = 0) -> Iterator[bytes]:
        """The file's bytes from ``offset`` on, in pieces of at most CHUNK_BYTES.

        Raises NOT_FOUND at once.
        """
        if offset < 0:
            raise CloudError(Kind.INVALID, f"There is no offset {offset}", noun="parameter")
        try:
            file = self._path(digest).open("rb")
        except FileNotFoundError as failure:
            raise _missing(digest) from failure
        file.seek(offset)
        return _pieces(file)

    def hide(self, digest: str) -> None:
        """Takes a file's name away, if it is there: at once, however large it is.

        Readers that have it open read on to its end.
        """
        path = self._path(digest)
        with contextlib.suppress(FileNotFoundError):
            os.replace(path, self._incoming / f"{path.name}{_HIDDEN}")
            sync(self._blobs)

    def remove_hidden(self) -> None:
        """Gives back the space of what was hidden, by whomever."""
        for hidden in self._incoming.glob(f"*{_HIDDEN}"):
            hidden.unlink(missing_ok=True)

    def untouched(self, since_s: float) -> list[str]:
        """The digests of files that were stored before ``since_s`` (seconds of the epoch)."""
        return [
            f"sha256:{blob.name}"
            for blob in self._blobs.iterdir()
            if is_digest(f"sha256:{blob.name}") and modified_s(blob, since_s) < since_s
        ]

    def sweep_incoming(self, untouched_since_s: float) -> int:
        """Removes files whose writer died, not written to since then (seconds of the epoch)."""
        removed = 0
        for part in self._incoming.glob("*.part"):
            if modified_s(part, untouched_since_s) < untouched_since_s:
                part.unlink(missing_ok=True)
                removed += 1
        return removed

    def _path(self, digest: str) -> Path:
        if not is_digest(digest):
            raise _missing(digest)
        return self._blobs / digest.removeprefix("sha256:")


def refused(message: str) -> CloudError:
    """Makes the refusal of bytes that are not taken in."""
    return CloudError(Kind.INVALID, message, noun="image")


def _copy(chunks: Iterable[bytes], file: IO[bytes], limit_bytes: int) -> tuple[str, int]:
    """Writes and hashes. Returns (sha256 in hex, the file's length)."""
    sha256, size_bytes = hashlib.sha256(), 0
    for chunk in chunks:
        size_bytes += len(chunk)
        if size_bytes > limit_bytes:
            raise refused(f"The file is larger than the {limit_bytes} bytes that are allowed")
        sha256.update(chunk)
        file.write(chunk)
    return sha256.hexdigest(), size_bytes


def _inspect(part: Path, disk_format: str) -> disk_files.DiskFile:
    """Raises INVALID for a file that no guest could start from, with the reason."""
    with part.open("rb") as file:
        try:
            declared = disk_format or disk_files.format_of(file.read(512))
            return disk_files.inspect(file, declared)
        except Refused as why:
            raise refused(f"The image cannot be used: {why}") from why


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while piece := file.read(CHUNK_BYTES):
            yield piece


def _missing(digest: str) -> CloudError:
    return CloudError(Kind.NOT_FOUND, f"The store has no file {digest}", noun="image", id=digest)
