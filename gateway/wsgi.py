"""Between HTTP and WSGI (PEP 3333): a request as an environ, an application's answer, an inflow.

Called by gateway/http. Nothing here waits but an upload's reader, in its own thread.
"""

import asyncio
import io
import logging
import queue
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

import h11

log = logging.getLogger(__name__)

PIECES_HELD = 16  # of an upload, between the loop and the thread: some hundred KiB


@dataclass(frozen=True)
class Answer:
    status: int
    headers: list[tuple[str, str]]
    content: bytes


def run(application: Callable, environ: dict) -> Answer:
    """Calls the application. In a thread."""
    begun: list = []

    def start_response(status, headers, exc_info=None):
        begun[:] = [int(status[:3]), headers]
        return lambda data: None

    chunks = application(environ, start_response)
    try:
        content = b"".join(chunks)
    finally:
        if hasattr(chunks, "close"):
            chunks.close()
    return Answer(*begun, content)


def environ_of(request: h11.Request, transport: asyncio.Transport, tls: bool) -> dict:
    """All but wsgi.input. REQUEST_URI is the target as it was sent, without scheme and host."""
    target = _origin_form(request.target.decode("latin-1"))
    path, _, query = target.partition("?")
    peer = transport.get_extra_info("peername") or ("", 0)
    own = transport.get_extra_info("sockname") or ("", 0)
    environ = {
        "REQUEST_METHOD": request.method.decode(),
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
        "QUERY_STRING": query,
        "REQUEST_URI": target,
        "SERVER_NAME": str(own[0]),
        "SERVER_PORT": str(own[1]),
        "SERVER_PROTOCOL": f"HTTP/{request.http_version.decode()}",
        "REMOTE_ADDR": str(peer[0]),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https" if tls else "http",
        "wsgi.errors": _ERRORS,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }
    for name, value in request.headers:
        if b"_" in name:
            continue  # HTTP_X_FORWARDED_HOST must not be had by "x_forwarded-host"
        key = name.decode("ascii").upper().replace("-", "_")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
        text = value.decode("latin-1")
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    return environ


def path_of(environ: dict) -> str:
    return environ["REQUEST_URI"].partition("?")[0]


def _origin_form(target: str) -> str:
    """ "http://host/path?q" (as sent to proxies) to "/path?q"."""
    if target.startswith("/"):
        return target
    _, separator, rest = target.partition("://")
    return "/" + rest.partition("/")[2] if separator else "/"


class Inflow(io.RawIOBase):
    """A body that a thread reads while the loop receives it, at the reader's pace.

    The loop ``put``s pieces, b"" at the end, or lets it ``fail``; the reader gets OSError when
    nothing comes for ``wait_s`` or the client broke off.
    """

    def __init__(self, wait_s: float, resume: Callable[[], None]):
        self._wait_s, self._resume = wait_s, resume
        self._queue: queue.SimpleQueue[bytes | OSError] = queue.SimpleQueue()
        self._rest = b""
        self._over: bool | OSError = False
        self._held_back = False

    def put(self, piece: bytes) -> bool:
        """On the loop. False: enough for now; ``resume`` is called when there is room again."""
        self._queue.put(piece)
        self._held_back = self._queue.qsize() >= PIECES_HELD
        return not self._held_back

    def fail(self, failure: OSError) -> None:
        self._queue.put(failure)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        if not self._rest and not self._over:
            self._next()
        if isinstance(self._over, OSError):
            raise self._over
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size

    def _next(self) -> None:
        try:
            piece = self._queue.get(timeout=self._wait_s)
        except queue.Empty:
            piece = TimeoutError(f"nothing came for {self._wait_s:g} s")
        if isinstance(piece, OSError):
            self._over = piece
        else:
            self._rest, self._over = piece, not piece
        if self._held_back and self._queue.qsize() < PIECES_HELD // 2:
            self._held_back = False
            self._resume()


class _Errors(io.TextIOBase):
    """wsgi.errors, to the log."""

    def write(self, text: str) -> int:
        if text.strip():
            log.error("%s", text.rstrip())
        return len(text)


_ERRORS = _Errors()
