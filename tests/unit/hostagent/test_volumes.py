"""What every volume backend keeps, asked of each; qemu-img does the work of the real one."""

import threading

import pytest

from hostagent.kernel.errors import DriverError, NotYet
from hostagent.ledger import HostLedger, open_file
from hostagent.storage.drivers import READ_MOST_BYTES, Extent, GuestDisk
from hostagent.storage.images.fake import FakeImages
from hostagent.storage.volumes.manager import VolumeManager
from protos.cloud.v1.fleet_pb2 import DiskSpec, ImageSource
from tests.unit.hostagent.volume_backends import (
    MIB,
    VOLUME,
    Fake,
    NoGuests,
    Qcow2,
    blank,
    disk,
    needs_qemu_img,
    numbers,
)


@pytest.fixture(params=[Fake, pytest.param(Qcow2, marks=needs_qemu_img)])
def backend(request, tmp_path):
    return request.param(tmp_path)


@pytest.fixture
def volumes(backend):
    return backend.volumes


class OneGuest:
    """A hypervisor with one, that has the volume's lowest layer open until it ends."""

    def __init__(self, backend):
        self.backend, self.lives = backend, True
        (self.layer,) = (layer.path for layer in backend.volumes.chain(VOLUME))

    def holder(self, volume_id):
        return "i-1" if self.lives else None

    def disks(self, instance_id):
        return [GuestDisk(VOLUME, self.layer)]

    def resize_disk(self, instance_id, volume_id, size_bytes):
        self.backend.resize(self.layer, size_bytes)


def ledger():
    return HostLedger(open_file(":memory:"), "h-00000000000000001", now_ms=1, boot_id="b")


# -- made, grown, removed --------------------------------------------------------------------------


def test_an_overlay_of_the_size_asked_for(volumes, base):
    made = volumes.ensure(disk(iops=100, throughput_mibps=5), base)
    assert (made.backing, made.backing_format, made.disk_format) == (base, "raw", "qcow2")
    assert (made.size_bytes, made.frozen, made.iops, made.throughput_mibps) == (4 * MIB, (), 100, 5)
    assert list(volumes.volumes()) == [VOLUME]
    assert list(volumes.bases()) == [base]
    assert volumes.read(VOLUME, 0, 0, 8) == b"image\0\0\0"


@needs_qemu_img
def test_a_layer_that_cannot_be_read_stands_in_nobodys_way(tmp_path, base):
    """The agent's start and each fetch of an image ask what the layers here stand on."""
    volumes = Qcow2(tmp_path).volumes
    volumes.ensure(disk(), base)
    for number, content in enumerate((b"torn", b"")):
        (tmp_path / "volumes" / f"vol-1111111{number}.0.qcow2").write_bytes(content)
        assert len(volumes.volumes()) == number + 2
    assert list(volumes.bases()) == [base]


def test_blank(volumes):
    made = volumes.ensure(blank(), None)
    assert (made.backing, made.backing_format) == (None, "")
    assert volumes.read(VOLUME, 0, 4 * MIB - 4, 8) == bytes(8)
    assert list(volumes.bases()) == []


def test_one_made_of_blocks_stands_on_a_raw_file(volumes, base):
    image = ImageSource(digest="sha256:" + "a" * 64, disk_format="blocks", virtual_size_bytes=MIB)
    made = volumes.ensure(DiskSpec(volume_id=VOLUME, size_bytes=MIB, image=image), base)
    assert (made.backing, made.backing_format) == (base, "raw")


def test_again_changes_nothing_and_larger_grows(backend, volumes, base):
    assert volumes.find(disk()) is None
    made = volumes.ensure(disk(), base)
    backend.write(MIB, b"x" * 4096)
    assert volumes.ensure(disk(), base) == made == volumes.find(disk())
    assert volumes.ensure(disk(8 * MIB), base).size_bytes == 8 * MIB
    assert volumes.ensure(disk(2 * MIB), base).size_bytes == 8 * MIB
    volumes.grow(VOLUME, 16 * MIB)
    volumes.grow(VOLUME, MIB)
    assert volumes.chain(VOLUME)[-1].size_bytes == 16 * MIB
    assert volumes.read(VOLUME, 0, MIB, 4096) == b"x" * 4096


