"""A store of blocks in memory, for the tests of the copier and the restorer."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence

from hostagent.storage.blocks import Gone


class MemoryBlocks:
    """remote.Blocks. ``asked`` counts questions, ``sent`` blocks that came."""

    def __init__(self):
        self.blocks: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        self.of_snapshot: dict[str, str] = {}
        self.sent = 0
        self.before = lambda verb: None

    def missing(self, digests: Sequence[str]) -> list[str]:
        self.before("missing")
        return [digest for digest in digests if digest not in self.blocks]

    def store(self, blocks: Iterable[tuple[str, bytes]]) -> int:
        added = 0
        for digest, data in blocks:
            self.before("store")
            assert digest == name_of(data)
            added += 0 if digest in self.blocks else len(data)
            self.blocks[digest] = data
            self.sent += 1
        return added

    def store_manifest(self, snapshot_id: str, digest: str, data: bytes) -> None:
        self.before("manifest")
        assert digest == name_of(data)
        self.manifests[digest], self.of_snapshot[snapshot_id] = data, digest

    def fetch_manifest(self, digest: str) -> bytes:
        if digest not in self.manifests:
            raise Gone(f"no manifest {digest}", transient=False)
        return self.manifests[digest]

    def fetch(self, digests: Sequence[str]) -> Iterator[bytes]:
        for digest in digests:
            self.before("fetch")
            if digest not in self.blocks:
                raise Gone(f"no block {digest}", transient=False)
            yield self.blocks[digest]


def name_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()
