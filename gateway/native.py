"""The native JSON API: every rpc with a google.api.http option, as that option says.

    POST /v1/instances            {"image_id": "ami-1", "min_count": 1, "max_count": 1}
    GET  /v1/instances?instance_ids=i-1&instance_ids=i-2&page.max_results=5
    GET  /v1/instances?filters.1.name=instance-state-name&filters.1.values=running

Nothing here knows an action: routes, parameters and documents are read from the protos'
descriptors, so a new rpc is in the API and in /v1/openapi.json as soon as it is in the protos.
Field names are the protos' own (snake_case; camelCase is read too), 64-bit integers and bytes as
proto3 JSON has them (text, base64).

Called by gateway/app, after the signature (service "pileus"). Raises CloudError; ``refuse`` renders
one.
"""

import hashlib
import hmac
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import IO, Any, TypeAlias
from urllib.parse import parse_qsl, unquote

from google.api import annotations_pb2
from google.protobuf import json_format
from google.protobuf.descriptor import (
    Descriptor,
    FieldDescriptor,
    MethodDescriptor,
    ServiceDescriptor,
)
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from gateway.aws.renderers import NOT_XML
from gateway.call import Call
from protos.errors import CloudError, Kind
from protos.services import SERVICES

UPLOAD_PIECE = 1024 * 1024
UPLOAD_TIMEOUT_S = 6 * 3600.0
MAX_DEPTH = 32  # of a JSON document; deeper than any message
INDEX = re.compile(r"[0-9]{1,6}")
STATUS = {
    Kind.INVALID: 400,
    Kind.MALFORMED_ID: 400,
    Kind.UNSUPPORTED: 501,
    Kind.UNAUTHENTICATED: 401,
    Kind.DENIED: 403,
    Kind.NOT_FOUND: 404,
    Kind.EXISTS: 409,
    Kind.WRONG_STATE: 409,
    Kind.QUOTA: 429,
    Kind.NO_CAPACITY: 503,
    Kind.UNAVAILABLE: 503,
    Kind.BUG: 500,
    Kind.DRY_RUN: 412,
}
Fields: TypeAlias = dict[str, Any]  # a message as proto3 JSON has it
STATUS_BY_REASON = {"method": 405, "too-large": 413, "incomplete-body": 408}


@dataclass(frozen=True)
class Route:
    """One rpc as the API has it. ``client`` is the attribute of Clients that answers it."""

    verb: str
    template: str  # "/v1/instances/{instance_id}/console"
    pattern: re.Pattern[str]
    client: str
    method: MethodDescriptor
    has_body: bool

    @property
    def streams(self) -> bool:
        return self.method.client_streaming


def routes() -> list[Route]:
    """Every rpc that has a path, those of the most fixed text first."""
    found = [
        route
        for service in SERVICES
        for method in service.methods
        if (route := _route(service, method))
    ]
    return sorted(found, key=lambda route: (route.template.count("{"), route.template))


def _route(service: ServiceDescriptor, method: MethodDescriptor) -> Route | None:
    option = method.GetOptions().Extensions[annotations_pb2.http]
    verb = option.WhichOneof("pattern")
    if verb is None:
        return None  # for services, not for people: signing keys, reports
    template = getattr(option, verb)
    fixed = re.split(r"\{(\w+)\}", template)
    pattern = "".join(
        f"(?P<{part}>[^/:]+)" if index % 2 else re.escape(part) for index, part in enumerate(fixed)
    )
    client = re.sub(r"(?<!^)(?=[A-Z])", "_", service.name).lower()
    return Route(verb.upper(), template, re.compile(pattern), client, method, option.body == "*")


