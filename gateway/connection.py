"""One client's connection: uvicorn's HTTP/1.1 protocol (httptools), and the bounds that it lacks.

uvicorn parses, queues requests that are sent ahead, stops reading what nobody takes, answers
``Expect: 100-continue`` when the body is wanted. Added here: a deadline for each head and for
answers that are not taken, a size for heads and for trailers (which are not read), a number of
connections and of requests sent ahead, clients that close their half, refusals in our own dialect,
a close after which the client can still read its answer, and answers that are sent whole: killed
amid two writes, a process would leave a head without its body, which botocore takes for an empty
answer. Bodies have their deadline in
gateway/http, which also starts all this.

Everything here runs on the event loop.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol
from uvicorn.server import ServerState

LINGER_S = 2.0  # how long we take what is sent to us after our last word
AHEAD = 32  # requests that a client may send before it has the answer to the first


class TooManyAhead(Exception):
    """Raised into the parser, which then stops."""


class TooManyLines(Exception):
    """As TooManyAhead."""


class Outgoing:
    """What uvicorn writes answers to: from ``hold()`` on all is kept, until ``release()`` sends it
    in one write, which is all that a client sees of it or none."""

    def __init__(self, transport: asyncio.Transport):
        self._transport = transport
        self._held: list[bytes] | None = None

    def hold(self) -> None:
        self._held = []

    def release(self) -> None:
        held, self._held = self._held, None
        if held:
            self._transport.write(b"".join(held))

    def write(self, data: bytes) -> None:
        if self._held is None:
            self._transport.write(data)
        else:
            self._held.append(data)

    def close(self) -> None:
        self.release()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()


class Connection(HttpToolsProtocol):
    """``config`` is gateway/http's: uvicorn's with ``limits`` and ``refuse``."""

    def __init__(
        self,
        config: Any,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ):
        super().__init__(config, server_state, app_state, _loop)
        self._limits = config.limits
        self._deadline: asyncio.TimerHandle | None = None  # of the next head, or of lingering
        self._clogged: asyncio.TimerHandle | None = None  # deadline of an answer that is not taken
        self._in_head = True  # a header now is the head's; after it there are only trailers
        self._lines = 0  # of the head so far
        self._fruitless = 0  # bytes since there was last a head, a piece of a body, or its end
        self._unanswered = 0
        self._said_all = False  # the client has closed its half
        self._deaf = False  # what still comes is taken and not looked at
        self.broken = 0  # what came is no HTTP, or ends too early: the status to refuse it with

    # -- asyncio's calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        if len(self.connections) >= self._limits.connections:
            self.transport = transport
            transport.abort()
            return
        super().connection_made(transport)
        if self.client is None:  # it has gone already, and cannot be told apart from others
            transport.abort()
            return
        self.outgoing = Outgoing(transport)
        self._within(self._limits.idle_s)

    def connection_lost(self, exc: Exception | None) -> None:
        for deadline in (self._deadline, self._clogged):
            if deadline is not None:
                deadline.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._deaf:
            return
        before, self._fruitless = self._fruitless + len(data), -1
        super().data_received(data)
        if self._fruitless:  # the parser keeps what it was given: a head, a trailer
            self._fruitless = before
            if before > self._limits.head_bytes and not self._deaf:
                self._break(431)

    def eof_received(self) -> bool:  # type: ignore[override]
        """Whether our half stays open for answers to a client that has sent all (not with TLS)."""
        if self._deaf or not self._unanswered or self.scheme == "https":
            return False
        self._said_all = True
        if self.cycle.more_body:
            self._break(400)
        return True

    def pause_writing(self) -> None:
        super().pause_writing()
        self._clogged = self.loop.call_later(self._limits.idle_s, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._clogged is not None:
            self._clogged.cancel()
            self._clogged = None

    # -- the parser's

    def on_message_begin(self) -> None:
        self._in_head, self._lines = True, 0
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:  # a trailer is no header (RFC 9110, 6.5.1), and we read none
            return
        self._lines += 1
        if self._lines > self._limits.head_lines:
            raise TooManyLines
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head, self._fruitless = False, 0
        if self._unanswered >= AHEAD:
            raise TooManyAhead
        self._unanswered += 1
        self._within(None)
        self.scope["connection"], self.scope["target"] = self, self.url  # type: ignore[typeddict-unknown-key]
        self.url = b"/"  # uvicorn would read it; it is signed as it was sent, and left so
        super().on_headers_complete()
        self.cycle.transport = self.outgoing  # type: ignore[assignment]
        if self.parser.should_upgrade():  # we never do, and the parser reads no further
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._fruitless = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._fruitless = 0
        super().on_message_complete()

    # -- uvicorn's

    def on_response_complete(self) -> None:
        self._unanswered -= 1
        self.outgoing.release()
        super().on_response_complete()
        if self.transport.is_closing():
            self._within(self._limits.idle_s)  # for what was written to be taken
        elif self._unanswered:
            return
        elif self.cycle.more_body:
            self._linger()  # nobody will read the rest
        elif self.broken:
            self._refuse()
        elif self._said_all:
            self._close()
        else:
            self._within(self._limits.idle_s)

    def send_400_response(self, msg: str) -> None:
        self._break(431 if self._lines > self._limits.head_lines else 400)

    def timeout_keep_alive_handler(self) -> None:
        """uvicorn's own deadline, which any byte puts off. ``_deadline`` is not."""

    # -- the end

    def _break(self, status: int) -> None:
        """Nothing more is read of this client; it is told when its requests have been answered."""
        self._deaf, self.broken = True, status
        if not self._unanswered:
            self._refuse()
        elif self.cycle.more_body:
            self.cycle.message_event.set()  # whoever waits for the body sees ``broken``

    def _refuse(self) -> None:
        refuse: Callable[[int], tuple[str, bytes]] = self.config.refuse  # type: ignore[attr-defined]
        kind, body = refuse(self.broken)
        head = [STATUS_LINE[self.broken]]
        for name, value in self.server_state.default_headers:
            head += [name, b": ", value, b"\r\n"]
        rest = f"content-type: {kind}\r\ncontent-length: {len(body)}\r\nconnection: close\r\n\r\n"
        self.transport.write(b"".join([*head, rest.encode(), body]))
        self._linger()

    def _linger(self) -> None:
        """Closes, but takes what is still being sent for a moment before.

        A close with unread data resets the connection, and the client never sees the answer.
        """
        self._deaf = True
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self._within(LINGER_S)

    def _within(self, seconds: float | None) -> None:
        """Closes after so long, unless told otherwise before."""
        if self._deadline is not None:
            self._deadline.cancel()
        self._deadline = None if seconds is None else self.loop.call_later(seconds, self._close)

    def _close(self) -> None:
        """Closes once what was written is sent, or at once where nobody takes it."""
        if self.flow.write_paused or self.transport.is_closing():
            self.transport.abort()
        else:
            self.transport.close()
            self._within(LINGER_S)
