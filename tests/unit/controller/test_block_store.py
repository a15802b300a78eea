"""The block store's contract. Run on every backend that there is."""

import hashlib
import threading

import pytest

from controller.storage.blocks.store import BLOCK, KINDS, MANIFEST, FolderBlocks
from protos.errors import CloudError, Kind


class Clock:
    now_s = 1_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture(params=[FolderBlocks])
def store(request, tmp_path, clock):
    return request.param(tmp_path, clock)


def named(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


ONE, TWO = b"one" * 1000, b"two" * 1000


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_put_comes_back(store, kind):
    assert store.put(kind, named(ONE), ONE) is True
    assert store.put(kind, named(ONE), ONE) is False
    assert store.get(kind, named(ONE)) == ONE
    assert store.missing(kind, [named(TWO), named(ONE), named(TWO)]) == [named(TWO)] * 2


def test_blocks_and_manifests_are_apart(store):
    store.put(BLOCK, named(ONE), ONE)
    assert store.missing(MANIFEST, [named(ONE)]) == [named(ONE)]
    with pytest.raises(CloudError) as refused:
        store.get(MANIFEST, named(ONE))
    assert refused.value.kind is Kind.NOT_FOUND


def test_bytes_of_another_name_are_refused(store):
    with pytest.raises(CloudError) as refused:
        store.put(BLOCK, named(ONE), TWO)
    assert refused.value.kind is Kind.INVALID
    assert store.missing(BLOCK, [named(ONE), named(TWO)]) == [named(ONE), named(TWO)]


@pytest.mark.parametrize("digest", ["", "sha256:..", "sha256:" + "/" * 64, "sha256:" + "AB" * 32])
def test_what_is_no_digest_is_refused(store, digest):
    for act in (
        lambda: store.missing(BLOCK, [digest]),
        lambda: store.put(BLOCK, digest, b""),
        lambda: store.get(BLOCK, digest),
    ):
        with pytest.raises(CloudError) as refused:
            act()
        assert refused.value.kind is Kind.INVALID


def test_what_was_asked_for_lately_is_not_collected(store, clock):
    for data in (ONE, TWO):
        store.put(BLOCK, named(data), data)
    clock.now_s += 100
    assert store.missing(BLOCK, [named(TWO)]) == []
    assert list(store.untouched(BLOCK, clock.now_s)) == [named(ONE)]
    assert store.remove_untouched(BLOCK, named(ONE), clock.now_s)
    assert not store.remove_untouched(BLOCK, named(ONE), clock.now_s)
    assert not store.remove_untouched(BLOCK, named(TWO), clock.now_s)
    assert store.missing(BLOCK, [named(ONE), named(TWO)]) == [named(ONE)]
    assert store.get(BLOCK, named(TWO)) == TWO


def test_putting_again_makes_young(store, clock):
    store.put(MANIFEST, named(ONE), ONE)
    clock.now_s += 100
    store.put(MANIFEST, named(ONE), ONE)
    assert list(store.untouched(MANIFEST, clock.now_s)) == []


def test_many_at_once(store):
    content = [bytes([number]) * 5000 for number in range(50)] * 2

    def bring(part):
        for data in part:
            store.put(BLOCK, named(data), data)

    threads = [threading.Thread(target=bring, args=(content[start::4],)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.missing(BLOCK, [named(data) for data in content]) == []
    assert len(list(store.untouched(BLOCK, 2_000_000))) == 50


class Cut(BaseException):
    pass


def test_a_cut_leaves_all_or_nothing(tmp_path, clock):
    def cut(name):
        if name == armed:
            raise Cut

    for armed in ("block:before-rename", "block:after-rename"):
        store = FolderBlocks(tmp_path, clock, cut)
        with pytest.raises(Cut):
            store.put(BLOCK, named(ONE), ONE)
        there = armed == "block:after-rename"
        assert store.missing(BLOCK, [named(ONE)]) == ([] if there else [named(ONE)])


def test_a_cut_collector_loses_nothing_that_is_asked_for(tmp_path, clock):
    """Out of sight, it is brought anew; what was left on the way out is swept later."""

    def cut(name):
        if name == "block:condemned":
            raise Cut

    store = FolderBlocks(tmp_path, clock, cut)
    store.put(BLOCK, named(ONE), ONE)
    clock.now_s += 100
    with pytest.raises(Cut):
        store.remove_untouched(BLOCK, named(ONE), clock.now_s)
    assert store.missing(BLOCK, [named(ONE)]) == [named(ONE)]
    assert store.put(BLOCK, named(ONE), ONE)
    assert store.sweep(clock.now_s) == 1 and store.sweep(clock.now_s) == 0
    assert store.get(BLOCK, named(ONE)) == ONE


def test_one_touched_at_the_last_moment_stays(tmp_path, clock):
    """Somebody asks between the collector's look and its removal."""
    store = FolderBlocks(tmp_path, clock)
    store.put(BLOCK, named(ONE), ONE)
    clock.now_s += 100
    (old,) = store.untouched(BLOCK, clock.now_s)
    assert store.missing(BLOCK, [old]) == []
    assert not store.remove_untouched(BLOCK, old, clock.now_s)
    assert store.get(BLOCK, old) == ONE
