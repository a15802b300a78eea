"""Fetching registered images: tried again, given up, and stopped."""

import contextlib
import errno

import pytest

from controller.config import ImagesConfig
from controller.storage.images import fetch
from controller.storage.images.fetch import ImageFetcher
from controller.storage.images.remote import Unreachable
from controller.storage.images.store import FileStore
from protos.cloud.v1 import images_pb2 as pb
from tests.unit.controller.resource_world import ANN, World
from tests.unit.controller.test_image_store import MIB, qcow2_file

CONFIG = ImagesConfig(max_bytes=2 * MIB, max_virtual_bytes=1 << 32, sources=("https://i.example/",))


class FetchWorld(World):
    """``pieces``: what reading any location gives; an exception among them is raised."""

    def __init__(self, folder):
        super().__init__(folder)
        self.store = FileStore(folder / "images")
        self.images = self.image_servicer(self.store, CONFIG)
        self.pieces: list = []
        self.fetcher = self.another_fetcher()

    def another_fetcher(self):
        return ImageFetcher(self.db, self.store, CONFIG, self.read, lambda: self.now_ms)

    def read(self, url):
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            if callable(piece):
                piece()
            else:
                yield piece

    def register(self, location="https://i.example/a.qcow2", **fields):
        request = pb.RegisterImageRequest(name="demo", image_location=location, **fields)
        return self.images.Register(request, self.call()).image_id

    def image(self):
        answer = self.images.Describe(pb.DescribeImagesRequest(owners=["self"]), self.call())
        return answer.images[0] if answer.images else None


@pytest.fixture
def world(tmp_path):
    return FetchWorld(tmp_path)


def test_a_registered_image_becomes_available(world):
    world.register()
    world.pieces = [qcow2_file()[:100_000], qcow2_file()[100_000:]]
    assert world.fetcher.run_once()
    image = world.image()
    assert (image.state, image.disk_format) == ("available", "qcow2")
    assert b"".join(world.store.read(image.digest)) == qcow2_file()
    assert image.block_devices[0].volume_size_gib == 1
    assert not world.fetcher.run_once()


def test_without_a_suffix_the_header_decides(world):
    world.register("https://i.example/a.img")
    world.pieces = [b"\0" * 4096]
    world.fetcher.run_once()
    assert (world.image().state, world.image().disk_format) == ("available", "raw")


@pytest.mark.parametrize(
    ("pieces", "fields"),
    [
        ([qcow2_file(backing_file_offset=4096, backing_file_size=8)], {}),
        ([b"\0" * 4096], {}),
        ([b"\0" * (3 * MIB)], {"location": "https://i.example/a.raw"}),
        ([qcow2_file(size=1 << 33)], {}),
        (
            [qcow2_file(size=2 << 30)],
            {"block_devices": [{"device_name": "/dev/sda1", "volume_size_gib": 1}]},
        ),
    ],
)
def test_what_may_not_come_in_fails_the_image_and_says_why(world, pieces, fields):
    world.register(**fields)
    world.pieces = pieces
    world.fetcher.run_once()
    image = world.image()
    assert (image.state, image.state_reason.code) == ("failed", "Client.InvalidImage")
    assert image.state_reason.message
    assert not world.fetcher.run_once()


def test_what_cannot_be_reached_is_tried_again_later_and_at_last_given_up(world):
    world.register()
    world.pieces = [b"QFI", Unreachable("no route")]
    for attempt in range(fetch.ATTEMPTS_MAX):
        assert world.fetcher.run_once()
        assert not world.fetcher.run_once()
        world.now_ms += fetch.WAIT_MS << attempt
    image = world.image()
    assert (image.state, image.state_reason.code) == ("failed", "Client.ImageUnreachable")
    assert image.state_reason.message == "Client.ImageUnreachable: no route"


@pytest.mark.parametrize("dies", (False, True))
def test_a_clock_that_is_set_back_keeps_no_image_waiting(world, dies):
    world.register()

    class PowerCut(BaseException):
        pass

    def cut():
        raise PowerCut

    world.pieces = [cut] if dies else [Unreachable("no route")]
    with pytest.raises(PowerCut) if dies else contextlib.nullcontext():
        world.fetcher.run_once()
    world.now_ms -= 3_600_000
    world.pieces = [qcow2_file()]
    assert world.another_fetcher().run_once()
    assert world.image().state == "available"


def test_an_image_that_is_deregistered_stops_its_fetch(world):
    image_id = world.register()

    def deregister():
        world.images.Deregister(pb.DeregisterImageRequest(image_id=image_id), world.call(ANN))
        world.now_ms += fetch.TOUCH_EVERY_MS

    def never():
        raise AssertionError("it reads on")

    world.pieces = [b"x", deregister, b"y", never]
    assert world.fetcher.run_once()
    assert world.image() is None


def test_a_fetcher_that_died_is_followed_by_another(world):
    world.register()

    class PowerCut(BaseException):
        pass

    def cut():
        raise PowerCut

    world.pieces = [b"x", cut]
    with pytest.raises(PowerCut):
        world.fetcher.run_once()
    world.pieces = [qcow2_file()]
    another = world.another_fetcher()
    assert not another.run_once()  # it may only be slow
    world.now_ms += fetch.DEAD_AFTER_MS
    assert another.run_once()
    assert world.image().state == "available"


def test_a_slow_fetcher_that_was_taken_over_publishes_nothing(world):
    world.register()

    def taken_over():
        world.now_ms += fetch.DEAD_AFTER_MS
        world.pieces = [qcow2_file()]
        world.another_fetcher().run_once()

    world.pieces = [taken_over, qcow2_file(size=7 << 20)]
    world.fetcher.run_once()
    assert world.image().virtual_size_bytes == MIB


# --- failures of our own --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "The store of images has no space left"),
        (OSError(errno.EIO, "Input/output error"), "Its bytes cannot be kept"),
        (RuntimeError("a defect"), "Its bytes cannot be kept"),
    ],
)
def test_a_store_that_fails_is_tried_again_and_at_last_given_up(world, failure, said):
    """Not fetched again for ever: the image is `pending` meanwhile, and `failed` in the end."""
    world.register()
    world.pieces = [b"QFI", failure]
    for attempt in range(fetch.ATTEMPTS_MAX):
        assert world.image().state == "pending"
        assert world.fetcher.run_once()
        assert not world.fetcher.run_once()
        world.now_ms += fetch.WAIT_MS << attempt
    image = world.image()
    assert (image.state, image.state_reason.code) == ("failed", "Server.InternalError")
    assert said in image.state_reason.message
    world.now_ms += fetch.DEAD_AFTER_MS
    assert not world.fetcher.run_once()


def test_it_is_fetched_when_there_is_space_again(world):
    world.register()
    world.pieces = [OSError(errno.ENOSPC, "No space left on device")]
    world.fetcher.run_once()
    world.pieces = [qcow2_file()]
    world.now_ms += fetch.WAIT_MS
    assert world.fetcher.run_once()
    assert world.image().state == "available"


def test_a_fetch_that_always_ends_its_process_is_given_up(world):
    class PowerCut(BaseException):
        pass

    def cut():
        raise PowerCut

    world.register()
    world.pieces = [b"x", cut]
    for _ in range(fetch.ATTEMPTS_MAX):
        with pytest.raises(PowerCut):
            world.fetcher.run_once()
        world.now_ms += fetch.DEAD_AFTER_MS
    assert world.fetcher.run_once()
    image = world.image()
    assert (image.state, image.state_reason.code) == ("failed", "Server.InternalError")
    assert not world.fetcher.run_once()
