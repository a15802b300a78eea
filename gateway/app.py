"""The gateway's application: a request, a list of handlers, an answer.

The order is the architecture: what is open to everyone, then what is meant for a service that is
not here, then the body and its hash *before* anything parses it, then the signature (whose scope
says which service is meant), then that service.
Each handler takes the exchange and answers, or leaves it to the next. A failure becomes an answer
in one place, in the dialect of the service that was meant; never HTML, never a trace.

Called by the HTTP server through Flask, whose routing and contexts are not gone through: there is
one route, and a context costs a sixth of a call. Holds no state between requests.
"""

import hashlib
import logging
import re
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import IO, cast
from urllib.parse import parse_qsl

import flask
from werkzeug.datastructures import EnvironHeaders

from gateway.aws import other_services
from gateway.aws.endpoint import SIGNING_PARAMETERS, Endpoint
from gateway.aws.model import API_VERSIONS
from gateway.call import Call, Clients
from gateway.config import is_loopback
from gateway.native import NativeApi
from gateway.signatures import (
    Authenticator,
    HostPolicy,
    Identified,
    SignedRequest,
    unauthenticated,
)
from gateway.signatures.request import first, without_default_port
from gateway.wsgi import Environ, StartResponse
from protos import errors, rpc
from protos.errors import CloudError, Kind

log = logging.getLogger(__name__)
access = logging.getLogger("gateway.access")

XML = "text/xml;charset=UTF-8"
JSON = "application/json"
# In a query that only EC2's clients make, whatever it is signed for: nobody else has this version.
_EC2S = re.compile(rf"(?:^|&)Version={API_VERSIONS['ec2']}(?:&|$)")
_ACTION = re.compile(r"[A-Za-z0-9]{1,80}")  # what is anything else does not get into the log


@dataclass(frozen=True)
class Parts:
    """What the application is made of; see gateway/server."""

    endpoints: dict[str, Endpoint]  # by service: ec2, iam, sts
    native: NativeApi
    openapi: bytes
    clients: Clients
    authenticator: Authenticator
    hosts: HostPolicy
    region: str
    healthy: Callable[[], bool]
    max_body_bytes: int
    max_upload_bytes: int = 1 << 40


class Request:
    """A WSGI environ, read; every part as it stood on the wire."""

    def __init__(self, environ: Environ):
        self.environ = environ
        self.method: str = environ["REQUEST_METHOD"]
        self.path: str = environ["REQUEST_URI"].partition("?")[0]
        self.query: str = environ["QUERY_STRING"]
        self.remote: str = environ.get("REMOTE_ADDR") or ""
        self.headers = cast(Mapping[str, str], EnvironHeaders(environ))

    @property
    def size(self) -> int:
        """Of the body, as the server knows it; -1 where that will only be seen."""
        return int(self.environ.get("CONTENT_LENGTH") or -1)

    @property
    def body(self) -> IO[bytes]:
        return cast(IO[bytes], self.environ["wsgi.input"])

    @property
    def media_type(self) -> str:
        return str(self.environ.get("CONTENT_TYPE", "")).partition(";")[0].strip().lower()


@dataclass
class Answer:
    status: int
    content: bytes
    headers: dict[str, str]


@dataclass
class Exchange:
    """One request on its way through the handlers."""

    parts: Parts
    request: Request
    request_id: str = field(default_factory=rpc.new_request_id)
    body: bytes | None = None  # None: streamed
    signed: SignedRequest | None = None
    identified: Identified | None = None
    did: str = "-"  # the action, for the access log

    @property
    def path(self) -> str:
        return self.request.path

    @property
    def query(self) -> str:
        return self.request.query

    @property
    def who(self) -> Identified:
        """For what comes after ``identify``."""
        assert self.identified is not None
        return self.identified

    @property
    def sent(self) -> SignedRequest:
        """For what comes after ``identify``."""
        assert self.signed is not None
        return self.signed

    def answer(self, status: int, content: bytes, kind: str) -> Answer:
        headers = {
            "Content-Type": kind,
            "Content-Length": str(len(content)),
            "x-amzn-RequestId": self.request_id,
            "Cache-Control": "no-store",
        }
        return Answer(status, content, headers)


