"""Where images may be fetched from, and how they are read: what is allowed, what is resumed."""

import http.server
import threading

import pytest

from controller.storage.images.locations import check_url, digest_of, format_of
from controller.storage.images.remote import HttpReader, Unreachable
from protos.errors import CloudError, Kind

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
