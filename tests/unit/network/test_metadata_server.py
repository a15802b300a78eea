"""The metadata server on a loopback socket: limits, deadlines, and clients of all kinds."""

import random
import socket
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

import pytest

from hostagent.network.metadata_http import TTL_HEADER, Caller
from hostagent.network.metadata_server import Limits, MetadataServer, open_listener
from hostagent.network.metadata_tokens import Tokens
from protos.cloud.v1 import instances_pb2

VPC = "vpc-1"
TREE = {"meta-data": {"mac": "02:00:00:00:00:01"}, "user-data": b"x" * 3_000_000}
GET = b"GET /latest/meta-data/mac HTTP/1.1\r\n\r\n"
MAC = b"02:00:00:00:00:01"


class Served:
    """A server with one VPC, whose callers come from the loopback."""

    def __init__(self, **limits):
        tokens = Tokens(b"secret", lambda: 0, random.Random(1).randbytes)
        self.server = MetadataServer(tokens, Limits(**limits))
        self.caller = Caller("eni-1", TREE, instances_pb2.MetadataOptions())
        self.server.update(VPC, {"127.0.0.1": self.caller})
        self.address = self.listen()

    def listen(self) -> tuple[str, int]:
        listener = open_listener("127.0.0.1", 0)
        address = listener.getsockname()
        self.server.listen(VPC, listener)
        return address

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, timeout=5)


@pytest.fixture
def served():
    made = []

    def make(**limits) -> Served:
        made.append(Served(**limits))
        return made[-1]

    yield make
    for each in made:
        each.server.stop()


def gone(connection: socket.socket) -> bool:
    """Whether the server ended the connection without a word."""
    try:
        return connection.recv(100) == b""
    except ConnectionError:
        return True


def test_several_requests_on_one_connection(served):
    with served().connect() as connection:
        for _ in range(3):
            connection.sendall(GET)
            assert connection.recv(4096).endswith(MAC)
        connection.sendall(GET + GET)
        answers = b""
        while answers.count(MAC) < 2:
            answers += connection.recv(4096)


def test_a_guest_can_set_its_clock_by_an_answer(served):
    with served().connect() as connection:
        connection.sendall(GET)
        (date,) = [line for line in connection.recv(4096).split(b"\r\n") if line[:6] == b"Date: "]
    told = parsedate_to_datetime(date[6:].decode())
    assert abs(datetime.now(UTC) - told) < timedelta(minutes=1)


def test_a_silent_client_holds_up_nobody_and_is_ended(served):
    host = served(read_timeout_s=0.2)
    silent = host.connect()
    silent.sendall(b"GET /latest")
    with host.connect() as connection:
        connection.sendall(GET)
        assert connection.recv(4096).endswith(MAC)
    assert gone(silent)
    silent.close()


def test_a_client_that_does_not_read_is_ended(served):
    host = served(write_timeout_s=0.2)
    with host.connect() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(b"GET /latest/user-data HTTP/1.1\r\n\r\n" * 4)
        with host.connect() as connection:
            connection.sendall(GET)
            assert connection.recv(4096).endswith(MAC)
        received = 0
        with pytest.raises(ConnectionError):
            while chunk := deaf.recv(65536):
                received += len(chunk)
                if received > len(TREE["user-data"]) * 4:
                    break
            raise ConnectionError("closed")


def test_no_guest_gets_more_than_its_share(served):
    host = served(connections_per_caller=3)
    held = [host.connect() for _ in range(3)]
    for connection in held:
        connection.sendall(GET)
        assert connection.recv(4096).endswith(MAC)
    with host.connect() as one_more:
        assert gone(one_more)
    for connection in held:
        connection.close()


def test_heads_too_long_or_no_http_are_answered_and_ended(served):
    host = served(head_bytes=1000)
    for head, status in (
        (b"GET / HTTP/1.1\r\na: " + b"x" * 5000, b"431"),
        (b"hello\r\n\r\n", b"400"),
    ):
        with host.connect() as connection:
            connection.sendall(head)
            assert connection.recv(4096).split()[1] == status


def test_an_address_of_nobody(served):
    host = served()
    host.server.update(VPC, {})
    with host.connect() as connection:
        connection.sendall(GET)
        assert connection.recv(4096).split()[1] == b"404"


def test_a_token_ends_its_connection(served):
    """Its hop limit would hold for what follows."""
    request = f"PUT /latest/api/token HTTP/1.1\r\n{TTL_HEADER}: 60\r\n\r\n".encode()
    with served().connect() as connection:
        connection.sendall(request)
        answer = connection.makefile("rb").read()
        assert answer.split()[1] == b"200" and b"Connection: close" in answer


def test_closing_ends_connections_and_listening(served):
    host = served()
    with host.connect() as connection:
        connection.sendall(GET)
        assert connection.recv(4096).endswith(MAC)
        host.server.close(VPC)
        assert gone(connection)
    with pytest.raises(ConnectionRefusedError):
        host.connect()
    host.server.close(VPC)


def test_a_new_listener_takes_the_place_of_the_old(served):
    host = served()
    old = host.address
    host.address = host.listen()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(old, timeout=5)
    with host.connect() as connection:
        connection.sendall(GET)
        assert connection.recv(4096).endswith(MAC)
