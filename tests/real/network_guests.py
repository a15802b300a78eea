"""Guests of the network laboratory: a namespace whose eth0 is a tap, and the wire from there to the
tap that the driver made. Who reaches whom is asked from inside a namespace.
"""

import fcntl
import os
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from hostagent.kernel import shell
from hostagent.network import namespaces
from protos.cloud.v1 import fleet_pb2

TUNSETIFF, IFF_TAP, IFF_NO_PI = 0x400454CA, 0x0002, 0x1000
ANSWER_S, PATIENT_S = 5.0, 15.0


def eventually(check: Callable[[], object], within_s: float = PATIENT_S):
    """The first true answer of ``check``; its last one when time is up."""
    deadline = time.monotonic() + within_s
    while True:
        answer = check()
        if answer or time.monotonic() > deadline:
            return answer
        select.select([], [], [], 0.05)


def open_tap(name: str) -> int:
    handle = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(handle, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TAP | IFF_NO_PI))
    return handle


class Wire:
    """Carries frames between the taps of all guests and the insides of the guests."""

    def __init__(self):
        self._ends: dict[int, tuple[int, deque | None]] = {}
        self._poll = select.epoll()
        self._stop, self._stopped = os.pipe()
        self._poll.register(self._stop, select.EPOLLIN)
        self._thread = threading.Thread(target=self._carry, daemon=True)
        self._thread.start()

    def join(self, one: int, other: int, seen: deque) -> None:
        """What comes out of ``one`` goes into ``other`` and is noted in ``seen``, and back."""
        self._ends[one], self._ends[other] = (other, seen), (one, None)
        for end in (one, other):
            self._poll.register(end, select.EPOLLIN)

    def cut(self, *ends: int) -> None:
        for end in ends:
            self._poll.unregister(end)
            self._ends.pop(end)

    def close(self) -> None:
        os.close(self._stopped)
        self._thread.join()
        os.close(self._stop)
        self._poll.close()

    def _carry(self) -> None:
        while True:
            for end, _ in self._poll.poll():
                if end == self._stop:
                    return
                target, seen = self._ends.get(end, (None, None))
                try:
                    frame = os.read(end, 65536)
                    if target is not None:
                        if seen is not None:
                            seen.append(frame)
                        os.write(target, frame)
                except OSError:  # an end that goes away, or is down, loses frames as a wire does
                    continue


@dataclass
class Guest:
    """A guest that runs: its NIC, its namespace, the ends of its wire."""

    nic: fleet_pb2.NicSpec
    instance: fleet_pb2.InstanceSpec
    namespace: str
    tap: int
    eth0: int
    seen: deque = field(default_factory=lambda: deque(maxlen=2000))
    services: list = field(default_factory=list)
    further: dict[str, tuple[int, int]] = field(default_factory=dict)  # interface id -> ends

    @property
    def address(self) -> str:
        return self.nic.private_ip_address

    @property
    def public(self) -> str:
        return self.nic.public_ip_address

    def run(self, *argv: str, accept=(0,)) -> shell.Result:
        return shell.run(argv, netns=self.namespace, accept=accept, timeout_s=30)

    def inject(self, frame: bytes) -> None:
        """As if the guest had sent it, whatever its own kernel thinks."""
        os.write(self.tap, frame)

    def serve(self, port: int) -> None:
        """Tells every caller the address that it is seen under, and echoes what it sends then."""
        self.services.append(Service(self.namespace, port))

    def reach(self, address: str, port: int, timeout_s: float = ANSWER_S) -> str | None:
        return reach(self.namespace, address, port, timeout_s)

    def pings(self, address: str) -> bool:
        return pings(self.namespace, address)

    def http(self, path: str, method: str = "GET", **headers: str) -> tuple[int, str]:
        return http(self.namespace, "169.254.169.254", path, method, headers)


class Service:
    """A TCP server inside a namespace."""

    def __init__(self, namespace: str | None, port: int):
        self._listener = within(namespace, lambda: socket.create_server(("", port), backlog=50))
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, (address, _) = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection, address), daemon=True).start()

    def _serve(self, connection: socket.socket, address: str) -> None:
        with connection:
            connection.sendall(address.encode() + b"\n")
            try:
                while data := connection.recv(4096):
                    connection.sendall(data)
            except OSError:
                return


def within(namespace: str | None, work: Callable):
    return namespaces.inside(namespace, work) if namespace else work()


def connect(
    namespace: str | None, address: str, port: int, timeout_s: float = ANSWER_S
) -> socket.socket:
    return within(namespace, lambda: socket.create_connection((address, port), timeout=timeout_s))


def reach(
    namespace: str | None, address: str, port: int, timeout_s: float = ANSWER_S
) -> str | None:
    """The address that the service there sees the caller under, None where it cannot be reached."""
    try:
        with connect(namespace, address, port, timeout_s) as connection:
            return connection.makefile().readline().strip()
    except OSError:
        return None


def pings(namespace: str | None, address: str) -> bool:
    argv = ["ping", "-c", "1", "-W", "2", address]
    return shell.run(argv, netns=namespace, accept=(0, 1, 2)).returncode == 0


def http(
    namespace: str | None, address: str, path: str, method: str, headers: dict[str, str]
) -> tuple[int, str]:
    with connect(namespace, address, 80, timeout_s=5) as connection:
        lines = [f"{method} {path} HTTP/1.0", *(f"{k}: {v}" for k, v in headers.items())]
        connection.sendall(("\r\n".join(lines) + "\r\n\r\n").encode())
        answer = connection.makefile("rb").read().decode()
    head, _, body = answer.partition("\r\n\r\n")
    return int(head.split()[1]), body
