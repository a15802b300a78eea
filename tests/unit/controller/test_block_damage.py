"""Files of the block store that are not what their names say: found, set aside, brought again."""

import errno
import os
import sqlite3
from pathlib import Path

import pytest

from controller.kernel.call import system_call
from controller.storage.blocks.marks import Marks, state_of
from controller.storage.blocks.store import (
    BLOCK,
    DAMAGED_KEPT_S,
    KINDS,
    MANIFEST,
    FolderBlocks,
    Stored,
)
from controller.storage.snapshots.collect import KEPT_S, BlockCollector
from controller.storage.snapshots.scrub import Scrub
from protos.cloud.v1 import fleet_pb2
from protos.errors import CloudError, Kind
from protos.manifest import BLOCK_BYTES, Manifest, digest_of, hash_of
from tests.unit.controller.cloud import Cloud
from tests.unit.controller.test_block_store import ONE, TWO, Clock, Cut, named
from tests.unit.controller.test_snapshot_rules import take
from tests.unit.controller.volume_calls import created

DAY_S = 24 * 3600


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def store(tmp_path, clock):
    return FolderBlocks(tmp_path, clock)


def path_of(root: Path, kind: str, digest: str) -> Path:
    name = hash_of(digest).hex()
    return root / f"{kind}s" / name[:2] / name


def flip(root: Path, kind: str, digest: str) -> Path:
    path = path_of(root, kind, digest)
    data = bytearray(path.read_bytes())
    data[0] ^= 1
    path.write_bytes(data)
    return path


def rot(root: Path, digest: str) -> None:
    """As a medium does: nothing is written, and the file's times say nothing."""
    path = flip(root, BLOCK, digest)
    marks = Marks(root / "marks.db")
    marks.note({f"{BLOCK}/{path.name}": state_of(path.stat())})
    marks.close()


def aside(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "damaged").iterdir())


@pytest.mark.parametrize("kind", KINDS)
def test_one_that_is_damaged_is_missing_and_is_brought_again(store, tmp_path, kind):
    for data in (ONE, TWO):
        store.put(kind, named(data), data)
    path = flip(tmp_path, kind, named(ONE))
    assert store.missing(kind, [named(TWO), named(ONE)]) == [named(ONE)]
    assert aside(tmp_path) == [f"{kind}-{path.name}"]
    assert store.lost() == [Stored(kind, named(ONE))]
    assert store.put(kind, named(ONE), ONE) is True
    assert store.get(kind, named(ONE)) == ONE
    assert store.missing(kind, [named(ONE)]) == store.lost() == []


@pytest.mark.parametrize("kind", KINDS)
def test_bringing_it_replaces_one_that_is_damaged(store, tmp_path, kind):
    store.put(kind, named(ONE), ONE)
    flip(tmp_path, kind, named(ONE))
    assert store.put(kind, named(ONE), ONE) is True
    assert store.get(kind, named(ONE)) == ONE


@pytest.mark.parametrize("kind", KINDS)
def test_one_that_is_damaged_is_given_to_nobody(store, tmp_path, kind):
    store.put(kind, named(ONE), ONE)
    flip(tmp_path, kind, named(ONE))
    with pytest.raises(CloudError, match="it was damaged") as refused:
        store.get(kind, named(ONE))
    assert refused.value.kind is Kind.NOT_FOUND
    assert store.missing(kind, [named(ONE)]) == [named(ONE)]
    assert store.lost() == [Stored(kind, named(ONE))]


def test_one_that_is_shorter_is_damaged(store, tmp_path):
    store.put(BLOCK, named(ONE), ONE)
    path_of(tmp_path, BLOCK, named(ONE)).write_bytes(b"")
    assert store.missing(BLOCK, [named(ONE)]) == [named(ONE)]


def test_one_that_is_brought_while_it_is_set_aside_stays(tmp_path, clock):
    """Another process replaces it between the look and the setting aside."""

    def meanwhile(name):
        if name == "block:set-aside":
            (aside_path,) = (tmp_path / "damaged").iterdir()
            aside_path.write_bytes(ONE)

    store = FolderBlocks(tmp_path, clock, meanwhile)
    store.put(BLOCK, named(ONE), ONE)
    flip(tmp_path, BLOCK, named(ONE))
    assert store.get(BLOCK, named(ONE)) == ONE
    assert store.missing(BLOCK, [named(ONE)]) == aside(tmp_path) == store.lost() == []