def answer_openly(exchange: Exchange) -> Answer | None:
    """What needs no signature: are we well, and what is there to call."""
    if exchange.request.method != "GET":
        return None
    if exchange.path == "/healthz":
        well = exchange.parts.healthy()
        text = b'{"status":"ok"}' if well else b'{"status":"the controller does not answer"}'
        return exchange.answer(200 if well else 503, text, JSON)
    if exchange.path == "/v1/openapi.json":
        return exchange.answer(200, exchange.parts.openapi, JSON)
    return None


def refuse_other_services(exchange: Exchange) -> None:
    """Refuses services that are not here before the body is read: S3 objects have any size."""
    service, signed_for = meant_service(exchange), signed_service(exchange)
    if service and service not in (*exchange.parts.endpoints, "pileus"):
        exchange.did = service
        raise other_services.unknown(service)
    if service == "ec2" and signed_for not in ("", *exchange.parts.endpoints, "pileus"):
        raise unauthenticated("scope")


def read_body(exchange: Exchange) -> None:
    """The body as bytes, bounded, untouched by any form parser; an upload's stays on the wire."""
    request, parts = exchange.request, exchange.parts
    upload = parts.native.is_upload(request.method, exchange.path)
    limit = parts.max_upload_bytes if upload else parts.max_body_bytes
    if request.size > limit:
        raise CloudError(
            Kind.INVALID,
            f"The request is larger than {limit} bytes.",
            noun="request",
            reason="too-large",
        )
    if not upload:
        exchange.body = request.body.read()


def identify(exchange: Exchange) -> None:
    """Who asks, and which service: the signature says both."""
    exchange.signed = signed_request(exchange)
    exchange.identified = exchange.parts.authenticator.authenticate(
        exchange.signed, rpc.Caller(request_id=exchange.request_id)
    )


def call_native(exchange: Exchange) -> Answer | None:
    if exchange.who.service != "pileus":
        return None
    request, native, call = exchange.request, exchange.parts.native, the_call(exchange)
    exchange.did = exchange.path
    if exchange.body is None:
        promised = exchange.who.payload_hash
        status, content = native.upload(
            exchange.path, exchange.query, request.body, request.size, promised, call
        )
    else:
        status, content = native.answer(
            request.method, exchange.path, exchange.query, exchange.body, call
        )
    return exchange.answer(status, content, JSON)


def call_aws(exchange: Exchange) -> Answer:
    endpoint = exchange.parts.endpoints[exchange.who.service]
    pairs = parameters(exchange)
    asked = next((value for name, value in pairs if name == "Action"), "-")
    exchange.did = asked if _ACTION.fullmatch(asked) else "-"
    status, content = endpoint.answer(pairs, the_call(exchange))
    return exchange.answer(status, content, XML)


HANDLERS = (answer_openly, refuse_other_services, read_body, identify, call_native, call_aws)


def handle(parts: Parts, request: Request) -> Answer:
    """Runs the handlers; every failure is answered here."""
    exchange, started = Exchange(parts, request), time.monotonic()
    try:
        answer = next(answer for handler in HANDLERS if (answer := handler(exchange)))
    except CloudError as refusal:
        log.log(errors.log_level(refusal), "request %s refused: %r", exchange.request_id, refusal)
        answer = refuse(exchange, refusal)
    except Exception:
        log.exception("request %s failed", exchange.request_id)
        bug = CloudError(Kind.BUG, "An internal error has occurred.")
        answer = refuse(exchange, bug)
    who = exchange.identified.principal.account_id if exchange.identified else "-"
    access.info(
        "%s %s %s %d %.1f ms %s",
        who,
        request.method,
        exchange.did,
        answer.status,
        (time.monotonic() - started) * 1000,
        exchange.request_id,
    )
    return answer


def refuse(exchange: Exchange, error: CloudError) -> Answer:
    service = meant_service(exchange)
    if service == "pileus":
        status, content = exchange.parts.native.refuse(error, exchange.request_id)
        return exchange.answer(status, content, JSON)
    if endpoint := exchange.parts.endpoints.get(service):
        status, content = endpoint.refuse(error, exchange.request_id)
        return exchange.answer(status, content, XML)
    told = other_services.refuse(
        error, service, exchange.path, exchange.query, exchange.request.headers, exchange.request_id
    )
    answer = exchange.answer(told.status, told.content, told.kind)
    answer.headers.update(told.headers)
    return answer


