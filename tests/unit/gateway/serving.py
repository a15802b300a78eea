"""An HTTP server on a loopback port that echoes what it is sent, and clients of it."""

import contextlib
import http.client
import socket

from gateway.http import Limits, Server, listen
from tests.harness.waiting import wait_until

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


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def read_all(sock):
    with contextlib.suppress(ConnectionResetError):
        return b"".join(iter(lambda: sock.recv(65536), b""))
    return b""


def ask(port, method="GET", path="/", body=None, headers=None):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    return answer.status, answer.read()


def until_served(port):
    """Waits till the server has seen that others have gone."""

    def served():
        with contextlib.suppress(OSError, http.client.HTTPException):
            return ask(port)[0] == 200

    wait_until("a place for another connection", served)
