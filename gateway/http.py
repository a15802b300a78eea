"""The HTTP/1.1 server: h11 speaks the protocol, asyncio waits, threads run the application.

What it is for: a client that dawdles costs a file descriptor, never a thread. Handshake, head and
body are awaited on the loop, each against a deadline; only a request that is here as a whole takes
one of the bounded threads, and gives it back before its answer is sent. The exception are bodies
that are too large to hold (uploads of images): these are pulled through by threads of their own,
equally bounded.

    server = Server(wsgi_app, Limits(...), tls=None);  server.start("127.0.0.1", 8773);
    server.stop()

Called by gateway/server. The application is WSGI's; the whole of an answer is in memory.
Alternatives and why not: docs/decisions/0102-http-server.md.
"""

import asyncio
import io
import logging
import ssl
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import formatdate
from urllib.parse import unquote_to_bytes

import h11

log = logging.getLogger(__name__)

CHUNK = 64 * 1024


@dataclass(frozen=True)
class Limits:
    """Every wait and every number of things has a bound."""

    threads: int = 32
    streams: int = 8  # uploads at once
    connections: int = 1000
    head_bytes: int = 64 * 1024
    body_bytes: int = 1024 * 1024  # of a body that is held
    idle_s: float = 75.0  # until the head of the next request is here
    body_s: float = 20.0  # until the body is; for an upload: until its next piece is
    write_s: float = 60.0  # until the client has taken the answer
    stop_s: float = 10.0  # for what is in flight when stopping


