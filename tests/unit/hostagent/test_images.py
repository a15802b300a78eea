"""The image cache: what may come in, what stays, what is fetched once; and hostile files."""

import hashlib
import os
from concurrent.futures import Executor, Future

import pytest

from hostagent.kernel import shell
from hostagent.kernel.errors import DriverError, NotYet
from hostagent.storage.blocks import Away
from hostagent.storage.images.cache import REFUSAL_HOLDS_MS, RETRY_MS, Cache, Settings
from hostagent.storage.images.inspect import Refused, inspect
from protos.cloud.v1 import fleet_pb2
from protos.errors import CloudError, Kind
from protos.manifest import BLOCK_BYTES, Manifest, hash_of
from tests.unit.hostagent.rig import Clock
from tests.unit.hostagent.stores import MemoryBlocks, name_of
from tests.unit.hostagent.volume_backends import needs_qemu_img
from tests.unit.qcow2_corpus import HOSTILE, SIZE, SOUND, Qcow2

LIMIT = 1 << 40


def never(argv, **limits):
    raise AssertionError(f"{argv[0]} was run on a file whose header was not sound")


def write(folder, content: bytes):
    path = folder / "image"
    path.write_bytes(content)
    return path


# -- inspection ----------------------------------------------------------------------------------


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_files_are_refused_before_any_program_opens_them(tmp_path, what):
    image, word = HOSTILE[what]
    with pytest.raises(Refused, match=word) as refusal:
        inspect(write(tmp_path, image.build()), "qcow2", LIMIT, never)
    assert not refusal.value.transient


@needs_qemu_img
@pytest.mark.parametrize("what", SOUND)
def test_a_sound_file_passes_with_qemu_too(tmp_path, what):
    assert inspect(write(tmp_path, SOUND[what].build()), "qcow2", LIMIT, shell.run) == SIZE


def test_a_disk_larger_than_allowed_is_refused(tmp_path):
    with pytest.raises(Refused, match="between"):
        inspect(write(tmp_path, Qcow2().build()), "qcow2", SIZE - 1, never)


def test_raw_is_raw_whatever_it_looks_like(tmp_path):
    hostile = HOSTILE["a backing file"][0].build()
    assert inspect(write(tmp_path, hostile), "raw", LIMIT, never) == len(hostile)


@pytest.mark.parametrize("disk_format", ["vmdk", "", "QCOW2"])
def test_other_formats_are_refused(tmp_path, disk_format):
    with pytest.raises(Refused, match="declared"):
        inspect(write(tmp_path, b"x" * 512), disk_format, LIMIT, never)


# -- the cache -----------------------------------------------------------------------------------


class Later(Executor):
    """Runs nothing until told, in this thread."""

    def __init__(self):
        self.waiting = []

    def submit(self, call, *args):
        self.waiting.append((call, args))
        return Future()

    def run(self):
        while self.waiting:
            call, args = self.waiting.pop(0)
            call(*args)


class Store:
    """The controller's images. ``breaks_after``: the stream fails after so many bytes."""

    def __init__(self):
        self.contents: dict[str, bytes] = {}
        self.asked: list[tuple[str, int]] = []
        self.breaks_after: int | None = None

    def add(self, content: bytes, disk_format="raw") -> fleet_pb2.ImageSource:
        digest = "sha256:" + hashlib.sha256(content).hexdigest()
        self.contents[digest] = content
        return fleet_pb2.ImageSource(
            image_id="ami-1", digest=digest, disk_format=disk_format, size_bytes=len(content)
        )

    def fetch(self, digest, offset):
        self.asked.append((digest, offset))
        if digest not in self.contents:
            raise CloudError(Kind.NOT_FOUND, "There is no such image.")
        content = self.contents[digest][offset:]
        if self.breaks_after is not None:
            yield content[: self.breaks_after]
            raise CloudError(Kind.UNAVAILABLE, "The store went away.")
        for start in range(0, len(content), 100):
            yield content[start : start + 100]


