"""Where snapshots' blocks and manifests are: content-addressed, complete or not there at all.

Called by the block rpcs (storage/blocks/fleet_rpc) and storage/snapshots/collect. The rows that say
which manifest is whose are controller/storage/snapshots/rules' business; this knows bytes only.

    <root>/blocks/<2 hex>/<sha256 hex>       a block; becomes real by rename, never changed
    <root>/manifests/<2 hex>/<sha256 hex>    a manifest, the same way
    <root>/incoming/*.part                   being written; of no meaning to anyone but its writer
    <root>/condemned/…                       on its way out; a name that is asked for is not there
    <root>/damaged/…                         not what its name says any more: kept for the operator
    <root>/marks.db                          which files are known to be whole (blocks/marks)

A file's name is not believed: "that one is here" is said of a file that was read and found whole
since it was last written, by whoever wrote it, by whoever asked, or by the scrub. One that is found
damaged is set aside there and then, so that it is missing, and the next copy brings it again.

What is asked for by ``missing`` is touched, and what was touched lately is not collected: an answer
"that one is here" holds for as long as a copy takes (storage/snapshots/collect). A second backend
(S3) is one class with the methods of ``BlockStore``; tests/unit/controller/test_block_store.py is
the contract.
"""

import errno
import logging
import os
import tempfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

from controller.kernel.files import modified_s, space_of
from controller.storage.blocks.marks import Marks, Place, state_of
from protos.errors import CloudError, Kind
from protos.files import sync
from protos.manifest import block_name, digest_of, hash_of
from protos.private_files import make_folder

log = logging.getLogger(__name__)

BLOCK, MANIFEST = "block", "manifest"
KINDS = (BLOCK, MANIFEST)  # in alphabetical order: the scrub's places are compared as text
DAMAGED_KEPT_S = 30 * 24 * 3600  # longer than what else is on its way out: it may be mended by hand
_FOLDERS = {BLOCK: "blocks", MANIFEST: "manifests"}


class Stored(NamedTuple):
    """A block or a manifest, by name."""

    kind: str
    digest: str