def test_never_smaller_than_its_image(volumes, base):
    assert volumes.ensure(disk(512), base).size_bytes == MIB


def test_remove_is_repeatable(volumes, base):
    volumes.ensure(disk(), base)
    volumes.add_layer(VOLUME, 0)
    volumes.remove(VOLUME)
    volumes.remove(VOLUME)
    assert list(volumes.volumes()) == []
    assert volumes.chain(VOLUME) == []


def test_an_image_that_is_not_here_is_an_error(volumes):
    with pytest.raises(DriverError, match="not here"):
        volumes.ensure(disk(), None)


def test_no_size_is_an_error(volumes):
    with pytest.raises(DriverError, match="no size"):
        volumes.ensure(blank(0), None)


def test_what_is_not_here_cannot_be_worked_on(volumes, base):
    for act in (
        lambda: volumes.grow(VOLUME, MIB),
        lambda: volumes.add_layer(VOLUME, 0),
        lambda: volumes.extents(VOLUME, 0),
        lambda: volumes.read(VOLUME, 0, 0, 1),
    ):
        with pytest.raises(DriverError):
            act()
    volumes.ensure(disk(), base)
    with pytest.raises(DriverError, match="no layer 7"):
        volumes.add_layer(VOLUME, 7)


# -- layers ----------------------------------------------------------------------------------------


def test_a_frozen_layer_keeps_what_it_was(backend, volumes, base):
    volumes.ensure(disk(), base)
    backend.write(0, b"one")
    top = volumes.add_layer(VOLUME, 0)
    backend.write(0, b"two")
    backend.write(2 * MIB, b"more")
    volumes.add_layer(VOLUME, 1)
    backend.write(0, b"six")
    assert volumes.read(VOLUME, 0, 0, 5) == b"onege"
    assert volumes.read(VOLUME, 1, 0, 5) == b"twoge"
    assert volumes.read(VOLUME, 2, 0, 5) == b"sixge"
    assert volumes.read(VOLUME, 2, 2 * MIB - 2, 8) == b"\0\0more\0\0"
    assert volumes.read(VOLUME, 0, 2 * MIB, 4) == bytes(4)
    found = volumes.find(disk())
    chain = volumes.chain(VOLUME)
    assert numbers(volumes) == [0, 1, 2]
    assert chain[1].path == top
    assert found.path == chain[2].path
    assert found.frozen == (chain[1].path, chain[0].path)
    assert found.backing == base


def test_a_layer_holds_what_was_changed_while_it_was_the_highest(backend, volumes, base):
    volumes.ensure(disk(), base)
    backend.write(3 * MIB, b"x" * MIB)
    assert volumes.extents(VOLUME, 0) == [Extent(3 * MIB, MIB, False)]
    volumes.add_layer(VOLUME, 0)
    assert volumes.extents(VOLUME, 1) == []
    backend.write(MIB, b"y" * MIB)
    backend.discard(3 * MIB, MIB)
    assert volumes.extents(VOLUME, 1) == [Extent(MIB, MIB, False), Extent(3 * MIB, MIB, True)]
    assert volumes.read(VOLUME, 1, 3 * MIB, 4) == bytes(4)
    assert volumes.read(VOLUME, 0, 3 * MIB, 4) == b"xxxx"


def test_commit_makes_one_of_those_up_to_a_number(backend, volumes, base):
    volumes.ensure(disk(), base)
    backend.write(0, b"one")
    volumes.add_layer(VOLUME, 0)
    backend.write(MIB, b"two")
    backend.discard(0, MIB)
    volumes.grow(VOLUME, 8 * MIB)
    volumes.add_layer(VOLUME, 1)
    backend.write(6 * MIB, b"six")
    volumes.add_layer(VOLUME, 2)
    volumes.commit(VOLUME, 1)
    assert numbers(volumes) == [0, 2, 3]
    assert volumes.read(VOLUME, 0, MIB, 3) == b"two"
    assert volumes.read(VOLUME, 0, 0, 3) == bytes(3)
    volumes.commit(VOLUME, 3)  # the highest is never committed
    assert numbers(volumes) == [0, 3]
    volumes.commit(VOLUME, 3)
    assert numbers(backend.again()) == [0, 3]
    assert backend.volumes.read(VOLUME, 3, 6 * MIB, 4) == b"six\0"
    assert backend.volumes.read(VOLUME, 3, 0, 4) == bytes(4)
    assert [layer.size_bytes for layer in backend.volumes.chain(VOLUME)] == [8 * MIB] * 2
    assert backend.volumes.find(disk()).backing == base


