"""The HTTP server begins and ends: what was asked is answered, what went wrong is told."""

import socket
import struct
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from gateway.http import Server, listen
from tests.unit.gateway.serving import FEW, ask, connect, echo, listening, serving


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
