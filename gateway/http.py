"""The HTTP/1.1 server: h11 speaks the protocol, asyncio waits, threads run the application.

What it is for: a client that dawdles costs a file descriptor, never a thread. Handshake, head and
body are awaited on the loop, each against a deadline; only a request that is here as a whole takes
one of the bounded threads, and gives it back before its answer is sent. The exception are bodies
that are too large to hold (uploads of images): these are pulled through by threads of their own,
equally bounded.

    server = Server(wsgi_app, Limits(...), tls=None)
    server.start("127.0.0.1", 8773);  server.stop()

Called by gateway/server. The application is WSGI's; the whole of an answer is in memory.
Alternatives and why not: docs/decisions/0102-http-server.md.
"""

import asyncio
import io
import logging
import ssl
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus

import h11

from gateway.wsgi import Answer, Inflow, environ_of, path_of, run

log = logging.getLogger(__name__)

LINGER_S = 2.0


@dataclass(frozen=True)
class Limits:
    """Every wait and every number of things has a bound."""

    threads: int = 32
    streams: int = 8  # uploads at once
    connections: int = 1000
    head_bytes: int = 64 * 1024
    body_bytes: int = 256 * 1024  # of a body that is held; times connections it is memory
    idle_s: float = 75.0  # until the head of the next request is here, and the last answer taken
    body_s: float = 20.0  # until the body is; for an upload: until its next piece is
    stop_s: float = 10.0  # for what is in flight when stopping


