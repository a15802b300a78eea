"""Where snapshots' blocks and manifests are: content-addressed, complete or not there at all.

Called by the block rpcs (storage/blocks/fleet_rpc) and storage/snapshots/collect. The rows that say
which manifest is whose are controller/storage/snapshots/rules' business; this knows bytes only.

    <root>/blocks/<2 hex>/<sha256 hex>       a block; becomes real by rename, never changed
    <root>/manifests/<2 hex>/<sha256 hex>    a manifest, the same way
    <root>/incoming/*.part                   being written; of no meaning to anyone but its writer
    <root>/condemned/…                       on its way out; a name that is asked for is not there

What is asked for by ``missing`` is touched, and what was touched lately is not collected: an answer
"that one is here" holds for as long as a copy takes (storage/snapshots/collect). A second backend
(S3) is one class with the methods of ``BlockStore``; tests/unit/controller/test_block_store.py is
the contract.
"""

import os
import tempfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Protocol

from controller.kernel.files import modified_s, sync_folder
from protos.errors import CloudError, Kind
from protos.manifest import block_name, digest_of, hash_of

BLOCK, MANIFEST = "block", "manifest"
KINDS = (BLOCK, MANIFEST)
_FOLDERS = {BLOCK: "blocks", MANIFEST: "manifests"}


class BlockStore(Protocol):
    def missing(self, kind: str, digests: Collection[str]) -> list[str]: ...

    def put(self, kind: str, digest: str, data: bytes) -> bool: ...

    def get(self, kind: str, digest: str) -> bytes: ...

    def all(self, kind: str) -> Iterator[str]: ...

    def untouched(self, kind: str, since_s: float) -> Iterator[str]: ...

    def remove_untouched(self, kind: str, digest: str, since_s: float) -> bool: ...

    def sweep(self, since_s: float) -> int: ...


class FolderBlocks:
    """Blocks as files under ``root``.

    Any number of threads and processes may use one folder at once. ``clock``: seconds of the epoch,
    as files' times are.
    """

    def __init__(
        self,
        root: Path,
        clock: Callable[[], float],
        checkpoint: Callable[[str], None] = lambda name: None,
    ):
        self._root, self._clock, self._checkpoint = root, clock, checkpoint
        self._incoming, self._condemned = root / "incoming", root / "condemned"
        for folder in (self._incoming, self._condemned, *map(root.joinpath, _FOLDERS.values())):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)

    def missing(self, kind: str, digests: Collection[str]) -> list[str]:
        """Those that the store lacks, in the order asked. The others stay for a while, whoever
        names them. Raises INVALID for what is no digest."""
        return [digest for digest in digests if not self._touch(self._path(kind, digest))]

    def put(self, kind: str, digest: str, data: bytes) -> bool:
        """Stores a block durably; answers whether it was not there before.

        Raises INVALID where the bytes are not what their name says.
        """
        path = self._path(kind, digest)
        if digest_of(data) != digest:
            raise CloudError(
                Kind.INVALID, f"The {kind} is not what its digest {digest} says.", noun="snapshot"
            )
        if self._touch(path):
            return False
        descriptor, name = tempfile.mkstemp(suffix=".part", dir=self._incoming)
        part = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            now_s = self._clock()
            os.utime(part, (now_s, now_s))
            if not path.parent.exists():
                path.parent.mkdir(exist_ok=True, mode=0o700)
                sync_folder(path.parent.parent)
            self._checkpoint(f"{kind}:before-rename")
            os.replace(part, path)
            sync_folder(path.parent)
            self._checkpoint(f"{kind}:after-rename")
        finally:
            part.unlink(missing_ok=True)
        return True

    def get(self, kind: str, digest: str) -> bytes:
        """Reads a block as it is on the disk: who gets it verifies it. Raises NOT_FOUND."""
        try:
            return self._path(kind, digest).read_bytes()
        except FileNotFoundError as failure:
            raise CloudError(
                Kind.NOT_FOUND,
                f"The store has no {kind} {digest}",
                noun="snapshot",
                id=digest,
            ) from failure

    def all(self, kind: str) -> Iterator[str]:
        return (f"sha256:{path.name}" for path in self._files(kind))

    def untouched(self, kind: str, since_s: float) -> Iterator[str]:
        """Digests of what was neither stored nor asked for since then (seconds of the epoch)."""
        for path in self._files(kind):
            if modified_s(path, since_s) < since_s:
                yield f"sha256:{path.name}"

    def remove_untouched(self, kind: str, digest: str, since_s: float) -> bool:
        """Removes it unless it was touched since; answers whether it did.

        It is out of sight before it is looked at for the last time: nobody can be told that it is
        here and then not find it.
        """
        path = self._path(kind, digest)
        condemned = self._condemned / f"{kind}-{path.name}"
        try:
            os.replace(path, condemned)
        except FileNotFoundError:
            return False
        self._checkpoint(f"{kind}:condemned")
        if modified_s(condemned, since_s) >= since_s:
            os.replace(condemned, path)
            return False
        condemned.unlink()
        return True

    def sweep(self, since_s: float) -> int:
        """Removes what dead writers and collectors left, not touched since then; answers how
        many."""
        removed = 0
        for folder in (self._incoming, self._condemned):
            for path in folder.iterdir():
                if modified_s(path, since_s) < since_s:
                    path.unlink(missing_ok=True)
                    removed += 1
        return removed

    def _files(self, kind: str) -> Iterator[Path]:
        for folder in sorted((self._root / _FOLDERS[kind]).iterdir()):
            yield from sorted(folder.iterdir())

    def _touch(self, path: Path) -> bool:
        """Whether it is there; then it is young again."""
        now_s = self._clock()
        try:
            os.utime(path, (now_s, now_s))
        except FileNotFoundError:
            return False
        return True

    def _path(self, kind: str, digest: str) -> Path:
        name = checked_hash(digest).hex()
        return self._root / _FOLDERS[kind] / name[:2] / name


def checked_hash(digest: str) -> bytes:
    """Raises INVALID for what is no digest."""
    try:
        return hash_of(digest)
    except ValueError as unreadable:
        raise CloudError(
            Kind.INVALID, "That is no digest of a block.", noun="snapshot", id=digest
        ) from unreadable


def names_of(hashes: Collection[bytes]) -> list[str]:
    return [block_name(one) for one in hashes]