def test_a_layer_nobody_was_moved_to_is_replaced_or_dropped(backend, volumes):
    volumes.ensure(blank(), None)
    volumes.add_layer(VOLUME, 0)
    volumes.drop_unused(VOLUME, 0)
    assert numbers(volumes) == [0]
    volumes.add_layer(VOLUME, 0)
    backend.again().grow(VOLUME, 8 * MIB)
    backend.volumes.add_layer(VOLUME, 0)
    assert [layer.size_bytes for layer in backend.volumes.chain(VOLUME)] == [4 * MIB] * 2


def test_what_grows_is_zeros_whatever_is_below(backend, volumes):
    volumes.ensure(blank(), None)
    lower = volumes.chain(VOLUME)[0].path
    volumes.add_layer(VOLUME, 0)
    backend.resize(lower, 8 * MIB)
    backend.write(6 * MIB, b"six", lower)
    volumes.grow(VOLUME, 8 * MIB)
    assert volumes.read(VOLUME, 0, 6 * MIB, 3) == b"six"
    assert volumes.read(VOLUME, 1, 6 * MIB, 3) == bytes(3)


def test_grown_under_a_guest_that_was_not_moved_to_the_layer_above(backend, volumes):
    volumes.ensure(blank(), None)
    guest = OneGuest(backend)
    manager = VolumeManager(volumes, guest, FakeImages(lambda: 0), ledger().volumes)
    volumes.add_layer(VOLUME, 0)  # a freezing was cut
    assert manager.grow(VOLUME, 8 * MIB) == 8 * MIB
    backend.write(6 * MIB, b"six", guest.layer)
    guest.lives = False
    manager.freeze(VOLUME, 0)
    assert volumes.ensure(blank(8 * MIB), None).size_bytes == 8 * MIB
    assert volumes.read(VOLUME, manager.top(VOLUME).number, 6 * MIB, 3) == b"six"


def test_only_so_much_is_read_at_once(volumes):
    volumes.ensure(blank(), None)
    for start, length in ((0, READ_MOST_BYTES + 1), (-1, 1), (0, -1)):
        with pytest.raises(DriverError, match="cannot be read"):
            volumes.read(VOLUME, 0, start, length)
    assert volumes.read(VOLUME, 0, 100, 0) == b""
    assert volumes.read(VOLUME, 0, 1 << 40, 4) == bytes(4)


def test_the_keeper_freezes_once_and_commits(backend, volumes):
    manager = VolumeManager(volumes, NoGuests(), FakeImages(lambda: 0), ledger().volumes)
    volumes.ensure(blank(), None)
    backend.write(0, b"one")
    for _ in range(2):
        manager.freeze(VOLUME, 0)
        assert manager.top(VOLUME).number == 1
    with pytest.raises(DriverError, match="no layer 5"):
        manager.freeze(VOLUME, 5)
    backend.write(0, b"two")
    manager.freeze(VOLUME, 1)
    assert manager.grow(VOLUME, 8 * MIB) == manager.grow(VOLUME, MIB) == 8 * MIB
    for _ in range(2):
        manager.commit(VOLUME, 1)
        assert numbers(volumes) == [0, 2]
    assert volumes.read(VOLUME, 2, 0, 3) == b"two"
    manager.remove(VOLUME)
    with pytest.raises(DriverError, match="not on this host"):
        manager.top(VOLUME)


def test_one_at_a_time_is_at_a_volume(volumes):
    volumes.ensure(blank(), None)
    manager = VolumeManager(volumes, NoGuests(), FakeImages(lambda: 0), ledger().volumes)
    said = []

    def another():
        try:
            manager.freeze(VOLUME, 0)
        except NotYet as wait:
            said.append(str(wait))

    with manager.held([VOLUME]), manager.held([VOLUME, "vol-2"]):
        thread = threading.Thread(target=another)
        thread.start()
        thread.join()
    assert said == [f"{VOLUME} is being worked on"]
    assert numbers(volumes) == [0]
    another()
    assert numbers(volumes) == [0, 1]