class NativeApi:
    """Answers JSON requests out of the controller."""

    def __init__(self, all_routes: list[Route] | None = None):
        self.routes = routes() if all_routes is None else all_routes
        self._uploads = [route.pattern for route in self.routes if route.streams]

    def is_upload(self, verb: str, path: str) -> bool:
        """Whether a request's body is a file to pass on, not a message to read."""
        return verb == "POST" and any(pattern.fullmatch(path) for pattern in self._uploads)

    def answer(
        self, verb: str, path: str, query: str, body: bytes, call: Call
    ) -> tuple[int, bytes]:
        """(HTTP status, JSON) of a request that is no upload. ?dry_run=true rehearses it."""
        route, request, call = self._read(verb, path, query, body, call)
        answer = getattr(getattr(call.clients, route.client), route.method.name)(
            request, caller=call.caller
        )
        return 200, dump(answer)

    def upload(
        self, path: str, query: str, source: IO[bytes], size: int, digest: str | None, call: Call
    ) -> tuple[int, bytes]:
        """Streams a body to the controller piece by piece.

        The first message carries the query's fields and the size; the last piece is held back until
        the body has turned out to have the promised digest, so that the controller never sees a
        false one complete.
        """
        route, first, call = self._read("POST", path, query, b"", call)
        first.size_bytes = size
        sent = _Upload(first, source, digest)
        try:
            answer = getattr(getattr(call.clients, route.client), route.method.name)(
                iter(sent), caller=call.caller, timeout_s=UPLOAD_TIMEOUT_S
            )
        except CloudError:
            if sent.failure is not None:  # the call broke because of it, and cannot say so
                raise sent.failure from None
            raise
        return 200, dump(answer)

    def _read(
        self, verb: str, path: str, query: str, body: bytes, call: Call
    ) -> tuple[Route, Any, Call]:
        """The rpc that is meant, its request (of a type that only the route says), and the call."""
        route, variables = self._find(verb, path)
        described = route.method.input_type
        request = GetMessageClass(described)()
        pairs = parse_qsl(query, keep_blank_values=True)
        pairs = [(name, value) for name, value in pairs if not name.startswith("X-Amz-")]
        if _dry_run(pairs):
            call = replace(call, caller=replace(call.caller, dry_run=True))
        pairs = [pair for pair in pairs if pair[0] != "dry_run"]
        if route.has_body and not route.streams:
            if pairs:
                raise _invalid(f"The parameter {pairs[0][0]} belongs into the body.")
            fields = _json(body)
        else:
            fields = _tree(pairs, described)
        for name, value in variables.items():
            if fields.setdefault(name, value) != value:
                raise _invalid(f"{name} is one thing in the path and another in the request.")
        _check_characters(fields)
        try:
            json_format.ParseDict(fields, request)
        except json_format.ParseError as mistake:
            raise _invalid(str(mistake)) from None
        return route, request, call

    def _find(self, verb: str, path: str) -> tuple[Route, dict[str, str]]:
        others = set()
        for route in self.routes:
            if match := route.pattern.fullmatch(path):
                if route.verb == verb:
                    return route, {k: unquote(v) for k, v in match.groupdict().items()}
                others.add(route.verb)
        if others:
            raise CloudError(
                Kind.INVALID,
                f"{path} takes {', '.join(sorted(others))}, not {verb}.",
                noun="request",
                reason="method",
            )
        raise CloudError(Kind.NOT_FOUND, f"There is nothing at {path[:200]}.", id=path[:200])

    def refuse(self, error: CloudError, request_id: str) -> tuple[int, bytes]:
        """(HTTP status, JSON) that tells a client about an error."""
        status = STATUS_BY_REASON.get(error.reason, STATUS[error.kind])
        told = {
            "kind": error.kind.name,
            "message": error.message,
            "noun": error.noun,
            "id": error.id,
            "reason": error.reason,
            "request_id": request_id,
        }
        return status, json.dumps({"error": told}).encode()


def dump(message: Message) -> bytes:
    """A message as JSON, every field of it, under the protos' names."""
    return json_format.MessageToJson(
        message,
        preserving_proto_field_name=True,
        always_print_fields_with_no_presence=True,
        indent=None,
    ).encode()


def _invalid(message: str) -> CloudError:
    return CloudError(Kind.INVALID, message, noun="parameter", reason="parameter-value")


def _json(body: bytes) -> Fields:
    if not body:
        return {}
    try:
        fields = json.loads(body)
    except ValueError as mistake:
        raise _invalid(f"The body is not JSON: {mistake}") from None
    except RecursionError:
        raise _invalid("The body is nested too deeply.") from None
    if not isinstance(fields, dict):
        raise _invalid("The body must be a JSON object.")
    return fields


