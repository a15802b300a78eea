"""The HTTP server.

Dawdlers stall nobody, everything is bounded, what is no HTTP is answered in XML.
"""

import contextlib
import http.client
import io
import socket
import ssl
import struct
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.http import Limits, Server, listen
from tests.harness.waiting import wait_until
from tests.unit.gateway.world import World

FEW = Limits(threads=2, streams=1, connections=20, body_bytes=1000, body_s=0.3, idle_s=1.0)


def echo(environ, start_response):
    """Answers with what it read.

    Its body is read only where a length says that it is not too large.
    """
    if int(environ.get("CONTENT_LENGTH") or 0) > FEW.body_bytes and environ["PATH_INFO"] != "/up":
        start_response("413 Too Large", [("Content-Length", "0")])
        return []
    body = environ["wsgi.input"].read()
    text = f"{environ['REQUEST_METHOD']} {environ['REQUEST_URI']} {environ['PATH_INFO']} ".encode()
    content = text + (str(len(body)).encode() if environ["PATH_INFO"] == "/up" else body)
    start_response("200 OK", [("Content-Length", str(len(content)))])
    return [content]


def listening(server):
    sockets = listen("127.0.0.1", 0)
    server.start(sockets)
    return sockets[0].getsockname()[1]


@contextlib.contextmanager
def serving(application=echo, limits=FEW, **more):
    server = Server(
        application,
        limits,
        streamed=lambda method, path: path == "/up",
        refuse=lambda status: ("text/xml", b"<Response/>"),
        **more,
    )
    try:
        yield listening(server)
    finally:
        server.stop()


@pytest.fixture
def port():
    with serving() as port:
        yield port


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def read_all(sock):
    with contextlib.suppress(ConnectionResetError):
        return b"".join(iter(lambda: sock.recv(65536), b""))
    return b""


def data_segments_received(sock):
    """How many segments with data have come: Linux's tcpi_data_segs_in."""
    told = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)
    return struct.unpack_from("I", told, 152)[0]


