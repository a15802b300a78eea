"""How services call each other: gRPC with mutual TLS, deadlines, request ids, our errors.

    server = serve("127.0.0.1:7701", [(add_FleetServicer_to_server, servicer)], tls, guard)
    client = Client(connect(address, tls, "controller"), fleet_pb2_grpc.FleetStub)
    client.Report(report, caller=..., timeout_s=5)    raises CloudError, never grpc.RpcError
    client = LocalClient(servicer, peer="host:h-1")   the same calls with no network between

Identity: a service's certificate carries one DNS name under ``.pileus`` ("controller.pileus",
"gateway.pileus", "h-0123....hosts.pileus"); ``peer`` below is that name without the suffix
("controller", "gateway", "host:h-0123..."). On whose behalf a call is made (the account) is the
gateway's word, in metadata; only the gateway may say it.
"""

import functools
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent import futures
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias, TypeVar, cast

import grpc
from google.protobuf.message import Message

from protos import errors
from protos.errors import CloudError, Kind

if TYPE_CHECKING:
    _Handler: TypeAlias = grpc.RpcMethodHandler[Any, Any]

log = logging.getLogger(__name__)

MAX_MESSAGE_BYTES = 64 * 1024 * 1024
DEFAULT_TIMEOUT_S = 10.0

_Request = TypeVar("_Request")
_Answer = TypeVar("_Answer")

_OPTIONS: list[tuple[str, object]] = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.so_reuseport", 0),  # two processes on one port is a mistake, not load balancing
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
]


@dataclass(frozen=True)
class TlsFiles:
    """PEM files: the authority that both sides trust, this service's certificate and its key."""

    ca: Path
    certificate: Path
    key: Path

    def read(self) -> tuple[bytes, bytes, bytes]:
        return self.ca.read_bytes(), self.certificate.read_bytes(), self.key.read_bytes()


@dataclass(frozen=True)
class Caller:
    """On whose behalf a call is made: a principal of an account. Travels as metadata; empty where
    one acts for itself."""

    request_id: str = ""
    account_id: str = ""
    principal_arn: str = ""
    operator: bool = False
    dry_run: bool = False
    principal_id: str = ""

    def to_metadata(self) -> tuple[tuple[str, str], ...]:
        return tuple(
            (f"x-pileus-{field.name.replace('_', '-')}", str(value))
            for field in fields(self)
            if (value := getattr(self, field.name))
        )

    @classmethod
    def from_metadata(cls, metadata: Iterable[tuple[str, str | bytes]]) -> "Caller":
        sent = {key: str(value) for key, value in metadata if key.startswith("x-pileus-")}

        def get(name: str) -> str:
            return sent.get(f"x-pileus-{name}", "")

        return cls(
            request_id=get("request-id"),
            account_id=get("account-id"),
            principal_arn=get("principal-arn"),
            operator=get("operator") == "True",
            dry_run=get("dry-run") == "True",
            principal_id=get("principal-id"),
        )


def new_request_id() -> str:
    """A UUID's shape, as EC2's request ids have."""
    digits = os.urandom(16).hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


# A guard is called before each method with (full method name, request or its stream, peer, caller);
# it raises CloudError to refuse. The controller's guard enforces permissions; the agent's that only
# the controller calls.
Guard = Callable[[str, object, str, Caller], None]


def serve(
    address: str,
    services: Sequence[tuple[Callable[..., None], object]],
    tls: TlsFiles,
    guard: Guard,
    *,
    max_workers: int = 16,
    client_certificates: bool = True,
) -> grpc.Server:
    """Starts a server on ``host:port``. Raises OSError when the port is taken.

    client_certificates=False only for the controller's join port, where the token is the proof.
    """
    server = grpc.server(
        futures.ThreadPoolExecutor(max_workers=max_workers, thread_name_prefix="rpc"),
        interceptors=[_Interceptor(guard)],
        options=_OPTIONS,
    )
    for add_to_server, servicer in services:
        add_to_server(servicer, server)
    ca, certificate, key = tls.read()
    credentials = grpc.ssl_server_credentials(
        [(key, certificate)], root_certificates=ca, require_client_auth=client_certificates
    )
    try:
        bound = server.add_secure_port(address, credentials)
    except RuntimeError as failure:
        raise OSError(f"cannot listen on {address}: {failure}") from failure
    if not bound:
        raise OSError(f"cannot listen on {address}")
    server.start()
    return server