class Server:
    """Serves one WSGI application. ``streamed(method, path)`` says which bodies to pull through."""

    def __init__(
        self,
        application: Callable,
        limits: Limits,
        *,
        tls: ssl.SSLContext | None = None,
        streamed: Callable[[str, str], bool] = lambda method, path: False,
        refuse: Callable[[int], tuple[str, bytes]] = lambda status: ("text/plain", b""),
    ):
        self._application, self._limits, self._tls = application, limits, tls
        self._streamed, self._refuse = streamed, refuse
        self._threads = ThreadPoolExecutor(limits.threads, "http")
        self._streams = ThreadPoolExecutor(limits.streams, "http-stream")
        self._connections: set[asyncio.Task] = set()
        self._busy: set[asyncio.Task] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="http-loop")

    def start(self, host: str, port: int) -> int:
        """Starts to listen.

        Gives the port (asked for as 0: any). Raises OSError when it is taken.
        """
        self._thread.start()
        try:
            self._listener = self._on_loop(
                asyncio.start_server(
                    self._accept,
                    host,
                    port,
                    ssl=self._tls,
                    ssl_handshake_timeout=self._limits.body_s if self._tls else None,
                    backlog=min(self._limits.connections, 512),
                )
            )
        except OSError:
            self._end_loop()
            raise
        return self._listener.sockets[0].getsockname()[1]

    def stop(self) -> None:
        """Stops listening, lets requests in flight end (for ``stop_s``), closes the rest."""
        self._on_loop(self._drain())
        self._end_loop()
        for pool in (self._threads, self._streams):
            pool.shutdown(wait=False, cancel_futures=True)

    def _on_loop(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    def _end_loop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _drain(self) -> None:
        self._listener.close()
        for task in self._connections - self._busy:
            task.cancel()
        if self._busy:
            await asyncio.wait(set(self._busy), timeout=self._limits.stop_s)
        for task in self._connections:
            task.cancel()
        if self._connections:
            await asyncio.wait(set(self._connections), timeout=1)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if len(self._connections) >= self._limits.connections:
            writer.transport.abort()
            return
        self._connections.add(task)
        try:
            await _Connection(self, reader, writer).serve()
        except (ConnectionError, TimeoutError, ssl.SSLError, asyncio.CancelledError) as gone:
            # Cancelled: by _drain, and by nobody else. Nothing of it is an error of ours.
            log.debug("a connection ended: %r", gone)
        finally:
            self._connections.discard(task)
            self._busy.discard(task)
            writer.close()


class _Connection:
    """One client's connection: request after request, until it has enough or we have."""

    def __init__(self, server: Server, reader, writer):
        self._server, self._limits = server, server._limits
        self._reader, self._writer = reader, writer
        self._wire = h11.Connection(h11.SERVER, max_incomplete_event_size=self._limits.head_bytes)

    async def serve(self) -> None:
        busy, task = self._server._busy, asyncio.current_task()
        try:
            while True:
                async with asyncio.timeout(self._limits.idle_s):
                    request = await self._event()
                if not isinstance(request, h11.Request):
                    return  # the client closed
                busy.add(task)
                await self._answer(request)
                busy.discard(task)
                if self._wire.our_state is not h11.DONE or self._wire.their_state is not h11.DONE:
                    return await self._linger()
                self._wire.start_next_cycle()
        except h11.RemoteProtocolError as mistake:
            await self._refuse_http(mistake.error_status_hint)

    async def _event(self):
        while (event := self._wire.next_event()) is h11.NEED_DATA:
            self._wire.receive_data(await self._reader.read(CHUNK))
        return event

    async def _answer(self, request: h11.Request) -> None:
        method, target = request.method.decode(), request.target.decode("latin-1")
        path, _, query = _origin_form(target).partition("?")
        environ = self._environ(request, method, target, path, query)
        if self._server._streamed(method, path):
            environ["wsgi.input"] = io.BufferedReader(_Pulled(self, self._server._loop), CHUNK)
            threads = self._server._streams
        else:
            body = await self._body(environ)
            if body is None:
                return await self._refuse_http(408)
            environ["wsgi.input"] = io.BytesIO(body)
            threads = self._server._threads
        try:
            answer = await self._server._loop.run_in_executor(
                threads, _run, self._server._application, environ
            )
        except Exception:
            log.exception("the application failed at %s %s", method, path)
            return await self._refuse_http(500)
        await self._send(*answer)

    async def _body(self, environ: dict) -> bytes | None:
        """The body; None where it did not come in time. One that is too large is left unread.

        The application sees then, from the length, that there is more than it would take.
        """
        if int(environ.get("CONTENT_LENGTH") or 0) > self._limits.body_bytes:
            return b""
        await self._continue()
        pieces, size = [], 0
        try:
            async with asyncio.timeout(self._limits.body_s):
                while isinstance(event := await self._event(), h11.Data):
                    pieces.append(event.data)
                    size += len(event.data)
                    if size > self._limits.body_bytes:  # chunked: nobody had said so
                        break
        except TimeoutError:
            return None
        if pieces:
            environ["CONTENT_LENGTH"] = str(size)
        return b"".join(pieces)

    async def _continue(self) -> None:
        if self._wire.they_are_waiting_for_100_continue:
            self._writer.write(
                self._wire.send(h11.InformationalResponse(status_code=100, headers=[]))
            )
            await self._writer.drain()

    async def next_piece(self) -> bytes:
        """The next piece of a streamed body, b"" at its end."""
        async with asyncio.timeout(self._limits.body_s):
            await self._continue()
            event = await self._event()
        return bytes(event.data) if isinstance(event, h11.Data) else b""

    async def _send(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        wire = self._wire
        headers = [*headers, ("Date", formatdate(usegmt=True)), ("Server", "Pileus")]
        data = wire.send(h11.Response(status_code=status, headers=headers))
        data += wire.send(h11.Data(data=content)) or b""
        data += wire.send(h11.EndOfMessage()) or b""
        self._writer.write(data)
        async with asyncio.timeout(self._limits.write_s):
            await self._writer.drain()

    async def _refuse_http(self, status: int) -> None:
        """What is no HTTP, or came too late, is answered where an answer is still possible."""
        if self._wire.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            kind, body = self._server._refuse(status)
            headers = [
                ("Content-Type", kind),
                ("Content-Length", str(len(body))),
                ("Connection", "close"),
            ]
            await self._send(status, headers, body)
        await self._linger()

    async def _linger(self) -> None:
        """Reads on a little before closing.

        A close with unread data resets the connection, and the client never sees the answer.
        """
        if self._wire.their_state in (h11.DONE, h11.CLOSED, h11.MUST_CLOSE):
            return
        try:
            async with asyncio.timeout(2):
                for _ in range(64):
                    if not await self._reader.read(CHUNK):
                        return
        except TimeoutError:
            return

    def _environ(self, request, method: str, target: str, path: str, query: str) -> dict:
        """WSGI's view of a request (PEP 3333), and the target as it was sent."""
        peer = self._writer.get_extra_info("peername") or ("", 0)
        own = self._writer.get_extra_info("sockname") or ("", 0)
        environ = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query,
            "REQUEST_URI": f"{path}?{query}" if query else path,
            "SERVER_NAME": str(own[0]),
            "SERVER_PORT": str(own[1]),
            "SERVER_PROTOCOL": f"HTTP/{request.http_version.decode()}",
            "REMOTE_ADDR": str(peer[0]),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "https" if self._server._tls else "http",
            "wsgi.errors": _Errors(),
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


class _Pulled(io.RawIOBase):
    """A body that a thread reads while the loop receives it. Raises OSError when it does not."""

    def __init__(self, connection: _Connection, loop: asyncio.AbstractEventLoop):
        self._connection, self._loop, self._rest = connection, loop, b""
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer) -> int:
        if not self._rest and not self._ended:
            piece = asyncio.run_coroutine_threadsafe(self._connection.next_piece(), self._loop)
            try:
                self._rest = piece.result()
            except h11.RemoteProtocolError as broken:
                raise ConnectionError("the client broke off") from broken
            self._ended = not self._rest
        size = min(len(buffer), len(self._rest))
        buffer[:size], self._rest = self._rest[:size], self._rest[size:]
        return size


class _Errors(io.TextIOBase):
    """wsgi.errors, to the log."""

    def write(self, text: str) -> int:
        if text.strip():
            log.error("%s", text.rstrip())
        return len(text)


def _origin_form(target: str) -> str:
    """ "http://host/path?q" (as sent to proxies) to "/path?q"."""
    if target.startswith("/"):
        return target
    _, separator, rest = target.partition("://")
    return "/" + rest.partition("/")[2] if separator else "/"


def _run(application: Callable, environ: dict) -> tuple[int, list[tuple[str, str]], bytes]:
    """Calls the application, in a thread: (status, headers, content)."""
    answer: list = []

    def start_response(status, headers, exc_info=None):
        answer[:] = [int(status[:3]), headers]
        return lambda data: None

    chunks = application(environ, start_response)
    try:
        content = b"".join(chunks)
    finally:
        if hasattr(chunks, "close"):
            chunks.close()
    return answer[0], answer[1], content
