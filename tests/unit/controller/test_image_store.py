"""The store's contract, and what it lets in. Run on every backend that there is."""

import hashlib
import os

import pytest

from controller.storage.images.store import DECIDE_BY_HEADER, FileStore
from protos import qcow2
from protos.errors import CloudError, Kind
from tests.unit.qcow2_corpus import HOSTILE, SOUND, Qcow2

MIB = 1 << 20


def qcow2_file(**fields) -> bytes:
    return Qcow2(**fields).build()


@pytest.fixture(params=[FileStore])
def store(request, tmp_path):
    return request.param(tmp_path)


def pieces(data, size=70_000):
    return (data[start : start + size] for start in range(0, len(data), size))


def digest_of(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def test_a_file_comes_back_as_it_was(store):
    data = os.urandom(3 * MIB)
    stored = store.add(pieces(data), "raw", 4 * MIB)
    assert (stored.digest, stored.size_bytes) == (digest_of(data), len(data))
    assert (stored.disk_format, stored.virtual_size_bytes) == ("raw", len(data))
    assert store.size_of(stored.digest) == len(data)
    assert b"".join(store.read(stored.digest)) == data
    assert b"".join(store.read(stored.digest, offset=MIB + 1)) == data[MIB + 1 :]
    assert b"".join(store.read(stored.digest, offset=len(data))) == b""


def test_the_same_bytes_again_are_the_same_file(store):
    data = qcow2_file()
    first = store.add([data], "qcow2", MIB)
    assert store.add(pieces(data, 10), "qcow2", MIB) == first
    assert first.virtual_size_bytes == MIB


@pytest.mark.parametrize("data", [qcow2_file(), b"\0" * 4096])
def test_a_format_can_be_decided_by_the_header(store, data):
    stored = store.add([data], DECIDE_BY_HEADER, MIB)
    assert stored.disk_format == ("qcow2" if data.startswith(qcow2.MAGIC) else "raw")


def test_removed_is_gone_and_removing_again_does_no_harm(store):
    digest = store.add([b"\0" * 512], "raw", MIB).digest
    reader = store.read(digest)
    store.hide(digest)
    store.hide(digest)
    store.remove_hidden()
    store.remove_hidden()
    assert b"".join(reader) == b"\0" * 512
    for ask in (store.size_of, store.read):
        with pytest.raises(CloudError) as refusal:
            ask(digest)
        assert refusal.value.kind is Kind.NOT_FOUND


@pytest.mark.parametrize("digest", ["", "sha256:", "sha256:../../etc/passwd", "md5:00", "x" * 71])
def test_what_is_no_digest_is_not_there(store, digest):
    with pytest.raises(CloudError) as refusal:
        store.read(digest)
    assert refusal.value.kind is Kind.NOT_FOUND


def nothing_is_left(tmp_path):
    return not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_too_much_is_refused_before_it_is_all_read(store, tmp_path):
    def endless():
        while True:
            yield b"\0" * MIB

    with pytest.raises(CloudError, match="larger than"):
        store.add(endless(), "raw", 3 * MIB)
    assert nothing_is_left(tmp_path)


def test_a_writer_that_fails_leaves_nothing(store, tmp_path):
    def broken():
        yield b"\0" * MIB
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        store.add(broken(), "raw", 3 * MIB)
    assert nothing_is_left(tmp_path)


@pytest.mark.parametrize(
    ("data", "declared", "why"),
    [
        (qcow2_file(), "raw", "cannot be used: it is declared as raw and begins as qcow2"),
        (b"\0" * 513, "raw", "sectors"),
        (b"", "raw", "empty"),
        (b"\0" * 4096, "qcow2", "declared as qcow2 and is not"),
        (b"\0" * 512, "vmdk", "declared as 'vmdk'"),
        (b"\x1f\x8b".ljust(512, b"\0"), DECIDE_BY_HEADER, "begins as gzip"),
        *((image.build(), "qcow2", why) for image, why in HOSTILE.values()),
    ],
)
def test_hostile_files_stay_outside(store, tmp_path, data, declared, why):
    with pytest.raises(CloudError, match=why) as refusal:
        store.add([data] if data else [], declared, MIB)
    assert refusal.value.kind is Kind.INVALID
    assert nothing_is_left(tmp_path)


@pytest.mark.parametrize("what", SOUND)
def test_sound_files_come_in(store, what):
    assert store.add([SOUND[what].build()], "qcow2", MIB).virtual_size_bytes == SOUND[what].size


def test_files_of_dead_writers_are_swept(tmp_path):
    store = FileStore(tmp_path)
    part = tmp_path / "incoming" / "x.part"
    part.write_bytes(b"half")
    os.utime(part, (1000, 1000))
    assert store.sweep_incoming(untouched_since_s=999) == 0
    assert store.sweep_incoming(untouched_since_s=1001) == 1
    assert nothing_is_left(tmp_path)


def test_a_power_cut_leaves_the_file_whole_or_not_at_all(tmp_path):
    class Cut(BaseException):
        pass

    def cut_at(wanted):
        def checkpoint(name):
            if name == wanted:
                raise Cut

        return checkpoint

    data = b"\0" * 1024
    for name, there in (("image:before-rename", False), ("image:after-rename", True)):
        with pytest.raises(Cut):
            FileStore(tmp_path, cut_at(name)).add([data], "raw", MIB)
        found = list((tmp_path / "blobs").iterdir())
        assert bool(found) is there
        assert all(path.read_bytes() == data for path in found)
