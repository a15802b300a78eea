"""What every volume must read as: what guests wrote, and what it began with, kept beside the cloud.

    contents.begin("vol-1", "sha256:..")   a volume is there; it begins as that snapshot, or blank
    contents.wrote("vol-1", 4096, 7, now)  a guest's write, done: value 7 fills the block at 4096
    contents.of("vol-1")                   offset -> value, now; what is not in it is zeros
    contents.moments("vol-1", since, until)     (from, to, content) of all between two moments
    contents.snapshots["sha256:.."]        manifest -> what it holds, once that was looked at

A value is a number that fills a block; 0 stands for zeros. Used by guests.py, which writes, and
``invariants/storage``, which compares.
"""

from collections.abc import Callable, Iterable, Iterator

BLOCK = 4096
FAR_BEFORE = 0

Content = dict[int, int]


class Contents:
    """See the module's head."""

    def __init__(self):
        self.snapshots: dict[str, Content] = {}
        self._began: dict[str, Content] = {}
        self._writes: dict[str, list[tuple[int, int, int]]] = {}  # when, offset, value
        self._now: dict[str, Content] = {}

    def begin(self, volume_id: str, digest: str | None) -> None:
        """Once; later ones are not heard."""
        if volume_id not in self._began:
            content = self.snapshots.get(digest, {}) if digest else {}
            self._began[volume_id], self._now[volume_id] = content, dict(content)
            self._writes[volume_id] = []

    def knows(self, volume_id: str) -> bool:
        return volume_id in self._now

    def wrote(self, volume_id: str, offset: int, value: int, now_ms: int) -> None:
        self._now[volume_id][offset] = value
        self._writes[volume_id].append((now_ms, offset, value))

    def of(self, volume_id: str) -> Content:
        return self._now[volume_id]

    def moments(
        self, volume_id: str, since_ms: int, until_ms: int
    ) -> Iterator[tuple[int, int, Content]]:
        """First and last millisecond, and what was there. What was written in the very millisecond
        of ``since_ms`` may have been before or after it.
        """
        content, first_ms = dict(self._began[volume_id]), FAR_BEFORE
        for when_ms, offset, value in self._writes[volume_id]:
            if when_ms > until_ms:
                break
            if when_ms >= since_ms:
                yield first_ms, when_ms, dict(content)
            content[offset], first_ms = value, when_ms
        yield first_ms, until_ms, content


def block_of(value: int) -> bytes:
    return value.to_bytes(8, "big") * (BLOCK // 8)


def value_in(block: bytes) -> int:
    """-1 for a block that nobody wrote so."""
    value = int.from_bytes(block[:8], "big")
    return value if block == block_of(value) else -1


def read_all(offsets: Iterable[int], read: Callable[[int, int], bytes]) -> Content:
    """``read(start, length)``; blocks of zeros are left out."""
    found = {offset: value_in(read(offset, BLOCK)) for offset in sorted(offsets)}
    return {offset: value for offset, value in found.items() if value}


def without_zeros(content: Content) -> Content:
    return {offset: value for offset, value in content.items() if value}