def test_a_cut_while_it_is_set_aside_leaves_it_missing(tmp_path, clock):
    def cut(name):
        if name == "block:set-aside":
            raise Cut

    FolderBlocks(tmp_path, clock).put(BLOCK, named(ONE), ONE)
    flip(tmp_path, BLOCK, named(ONE))
    with pytest.raises(Cut):
        FolderBlocks(tmp_path, clock, cut).missing(BLOCK, [named(ONE)])
    store = FolderBlocks(tmp_path, clock)
    assert store.missing(BLOCK, [named(ONE)]) == [named(ONE)]
    assert store.put(BLOCK, named(ONE), ONE) is True and store.lost() == []


def test_what_is_known_to_be_whole_is_not_read_again(store, tmp_path, clock):
    """Nor by another process, nor after the next start; and being asked for changes nothing."""
    store.put(BLOCK, named(ONE), ONE)
    rot(tmp_path, named(ONE))
    for one in (store, FolderBlocks(tmp_path, clock), store):
        clock.now_s += 1
        assert one.missing(BLOCK, [named(ONE)]) == []


def test_a_copy_of_the_store_is_not_believed(store, tmp_path, clock):
    store.put(BLOCK, named(ONE), ONE)
    path = path_of(tmp_path, BLOCK, named(ONE))
    times = path.stat().st_atime_ns, path.stat().st_mtime_ns
    data = bytearray(path.read_bytes())
    path.unlink()
    path.write_bytes(data[:-1] + b"!")
    os.utime(path, ns=times)
    assert store.missing(BLOCK, [named(ONE)]) == [named(ONE)]


def test_marks_that_are_torn_are_made_anew(tmp_path, clock):
    store = FolderBlocks(tmp_path, clock)
    store.put(BLOCK, named(ONE), ONE)
    for path in tmp_path.glob("marks.db*"):
        path.write_bytes(b"torn" * 1000)
    store = FolderBlocks(tmp_path, clock)
    assert store.missing(BLOCK, [named(ONE), named(TWO)]) == [named(TWO)]
    with sqlite3.connect(tmp_path / "marks.db") as db:
        assert db.execute("SELECT count(*) FROM mark").fetchone() == (1,)


@pytest.mark.parametrize("kind", KINDS)
def test_a_disk_that_is_full_is_no_mistake_of_who_brings_something(tmp_path, clock, kind):
    """A host waits then, and its copies have all their tries (hostagent/storage/blocks)."""

    def full(name):
        if left.pop():
            raise OSError(errno.ENOSPC, "No space left on device")

    store, left = FolderBlocks(tmp_path, clock, full), [False, False, True]
    with pytest.raises(CloudError, match="no space left") as refused:
        store.put(kind, named(ONE), ONE)
    assert refused.value.kind is Kind.UNAVAILABLE
    assert list((tmp_path / "incoming").iterdir()) == []
    assert store.put(kind, named(ONE), ONE) is True


# --- the scrub ------------------------------------------------------------------------------------


def test_the_scrub_finds_what_a_medium_lost(store, tmp_path, clock):
    for data in (ONE, TWO):
        store.put(BLOCK, named(data), data)
    rot(tmp_path, named(ONE))
    assert store.scrub(1 << 20, clock.now_s) == len(ONE) + len(TWO)
    assert store.missing(BLOCK, [named(ONE), named(TWO)]) == [named(ONE)]


def test_the_scrub_reads_no_more_than_it_may_and_goes_on(store, tmp_path, clock):
    """Also in another process; and a round that is over is begun again when it is time."""
    content = [bytes([number]) * 1000 for number in range(30)]
    for data in content:
        store.put(BLOCK, named(data), data)
    store.put(MANIFEST, named(ONE), ONE)
    began_s = clock.now_s
    for _ in content[::10]:
        assert FolderBlocks(tmp_path, clock).scrub(10_000, began_s) == 10_000
    clock.now_s += 1
    assert store.scrub(10_000, began_s) == len(ONE)
    assert store.scrub(10_000, began_s) == 0
    assert store.scrub(10_000, began_s + 1) == 10_000