class Host:
    def __init__(self, folder, cache_bytes=10_000):
        self.folder, self.cache_bytes = folder, cache_bytes
        self.blocks = MemoryBlocks()
        self.store, self.pool, self.clock = Store(), Later(), Clock()
        self.in_use: set[str] = set()
        self.told: list[str] = []
        self.restart()

    def restart(self):
        self.pool.waiting.clear()
        self.cache = Cache(
            self.folder,
            self.store.fetch,
            lambda: self.in_use,
            Settings(self.cache_bytes, LIMIT),
            self.pool,
            self.clock,
            shell.run,
            self.blocks,
        )
        self.cache.start()
        self.cache.watch(self.told.append)

    def get(self, source):
        """Until it is here or cannot be."""
        for _ in range(10):
            try:
                return self.cache.ensure(source)
            except NotYet as wait:
                self.pool.run()
                self.clock.now_ms += wait.retry_ms
        raise AssertionError("it does not come")

    def partials(self):
        return [path.name for path in (self.folder / "partial").iterdir()]


@pytest.fixture
def host(tmp_path):
    return Host(tmp_path)


def test_fetched_verified_and_published_once(host):
    source = host.store.add(b"x" * 1000)
    for _ in range(5):
        with pytest.raises(NotYet, match="0 of 0 MiB"):
            host.cache.ensure(source)
    host.pool.run()
    path = host.cache.ensure(source)
    assert path.read_bytes() == b"x" * 1000
    assert path.stat().st_mode & 0o222 == 0
    assert len(host.store.asked) == 1
    assert host.told == [source.digest]
    assert list(host.cache.cached()) == [source.digest]
    assert host.partials() == []


def test_a_cut_fetch_is_gone_on_with(host):
    source = host.store.add(bytes(range(250)) * 4)
    host.in_use.add(source.digest)
    host.store.breaks_after = 300
    with pytest.raises(NotYet):
        host.cache.ensure(source)
    host.pool.run()
    host.restart()
    host.store.breaks_after = None
    assert host.get(source).read_bytes() == bytes(range(250)) * 4
    assert host.store.asked == [(source.digest, 0), (source.digest, 300)]


def test_cut_between_the_last_byte_and_the_publishing(host):
    source = host.store.add(b"x" * 1000)
    host.in_use.add(source.digest)
    (host.folder / "partial" / source.digest.removeprefix("sha256:")).write_bytes(b"x" * 1000)
    host.restart()
    assert host.get(source)
    assert host.store.asked == []


def test_a_partial_file_that_went_bad_is_fetched_anew(host):
    source = host.store.add(b"x" * 1000)
    host.in_use.add(source.digest)
    (host.folder / "partial" / source.digest.removeprefix("sha256:")).write_bytes(b"y" * 500)
    host.restart()
    assert host.get(source).read_bytes() == b"x" * 1000
    assert host.store.asked == [(source.digest, 500), (source.digest, 0)]


def test_partial_files_that_nobody_waits_for_go_at_the_start(host):
    (host.folder / "partial" / ("a" * 64)).write_bytes(b"left")
    host.restart()
    assert host.partials() == []


def test_pauses_grow_while_the_store_is_away(host):
    source = host.store.add(b"x" * 1000)
    host.store.breaks_after = 0
    waits = []
    for _ in range(6):
        with pytest.raises(NotYet):
            host.cache.ensure(source)
        host.pool.run()
        with pytest.raises(NotYet, match="went away") as wait:
            host.cache.ensure(source)
        waits.append(wait.value.retry_ms)
        host.clock.now_ms += wait.value.retry_ms
    assert waits == [RETRY_MS, 2000, 4000, 8000, 15000, 15000]
    assert host.told == []


@pytest.mark.parametrize("lie", ["digest", "longer", "virtual size", "unknown", "format"])
def test_what_is_not_what_was_declared_is_refused_and_not_kept(host, lie):
    source = host.store.add(b"x" * 1024)
    if lie == "digest":
        host.store.contents[source.digest] = b"y" * 1024
    elif lie == "longer":
        host.store.contents[source.digest] += b"x"
    elif lie == "virtual size":
        source.virtual_size_bytes = 4096
    elif lie == "unknown":
        del host.store.contents[source.digest]
    else:
        source.disk_format = "qcow2"
    with pytest.raises(DriverError) as refusal:
        host.get(source)
    assert not refusal.value.transient
    assert list(host.cache.cached()) == []
    assert host.told == [source.digest]


def test_a_refusal_holds_for_all_who_wait_and_not_for_ever(host):
    source = host.store.add(b"x" * 1024)
    good, host.store.contents[source.digest] = host.store.contents[source.digest], b"y" * 1024
    for _ in range(3):
        with pytest.raises(DriverError, match=f"image {source.image_id} "):
            host.get(source)
    assert len(host.store.asked) == 1
    host.store.contents[source.digest] = good
    host.clock.now_ms += REFUSAL_HOLDS_MS
    assert host.get(source).read_bytes() == good


