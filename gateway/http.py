"""The HTTP/1.1 server: uvicorn waits on its event loop (uvloop), threads run the application.

What it is for: a client that dawdles costs a file descriptor, never a thread. Handshake, head and
body are awaited on the loop, each against a deadline (gateway/connection); only a request that is
here as a whole takes one of the bounded threads, and gives it back before its answer is sent. The
exception are bodies that are too large to hold (uploads of images): these are pulled through by
threads of their own, equally bounded.

    sockets = listen("127.0.0.1", 8773)
    server = Server(wsgi_app, Limits(...), tls=None)
    server.start(sockets);  server.stop()

Several processes may serve the same sockets (gateway/workers). The application is WSGI's; the whole
of an answer is in memory. Alternatives and why not: docs/decisions/0105-uvicorn-in-processes.md.
"""

import asyncio
import io
import logging
import socket
import ssl
import threading
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import uvicorn
import uvloop

from gateway.connection import Connection
from gateway.threads import Threads
from gateway.wsgi import Answer, Application, Environ, Inflow, environ_of, run

log = logging.getLogger(__name__)

Receive: TypeAlias = Callable[[], Awaitable[dict[str, Any]]]
Send: TypeAlias = Callable[[dict[str, Any]], Awaitable[None]]


@dataclass(frozen=True)
class Limits:
    """Every wait and every number of things has a bound. All are of one process."""

    threads: int = 32
    streams: int = 8  # uploads at once
    connections: int = 1000
    head_bytes: int = 64 * 1024
    head_lines: int = 100
    body_bytes: int = 256 * 1024  # of a body that is held; times connections it is memory
    idle_s: float = 75.0  # until the head of the next request is here, and the last answer taken
    body_s: float = 20.0  # until the body is; for an upload: until its next piece is
    stop_s: float = 10.0  # for what is in flight when stopping


def listen(host: str, port: int) -> list[socket.socket]:
    """Sockets that listen on a name's addresses. Raises OSError when the port is taken."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    return [
        socket.create_server(address[:2], family=family, backlog=512)
        for family, _, _, _, address in found
    ]


class Server:
    """Serves one WSGI application. ``streamed(method, path)`` says which bodies to pull through.

    ``refuse(status)`` gives content type and body for what is not even HTTP. ``failed()`` is called
    where the event loop has ended unasked: nobody is served any more.
    """

    def __init__(
        self,
        application: Application,
        limits: Limits,
        *,
        tls: ssl.SSLContext | None = None,
        streamed: Callable[[str, str], bool] = lambda method, path: False,
        refuse: Callable[[int], tuple[str, bytes]] = lambda status: ("text/plain", b""),
        failed: Callable[[], object] = lambda: None,
    ):
        self.application, self.limits, self._failed = application, limits, failed
        self.streamed, self.refuse = streamed, refuse
        self.threads = Threads(limits.threads, "http")
        self.streams = Threads(limits.streams, "http-stream")
        config = _Config(self)
        config.load()
        config.ssl = tls
        self._uvicorn = uvicorn.Server(config)

    def start(self, sockets: list[socket.socket]) -> None:
        """Begins to serve sockets that listen."""
        self._thread = threading.Thread(target=self._run, args=(sockets,), name="http-loop")
        self._thread.start()

    def stop(self) -> None:
        """Stops listening, lets requests in flight end (for ``stop_s``), closes the rest."""
        self._uvicorn.should_exit = True
        self._thread.join()
        for pool in (self.threads, self.streams):
            pool.stop()

    def _run(self, sockets: list[socket.socket]) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._uvicorn.serve(sockets))
        except BaseException:  # SystemExit, too, which would end this thread without a word
            log.critical("the HTTP server has failed", exc_info=True)
        if not self._uvicorn.should_exit:
            self._failed()

    async def serve(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """One request, as uvicorn calls an ASGI application: body, thread, answer."""
        connection: Connection = scope["connection"]
        try:
            answer = await self._answer(environ_of(scope), _Body(connection, receive))
        except Exception:
            log.exception("the application failed")
            answer = self._refusal(500)
        headers = [
            (name.encode("latin-1"), text.encode("latin-1")) for name, text in answer.headers
        ]
        connection.outgoing.hold()
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.content})

    async def _answer(self, environ: Environ, body: "_Body") -> Answer:
        limits = self.limits
        path = environ["REQUEST_URI"].partition("?")[0]
        if self.streamed(environ["REQUEST_METHOD"], path):
            inflow = Inflow(asyncio.get_running_loop(), body.following, limits.body_s)
            environ["wsgi.input"] = io.BufferedReader(inflow, 64 * 1024)
            return await self.streams.run(run, self.application, environ)
        held = b""
        # One that is too large is left unread: the application sees it from the length.
        if int(environ.get("CONTENT_LENGTH") or 0) <= limits.body_bytes:
            try:
                async with asyncio.timeout(limits.body_s):
                    held = await body.whole(limits.body_bytes)
            except TimeoutError:
                return self._refusal(408)
            except BrokenOff as failure:
                return self._refusal(failure.status)
            if held:
                environ["CONTENT_LENGTH"] = str(len(held))
        environ["wsgi.input"] = io.BytesIO(held)
        return await self.threads.run(run, self.application, environ)

    def _refusal(self, status: int) -> Answer:
        kind, content = self.refuse(status)
        headers = [("Content-Type", kind), ("Content-Length", str(len(content)))]
        return Answer(status, headers, content)


class BrokenOff(ConnectionError):
    """The client has gone, or what it sent is no HTTP, or ends too early."""

    def __init__(self, status: int):
        super().__init__("the client broke off")
        self.status = status


class _Body:
    """What is still to come of a request."""

    def __init__(self, connection: Connection, receive: Receive):
        self._connection, self._receive, self._more = connection, receive, True

    async def following(self) -> bytes:
        """The next piece; b"" at the end."""
        while self._more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise BrokenOff(400)
            self._more = message["more_body"]
            if self._more and self._connection.broken:
                raise BrokenOff(self._connection.broken)
            if message["body"]:
                piece: bytes = message["body"]
                return piece
        return b""

    async def whole(self, limit: int) -> bytes:
        """All of it, or, of a chunked one that nobody gave a length, just more than ``limit``."""
        held = await self.following()
        while self._more and len(held) <= limit:
            held += await self.following()
        return held


class _Config(uvicorn.Config):
    """What uvicorn is told, and what ``Connection`` needs beside it."""

    def __init__(self, server: Server):
        super().__init__(
            server.serve,
            interface="asgi3",
            http=Connection,
            ws="none",
            lifespan="off",
            proxy_headers=False,  # who is believed about addresses is the application's to say
            access_log=False,
            log_config=None,
            headers=[("server", "Pileus")],
            server_header=False,
            timeout_graceful_shutdown=server.limits.stop_s,  # type: ignore[arg-type]
        )
        self.limits, self.refuse = server.limits, server.refuse