def meant_service(exchange: Exchange) -> str:
    """In whose dialect to refuse, also where the signature says nothing to be believed.

    "" where nothing tells the service, but its client reads neither of ours.
    """
    if exchange.identified:
        return exchange.identified.service
    headers, query = exchange.request.headers, exchange.query
    if service := signed_service(exchange):
        ours = service in (*exchange.parts.endpoints, "pileus")
        return "ec2" if not ours and _EC2S.search(query) else service
    if exchange.path.startswith("/v1/"):
        return "pileus"
    dialect = other_services.dialect_of("", headers, query)
    return "" if dialect in (other_services.Dialect.CBOR, other_services.Dialect.JSON) else "ec2"


def signed_service(exchange: Exchange) -> str:
    """The service that the signature is made for, believed or not; "" where it names none."""
    authorization = exchange.request.headers.get("Authorization", "")
    return other_services.service_of(authorization, exchange.query)


def signed_request(exchange: Exchange) -> SignedRequest:
    request, hosts = exchange.request, exchange.parts.hosts
    headers = {name.lower(): value for name, value in request.headers.items()}
    remote = request.remote
    trusted = hosts.trusts(remote)
    secure = request.environ["wsgi.url_scheme"] == "https" or (
        trusted and first(headers.get("x-forwarded-proto", "")) == "https"
    )
    body = exchange.body
    return SignedRequest(
        method=request.method,
        path=exchange.path,
        query=exchange.query,
        headers=headers,
        hosts=hosts.plausible(headers, trusted),
        payload_hash=None if body is None else hashlib.sha256(body).hexdigest(),
        secure=secure,
        loopback=is_loopback(remote),
        form=tuple(form(exchange)),
    )


def form(exchange: Exchange) -> list[tuple[str, str]]:
    """The parameters of a form in the body; none where the body is no form."""
    kind = exchange.request.media_type
    if not exchange.body or kind not in ("", "application/x-www-form-urlencoded"):
        return []
    return _pairs(exchange.body)


def parameters(exchange: Exchange) -> list[tuple[str, str]]:
    """An action's parameters: from the query or from the form, never from both.

    Each place is covered by the signature in its own way; mixing them invites reading what was not
    signed as meant.
    """
    request = exchange.request
    if request.method not in ("GET", "POST"):
        raise CloudError(Kind.INVALID, "The action can be called by GET and POST.", reason="method")
    in_query = _pairs(exchange.query.encode("latin-1"))
    in_form = list(exchange.sent.form) if request.method == "POST" else []
    if not in_form:
        return in_query
    if any(name not in SIGNING_PARAMETERS for name, _ in in_query):
        raise CloudError(
            Kind.INVALID,
            "Parameters are in the query or in the body, not in both.",
            noun="parameter",
            reason="malformed-query",
        )
    return in_form


def _pairs(encoded: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(encoded.decode(), keep_blank_values=True, errors="strict")
    except ValueError:
        raise CloudError(
            Kind.INVALID,
            "The parameters are not percent-encoded UTF-8.",
            noun="parameter",
            reason="malformed-query",
        ) from None


def the_call(exchange: Exchange) -> Call:
    principal = exchange.who.principal
    caller = rpc.Caller(
        request_id=exchange.request_id,
        account_id=principal.account_id,
        principal_arn=principal.arn,
        operator=principal.operator,
        principal_id=principal.user_id,
    )
    signed, parts = exchange.sent, exchange.parts
    host = without_default_port(signed.hosts[0], signed.secure) if signed.hosts else ""
    return Call(parts.clients, caller, principal, parts.region, host, exchange.path)


class Application(flask.Flask):
    """What the HTTP server calls (WSGI, with REQUEST_URI and a body that ends)."""

    def __init__(self, parts: Parts):
        super().__init__("gateway", static_folder=None)
        self.parts = parts

    def wsgi_app(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Before any routing, whose redirects and errors would be HTML."""
        answer = handle(self.parts, Request(environ))
        status = HTTPStatus(answer.status)
        start_response(f"{status.value} {status.phrase}", list(answer.headers.items()))
        return [answer.content]