@pytest.mark.parametrize("digest", ["", "sha256:../../etc/passwd", "md5:" + "a" * 32, "a" * 64])
def test_a_digest_that_is_none_never_becomes_a_path(host, digest):
    source = fleet_pb2.ImageSource(image_id="ami-1", digest=digest, disk_format="raw")
    with pytest.raises(DriverError, match="cannot be used"):
        host.cache.ensure(source)


def test_the_same_bytes_in_two_formats_are_inspected_twice(host):
    """Sound as raw is not sound as qcow2."""
    source = host.store.add(b"x" * 1024)
    assert host.get(source).suffix == ".raw"
    source.disk_format = "qcow2"
    with pytest.raises(DriverError, match="declared as qcow2"):
        host.get(source)


def test_the_least_recently_used_goes_first_and_none_in_use(host):
    used, old, recent, new = (host.store.add(bytes([n]) * 3000) for n in range(4))
    host.in_use = {used.digest}
    for age, source in ((30, used), (20, old), (10, recent)):
        os.utime(host.get(source), (1000 - age, 1000 - age))
    host.get(new)
    assert set(host.cache.cached()) == {used.digest, recent.digest, new.digest}


def test_images_in_use_may_exceed_the_bound(host):
    sources = [host.store.add(bytes([n]) * 8000) for n in range(3)]
    host.in_use = {source.digest for source in sources}
    assert all(host.get(source).exists() for source in sources)


# -- snapshots' volumes --------------------------------------------------------------------------


@pytest.fixture
def volume(host):
    """A snapshot in the store: its source, and what it reads as."""
    content = [b"Q" * BLOCK_BYTES, bytes(BLOCK_BYTES), b"FI\xfb" + b"x" * (BLOCK_BYTES - 3)]
    named = [(at, name_of(data)) for at, data in enumerate(content) if any(data)]
    host.blocks.blocks = {name: content[at] for at, name in named}
    size = 3 * BLOCK_BYTES - 512  # the last block's end is no part of it
    data = Manifest(size, [(at, hash_of(name)) for at, name in named]).encode()
    host.blocks.manifests = {name_of(data): data}
    source = fleet_pb2.ImageSource(
        image_id="snap-1",
        digest=name_of(data),
        disk_format="blocks",
        size_bytes=2 * BLOCK_BYTES,
        virtual_size_bytes=size,
    )
    return source, b"".join(content)[:size]


def test_a_snapshots_volume_is_a_sparse_raw_file(host, volume):
    source, content = volume
    path = host.get(source)
    assert path.suffix == ".raw" and path.read_bytes() == content
    assert path.stat().st_blocks * 512 < len(content)
    assert host.cache.cached() == [source.digest] and host.cache.unfinished() == []


def test_a_corrupted_block_leaves_no_half_volume(host, volume):
    source, content = volume
    name, data = next(iter(host.blocks.blocks.items()))
    host.blocks.blocks[name] = b"!" + data[1:]
    with pytest.raises(DriverError, match="damaged in the store") as refused:
        host.get(source)
    assert not refused.value.transient
    assert host.cache.cached() == [] and host.cache.unfinished() == []
    host.blocks.blocks[name] = data  # mended
    host.clock.now_ms += REFUSAL_HOLDS_MS
    assert host.get(source).read_bytes() == content


def test_a_cut_restore_is_gone_on_with(host, volume):
    source, content = volume
    fetched = []

    def cut(verb):
        fetched.append(verb)
        if len(fetched) == 2:
            raise Away("the controller has gone")

    host.blocks.before = cut
    assert host.get(source).read_bytes() == content
    assert len(fetched) == 3


def test_a_volume_that_is_mostly_holes_counts_as_what_it_takes(host, volume):
    """Two of them fit a cache that is smaller than the two are long."""
    source, _ = volume
    host.cache_bytes = 5 * BLOCK_BYTES
    host.restart()
    host.get(source)
    other = Manifest(10 * BLOCK_BYTES).encode()
    host.blocks.manifests[name_of(other)] = other
    host.get(fleet_pb2.ImageSource(image_id="snap-2", digest=name_of(other), disk_format="blocks"))
    assert len(host.cache.cached()) == 2