def ask(port, method="GET", path="/", body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_a_connection_is_kept_alive(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for number in range(3):
        connection.request("POST", f"/{number}", b"body")
        answer = connection.getresponse()
        assert answer.read() == f"POST /{number} /{number} body".encode()
        assert answer.headers["Date"]
        assert not answer.will_close


def test_an_answer_is_sent_in_one_piece(port):
    """A process killed between two writes leaves a head alone: an empty answer to botocore."""
    with connect(port) as sock:
        for number in (1, 2, 3):
            sock.sendall(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number)
            sock.recv(65536)
            assert data_segments_received(sock) == number


def test_requests_may_be_sent_ahead(port):
    with connect(port) as sock:
        one = b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n"
        sock.sendall(one % 1 + one % 2 + b"GET /3 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        text = read_all(sock)
    assert [text.index(b"GET /%d /%d" % (n, n)) for n in (1, 2, 3)] == sorted(
        text.index(b"GET /%d /%d" % (n, n)) for n in (1, 2, 3)
    )


def test_the_target_is_handed_on_as_it_was_sent(port):
    assert ask(port, path="/a%2Fb//c?x=%20y+z")[1] == b"GET /a%2Fb//c?x=%20y+z /a/b//c "


def test_a_target_as_sent_to_proxies(port):
    assert ask(port, path="http://elsewhere:80/a?b")[1] == b"GET /a?b /a "


def test_chunked_bodies(port):
    assert ask(port, "POST", body=iter([b"ab", b"cd"]))[1] == b"POST / / abcd"


def test_a_client_that_asks_first_is_told_to_go_on(port):
    with connect(port) as sock:
        sock.sendall(
            b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
        )
        assert sock.recv(100).startswith(b"HTTP/1.1 100")
        sock.sendall(b"ok")
        assert b"POST / / ok" in sock.recv(1000)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_too_large_is_told_apart_before_it_is_read(port, chunked):
    body = iter([b"x" * 600, b"x" * 600]) if chunked else b"x" * 50_000
    assert ask(port, "POST", body=body)[0] == 413


def test_a_client_that_has_said_all_is_still_answered(port):
    with connect(port) as sock:
        sock.sendall(b"GET /last HTTP/1.1\r\nHost: x\r\n\r\n")
        sock.shutdown(socket.SHUT_WR)
        assert b"GET /last" in read_all(sock)


def test_a_body_too_large_reaches_the_application_once():
    asked = []

    def count(environ, start_response):
        asked.append(environ["CONTENT_LENGTH"])
        start_response("413 Too Large", [("Content-Length", "0")])
        return []

    with serving(count) as port:
        ask(port, "POST", body=b"x" * 500_000)
        ask(port, "POST", body=iter([b"x" * 600] * 100))
    declared, counted = asked
    assert declared == "500000"
    assert int(counted) > FEW.body_bytes


def test_headers_with_underscores_are_dropped():
    def show(environ, start_response):
        start_response("200 OK", [("Content-Length", "1")])
        return [b"y" if "HTTP_X_FORWARDED_HOST" in environ else b"n"]

    with serving(show) as port:
        assert ask(port, headers={"X_Forwarded_Host": "evil"})[1] == b"n"
        assert ask(port, headers={"X-Forwarded-Host": "fine"})[1] == b"y"
        with connect(port) as sock:  # nor is a trailer a header
            sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
            sock.sendall(b"0\r\nX-Forwarded-Host: evil\r\n\r\n")
            sock.shutdown(socket.SHUT_WR)
            assert read_all(sock).endswith(b"\r\n\r\nn")


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nbad header\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 TLS to a plain port\r\n\r\n",
        b"GET /" + b"x" * 100_000,
        b"GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n folded\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
    ],
)
def test_what_is_no_http_is_refused_in_xml(port, sent):
    with connect(port) as sock:
        sock.sendall(sent)
        text = read_all(sock)
    assert text.startswith(b"HTTP/1.1 4")
    assert b"text/xml" in text
    assert b"<html" not in text.lower()


def test_what_is_no_http_spoils_no_answer_before_it(port):
    with connect(port) as sock:
        sock.sendall(b"GET /good HTTP/1.1\r\nHost: x\r\n\r\nnonsense\r\n\r\n")
        good, _, rest = read_all(sock).partition(b"HTTP/1.1 4")
    assert b"GET /good" in good
    assert b"text/xml" in rest


def test_requests_sent_ahead_are_bounded(port):
    with connect(port) as sock:
        sock.sendall(b"GET /one HTTP/1.1\r\nHost: x\r\n\r\n" * 500)
        text = read_all(sock)
    assert 0 < text.count(b"HTTP/1.1 200") < 500
    assert text.count(b"HTTP/1.1 400") == 1


def test_nothing_else_is_spoken(port):
    with connect(port) as sock:
        sock.sendall(b"GET /h2 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")
        text = read_all(sock)
    assert text.startswith(b"HTTP/1.1 200") and b"GET /h2" in text


def test_a_body_that_ends_early_is_refused(port):
    with connect(port) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf of")
        sock.shutdown(socket.SHUT_WR)
        assert read_all(sock).startswith(b"HTTP/1.1 400")


# -- dawdlers


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


def until_served(port):
    """Waits till the server has seen that others have gone."""

    def served():
        with contextlib.suppress(OSError, http.client.HTTPException):
            return ask(port)[0] == 200

    wait_until("a place for another connection", served)


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


# -- uploads


def test_an_upload_is_pulled_through_whatever_its_size(port):
    assert ask(port, "POST", "/up", body=io.BytesIO(b"x" * 5_000_000))[1].endswith(b" 5000000")
    assert ask(port, "POST", "/up", body=iter([b"x" * 100_000] * 20))[1].endswith(b" 2000000")


def test_the_end_of_an_upload_is_not_the_head_of_the_next_request(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for _ in range(5):
        connection.request("POST", "/up", b"x" * 3_000_000)  # in pieces larger than any head
        answer = connection.getresponse()
        assert (answer.status, answer.read()[-8:]) == (200, b" 3000000")


def test_uploads_that_dawdle_stall_no_requests(port):
    with connect(port) as sock:
        sock.sendall(b"POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
        assert ask(port)[0] == 200
        assert read_all(sock).startswith(b"HTTP/1.1 500")  # echo has no word for a lost client


def test_an_upload_that_breaks_off_ends_its_thread(port):
    with connect(port) as sock:
        sock.sendall(b"POST /up HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
    assert ask(port, "POST", "/up", body=b"next")[1].endswith(b" 4")  # the only such thread


# -- TLS


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


# -- starting and stopping


def test_a_port_that_is_taken():
    with serving() as port, pytest.raises(OSError):
        listen("127.0.0.1", port)


def test_an_event_loop_that_ends_unasked_is_told():
    closed, failed = socket.socket(), threading.Event()
    closed.close()
    server = Server(echo, FEW, failed=failed.set)
    server.start([closed])
    assert failed.wait(10)
    server.stop()


def test_a_client_that_has_gone_before_it_was_met_asks_nothing():
    asked = []

    def note(environ, start_response):
        asked.append(environ["PATH_INFO"])
        return echo(environ, start_response)

    server, sockets = Server(note, FEW), listen("127.0.0.1", 0)
    port = sockets[0].getsockname()[1]
    with connect(port) as sock:
        sock.sendall(b"GET /gone HTTP/1.1\r\nHost: x\r\n\r\n")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    server.start(sockets)
    assert ask(port)[0] == 200
    server.stop()
    assert asked == ["/"]


def test_stopping_lets_requests_in_flight_end():
    entered, go_on = threading.Event(), threading.Event()

    def slow(environ, start_response):
        entered.set()
        go_on.wait(10)
        start_response("200 OK", [("Content-Length", "4")])
        return [b"done"]

    server = Server(slow, FEW)
    port = listening(server)
    with ThreadPoolExecutor(2) as others:
        answer = others.submit(ask, port)
        assert entered.wait(10)
        stopped = others.submit(server.stop)
        go_on.set()
        assert answer.result(10) == (200, b"done")
        stopped.result(10)


def test_nothing_is_html_even_where_paths_are_strange():
    with World().listening() as url:
        port = int(url.rsplit(":", 1)[1])
        for path in ("//double//", "/a/../../b", "/%2e%2e/", "*", "/%ff%fe"):
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
            connection.putrequest("GET", path)
            connection.endheaders()
            answer = connection.getresponse()
            assert answer.status == 401
            assert answer.headers["Content-Type"] == "text/xml;charset=UTF-8"
