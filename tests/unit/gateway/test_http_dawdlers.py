"""Clients of the HTTP server that dawdle stall nobody, and all is bounded."""

import contextlib
import http.client
import socket
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.http import Limits, Server, listen
from tests.unit.gateway.serving import FEW, ask, connect, read_all, serving, until_served


def test_requests_sent_ahead_are_bounded(port):
    with connect(port) as sock:
        sock.sendall(b"GET /one HTTP/1.1\r\nHost: x\r\n\r\n" * 500)
        text = read_all(sock)
    assert 0 < text.count(b"HTTP/1.1 200") < 500
    assert text.count(b"HTTP/1.1 400") == 1


@pytest.mark.parametrize(
    ("begun", "told"),
    [
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n", b"HTTP/1.1 408"),
        (b"GET /", b""),
    ],
)
def test_bytes_now_and_then_put_nothing_off(port, begun, told):
    with connect(port) as sock:
        sock.sendall(begun)
        sock.settimeout(0.02)
        text = None
        while text is None:
            try:
                sock.sendall(b"x")
                text = sock.recv(1000)
            except TimeoutError:
                continue  # it still waits for more
            except ConnectionError:
                text = b""
    assert text.startswith(told)


def test_bodies_held_back_stall_nobody(port):
    """Many more dawdlers than threads; all the while others are served."""
    held = [connect(port) for _ in range(10)]
    for sock in held:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf of")
    for _ in range(5):
        assert ask(port)[0] == 200
    assert all(read_all(sock).startswith(b"HTTP/1.1 408") for sock in held)


def test_heads_held_back_stall_nobody(port):
    held = [connect(port) for _ in range(10)]
    for sock in held:
        sock.sendall(b"GET / HT")
    assert ask(port)[0] == 200
    assert all(read_all(sock) == b"" for sock in held)  # closed, after idle_s


def test_silent_connections_are_closed(port):
    with connect(port) as sock:
        assert read_all(sock) == b""


def test_answers_not_taken_stall_nobody():
    def large(environ, start_response):
        start_response("200 OK", [("Content-Length", str(50_000_000))])
        return [b"x" * 50_000_000]

    limits = Limits(threads=2)
    with serving(large, limits) as port:
        held = [connect(port) for _ in range(4)]
        for sock in held:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert len(ask(port)[1]) == 50_000_000
        for sock in held:
            sock.close()


@pytest.mark.parametrize("closing", [b"", b"Connection: close\r\n"])
def test_the_last_bytes_of_an_answer_not_taken_hold_no_connection(closing):
    """So few that uvicorn's flow control never knows of them."""

    def answer(environ, start_response):
        content = b"x" * (60_000 if environ["PATH_INFO"] == "/large" else 1)
        start_response("200 OK", [("Content-Length", str(len(content)))])
        return [content]

    server, sockets = Server(answer, replace(FEW, connections=1)), listen("127.0.0.1", 0)
    sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    port = sockets[0].getsockname()[1]
    server.start(sockets)
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        sock.connect(("127.0.0.1", port))
        sock.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n" + closing + b"\r\n")
        until_served(port)
    server.stop()


def test_a_head_has_a_hundred_lines_at_most(port):
    for lines, status in ((99, b"200"), (100, b"431")):  # and its Host
        with connect(port) as sock, contextlib.suppress(ConnectionError):
            sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n" + b"A: b\r\n" * lines)
            sock.sendall(b"\r\n")
            sock.shutdown(socket.SHUT_WR)
            assert read_all(sock).startswith(b"HTTP/1.1 " + status)


def test_trailers_are_bounded(port):
    with connect(port) as sock, contextlib.suppress(ConnectionError):
        sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
        sock.sendall((b"A: " + b"x" * 1000 + b"\r\n") * 1000)
        assert read_all(sock).startswith(b"HTTP/1.1 431")


def test_connections_are_bounded(port):
    held = [connect(port) for _ in range(FEW.connections)]
    answers = [sock for sock in held if sock]
    with connect(port) as one_more:
        assert read_all(one_more) == b""
    for sock in answers:
        sock.close()
    until_served(port)


def test_threads_are_bounded():
    inside, most = [], []
    lock, go_on = threading.Lock(), threading.Event()

    def wait(environ, start_response):
        with lock:
            inside.append(1)
            most.append(len(inside))
            if len(inside) == 2:
                go_on.set()
        go_on.wait(10)
        with lock:
            inside.pop()
        start_response("200 OK", [("Content-Length", "0")])
        return []

    with serving(wait) as port, ThreadPoolExecutor(8) as callers:
        assert {status for status, _ in callers.map(lambda _: ask(port), range(8))} == {200}
    assert max(most) == 2


def test_uploads_that_dawdle_stall_no_requests(port):
    with connect(port) as sock:
        sock.sendall(b"POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
        assert ask(port)[0] == 200
        assert read_all(sock).startswith(b"HTTP/1.1 500")  # echo has no word for a lost client


def test_an_upload_that_breaks_off_ends_its_thread(port):
    with connect(port) as sock:
        sock.sendall(b"POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
    assert ask(port, "POST", "/up", body=b"next")[1].endswith(b" 4")  # the only such thread


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder, key = tmp_path_factory.mktemp("tls"), ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    (folder / "crt").write_bytes(made.public_bytes(serialization.Encoding.PEM))
    (folder / "key").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return folder


def test_tls_and_handshakes_that_dawdle(certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "crt", certificate / "key")
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    with serving(tls=context) as port:
        held = [connect(port) for _ in range(5)]
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=trusting, timeout=10)
        connection.request("POST", "/", b"x" * 900)
        assert connection.getresponse().read() == b"POST / / " + b"x" * 900
        with connect(port) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert b"200" not in read_all(plain)
        for sock in held:
            sock.close()
