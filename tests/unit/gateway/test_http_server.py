"""What the HTTP server reads as a request and hands on; what is no HTTP is refused in XML."""

import http.client
import io
import socket
import struct

import pytest

from tests.unit.gateway.serving import FEW, ask, connect, read_all, serving
from tests.unit.gateway.world import World


def data_segments_received(sock):
    """How many segments with data have come: Linux's tcpi_data_segs_in."""
    told = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 160)
    return struct.unpack_from("I", told, 152)[0]


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


def test_an_upload_is_pulled_through_whatever_its_size(port):
    assert ask(port, "POST", "/up", body=io.BytesIO(b"x" * 5_000_000))[1].endswith(b" 5000000")
    assert ask(port, "POST", "/up", body=iter([b"x" * 100_000] * 20))[1].endswith(b" 2000000")


def test_the_end_of_an_upload_is_not_the_head_of_the_next_request(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    for _ in range(5):
        connection.request("POST", "/up", b"x" * 3_000_000)  # in pieces larger than any head
        answer = connection.getresponse()
        assert (answer.status, answer.read()[-8:]) == (200, b" 3000000")


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
