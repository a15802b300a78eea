"""Calls between services of one machine over a Unix socket: gRPC's services without gRPC.

    server = serve(path, servicers, guard);  server.stop(5.0)
    client = Client(Connections(path), service, timeout_s)
    client.Describe(request, caller=..., timeout_s=5)      as rpc.Client's, and the same errors

For the gateway, which asks the controller for every request of its clients: a call takes a quarter
of the time that it takes with gRPC's threads (docs/decisions/0107). Only unary rpcs; streams, and
services on other machines, are gRPC's. On the wire are frames: a length (four bytes, big-endian)
and a message of unix_socket.proto. A connection carries one call at a time, and each end has a
thread of its own for it.

Both ends ask the kernel whose process the other end is, and take no user's but root's and their
own; the socket's mode says the same.
"""

import contextlib
import logging
import os
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import ServiceDescriptor
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from protos import errors, rpc
from protos.cloud.v1.unix_socket_pb2 import SocketAnswer, SocketCall
from protos.errors import CloudError, Kind
from protos.rpc import MAX_MESSAGE_BYTES, Caller, Guard
from protos.services import SERVICES, full_name
from protos.threads import vital

log = logging.getLogger(__name__)

IDLE_S = 30.0  # after which a client closes a connection
BACKLOG = 128
PEER = "gateway"  # who calls over a socket: certificates say it elsewhere
_READ_BYTES = 64 * 1024
_LENGTH_BYTES = 4
_CALLER = tuple(field.name for field in fields(Caller))


class BrokenFrame(Exception):
    """What came is no frame, or a connection ended amid one."""


def send(connection: socket.socket, message: Message) -> None:
    content = message.SerializeToString()
    connection.sendall(len(content).to_bytes(_LENGTH_BYTES) + content)


def receive(connection: socket.socket) -> bytes | None:
    """The next frame's message; None where the other end has closed. Raises BrokenFrame."""
    held = connection.recv(_READ_BYTES)
    if not held:
        return None
    while len(held) < _LENGTH_BYTES:
        held += _more(connection)
    size = int.from_bytes(held[:_LENGTH_BYTES])
    if size > MAX_MESSAGE_BYTES:
        raise BrokenFrame(f"{size} bytes are more than a message may have")
    pieces, missing = [held[_LENGTH_BYTES:]], size + _LENGTH_BYTES - len(held)
    while missing > 0:
        pieces.append(_more(connection))
        missing -= len(pieces[-1])
    if missing:
        raise BrokenFrame("more than one message at a time")
    return b"".join(pieces)


def _more(connection: socket.socket) -> bytes:
    piece = connection.recv(_READ_BYTES)
    if not piece:
        raise BrokenFrame("the connection ended amid a message")
    return piece


def _is_open(connection: socket.socket) -> bool:
    """Whether the other end, which has nothing to say now, has not closed."""
    timeout_s = connection.gettimeout()
    connection.setblocking(False)  # MSG_DONTWAIT alone waits where there is a timeout
    try:
        connection.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        connection.settimeout(timeout_s)
    return False


def _stranger(connection: socket.socket) -> str:
    """Who is at the other end, where it is another user's process."""
    packed = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    process, user, _ = struct.unpack("3i", packed)
    return "" if user in (0, os.geteuid()) else f"process {process} is user {user}'s"


# -- the called


_Method = tuple[Callable[[Any, rpc.CallContext], Message], type[Message]]


def serve(
    path: Path,
    servicers: Mapping[str, object],
    guard: Guard,
    *,
    at_once: int = 16,
    connections: int = 512,
) -> "Server":
    """Starts to serve ``servicers`` (by their service's name). Raises OSError where it cannot.

    at_once: how many calls run at a time; the others wait for their turn, or till their deadline.
    connections: how many there may be, a thread each.
    """
    methods: dict[str, _Method] = {
        full_name(method): (
            getattr(servicers[service.name], method.name),
            GetMessageClass(method.input_type),
        )
        for service in SERVICES
        if service.name in servicers
        for method in service.methods
        if not (method.client_streaming or method.server_streaming)
    }
    server = Server(_listen(path), methods, guard, at_once, connections)
    server.start()
    return server


