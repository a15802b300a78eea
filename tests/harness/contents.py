"""What every volume must read as: what guests wrote, and what it began with, kept beside the cloud.

    contents.begin("vol-1", "sha256:..")   a volume is there; it begins as that snapshot, or blank
    contents.wrote("vol-1", 4096, 7, now)  a guest's write, done: value 7 fills the block at 4096
    contents.of("vol-1")                   offset -> value, now; what is not in it is zeros
    contents.moments("vol-1", since, until)     each content that it had between two moments
    contents.lived("i-1", True, now)       a guest uses its disks from now on, or not any more
    contents.together(["vol-1", "vol-2"], "i-1", since, until)     as moments, of several at once,
                                           and whether that guest lived
    contents.snapshots["sha256:.."]        manifest -> what it holds, once that was looked at

All is kept in the order in which it happened, as a millisecond holds several events. A value is a
number that fills a block; 0 stands for zeros. Used by guests.py, which writes, by hosts.py, and by
``invariants/storage`` and ``images``, which compare.
"""

from collections.abc import Callable, Collection, Iterable, Iterator

BLOCK = 4096
_LIFE = -1  # in place of an offset

Content = dict[int, int]


class Contents:
    """See the module's head."""

    def __init__(self):
        self.snapshots: dict[str, Content] = {}
        self._began: dict[str, Content] = {}
        self._log: list[tuple[int, str, int, int]] = []  # when, of what, offset, value
        self._now: dict[str, Content] = {}

    def begin(self, volume_id: str, digest: str | None) -> None:
        """Once; later ones are not heard."""
        if volume_id not in self._began:
            content = self.snapshots.get(digest, {}) if digest else {}
            self._began[volume_id], self._now[volume_id] = content, dict(content)

    def knows(self, volume_id: str) -> bool:
        return volume_id in self._now

    def wrote(self, volume_id: str, offset: int, value: int, now_ms: int) -> None:
        self._now[volume_id][offset] = value
        self._log.append((now_ms, volume_id, offset, value))

    def lived(self, guest: str, alive: bool, now_ms: int) -> None:
        self._log.append((now_ms, guest, _LIFE, alive))

    def of(self, volume_id: str) -> Content:
        return self._now[volume_id]

    def moments(self, volume_id: str, since_ms: int, until_ms: int) -> Iterator[Content]:
        """What was written in the very millisecond of ``since_ms`` may have been before or after
        it."""
        for contents, _ in self.together([volume_id], "", since_ms, until_ms):
            yield contents[volume_id]

    def together(
        self, volume_ids: Collection[str], guest: str, since_ms: int, until_ms: int
    ) -> Iterator[tuple[dict[str, Content], bool]]:
        """To be looked at before the next is asked for."""
        now, lives = {name: dict(self._began[name]) for name in volume_ids}, False
        inside = False
        for when_ms, name, offset, value in self._log:
            if when_ms > until_ms:
                break
            if name != guest and name not in now:
                continue
            if when_ms >= since_ms and not inside:
                inside = True
                yield now, lives
            if offset == _LIFE:
                lives = bool(value)
            else:
                now[name][offset] = value
            if inside:
                yield now, lives
        if not inside:
            yield now, lives


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