def connect(address: str, tls: TlsFiles, peer: str) -> grpc.Channel:
    """A channel to ``host:port`` that must prove to be ``peer`` ("controller", "host:h-...")."""
    ca, certificate, key = tls.read()
    credentials = grpc.ssl_channel_credentials(
        root_certificates=ca, private_key=key, certificate_chain=certificate
    )
    return grpc.secure_channel(
        address, credentials, options=[*_OPTIONS, ("grpc.ssl_target_name_override", dns_name(peer))]
    )


def dns_name(peer: str) -> str:
    """The name in a peer's certificate.

    "controller" -> "controller.pileus", "host:h-1" -> "h-1.hosts.pileus".
    """
    return (
        f"{peer.removeprefix('host:')}.hosts.pileus"
        if peer.startswith("host:")
        else f"{peer}.pileus"
    )


def peer_of_dns_name(name: str) -> str:
    if name.endswith(".hosts.pileus"):
        return "host:" + name.removesuffix(".hosts.pileus")
    return name.removesuffix(".pileus")


class Client:
    """A stub whose methods take (request, caller=, timeout_s=) and raise CloudError.

    Their types are in protos/cloud/v1/clients.pyi, a protocol for each service.
    """

    def __init__(
        self,
        channel: grpc.Channel,
        stub_type: Callable[[grpc.Channel], object],
        timeout_s: float = DEFAULT_TIMEOUT_S,
    ):
        self._channel, self._stub_type, self._timeout_s = channel, stub_type, timeout_s

    @functools.cached_property
    def _stub(self) -> object:
        """Made when first called: all of the gateway's would be 1.5 MB in each process."""
        return self._stub_type(self._channel)

    def __getattr__(self, method: str) -> Callable[..., Any]:
        call = getattr(self._stub, method)
        if isinstance(call, (grpc.UnaryStreamMultiCallable, grpc.StreamStreamMultiCallable)):

            def invoke(
                request: Any, caller: Caller = Caller(), timeout_s: float | None = None
            ) -> object:
                stream = call(
                    request, timeout=timeout_s or self._timeout_s, metadata=caller.to_metadata()
                )
                return _translated(stream)
        else:

            def invoke(
                request: Any, caller: Caller = Caller(), timeout_s: float | None = None
            ) -> object:
                try:
                    return call(
                        request, timeout=timeout_s or self._timeout_s, metadata=caller.to_metadata()
                    )
                except grpc.RpcError as failure:
                    raise errors.from_rpc_error(failure) from failure

        setattr(self, method, invoke)  # found at once from now on
        return invoke


def _translated(stream: Iterable[_Answer]) -> Iterator[_Answer]:
    try:
        yield from stream
    except grpc.RpcError as failure:
        raise errors.from_rpc_error(failure) from failure


@dataclass(frozen=True)
class CallContext:
    """What a servicer's method gets as its second argument, over the network and without one."""

    peer: str
    caller: Caller


class LocalClient:
    """Calls straight into a servicer: same guard, same errors, messages copied as if sent."""

    def __init__(
        self, servicer: object, peer: str, guard: Guard = lambda *call: None, service: str = ""
    ):
        self._servicer, self._peer, self._guard, self._service = servicer, peer, guard, service

    def __getattr__(self, method: str) -> Callable[..., Any]:
        handler = getattr(self._servicer, method)
        name = f"/{self._service}/{method}"

        def invoke(
            request: object, caller: Caller = Caller(), timeout_s: float | None = None
        ) -> object:
            sent = _copied(request)
            return _copied(answer(handler, sent, name, self._peer, caller, self._guard))

        return invoke