def _dry_run(pairs: Iterable[tuple[str, str]]) -> bool:
    """Only "true" rehearses and only "false" does not: a rehearsal must never happen for real."""
    given = [value for name, value in pairs if name == "dry_run"]
    if any(value not in ("true", "false") for value in given) or len(set(given)) > 1:
        raise _invalid("The parameter dry_run is true or false.")
    return "true" in given


def _check_characters(fields: object, depth: int = 0) -> None:
    """What one API takes the other must be able to show: no characters that XML cannot carry."""
    if depth > MAX_DEPTH:
        raise _invalid("The request is nested too deeply.")
    if isinstance(fields, str) and NOT_XML.search(fields):
        raise _invalid("The request contains a character that XML cannot carry.")
    if isinstance(fields, dict):
        fields = [*fields, *fields.values()]
    if isinstance(fields, list):
        for field in fields:
            _check_characters(field, depth + 1)


def _tree(pairs: Iterable[tuple[str, str]], message: Descriptor) -> Fields:
    """Query parameters to the dict that proto3 JSON would be.

    Dots go into messages, numbers into lists of them.
    """
    tree: Fields = {}
    for name, value in pairs:
        _put(tree, name.split(".", 8), value, message, name)
    return {name: _lists(value) for name, value in tree.items()}


def _put(node: Fields, path: list[str], value: str, message: Descriptor, name: str) -> None:
    field = message.fields_by_name.get(path[0])
    if field is None:
        raise _invalid(f"The parameter {name[:200]} is not known.")
    if field.message_type is None:
        if len(path) != 1:
            raise _invalid(f"The parameter {name[:200]} has no members.")
        read = _scalar(field, value, name)
        if field.is_repeated:
            node.setdefault(path[0], []).append(read)
        elif node.setdefault(path[0], read) != read:
            raise _invalid(f"The parameter {name[:200]} was given more than once.")
        return
    rest = path[1:]
    child = node.setdefault(path[0], {})
    if field.is_repeated:
        if not rest or not INDEX.fullmatch(rest[0]):
            raise _invalid(f"{path[0]} is a list: {path[0]}.1.name, {path[0]}.2.name ...")
        child, rest = child.setdefault(int(rest[0]), {}), rest[1:]
    if not rest:
        raise _invalid(f"The parameter {name[:200]} has members.")
    _put(child, rest, value, field.message_type, name)


def _scalar(field: FieldDescriptor, value: str, name: str) -> str | bool:
    if field.type != FieldDescriptor.TYPE_BOOL:
        return value  # proto3 JSON reads numbers from text too
    if value not in ("true", "false"):
        raise _invalid(f"The parameter {name[:200]} is true or false.")
    return value == "true"


def _lists(node: object) -> object:
    """Numbered dicts to lists, in the order of their numbers."""
    if not isinstance(node, dict):
        return node
    if node and all(isinstance(key, int) for key in node):
        return [_lists(node[key]) for key in sorted(node)]
    return {key: _lists(value) for key, value in node.items()}


class _Upload:
    """The messages of an upload. ``failure`` is why they ended early, where they did.

    gRPC reads them in a thread of its own and tells the caller only that the stream broke.
    """

    def __init__(self, first: Any, source: IO[bytes], digest: str | None):
        self._first, self._source, self._digest = first, source, digest
        self.failure: CloudError | None = None

    def __iter__(self) -> Iterator[Message]:
        try:
            yield from self._messages()
        except CloudError as failure:
            self.failure = failure
            raise
        except OSError as failure:
            self.failure = CloudError(
                Kind.INVALID,
                "The body did not arrive whole.",
                noun="request",
                reason="incomplete-body",
                because=failure,
            )
            raise self.failure from failure

    def _messages(self) -> Iterator[Message]:
        yield self._first
        make, seen, held = type(self._first), hashlib.sha256(), b""
        while piece := self._source.read(UPLOAD_PIECE):
            seen.update(piece)
            if held:
                yield make(chunk=held)
            held = piece
        if self._digest is not None and not hmac.compare_digest(seen.hexdigest(), self._digest):
            raise CloudError(
                Kind.UNAUTHENTICATED,
                "The body is not the one that was signed.",
                noun="signature",
                reason="payload",
            )
        if held:
            yield make(chunk=held)
