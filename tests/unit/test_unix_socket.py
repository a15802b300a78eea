"""Calls over a Unix socket: as over gRPC, and whatever breaks says so."""

import os
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from protos import rpc, unix_socket
from protos.cloud.v1 import keys_pb2, keys_pb2_grpc
from protos.errors import CloudError, Kind
from protos.rpc import Caller
from protos.services import SERVICES
from tests.harness.installation import free_ports
from tests.harness.pki import Authority
from tests.harness.waiting import wait_until

SERVICE = next(service for service in SERVICES if service.name == "KeyPairs")
IMAGES = next(service for service in SERVICES if service.name == "Images")
ALICE = Caller(request_id="r-1", account_id="123456789012", principal_arn="arn:alice")


class KeyPairs:
    """Answers with what it was told; a name says what else happens."""

    def __init__(self):
        self.called, self.go_on = [], threading.Event()

    def Create(self, request, context):
        self.called.append((request.key_name, context))
        if request.key_name == "taken":
            raise CloudError(
                Kind.EXISTS, "It is there.", noun="key-pair", id="taken", reason="duplicate"
            )
        if request.key_name == "broken":
            raise ZeroDivisionError
        if request.key_name.startswith("slow"):
            assert self.go_on.wait(30)
        return keys_pb2.KeyPair(key_name=request.key_name)


def guard(method, request, peer, caller):
    if request.key_name == "forbidden":
        raise CloudError(Kind.DENIED, f"{peer} may not call {method} for {caller.account_id}")


@pytest.fixture
def key_pairs():
    return KeyPairs()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "c.sock"


@pytest.fixture
def server(path, key_pairs):
    server = serve(path, key_pairs)
    yield server
    key_pairs.go_on.set()
    server.stop(5.0)


def serve(path, key_pairs, **more):
    return unix_socket.serve(path, Servicers(key_pairs), guard, **more)


class Servicers(dict):
    """A KeyPairs whose other methods nobody calls here."""

    def __init__(self, key_pairs):
        for method in SERVICE.methods:
            if not hasattr(key_pairs, method.name):
                setattr(key_pairs, method.name, None)
        super().__init__(KeyPairs=key_pairs)


@pytest.fixture
def client(path, server):
    return unix_socket.Client(unix_socket.Connections(path), SERVICE, 10.0)


@pytest.fixture
def by_grpc(tmp_path, key_pairs):
    authority = Authority.make(tmp_path / "pki")
    address = f"127.0.0.1:{free_ports(1)[0]}"
    add = keys_pb2_grpc.add_KeyPairsServicer_to_server
    server = rpc.serve(address, [(add, key_pairs)], authority.issue("controller"), guard)
    channel = rpc.connect(address, authority.issue("gateway"), "controller")
    yield rpc.Client(channel, keys_pb2_grpc.KeyPairsStub)
    channel.close()
    server.stop(0)


def create(client, name, caller=ALICE, **more):
    return client.Create(keys_pb2.CreateKeyPairRequest(key_name=name), caller, **more)


def outcome(client, name, caller):
    try:
        return create(client, name, caller).key_name
    except CloudError as failure:
        return failure.kind, failure.message, failure.noun, failure.id, failure.reason


@pytest.mark.parametrize("name", ("fine", "", "taken", "broken", "forbidden", "long" * 500_000))
@pytest.mark.parametrize("dry_run", (False, True))
def test_a_call_ends_as_over_grpc(client, by_grpc, key_pairs, name, dry_run):
    caller = Caller("r-1", "123456789012", "arn:alice", operator=True, dry_run=dry_run)
    assert outcome(client, name, caller) == outcome(by_grpc, name, caller)
    assert all(context == rpc.CallContext("gateway", caller) for _, context in key_pairs.called)
    assert len(key_pairs.called) == (0 if name == "forbidden" else 2)


def test_streams_are_called_by_grpc(path, server):
    class ByGrpc:
        Upload = "grpc's"

    client = unix_socket.Client(unix_socket.Connections(path), IMAGES, 1.0, ByGrpc)
    assert client.Upload == "grpc's"


def test_a_method_that_is_not_there(path, server):
    client = unix_socket.Client(unix_socket.Connections(path), IMAGES, 1.0)
    with pytest.raises(CloudError) as refused:
        client.Describe(keys_pb2.CreateKeyPairRequest())
    assert refused.value.kind is Kind.UNSUPPORTED


def test_many_at_once_each_get_their_own_answer(client):
    with ThreadPoolExecutor(8) as pool:
        names = [f"n{number}" for number in range(500)]
        assert [got.key_name for got in pool.map(lambda n: create(client, n), names)] == names


