"""The copier and the restorer, on fake volumes: what comes back is what was there."""

import contextlib
import random
import tempfile

import pytest

from hostagent.kernel.errors import DriverError
from hostagent.storage.snapshots.copier import Base, Source, copy
from hostagent.storage.snapshots.restore import restore
from hostagent.storage.volumes.fake import FakeVolumes
from protos.cloud.v1 import fleet_pb2
from protos.manifest import BLOCK_BYTES, Manifest
from tests.unit.hostagent.stores import MemoryBlocks

MIB = BLOCK_BYTES
SIZE = 40 * MIB
VOLUME = "vol-00000001"


class Bench:
    """A volume, a store, and what a guest and an agent do to them."""

    def __init__(self, size_bytes=SIZE, **volumes):
        self.blocks = MemoryBlocks()
        self.volumes = FakeVolumes(**volumes)
        self.size_bytes, self.taken = size_bytes, 0

    def make(self, base=None, **image):
        disk = fleet_pb2.DiskSpec(volume_id=VOLUME, size_bytes=self.size_bytes)
        if base:
            disk.image.CopyFrom(fleet_pb2.ImageSource(disk_format="raw", **image))
        self.volumes.ensure(disk, base)
        return self

    def write(self, at: int, data: bytes) -> None:
        self.volumes.write(VOLUME, at, data)

    def freeze(self) -> int:
        number = self.volumes.chain(VOLUME)[-1].number
        self.volumes.add_layer(VOLUME, number)
        return number

    def content(self, number: int) -> bytes:
        size = next(x.size_bytes for x in self.volumes.chain(VOLUME) if x.number == number)
        return b"".join(self.volumes.read(VOLUME, number, at, MIB) for at in range(0, size, MIB))[
            :size
        ]

    def copy(self, number: int, base: Base | None = None, tell=lambda percent: None):
        self.taken += 1
        source = Source(f"snap-{self.taken:08x}", VOLUME, number, base)
        return copy(self.volumes, self.blocks, source, tell)

    def restored(self, digest: str, file=None, most=1 << 40) -> bytes:
        with contextlib.nullcontext(file) if file else tempfile.TemporaryFile() as file:
            restore(self.blocks, digest, file, most, lambda done: None)
            file.seek(0)
            return file.read()


@pytest.fixture
def bench():
    return Bench().make()


def test_what_was_written_comes_back(bench):
    bench.write(3 * MIB - 100, b"across a block's end" * 50)
    bench.write(SIZE - 5, b"theend"[:5])
    number = bench.freeze()
    copied = bench.copy(number)
    assert bench.restored(copied.digest) == bench.content(number)
    assert copied.size_bytes == copied.added_bytes == 3 * MIB
    assert len(bench.blocks.blocks) == 3


def test_an_empty_volume_is_a_manifest_of_nothing(bench):
    copied = bench.copy(bench.freeze())
    assert (copied.size_bytes, copied.added_bytes, bench.blocks.blocks) == (0, 0, {})
    assert bench.restored(copied.digest) == bytes(SIZE)


def test_the_second_reads_and_sends_what_changed(bench):
    for at in range(0, 30):
        bench.write(at * MIB, bytes([at + 1]) * 100)
    first = bench.freeze()
    one = bench.copy(first)
    bench.write(7 * MIB, b"changed")
    bench.write(35 * MIB, b"new")
    bench.write(9 * MIB, bytes(MIB))  # discarded
    second = bench.freeze()
    reads = count_reads(bench)
    two = bench.copy(second, Base(first, one.digest))
    assert two.added_bytes == 2 * MIB and sum(reads) == 3 * MIB
    assert bench.restored(two.digest) == bench.content(second)
    assert bench.restored(one.digest) == bench.content(first)
    assert bench.copy(second).digest == two.digest  # whole and incremental are the same


def count_reads(bench) -> list[int]:
    reads, read = [], bench.volumes.read

    def counted(volume_id, number, start, length):
        reads.append(length)
        return read(volume_id, number, start, length)

    bench.volumes.read = counted
    return reads


def test_blocks_that_the_store_has_dropped_are_sent_again(bench):
    for at in range(5):
        bench.write(at * MIB, bytes([at + 1]))
    first = bench.freeze()
    one = bench.copy(first)
    del bench.blocks.blocks[next(iter(bench.blocks.blocks))]
    second = bench.freeze()
    two = bench.copy(second, Base(first, one.digest))
    assert two.digest == one.digest and two.added_bytes == MIB
    assert bench.restored(two.digest) == bench.content(second)


def test_without_the_manifest_before_all_is_read(bench):
    bench.write(0, b"x")
    first = bench.freeze()
    one = bench.copy(first)
    bench.write(MIB, b"y")
    second = bench.freeze()
    bench.blocks.manifests.clear()
    two = bench.copy(second, Base(first, one.digest))
    assert bench.restored(two.digest) == bench.content(second)


def test_a_damaged_manifest_before_is_not_believed(bench):
    bench.write(0, b"x")
    first = bench.freeze()
    one = bench.copy(first)
    bench.blocks.manifests[one.digest] = Manifest(SIZE, [(5, b"a" * 32)]).encode()
    second = bench.freeze()
    assert bench.restored(bench.copy(second, Base(first, one.digest)).digest) == bench.content(
        second
    )


