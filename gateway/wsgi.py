"""Translates between HTTP and WSGI (PEP 3333): environ, answer, and the body as a stream.

Called by gateway/http. Nothing here waits but an upload's reader, in its own thread.
"""

import asyncio
import io
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import unquote_to_bytes

log = logging.getLogger(__name__)

Environ: TypeAlias = dict[str, Any]
StartResponse: TypeAlias = Callable[..., Any]
Application: TypeAlias = Callable[[Environ, StartResponse], Iterable[bytes]]


class Answer(NamedTuple):
    status: int
    headers: list[tuple[str, str]]
    content: bytes


def run(application: Application, environ: Environ) -> Answer:
    """Calls the application. In a thread."""
    begun: list[tuple[int, list[tuple[str, str]]]] = []

    def start_response(
        status: str, headers: list[tuple[str, str]], exc_info: object = None
    ) -> Callable[[bytes], None]:
        begun[:] = [(int(status[:3]), headers)]
        return lambda data: None

    chunks = application(environ, start_response)
    try:
        content = b"".join(chunks)
    finally:
        if hasattr(chunks, "close"):
            chunks.close()
    return Answer(*begun[0], content)


def environ_of(scope: dict[str, Any]) -> Environ:
    """All but wsgi.input. REQUEST_URI is the target as it was sent, without scheme and host."""
    target = _origin_form(scope["target"].decode("latin-1"))
    path, _, query = target.partition("?")
    environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(path).decode("latin-1") if "%" in path else path,
        "QUERY_STRING": query,
        "REQUEST_URI": target,
        "SERVER_NAME": scope["server"][0],
        "SERVER_PORT": str(scope["server"][1]),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": scope["client"][0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.errors": _ERRORS,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
        "wsgi.input_terminated": True,
    }
    for name, value in scope["headers"]:
        if b"_" in name:
            continue  # HTTP_X_FORWARDED_HOST must not be had by "x_forwarded-host"
        key = name.decode("latin-1").upper().replace("-", "_")
        key = key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"
        text = value.decode("latin-1")
        environ[key] = f"{environ[key]},{text}" if key in environ else text
    return environ


def _origin_form(target: str) -> str:
    """ "http://host/path?q" (as sent to proxies) to "/path?q"."""
    if target.startswith("/"):
        return target
    _, separator, rest = target.partition("://")
    return "/" + rest.partition("/")[2] if separator else "/"


class Inflow(io.RawIOBase):
    """A body that a thread reads while the loop receives it, at the reader's pace.

    ``following`` gives the next piece, b"" at the end. The reader gets OSError when nothing comes
    for ``wait_s`` or the client broke off.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        following: Callable[[], Coroutine[Any, Any, bytes]],
        wait_s: float,
    ):
        self._loop, self._following, self._wait_s = loop, following, wait_s
        self._rest, self._over = b"", False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if not self._rest and not self._over:
            piece = asyncio.wait_for(self._following(), self._wait_s)
            # The second bound: the loop may have ended, and the piece with it.
            self._rest = asyncio.run_coroutine_threadsafe(piece, self._loop).result(
                self._wait_s + 1
            )
            self._over = not self._rest
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


class _Errors(io.TextIOBase):
    """wsgi.errors, to the log."""

    def write(self, text: str) -> int:
        if text.strip():
            log.error("%s", text.rstrip())
        return len(text)


_ERRORS = _Errors()