class BlockStore(Protocol):
    def missing(self, kind: str, digests: Collection[str]) -> list[str]: ...

    def put(self, kind: str, digest: str, data: bytes) -> bool: ...

    def get(self, kind: str, digest: str) -> bytes: ...

    def all(self, kind: str) -> Iterator[str]: ...

    def untouched(self, kind: str, since_s: float) -> Iterator[str]: ...

    def remove_untouched(self, kind: str, digest: str, since_s: float) -> bool: ...

    def sweep(self, since_s: float) -> int: ...

    def scrub(self, most_bytes: int, since_s: float) -> int: ...

    def lost(self) -> list[Stored]: ...


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
        self._damaged = root / "damaged"
        folders = self._incoming, self._condemned, self._damaged
        for folder in (root, *folders, *map(root.joinpath, _FOLDERS.values())):
            make_folder(folder)
        self._marks = Marks(root / "marks.db")

    def missing(self, kind: str, digests: Collection[str]) -> list[str]:
        """Those that the store lacks, or has not whole, in the order asked. The others stay for a
        while, whoever names them. Raises INVALID for what is no digest."""
        paths = {digest: self._path(kind, digest) for digest in digests}
        known = self._marks.of([_name(kind, path) for path in paths.values()])
        whole: dict[str, str] = {}
        for path in paths.values():
            name = _name(kind, path)
            if state := self._touch(kind, path, known.get(name)):
                whole[name] = state
        self._marks.note({name: state for name, state in whole.items() if known.get(name) != state})
        return [digest for digest in digests if _name(kind, paths[digest]) not in whole]

    def put(self, kind: str, digest: str, data: bytes) -> bool:
        """Stores a block durably; answers whether it was not there before.

        Raises INVALID where the bytes are not what their name says, UNAVAILABLE where there is no
        space for them.
        """
        path = self._path(kind, digest)
        if digest_of(data) != digest:
            raise CloudError(
                Kind.INVALID, f"The {kind} is not what its digest {digest} says.", noun="snapshot"
            )
        if not self.missing(kind, [digest]):
            return False
        with space_of("snapshots"):
            self._write(kind, path, data)
        self.missing(kind, [digest])  # read back, and known to be whole from then on
        return True

    def _write(self, kind: str, path: Path, data: bytes) -> None:
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
                sync(path.parent.parent)
            self._checkpoint(f"{kind}:before-rename")
            os.replace(part, path)
            sync(path.parent)
            self._checkpoint(f"{kind}:after-rename")
        finally:
            part.unlink(missing_ok=True)

    def get(self, kind: str, digest: str) -> bytes:
        """Reads it whole, or not at all. Raises NOT_FOUND, also where it has just been found
        damaged."""
        path = self._path(kind, digest)
        try:
            data = _content(path)
            if digest_of(data) == digest:
                return data
            if not self._set_aside(kind, path):
                return self.get(kind, digest)
        except FileNotFoundError as failure:
            raise _not_found(kind, digest, "") from failure
        raise _not_found(kind, digest, ": it was damaged, and is set aside until it is brought")

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
        self._marks.drop(_name(kind, path))
        return True

    def sweep(self, since_s: float) -> int:
        """Removes what dead writers and collectors left, not touched since then; answers how
        many."""
        removed = 0
        damaged_s = since_s - DAMAGED_KEPT_S
        ends = {self._incoming: since_s, self._condemned: since_s, self._damaged: damaged_s}
        for folder, end_s in ends.items():
            for path in folder.iterdir():
                if modified_s(path, end_s) < end_s:
                    path.unlink(missing_ok=True)
                    removed += 1
        return removed

    def scrub(self, most_bytes: int, since_s: float) -> int:
        """Reads on where the last call left off, whatever the marks say, and sets aside what is
        damaged; answers how many bytes it has read, about ``most_bytes`` at most. A new round
        begins where the last began before then (seconds of the epoch)."""
        began_s, at = self._marks.place()
        if not at and began_s >= since_s:
            return 0
        began_s, read, whole = began_s if at else self._clock(), 0, {}
        for kind, path in self._behind(at):
            if read >= most_bytes:
                break
            at = _name(kind, path)
            try:
                size, state = path.stat().st_size, self._verified(kind, path)
            except FileNotFoundError:
                continue  # collected meanwhile
            read += size
            if state:
                whole[at] = state
        else:
            at = ""
        self._marks.note(whole)
        self._marks.set_place(Place(began_s, at))
        return read

    def lost(self) -> list[Stored]:
        """What was set aside and has not been brought again."""
        found = []
        for path in sorted(self._damaged.iterdir()):
            kind, _, name = path.name.partition("-")
            if kind in KINDS and not (self._root / _FOLDERS[kind] / name[:2] / name).exists():
                found.append(Stored(kind, f"sha256:{name}"))
        return found

    def _behind(self, at: str) -> Iterator[tuple[str, Path]]:
        """Everything, in the order of the names, from ``at`` on."""
        for kind in KINDS:
            for folder in sorted((self._root / _FOLDERS[kind]).iterdir()):
                if f"{kind}/{folder.name}" >= at[: len(kind) + 3]:
                    paths = sorted(folder.iterdir())
                    yield from ((kind, path) for path in paths if _name(kind, path) > at)

    def _files(self, kind: str) -> Iterator[Path]:
        for folder in sorted((self._root / _FOLDERS[kind]).iterdir()):
            yield from sorted(folder.iterdir())

    def _touch(self, kind: str, path: Path, mark: str | None) -> str:
        """What a mark of it is now, where it is there and whole; then it is young again. It is read
        where ``mark`` does not say that it is as it was."""
        now_s = self._clock()
        try:
            if state_of(path.stat()) != mark and not self._verified(kind, path):
                return ""
            os.utime(path, (now_s, now_s))
            return state_of(path.stat())
        except FileNotFoundError:
            return ""

    def _verified(self, kind: str, path: Path) -> str:
        """Reads it; answers what a mark of it is then, or '' where it was damaged, and is set aside
        now. Raises FileNotFoundError."""
        state = state_of(path.stat())
        if _named(path, _content(path)) or not self._set_aside(kind, path):
            return state
        return ""

    def _set_aside(self, kind: str, path: Path) -> bool:
        """Out of sight, then looked at for the last time: one that was brought again meanwhile goes
        back. Answers whether it is aside. Raises FileNotFoundError."""
        aside = self._damaged / f"{kind}-{path.name}"
        os.replace(path, aside)
        self._checkpoint(f"{kind}:set-aside")
        if _named(path, _content(aside)):
            os.replace(aside, path)
            return False
        now_s = self._clock()
        os.utime(aside, (now_s, now_s))
        log.error("%s %s is damaged: it is set aside, in %s", kind, path.name, self._damaged)
        return True

    def _path(self, kind: str, digest: str) -> Path:
        name = checked_hash(digest).hex()
        return self._root / _FOLDERS[kind] / name[:2] / name


def _content(path: Path) -> bytes:
    """From the medium rather than from memory. Empty, and so nothing's content, where the medium
    does not give it any more. Raises FileNotFoundError."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        try:
            return file.read()
        except OSError as failure:
            if failure.errno != errno.EIO:
                raise
            log.error("%s cannot be read: %s", path, failure)
            return b""


def _named(path: Path, data: bytes) -> bool:
    """Whether that is what the name says."""
    return digest_of(data) == f"sha256:{path.name}"


def _name(kind: str, path: Path) -> str:
    return f"{kind}/{path.name}"


def _not_found(kind: str, digest: str, why: str) -> CloudError:
    message = f"The store has no {kind} {digest}{why}"
    return CloudError(Kind.NOT_FOUND, message, noun="snapshot", id=digest)


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