def test_a_call_beyond_its_deadline_is_given_up(client, key_pairs):
    with pytest.raises(CloudError) as late:
        create(client, "slow", timeout_s=0.1)
    assert (late.value.kind, late.value.reason) == (Kind.UNAVAILABLE, "unreachable")
    key_pairs.go_on.set()
    assert create(client, "next").key_name == "next", "not the late answer to the other call"


def test_a_call_whose_turn_comes_too_late_does_nothing(path, key_pairs):
    server = serve(path, key_pairs, at_once=1)
    client = unix_socket.Client(unix_socket.Connections(path), SERVICE, 30.0)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(create, client, "slow")
        wait_until("it runs", lambda: key_pairs.called, 10)
        with pytest.raises(CloudError) as late:
            create(client, "too late", timeout_s=0.2)
        key_pairs.go_on.set()
        assert running.result(10).key_name == "slow"
    server.stop(5.0)
    assert late.value.kind is Kind.UNAVAILABLE
    assert [name for name, _ in key_pairs.called] == ["slow"]


def test_a_server_that_comes_again_is_found(path, key_pairs, server, client):
    assert create(client, "before").key_name == "before"
    server.stop(5.0)
    with pytest.raises(CloudError) as away:
        create(client, "meanwhile")
    assert (away.value.kind, away.value.reason) == (Kind.UNAVAILABLE, "unreachable")
    again = serve(path, key_pairs)
    assert create(client, "after").key_name == "after"
    again.stop(5.0)


def test_stopping_lets_a_call_that_runs_end(path, key_pairs, server, client):
    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(create, client, "slow")
        wait_until("it runs", lambda: key_pairs.called, 10)
        stopped = pool.submit(server.stop, 10.0)
        wait_until("nobody is let in", lambda: not can_connect(path), 10)
        key_pairs.go_on.set()
        assert running.result(10).key_name == "slow"
        stopped.result(10)


def can_connect(path):
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


def test_a_called_process_that_is_killed_amid_a_call(path):
    """The other end takes the call and dies, at once or amid its answer."""
    for said in (b"", b"\0\0", b"\0\0\0\5abc"):
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(str(path))
        listener.listen()

        def die(listener=listener, said=said):
            connection, _ = listener.accept()
            connection.recv(65536)
            connection.sendall(said)
            connection.close()

        with ThreadPoolExecutor(1) as pool:
            pool.submit(die)
            client = unix_socket.Client(unix_socket.Connections(path), SERVICE, 10.0)
            with pytest.raises(CloudError) as broken:
                create(client, "x")
            assert (broken.value.kind, broken.value.reason) == (Kind.UNAVAILABLE, "unreachable")
        listener.close()
        path.unlink()


@pytest.mark.parametrize(
    "sent",
    (
        b"\xff\xff\xff\xff",
        b"\0\0\0\3\xff\xff\xff",
        b"\0\0\0\1",
        b"GET / HTTP/1.1\r\n\r\n",
        b"\0\0\0\0\0\0\0\0",
    ),
    ids=("too long", "no protobuf", "broken off", "http", "two at a time"),
)
def test_what_is_no_call_ends_its_connection_only(path, client, sent):
    with socket.socket(socket.AF_UNIX) as stranger:
        stranger.settimeout(10)
        stranger.connect(str(path))
        stranger.sendall(sent)
        stranger.shutdown(socket.SHUT_WR)
        assert stranger.recv(100) == b""
    assert create(client, "fine").key_name == "fine"


def test_the_socket_is_its_owners(path, server):
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be somebody else")
def test_another_users_process_is_turned_away(path, client):
    os.chmod(path, 0o666)
    for folder in path.parents[: len(path.parts) - 3]:
        folder.chmod(0o755)
    asks = (
        "import os, socket, sys; os.setuid(65534); s = socket.socket(socket.AF_UNIX);"
        "s.connect(sys.argv[1]); print(s.recv(1))"
    )
    done = subprocess.run([sys.executable, "-c", asks, path], capture_output=True, text=True)
    assert done.stdout.strip() == "b''", done.stderr
    assert create(client, "fine").key_name == "fine"


def test_connections_are_bounded(path, key_pairs):
    server = serve(path, key_pairs, connections=3)
    held = [socket.socket(socket.AF_UNIX) for _ in range(4)]
    for one in held:
        one.settimeout(10)
        one.connect(str(path))
    assert held[3].recv(1) == b""
    for one in held:
        one.close()
    client = unix_socket.Client(unix_socket.Connections(path), SERVICE, 10.0)
    wait_until("they are forgotten", lambda: outcome(client, "fine", ALICE) == "fine", 10)
    server.stop(5.0)


def test_a_path_that_is_too_long():
    with pytest.raises(OSError, match="cannot listen on /tmp/"):
        serve(Path("/tmp/" + "x" * 200), KeyPairs())