def test_the_scrub_makes_nothing_young(store, clock):
    store.put(BLOCK, named(ONE), ONE)
    clock.now_s += 100
    store.scrub(1 << 20, clock.now_s)
    assert list(store.untouched(BLOCK, clock.now_s)) == [named(ONE)]


def test_what_was_set_aside_is_kept_for_a_while(store, tmp_path, clock):
    store.put(BLOCK, named(ONE), ONE)
    flip(tmp_path, BLOCK, named(ONE))
    assert store.missing(BLOCK, [named(ONE)]) == [named(ONE)]
    assert store.sweep(clock.now_s + DAMAGED_KEPT_S) == 0
    assert store.sweep(clock.now_s + DAMAGED_KEPT_S + 1) == 1


# --- snapshots ------------------------------------------------------------------------------------

DATA = b"x" * BLOCK_BYTES


@pytest.fixture
def cloud(tmp_path):
    return Cloud(tmp_path)


@pytest.fixture
def taken(cloud):
    """A snapshot that a host has begun to copy: its one block is in the store."""
    snapshot_id = take(cloud, created(cloud, size_gib=1)).snapshot_id
    cloud.converge()
    (host_id,) = cloud.hosts
    block = fleet_pb2.Block(digest=named(DATA), data=DATA)
    cloud.fleet(host_id).StoreBlocks(iter([block]))
    return snapshot_id, host_id


def store_manifest(cloud, snapshot_id: str, host_id: str) -> str:
    data = Manifest(1 << 30, [(0, hash_of(named(DATA)))]).encode()
    chunk = fleet_pb2.ManifestChunk(snapshot_id=snapshot_id, digest=digest_of(data), data=data)
    cloud.fleet(host_id).StoreManifest(iter([chunk]))
    return chunk.digest


def test_a_snapshot_is_not_completed_with_a_block_that_is_damaged(cloud, taken):
    snapshot_id, host_id = taken
    flip(cloud.config.snapshot_dir, BLOCK, named(DATA))
    with pytest.raises(CloudError, match=f"lacks block {named(DATA)}") as refused:
        store_manifest(cloud, snapshot_id, host_id)
    assert refused.value.kind is Kind.WRONG_STATE
    cloud.fleet(host_id).StoreBlocks(iter([fleet_pb2.Block(digest=named(DATA), data=DATA)]))
    store_manifest(cloud, snapshot_id, host_id)


def test_it_is_said_which_snapshots_cannot_be_restored(cloud, taken):
    snapshot_id, host_id = taken
    digest = store_manifest(cloud, snapshot_id, host_id)
    scrub, root = Scrub(cloud.db, cloud.blocks, 8), cloud.config.snapshot_dir
    assert scrub.report(system_call(cloud.now_ms)) == []
    rot(root, named(DATA))
    scrub.run_once(system_call(cloud.now_ms))
    assert scrub.report(system_call(cloud.now_ms)) == [snapshot_id]
    cloud.blocks.put(BLOCK, named(DATA), DATA)
    assert scrub.report(system_call(cloud.now_ms)) == []
    flip(root, MANIFEST, digest)
    assert cloud.blocks.missing(MANIFEST, [digest]) == [digest]
    assert scrub.report(system_call(cloud.now_ms)) == [snapshot_id]


def test_while_a_manifest_is_lost_its_blocks_stay(cloud, taken):
    snapshot_id, host_id = taken
    digest = store_manifest(cloud, snapshot_id, host_id)
    data = cloud.blocks.get(MANIFEST, digest)
    cloud.now_ms += (KEPT_S + 1) * 1000
    flip(cloud.config.snapshot_dir, MANIFEST, digest)
    collector = BlockCollector(cloud.db, cloud.blocks)
    for _ in range(2):
        collector.run_once(system_call(cloud.now_ms))
    assert list(cloud.blocks.all(BLOCK)) == [named(DATA)]
    assert cloud.blocks.put(MANIFEST, digest, data)
    collector.run_once(system_call(cloud.now_ms))
    assert list(cloud.blocks.all(BLOCK)) == [named(DATA)]
