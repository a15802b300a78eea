"""The metadata service's answer to one request. Pure but for the tokens' clock.

Rules of EC2 (user guide, "Use the instance metadata service"): a token by PUT with a time to live
of 1 to 21600 seconds and no X-Forwarded-For; ``http_tokens = required`` refuses requests without
one (401); ``http_endpoint = disabled`` refuses all (403); the answer to PUT travels at most
``http_put_response_hop_limit`` hops.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import unquote, urlsplit

import httptools

from hostagent.network.metadata_tokens import LONGEST_TTL_S, Tokens
from hostagent.network.metadata_tree import VERSIONS, Tree, find
from protos.cloud.v1 import instances_pb2

TTL_HEADER = "X-aws-ec2-metadata-token-ttl-seconds"
TOKEN_HEADER = "X-aws-ec2-metadata-token"
DEFAULT_HOP_LIMIT = 1
HEADERS_MAX = 100
_PAGE = """<?xml version="1.0" encoding="iso-8859-1"?>
<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Transitional//EN"
	"http://www.w3.org/TR/xhtml1/DTD/xhtml1-transitional.dtd">
<html xmlns="http://www.w3.org/1999/xhtml" xml:lang="en" lang="en">
 <head>
  <title>{title}</title>
 </head>
 <body>
  <h1>{title}</h1>
 </body>
</html>
"""


@dataclass(frozen=True)
class Caller:
    """Who asks, known by an address: any interface of an instance. Tokens are the instance's."""

    instance_id: str
    tree: Tree
    options: instances_pb2.MetadataOptions


@dataclass(frozen=True)
class Request:
    method: str
    names: Sequence[str]  # of its path, decoded: EC2 does not count slashes
    headers: Mapping[str, str]  # names in lower case; of several the first
    keep_alive: bool


@dataclass(frozen=True)
class Response:
    status: HTTPStatus
    body: bytes = b""
    content_type: str = "text/plain"
    headers: Mapping[str, str] = field(default_factory=dict)
    hop_limit: int | None = None  # IP time to live of the packets that carry it


class _Head:
    """What httptools finds in a request's head: it calls these."""

    def __init__(self) -> None:
        self.parser = httptools.HttpRequestParser(self)
        self.target, self.complete, self.keep_alive = b"", False, False
        self.headers: list[tuple[bytes, bytes]] = []

    def on_url(self, part: bytes) -> None:
        self.target += part

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        self.complete, self.keep_alive = True, self.parser.should_keep_alive()


def parse(head: bytes) -> Request:
    """A request's head, up to and with the empty line. Raises ValueError for what is no HTTP/1."""
    found = _Head()
    try:
        found.parser.feed_data(head)
    except httptools.HttpParserUpgrade:
        pass  # to HTTP/2, as curl and Java offer: whoever offers it takes an answer in HTTP/1
    except httptools.HttpParserError as mistake:
        raise ValueError(str(mistake)) from mistake
    if not found.complete or found.parser.get_http_version() not in ("1.0", "1.1"):
        raise ValueError("no HTTP/1 request")
    if len(found.headers) > HEADERS_MAX:
        raise ValueError(f"more than {HEADERS_MAX} headers")
    headers: dict[str, str] = {}
    for name, value in found.headers:
        headers.setdefault(name.decode("iso-8859-1").lower(), value.decode("iso-8859-1"))
    has_body = headers.get("content-length", "0") != "0" or "transfer-encoding" in headers
    names = _names(found.target.decode("iso-8859-1"))
    method = found.parser.get_method().decode("ascii")
    return Request(method, names, headers, found.keep_alive and not has_body)


def _names(target: str) -> list[str]:
    """Of a request's target: a path, which may begin with several slashes (urlsplit would take
    "//latest" for a host), or a whole URL.
    """
    path = re.split("[?#]", target, maxsplit=1)[0]
    if not target.startswith("/"):
        path = urlsplit(target).path
    return [name for name in unquote(path, errors="replace").split("/") if name]


def answer(request: Request, caller: Caller | None, tokens: Tokens) -> Response:
    """What ``caller`` gets; None is an address that belongs to no instance."""
    if caller is None:
        return refusal(HTTPStatus.NOT_FOUND)
    if caller.options.http_endpoint == "disabled":
        return refusal(HTTPStatus.FORBIDDEN)
    version, rest = "".join(request.names[:1]), request.names[1:]
    wants_token = rest == ["api", "token"] and version in VERSIONS
    if request.method == "PUT" and wants_token:
        return _token(request, caller, tokens)
    if request.method not in ("GET", "HEAD") or wants_token:
        return refusal(HTTPStatus.METHOD_NOT_ALLOWED)
    return _read(request, caller, tokens, version, rest)


def encode(response: Response, *, date: str, head_only: bool, keep_alive: bool) -> bytes:
    """The response as it goes on the wire. ``date``: now, as HTTP writes it; some guests set their
    clocks by it.
    """
    lines = [
        f"HTTP/1.1 {response.status.value} {response.status.phrase}",
        f"Content-Type: {response.content_type}",
        f"Content-Length: {len(response.body)}",
        "Accept-Ranges: none",
        f"Date: {date}",
        f"Connection: {'keep-alive' if keep_alive else 'close'}",
        "Server: EC2ws",
        *(f"{name}: {value}" for name, value in response.headers.items()),
    ]
    head = ("\r\n".join(lines) + "\r\n\r\n").encode("iso-8859-1")
    return head if head_only else head + response.body


def _token(request: Request, caller: Caller, tokens: Tokens) -> Response:
    if request.headers.get("x-forwarded-for") is not None:
        return refusal(HTTPStatus.FORBIDDEN)  # a proxy that guests' guests could ask
    ttl = request.headers.get(TTL_HEADER.lower(), "").strip()
    if not (ttl.isascii() and ttl.isdigit() and len(ttl) < 6 and 1 <= int(ttl) <= LONGEST_TTL_S):
        return refusal(HTTPStatus.BAD_REQUEST)
    return Response(
        HTTPStatus.OK,
        tokens.issue(caller.instance_id, int(ttl)).encode(),
        headers={TTL_HEADER: ttl},
        hop_limit=caller.options.http_put_response_hop_limit or DEFAULT_HOP_LIMIT,
    )


def _read(
    request: Request, caller: Caller, tokens: Tokens, version: str, rest: Sequence[str]
) -> Response:
    headers = {}
    token = request.headers.get(TOKEN_HEADER.lower())
    if token is not None:
        left = tokens.seconds_left(token.strip(), caller.instance_id)
        if left is None:
            return refusal(HTTPStatus.UNAUTHORIZED)
        headers[TTL_HEADER] = str(left)
    elif caller.options.http_tokens == "required":
        return refusal(HTTPStatus.UNAUTHORIZED)
    if not version:
        return Response(HTTPStatus.OK, "\n".join(VERSIONS).encode(), headers=headers)
    found = find(caller.tree, rest) if version in VERSIONS else None
    if found is None:
        return refusal(HTTPStatus.NOT_FOUND)
    kind = "application/octet-stream" if rest == ["user-data"] else "text/plain"
    return Response(HTTPStatus.OK, found, kind, headers)


def refusal(status: HTTPStatus) -> Response:
    """A page of EC2's form that says nothing but the status."""
    title = f"{status.value} - {status.phrase}"
    return Response(status, _PAGE.format(title=title).encode(), "text/html")