class Server:
    """Serves one WSGI application. ``streamed(method, path)`` says which bodies to pull through.

    ``refuse(status)`` gives content type and body for what is not even HTTP.
    """

    def __init__(
        self,
        application: Callable,
        limits: Limits,
        *,
        tls: ssl.SSLContext | None = None,
        streamed: Callable[[str, str], bool] = lambda method, path: False,
        refuse: Callable[[int], tuple[str, bytes]] = lambda status: ("text/plain", b""),
    ):
        self.application, self.limits, self.tls = application, limits, tls
        self.streamed, self.refuse = streamed, refuse
        self.threads = ThreadPoolExecutor(limits.threads, "http")
        self.streams = ThreadPoolExecutor(limits.streams, "http-stream")
        self.connections: set[_Connection] = set()
        self.stopping = False
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name="http-loop")

    def start(self, host: str, port: int) -> int:
        """Starts to listen; gives the port (asked for as 0: any). OSError when it is taken."""
        self._thread.start()
        try:
            self._listener = self._on_loop(
                self.loop.create_server(
                    lambda: _Connection(self),
                    host,
                    port,
                    ssl=self.tls,
                    ssl_handshake_timeout=self.limits.body_s if self.tls else None,
                    backlog=min(self.limits.connections, 512),
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
        for pool in (self.threads, self.streams):
            pool.shutdown(wait=False, cancel_futures=True)

    async def _drain(self) -> None:
        self.stopping = True
        self._listener.close()
        busy = [each for each in self.connections if each.in_flight is not None]
        for each in self.connections - set(busy):
            each.close()
        if busy:
            ends = [asyncio.wrap_future(each.in_flight, loop=self.loop) for each in busy]
            await asyncio.wait(ends, timeout=self.limits.stop_s)
            await asyncio.sleep(0)  # the answers are written by callbacks that are due now
        for each in list(self.connections):
            each.close()

    def _on_loop(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result()

    def _end_loop(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()


class _Connection(asyncio.Protocol):
    """One client: request after request, until it has enough or we have. Runs on the loop."""

    def __init__(self, server: Server):
        self._server, self._limits = server, server.limits
        self._wire = h11.Connection(h11.SERVER, max_incomplete_event_size=server.limits.head_bytes)
        self._deadline: asyncio.TimerHandle | None = None
        self.in_flight: Future | None = None  # the application, at work on a request
        self._environ: dict | None = None  # of the request whose body is arriving
        self._pieces: list[bytes] = []
        self._size = 0
        self._inflow: Inflow | None = None  # of an upload
        self._ahead = 0  # bytes of later requests, received while one is in flight
        self._clogged = self._lingering = False

    # -- asyncio's calls

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        if len(self._server.connections) >= self._limits.connections or self._server.stopping:
            transport.abort()
            return
        self._server.connections.add(self)
        self._within(self._limits.idle_s, self.close)

    def connection_lost(self, failure: Exception | None) -> None:
        self._server.connections.discard(self)
        self._cancel_deadline()
        if self._inflow is not None:
            self._inflow.fail(ConnectionError("the client broke off"))

    def data_received(self, data: bytes) -> None:
        if self._lingering:
            return
        self._wire.receive_data(data)
        if self._waits:
            self._ahead += len(data)
            if self._ahead > self._limits.head_bytes:
                self._transport.pause_reading()
        else:
            self._advance()

    def eof_received(self) -> bool:
        """A client that has said all may still be told: True keeps our half open (not with TLS)."""
        if self._lingering:
            return False
        self._wire.receive_data(b"")
        self._advance()
        return self._server.tls is None

    def pause_writing(self) -> None:
        self._clogged = True  # no further request is begun until the answers are taken

    def resume_writing(self) -> None:
        self._clogged = False
        self._advance()

    # -- a request

    @property
    def _waits(self) -> bool:
        """Whether nothing more is read of the client for now: a request is in flight, or the
        client does not take its answers. A streamed body is read while its request is in flight."""
        return self._clogged or (self.in_flight is not None and self._inflow is None)

    def _advance(self) -> None:
        """Goes as far as what has been received allows."""
        try:
            while not (self._waits or self._transport.is_closing()):
                event = self._wire.next_event()
                if event is h11.NEED_DATA or event is h11.PAUSED:
                    return
                self._take(event)
        except h11.RemoteProtocolError as mistake:
            if self._inflow is not None:
                self._inflow.fail(ConnectionError("the client broke off"))
            else:
                self._refuse(mistake.error_status_hint)

    def _take(self, event) -> None:
        match event:
            case h11.Request():
                self._begin(event)
            case h11.Data() if self._inflow is not None:
                if not self._inflow.put(bytes(event.data)):
                    self._transport.pause_reading()
            case h11.Data():
                self._pieces.append(event.data)
                self._size += len(event.data)
                if self._size > self._limits.body_bytes:  # chunked: nobody had said so
                    self._environ["CONTENT_LENGTH"] = str(self._size)
                    self._dispatch()
            case h11.EndOfMessage() if self._inflow is not None:
                self._inflow.put(b"")
            case h11.EndOfMessage():
                self._dispatch()
            case h11.ConnectionClosed():
                self.close()

    def _begin(self, request: h11.Request) -> None:
        environ = self._environ = environ_of(request, self._transport, self._server.tls is not None)
        self._pieces, self._size = [], 0
        if self._server.streamed(environ["REQUEST_METHOD"], path_of(environ)):
            self._continue()
            self._inflow = Inflow(self._limits.body_s, self._resume_reading)
            environ["wsgi.input"] = io.BufferedReader(self._inflow, 64 * 1024)
            self._cancel_deadline()  # the thread that reads watches the time
            self._start(self._server.streams, environ)
        elif int(environ.get("CONTENT_LENGTH") or 0) > self._limits.body_bytes:
            self._dispatch()  # unread: the application sees from the length that it is too large
        else:
            self._continue()
            self._within(self._limits.body_s, lambda: self._refuse(408))

    def _continue(self) -> None:
        if self._wire.they_are_waiting_for_100_continue:
            go_on = h11.InformationalResponse(status_code=100, headers=[])
            self._transport.write(self._wire.send(go_on))

    def _dispatch(self) -> None:
        environ = self._environ
        body = b"".join(self._pieces)
        if body:
            environ["CONTENT_LENGTH"] = str(len(body))
        environ["wsgi.input"] = io.BytesIO(body)
        self._pieces = []
        self._cancel_deadline()
        self._start(self._server.threads, environ)

    def _start(self, pool: ThreadPoolExecutor, environ: dict) -> None:
        self.in_flight = pool.submit(run, self._server.application, environ)
        self.in_flight.add_done_callback(self._ended)

    def _ended(self, future: Future) -> None:
        """In the application's thread: back to the loop, which may have ended meanwhile."""
        if not self._server.loop.is_closed():
            self._server.loop.call_soon_threadsafe(self._answer, future)

    def _resume_reading(self) -> None:
        """In the application's thread."""
        self._server.loop.call_soon_threadsafe(self._go_on_reading)

    def _go_on_reading(self) -> None:
        if not self._transport.is_closing():
            self._transport.resume_reading()

    # -- its answer

    def _answer(self, future: Future) -> None:
        self.in_flight, self._inflow, self._environ = None, None, None
        if self._transport.is_closing() or future.cancelled():
            return
        if (failure := future.exception()) is not None:
            log.error("the application failed", exc_info=failure)
            return self._refuse(500)
        self._send(future.result())
        wire = self._wire
        if wire.our_state is not h11.DONE or wire.their_state is not h11.DONE:
            return self._linger()
        wire.start_next_cycle()
        self._within(self._limits.idle_s, self.close)
        if self._ahead:
            self._ahead = 0
            self._transport.resume_reading()
        self._advance()

    def _send(self, answer: Answer) -> None:
        headers = [*answer.headers, ("Date", _date(int(time.time()))), ("Server", "Pileus")]
        wire = self._wire
        # With its phrase: botocore takes a line without one for none when it awaits a 100.
        phrase = HTTPStatus(answer.status).phrase.encode()
        data = wire.send(h11.Response(status_code=answer.status, headers=headers, reason=phrase))
        data += wire.send(h11.Data(data=answer.content)) or b""
        data += wire.send(h11.EndOfMessage()) or b""
        self._transport.write(data)

    def _refuse(self, status: int) -> None:
        """What is no HTTP, or came too late, is answered where an answer is still possible."""
        if self._wire.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            kind, body = self._server.refuse(status)
            headers = [("Content-Type", kind), ("Content-Length", str(len(body)))]
            self._send(Answer(status, [*headers, ("Connection", "close")], body))
        self._linger()

    def _linger(self) -> None:
        """Closes, but takes what is still being sent for a moment before.

        A close with unread data resets the connection, and the client never sees the answer.
        """
        if self._wire.their_state in (h11.DONE, h11.CLOSED, h11.MUST_CLOSE):
            return self.close()
        self._lingering = True
        self._transport.resume_reading()
        if self._transport.can_write_eof():
            self._transport.write_eof()
        self._within(LINGER_S, self.close)

    def close(self) -> None:
        """Closes once what was written is sent, or at once where nobody takes it."""
        if self._clogged:
            self._transport.abort()
        else:
            self._transport.close()

    # -- deadlines: one at a time

    def _within(self, seconds: float, otherwise: Callable[[], None]) -> None:
        self._cancel_deadline()
        self._deadline = self._server.loop.call_later(seconds, otherwise)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)