def test_layers_that_are_not_as_the_manifest_says_are_read_whole(bench):
    """Somebody has written into a frozen layer. What is in the store is what can be read."""
    bench.write(0, b"x")
    first = bench.freeze()
    one = bench.copy(first)
    bench.blocks.blocks.clear()
    bench.volumes.write(VOLUME, 0, b"other", bench.volumes.chain(VOLUME)[0].path)
    second = bench.freeze()
    two = bench.copy(second, Base(first, one.digest))
    assert bench.restored(two.digest) == bench.content(second)


def test_a_grown_volume(bench):
    bench.write(SIZE - MIB, b"x" * MIB)
    first = bench.freeze()
    one = bench.copy(first)
    bench.volumes.grow(VOLUME, SIZE + MIB + 512)
    bench.write(SIZE + MIB, b"y" * 512)
    second = bench.freeze()
    two = bench.copy(second, Base(first, one.digest))
    assert len(bench.restored(two.digest)) == SIZE + MIB + 512
    assert bench.restored(two.digest) == bench.content(second)


def test_a_volume_on_an_image():
    content = random.Random(1).randbytes(2 * MIB) + bytes(MIB) + b"tail"

    def read_base(path, start, length):
        return content[start : start + length]

    bench = Bench(read_base=read_base).make("/fake/images/x", digest="sha256:x")
    bench.write(MIB + 5, b"over the image")
    number = bench.freeze()
    copied = bench.copy(number)
    assert copied.size_bytes == 3 * MIB
    assert bench.restored(copied.digest) == bench.content(number)


def test_a_volume_of_a_snapshot_knows_its_blocks():
    """Its first snapshot is incremental to what it began as."""
    first = Bench().make()
    first.write(0, b"a" * MIB)
    one = first.copy(first.freeze())
    content = first.restored(one.digest)
    bench = Bench(read_base=lambda path, start, length: content[start : start + length])
    bench.make("/fake/images/y", digest=one.digest)
    bench.blocks = first.blocks
    bench.write(2 * MIB, b"b")
    number = bench.freeze()
    reads = count_reads(bench)
    two = bench.copy(number, Base(-1, one.digest))
    assert sum(reads) == MIB
    assert bench.restored(two.digest) == bench.content(number)


@pytest.mark.parametrize("cut_at", range(6))
def test_a_cut_copy_sends_nothing_twice(bench, cut_at):
    class Cut(BaseException):
        pass

    for at in range(30):
        bench.write(at * MIB, bytes([at + 1]))
    number = bench.freeze()
    told = []

    def tell(percent):
        told.append(percent)
        if len(told) > cut_at:
            raise Cut

    try:
        bench.copy(number, tell=tell)
    except Cut:
        assert not bench.blocks.manifests
    copied = bench.copy(number)
    assert bench.blocks.sent == 30
    assert bench.restored(copied.digest) == bench.content(number)
    assert told == sorted(told) and all(0 <= percent <= 99 for percent in told)


def test_two_snapshots_of_one_volume_at_the_same_time(bench):
    bench.write(0, b"one")
    first = bench.freeze()
    bench.write(0, b"two")
    second = bench.freeze()
    two, one = bench.copy(second), bench.copy(first)
    assert bench.restored(one.digest)[:3] == b"one" and bench.restored(two.digest)[:3] == b"two"


# --- restoring ------------------------------------------------------------------------------------


@pytest.fixture
def taken(bench):
    for at in range(0, 20, 2):
        bench.write(at * MIB, bytes([at + 1]) * MIB)
    return bench, bench.copy(bench.freeze()).digest


def test_a_corrupted_block_is_found(taken):
    bench, digest = taken
    name = list(bench.blocks.blocks)[4]
    bench.blocks.blocks[name] = bench.blocks.blocks[name][:-1] + b"!"
    with pytest.raises(DriverError, match="damaged") as refused:
        bench.restored(digest)
    assert not refused.value.transient


def test_a_block_that_comes_damaged_is_asked_for_again(taken):
    """What was damaged on its way, or has just been brought again, is whole the second time."""
    bench, digest = taken
    whole, fetch, asked = bench.restored(digest), bench.blocks.fetch, []

    def once_damaged(digests):
        asked.append(len(digests))
        blocks = list(fetch(digests))
        yield from [b"?" + blocks[0][1:], *blocks[1:]] if len(asked) == 1 else blocks

    bench.blocks.fetch = once_damaged
    assert bench.restored(digest) == whole
    assert asked == [10, 1]


def test_a_corrupted_manifest_is_found(taken):
    bench, digest = taken
    bench.blocks.manifests[digest] += b"x"
    with pytest.raises(DriverError, match="damaged"):
        bench.restored(digest)


def test_a_missing_block_is_said(taken):
    bench, digest = taken
    del bench.blocks.blocks[list(bench.blocks.blocks)[-1]]
    with pytest.raises(DriverError, match="no block"):
        bench.restored(digest)


def test_a_cut_restore_goes_on(taken, tmp_path):
    bench, digest = taken
    whole, fetched = bench.restored(digest), []

    class Cut(BaseException):
        pass

    def cut(verb):
        fetched.append(verb)
        if len(fetched) == 6:
            raise Cut

    bench.blocks.before = cut
    with open(tmp_path / "partial", "wb+") as file:
        with pytest.raises(Cut):
            bench.restored(digest, file)
        bench.blocks.before = fetched.append
        file.seek(2 * MIB)
        file.write(b"torn")  # as a power failure leaves a block
        assert bench.restored(digest, file) == whole
    assert len(fetched) == 6 + 10 - 5 + 1


def test_a_volume_larger_than_allowed_is_refused(taken):
    bench, digest = taken
    with pytest.raises(DriverError, match="allowed"):
        bench.restored(digest, most=SIZE - 1)
