"""Fetching images over HTTP: what is allowed, resumed, tried again, given up, and stopped."""

import contextlib
import errno
import http.server
import threading

import pytest

from controller.config import ImagesConfig
from controller.storage.images import fetch
from controller.storage.images.fetch import ImageFetcher
from controller.storage.images.locations import check_url, digest_of, format_of
from controller.storage.images.remote import HttpReader, Unreachable
from controller.storage.images.store import FileStore
from protos.cloud.v1 import images_pb2 as pb
from protos.errors import CloudError, Kind
from tests.unit.controller.resource_world import ANN, World
from tests.unit.controller.test_image_store import MIB, qcow2_file

# --- locations ------------------------------------------------------------------------------------

ALLOWED = ("https://images.example/public", "http://mirror.example:8080/")


@pytest.mark.parametrize(
    "url",
    [
        "https://images.example/public/a.qcow2",
        "https://IMAGES.example:443/public/a/b.qcow2?x=1",
        "http://mirror.example:8080/a",
    ],
)
def test_under_an_allowed_prefix(url):
    check_url(url, ALLOWED)


@pytest.mark.parametrize(
    "url",
    [
        "https://images.example/private/a",
        "https://images.example/publicity/a",
        "https://images.example/public/../private/a",
        "https://images.example/public/%2e%2e/private/a",
        "https://images.example/public/..%2fprivate/a",
        "https://images.example/public\\..\\private",
        "https://images.example.evil/public/a",
        "https://images.example@evil/public/a",
        "https://evil@images.example/public/a",
        "http://images.example/public/a",
        "https://images.example:8443/public/a",
        "http://mirror.example/a",
        "file:///etc/passwd",
        "ftp://images.example/public/a",
        "https:///public/a",
        "https://images.example:x/public/a",
        "https://[::1/public/a",
        "https://images.example/public/a b",
        "https://images.example/public/a\r\nHost: evil",
        "https://images.example/public/ü",
        "https://images.example/public/" + "a" * 2048,
        "bucket/image.manifest.xml",
        "",
    ],
)
def test_nothing_else(url):
    with pytest.raises(CloudError) as refusal:
        check_url(url, ALLOWED)
    assert refusal.value.kind is Kind.INVALID


def test_uploads_and_suffixes():
    assert digest_of("upload:" + "a" * 64) == digest_of("upload:sha256:" + "a" * 64)
    assert digest_of("https://images.example/public/a") == ""
    assert format_of("https://images.example/a.qcow2?x=.raw") == "qcow2"
    assert format_of("https://images.example/a.raw") == "raw"
    assert format_of("https://images.example/a.img") == ""


# --- reading --------------------------------------------------------------------------------------


class FileServer(http.server.ThreadingHTTPServer):
    """Serves ``content`` at every path.

    ``breaks``: after how many bytes the next answers break off; ``redirect``: where to instead;
    ``status``: an error to answer.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content, self.etag = b"", '"one"'
        self.breaks: list[int] = []
        self.redirect, self.status = "", 200
        self.ranges: list[str] = []
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        server.ranges.append(self.headers.get("Range", ""))
        if server.status != 200 or server.redirect:
            self.send_response(302 if server.redirect else server.status)
            self.send_header("Location", server.redirect)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        asked, start = self.headers.get("Range"), 0
        if asked and self.headers.get("If-Range") == server.etag:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        body = server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", server.etag)
        self.end_headers()
        self.wfile.write(body[: server.breaks.pop(0)] if server.breaks else body)

    def log_message(self, *words):
        return


@pytest.fixture
def server():
    server = FileServer()
    yield server
    server.shutdown()
    server.server_close()


def read(server, path="/ok/a.qcow2", allowed="/ok/"):
    return b"".join(HttpReader([server.url + allowed], timeout_s=5).read(server.url + path))


def test_a_broken_read_goes_on_where_it_broke(server):
    server.content, server.breaks = bytes(range(256)) * 8192, [700_000, 300_000]
    assert read(server) == server.content
    assert server.ranges == ["", "bytes=700000-", "bytes=1000000-"]


def test_a_file_that_changes_meanwhile_is_not_stitched_together(server):
    server.content, server.breaks = b"x" * 1000, [10]

    def pieces():
        for piece in HttpReader([server.url]).read(server.url + "/a"):
            server.etag = '"two"'
            yield piece

    with pytest.raises(Unreachable, match="changed"):
        list(pieces())


def test_without_a_strong_etag_nothing_is_resumed(server):
    server.content, server.breaks, server.etag = b"x" * 1000, [10], 'W/"weak"'
    with pytest.raises(Unreachable, match="10 of 1000"):
        read(server)


def test_a_server_that_always_breaks_is_given_up(server):
    server.content, server.breaks = b"x" * 1000, [1] * 100
    with pytest.raises(Unreachable, match="more than 8 times"):
        read(server)


def test_redirects_go_only_where_it_is_allowed(server):
    server.redirect = server.url + "/secret/a"
    with pytest.raises(CloudError, match="not under a location"):
        read(server)
    server.redirect = "file:///etc/passwd"
    with pytest.raises(Unreachable, match="not allowed"):
        read(server)
    server.redirect = server.url + "/ok/again"
    with pytest.raises(Unreachable, match="302"):
        read(server)
    assert len(server.ranges) < 20


def test_errors_and_closed_doors(server):
    server.status = 404
    with pytest.raises(Unreachable, match="404"):
        read(server)
    closed = FileServer()
    closed.shutdown()
    closed.server_close()
    with pytest.raises(Unreachable, match="refused"):
        read(closed)


# --- fetching -------------------------------------------------------------------------------------

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