def _listen(path: Path) -> socket.socket:
    """Takes the place of a socket that another process has left. The caller is the only one of its
    kind: it holds its other port already."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(str(path))  # nobody can connect before listen()
        path.chmod(0o600)
        listener.listen(BACKLOG)
    except OSError as failure:
        listener.close()
        raise OSError(f"cannot listen on {path}: {failure}") from failure
    return listener


class Server:
    """A thread for each connection, and one that accepts them."""

    def __init__(
        self,
        listener: socket.socket,
        methods: Mapping[str, _Method],
        guard: Guard,
        at_once: int,
        connections: int,
    ):
        self._listener, self._methods, self._guard = listener, methods, guard
        self._most = connections
        self._turns = threading.BoundedSemaphore(at_once)
        self._threads: dict[threading.Thread, socket.socket] = {}
        self._lock = threading.Lock()
        self._stopping = False
        self._acceptor = vital("socket", self._accept)

    def start(self) -> None:
        self._acceptor.start()

    def stop(self, grace_s: float) -> None:
        """Ends within ``grace_s``; calls that run have so long to be answered."""
        if self._stopping:
            return
        deadline = time.monotonic() + grace_s
        self._stopping = True
        self._listener.shutdown(socket.SHUT_RDWR)  # accept() returns
        self._acceptor.join(grace_s)
        self._listener.close()
        with self._lock:
            running = dict(self._threads)
        for connection in running.values():
            with contextlib.suppress(OSError):  # it has just ended
                connection.shutdown(socket.SHUT_RD)  # after the call that runs there is no other
        for thread in running:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _accept(self) -> None:
        while not self._stopping:
            try:
                connection, _ = self._listener.accept()
                self._take(connection)
            except Exception:
                if not self._stopping:  # descriptors, threads or memory are short
                    log.exception("a connection cannot be taken")
                    time.sleep(1.0)

    def _take(self, connection: socket.socket) -> None:
        if refusal := self._refusal(connection):
            log.warning("a connection is refused: %s", refusal)
            connection.close()
            return
        thread = threading.Thread(
            target=self._serve, args=(connection,), name="socket-call", daemon=True
        )
        with self._lock:  # its end waits for this
            try:
                thread.start()
            except BaseException:
                connection.close()
                raise
            self._threads[thread] = connection

    def _refusal(self, connection: socket.socket) -> str:
        if stranger := _stranger(connection):
            return stranger
        with self._lock:
            return f"there are {self._most}" if len(self._threads) >= self._most else ""

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                while (frame := receive(connection)) is not None:
                    send(connection, self._answer(SocketCall.FromString(frame), connection))
        except (OSError, BrokenFrame, DecodeError) as failure:
            if not self._stopping:
                log.info("a connection broke: %s", failure)
        except Exception:
            log.exception("a connection failed")
        finally:
            with self._lock:
                del self._threads[threading.current_thread()]

    def _answer(self, call: SocketCall, connection: socket.socket) -> SocketAnswer:
        try:
            waited = not self._turns.acquire(blocking=False)
            if waited and not self._turns.acquire(timeout=call.timeout_ms / 1000):
                raise errors.unreachable("its deadline passed before its turn came")
            try:
                if waited and not _is_open(connection):
                    raise errors.unreachable("its caller left before its turn came")
                return SocketAnswer(answer=self._called(call).SerializeToString())
            finally:
                self._turns.release()
        except CloudError as refusal:
            return SocketAnswer(error=errors.to_detail(refusal))

    def _called(self, call: SocketCall) -> Message:
        if call.method not in self._methods:
            raise CloudError(Kind.UNSUPPORTED, "This controller cannot do that yet.")
        behaviour, kind = self._methods[call.method]
        caller = Caller(**{name: getattr(call, name) for name in _CALLER})
        request = kind.FromString(call.request)
        return rpc.answer(behaviour, request, call.method, PEER, caller, self._guard)


# -- the caller


class Connections:
    """A client's connections to one socket: as many as there are calls at a time."""

    def __init__(self, path: Path):
        self._path = str(path)
        self._idle: deque[tuple[float, socket.socket]] = deque()  # (since, …); the latest is last

    def call(self, message: SocketCall, timeout_s: float) -> bytes:
        """The frame that answers. Raises OSError (TimeoutError) and BrokenFrame."""
        deadline = time.monotonic() + timeout_s
        connection = self._take(timeout_s)
        try:
            send(connection, message)
            connection.settimeout(max(0.001, deadline - time.monotonic()))
            answer = receive(connection)
            if answer is None:
                raise BrokenFrame("the connection was closed before the answer")
        except BaseException:
            connection.close()
            raise
        self._give_back(connection)
        return answer

    def close(self) -> None:
        while self._idle:
            self._idle.pop()[1].close()

    def _take(self, timeout_s: float) -> socket.socket:
        while self._idle:
            with contextlib.suppress(IndexError):  # another thread took the last one
                connection = self._idle.pop()[1]
                if _is_open(connection):
                    connection.settimeout(timeout_s)
                    return connection
                connection.close()
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(timeout_s)
        try:
            connection.connect(self._path)
            if stranger := _stranger(connection):
                raise PermissionError(f"{self._path}: {stranger}")
        except BaseException:
            connection.close()
            raise
        return connection

    def _give_back(self, connection: socket.socket) -> None:
        now = time.monotonic()
        self._idle.append((now, connection))
        with contextlib.suppress(IndexError):
            while self._idle[0][0] < now - IDLE_S:
                self._idle.popleft()[1].close()


class Client:
    """A service's unary rpcs, called as rpc.Client's are; its streams are called at what
    ``streams()`` gives, which is asked for when there is one."""

    def __init__(
        self,
        connections: Connections,
        service: ServiceDescriptor,
        timeout_s: float = rpc.DEFAULT_TIMEOUT_S,
        streams: Callable[[], object] = lambda: None,
    ):
        self._connections, self._service, self._timeout_s = connections, service, timeout_s
        self._streams = streams

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = self._service.methods_by_name[name]
        if method.client_streaming or method.server_streaming:
            invoke: Callable[..., Any] = getattr(self._streams(), name)
        else:
            invoke = self._unary(full_name(method), GetMessageClass(method.output_type))
        setattr(self, name, invoke)  # found at once from now on
        return invoke

    def _unary(self, method: str, answers: type[Message]) -> Callable[..., Message]:
        def invoke(
            request: Message, caller: Caller = Caller(), timeout_s: float | None = None
        ) -> Message:
            within_s = timeout_s or self._timeout_s
            call = SocketCall(
                method=method,
                timeout_ms=int(within_s * 1000),
                request=request.SerializeToString(),
                **vars(caller),
            )
            try:
                answer = SocketAnswer.FromString(self._connections.call(call, within_s))
            except (OSError, BrokenFrame, DecodeError) as failure:
                raise errors.unreachable(f"{method}: {failure!r}") from failure
            if answer.HasField("error"):
                raise errors.from_detail(answer.error)
            return answers.FromString(answer.answer)

        return invoke