def _copied(sent: object) -> object:
    """A message as it arrives; a stream as it is."""
    return type(sent).FromString(sent.SerializeToString()) if isinstance(sent, Message) else sent


def answer(
    handler: Callable[[_Request, CallContext], _Answer],
    request: _Request,
    method: str,
    peer: str,
    caller: Caller,
    guard: Guard,
) -> _Answer:
    """Guard, handler, every failure as a CloudError; other exceptions are logged and become BUG."""
    try:
        guard(method, request, peer, caller)
        answered = handler(request, CallContext(peer, caller))
        if (
            caller.dry_run
        ):  # a write was rolled back on its way (controller/kernel/database); a read did no harm
            raise CloudError(Kind.DRY_RUN, "Request would have succeeded, but DryRun flag is set.")
        return answered
    except CloudError as refusal:
        level = errors.log_level(refusal)
        log.log(level, "%s refused (request %s): %r", method, caller.request_id, refusal)
        raise
    except Exception as failure:
        log.exception("%s failed (request %s)", method, caller.request_id)
        raise CloudError(Kind.BUG, "An internal error has occurred.", because=failure) from failure


# (is the request a stream, is the answer one) → what makes such a method
_METHOD_HANDLERS = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}


class _Interceptor(grpc.ServerInterceptor):
    """Asks the guard about every call into a service and sends errors as details on the wire."""

    def __init__(self, guard: Guard):
        self._guard = guard
        self._made: dict[str, _Handler] = {}  # as many as there are methods

    def intercept_service(
        self,
        continuation: "Callable[[grpc.HandlerCallDetails], _Handler | None]",
        handler_call_details: grpc.HandlerCallDetails,
    ) -> "_Handler | None":
        method = handler_call_details.method
        made = self._made.get(method)
        if made is None and (handler := continuation(handler_call_details)) is not None:
            made = self._made[method] = self._before(handler, method)
        return made

    def _before(self, handler: "_Handler", method: str) -> "_Handler":
        behaviour = cast(
            Callable[[object, CallContext], Any],
            handler.unary_unary
            or handler.unary_stream
            or handler.stream_unary
            or handler.stream_stream,
        )

        def respond(request: object, context: grpc.ServicerContext) -> object:
            try:
                caller = Caller.from_metadata(context.invocation_metadata())
                return answer(behaviour, request, method, _peer(context), caller, self._guard)
            except CloudError as refusal:
                _abort(context, refusal)

        def respond_stream(request: object, context: grpc.ServicerContext) -> Iterator[object]:
            try:
                caller = Caller.from_metadata(context.invocation_metadata())
                yield from answer(behaviour, request, method, _peer(context), caller, self._guard)
            except CloudError as refusal:
                _abort(context, refusal)
            except Exception as failure:
                log.exception("%s failed while streaming", method)
                _abort(
                    context,
                    CloudError(Kind.BUG, "An internal error has occurred.", because=failure),
                )

        return _METHOD_HANDLERS[handler.request_streaming, handler.response_streaming](
            respond_stream if handler.response_streaming else respond,
            request_deserializer=handler.request_deserializer,
            response_serializer=handler.response_serializer,
        )


def _peer(context: grpc.ServicerContext) -> str:
    # A list of names, where typeshed says that it were one.
    sent = cast(Mapping[str, Sequence[bytes]], context.auth_context())
    names = sent.get("x509_subject_alternative_name") or [b""]
    return peer_of_dns_name(names[0].decode())


def _abort(context: grpc.ServicerContext, error: CloudError) -> NoReturn:
    context.set_trailing_metadata(
        ((errors.DETAIL_KEY, errors.to_detail(error).SerializeToString()),)
    )
    context.abort(error.kind.status, error.kind.name)  # the words are in the detail, once
