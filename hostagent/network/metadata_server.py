"""The metadata service: one thread, one event loop, a listener in every VPC's namespace.

    server.update(vpc_id, {address: Caller, ...})   who asks, and what they get
    server.listen(vpc_id, open_listener(...))       in place of what listened for the VPC before
    server.close(vpc_id)                            no listener, no connection

A response is a look-up in memory, so no request ever waits for another; a slow or silent client
costs a coroutine until its deadline, and no guest gets more than its share of connections
(docs/decisions/0253). Who asks is known by address within its VPC: the firewall lets no guest use
another's. Called by the driver, from any thread.
"""

import asyncio
import logging
import socket
import struct
import threading
from collections import Counter
from collections.abc import Coroutine, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import Any

from hostagent.network import metadata_http
from hostagent.network.metadata_http import Caller, Response
from hostagent.network.metadata_tokens import Tokens
from protos.threads import vital

log = logging.getLogger(__name__)

_CALL_TIMEOUT_S = 10.0
_EXPECTED = (ConnectionError, TimeoutError, asyncio.IncompleteReadError)


@dataclass(frozen=True)
class Limits:
    """What one guest, and all together, may hold."""

    connections_per_caller: int = 16
    connections: int = 1024
    head_bytes: int = 16_384
    read_timeout_s: float = 10.0  # for a whole request head; between requests too
    write_timeout_s: float = 10.0


class MetadataServer:
    """See the module's head. The thread starts with the first VPC."""

    def __init__(self, tokens: Tokens, limits: Limits = Limits()):
        self._tokens, self._limits = tokens, limits
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._callers: dict[str, Mapping[str, Caller]] = {}
        self._servers: dict[str, asyncio.Server] = {}  # this and below: the loop's thread only
        self._open: dict[str, set[asyncio.StreamWriter]] = {}
        self._counts: Counter[tuple[str, str]] = Counter()

    def update(self, vpc_id: str, callers: Mapping[str, Caller]) -> None:
        """Private address -> NIC, for requests from now on."""
        self._callers[vpc_id] = dict(callers)

    def listen(self, vpc_id: str, listener: socket.socket) -> None:
        """Serves on a listening socket, in place of the VPC's former one. Owns it from here on."""
        self._in_loop(self._listen(vpc_id, listener)).result(_CALL_TIMEOUT_S)

    def close(self, vpc_id: str) -> None:
        """Resets what is open: a lingering socket would keep the namespace alive."""
        self._callers.pop(vpc_id, None)
        if self._loop is not None:
            self._in_loop(self._close(vpc_id)).result(_CALL_TIMEOUT_S)

    def stop(self) -> None:
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is None or thread is None:
            return
        for vpc_id in list(self._servers):
            asyncio.run_coroutine_threadsafe(self._close(vpc_id), loop).result(_CALL_TIMEOUT_S)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(_CALL_TIMEOUT_S)
        loop.close()

    # -- the loop's thread -------------------------------------------------------------------------

    def _in_loop(self, coroutine: Coroutine[Any, Any, None]) -> Future[None]:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = vital("metadata", self._loop.run_forever)
                self._thread.start()
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    async def _listen(self, vpc_id: str, listener: socket.socket) -> None:
        await self._close(vpc_id)
        self._open[vpc_id] = set()

        async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await self._connection(vpc_id, reader, writer)

        self._servers[vpc_id] = await asyncio.start_server(
            connected, sock=listener, limit=self._limits.head_bytes
        )

    async def _close(self, vpc_id: str) -> None:
        server = self._servers.pop(vpc_id, None)
        if server is not None:
            server.close()
        for writer in self._open.pop(vpc_id, ()):
            _reset(writer)

    async def _connection(
        self, vpc_id: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        address = writer.get_extra_info("peername")[0]
        key = (vpc_id, address)
        total = sum(map(len, self._open.values()))
        if (
            vpc_id not in self._open
            or self._counts[key] >= self._limits.connections_per_caller
            or total >= self._limits.connections
        ):
            _reset(writer)
            return
        self._counts[key] += 1
        self._open[vpc_id].add(writer)
        try:
            sock = writer.get_extra_info("socket")
            timeout_ms = int(self._limits.write_timeout_s * 1000)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, timeout_ms)
            while await self._exchange(vpc_id, address, reader, writer):
                pass
        except _EXPECTED as end:
            log.debug("%s in %s went away: %r", address, vpc_id, end)
            _reset(writer)
        except Exception:
            log.exception("a metadata request of %s in %s failed", address, vpc_id)
            _reset(writer)
        finally:
            writer.close()
            self._open.get(vpc_id, set()).discard(writer)
            self._counts[key] -= 1
            if not self._counts[key]:
                del self._counts[key]

    async def _exchange(
        self, vpc_id: str, address: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """One request and its response. Answers whether the connection stays open."""
        try:
            async with asyncio.timeout(self._limits.read_timeout_s):
                head = await reader.readuntil(b"\r\n\r\n")
            request = metadata_http.parse(head)
        except asyncio.LimitOverrunError:
            await self._send(
                writer, metadata_http.refusal(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)
            )
            return False
        except ValueError:
            await self._send(writer, metadata_http.refusal(HTTPStatus.BAD_REQUEST))
            return False
        caller = self._callers.get(vpc_id, {}).get(address)
        response = metadata_http.answer(request, caller, self._tokens)
        # The hop limit holds for the rest of its connection, retransmissions included.
        keep_alive = request.keep_alive and response.hop_limit is None
        await self._send(
            writer, response, head_only=request.method == "HEAD", keep_alive=keep_alive
        )
        return keep_alive

    async def _send(
        self,
        writer: asyncio.StreamWriter,
        response: Response,
        *,
        head_only: bool = False,
        keep_alive: bool = False,
    ) -> None:
        if response.hop_limit is not None:
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, response.hop_limit)
        now = formatdate(usegmt=True)
        writer.write(
            metadata_http.encode(response, date=now, head_only=head_only, keep_alive=keep_alive)
        )
        async with asyncio.timeout(self._limits.write_timeout_s):
            await writer.drain()


def open_listener(address: str, port: int) -> socket.socket:
    """A listening socket of the namespace that the calling thread is in."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(64)
        listener.setblocking(False)
    except BaseException:
        listener.close()
        raise
    return listener


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() != -1:
        linger = struct.pack("ii", 1, 0)  # at once and with a reset: nothing lingers
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()
