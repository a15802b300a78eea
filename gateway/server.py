"""One gateway, wired: configuration to clients, signatures, endpoints, application and HTTP server.

    gateway = Gateway(config);  port = gateway.start();  ...;  gateway.stop()
    serve(config)                                          config.workers of them, till SIGTERM

``build`` is the same without network below it: tests and the simulation give it their own clients.
Threads of a process: the HTTP server's, and one that polls the controller for revoked keys. Each
has signing keys, a channel and limits of its own; they share the sockets and what ``interfaces``
made before they were forked.
"""

import functools
import logging
import resource
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from gateway import app, ec2, http, iam, openapi, sts, workers
from gateway.aws import model
from gateway.aws.endpoint import Endpoint
from gateway.call import Clients
from gateway.config import Config, split_address
from gateway.controller import Controller
from gateway.native import NativeApi
from gateway.signatures import Authenticator, HostPolicy, SigningKeys
from protos import rpc
from protos.errors import CloudError, Kind
from protos.threads import end_process, vital
from protos.version import VERSION

log = logging.getLogger(__name__)

POLL_S = 2.0  # how often revoked keys are asked for; with keys.stale_after_s below the promised 5 s


@dataclass(frozen=True)
class Built:
    """The application, and what needs a thread beside it."""

    wsgi: app.Application
    parts: app.Parts
    keys: SigningKeys


@dataclass(frozen=True)
class Interfaces:
    """All that can be called here: the same for every gateway, and never changed."""

    endpoints: dict[str, Endpoint]
    native: NativeApi
    openapi: bytes


@functools.cache
def interfaces() -> Interfaces:
    """Compiles every action, so that a signature that does not fit its model stops the gateway."""
    native = NativeApi()
    services = {"ec2": ec2.ACTIONS, "iam": iam.ACTIONS, "sts": sts.ACTIONS}
    endpoints = {name: Endpoint(model.load(name), actions) for name, actions in services.items()}
    for endpoint in endpoints.values():
        endpoint.compile_all()
    return Interfaces(endpoints, native, openapi.document(native.routes, VERSION))


def build(
    config: Config,
    clients: Clients,
    *,
    now: Callable[[], float] = time.time,
    monotonic: Callable[[], float] = time.monotonic,
) -> Built:
    """Puts a gateway together; nothing is started and nobody called."""
    keys = SigningKeys(clients.identity, monotonic)
    made = interfaces()
    parts = app.Parts(
        endpoints=made.endpoints,
        native=made.native,
        openapi=made.openapi,
        clients=clients,
        authenticator=Authenticator(
            keys,
            clients.identity,
            now,
            regions={config.region, config.signing_region} - {""},
            sigv2=config.sigv2,
            max_skew_s=config.max_skew_s,
        ),
        hosts=HostPolicy(
            config.public_hosts, config.trusted_proxies, split_address(config.listen)[1]
        ),
        region=config.region,
        healthy=lambda: keys.fresh,
        max_body_bytes=config.max_body_bytes,
    )
    return Built(app.Application(parts), parts, keys)


class Gateway:
    """A gateway that listens. ``clients``: given where the controller is in the same process.
    ``failed()`` is called where one of its threads has ended unasked."""

    def __init__(
        self,
        config: Config,
        clients: Clients | None = None,
        failed: Callable[[], object] = lambda: None,
    ):
        self._config = config
        self._controller: Controller | None = None
        if clients is None:
            self._controller = Controller(
                config.controller, _own_tls(config), config.controller_socket, config.rpc_timeout_s
            )
            clients = self._controller.clients
        self.built = build(config, clients)
        self._server = http.Server(
            self.built.wsgi,
            http.Limits(
                threads=config.threads,
                connections=config.max_connections,
                body_bytes=config.max_body_bytes,
            ),
            tls=_clients_tls(config),
            streamed=self.built.parts.native.is_upload,
            refuse=lambda status: _refuse(self.built.parts, status),
            failed=failed,
        )
        self._stopping = threading.Event()
        self._poller = vital("key-changes", self._poll, failed)

    def start(self, sockets: list[socket.socket] | None = None) -> int:
        """Serves sockets that listen, by default its own; gives the port. Raises OSError when it
        is taken."""
        sockets = sockets or http.listen(*split_address(self._config.listen))
        port: int = sockets[0].getsockname()[1]
        self._server.start(sockets)
        self._poller.start()
        return port

    def stop(self) -> None:
        self._stopping.set()
        self._server.stop()
        self._poller.join(timeout=self._config.rpc_timeout_s)
        if self._controller is not None:
            self._controller.close()

    def _poll(self) -> None:
        away = False
        while not self._stopping.is_set():
            try:
                self.built.keys.poll()
                away = False
            except CloudError as failure:
                if not away:  # once, not every two seconds
                    log.warning("key changes cannot be had: %r", failure)
                away = True
            self._stopping.wait(POLL_S)


def serve(config: Config) -> None:
    """Serves in several processes until SIGTERM or SIGINT. Raises OSError where it cannot."""
    sockets = http.listen(*split_address(config.listen))
    interfaces()
    _raise_descriptors()
    _own_tls(config).read()  # what is wrong with the files is said here, not by each worker
    _clients_tls(config)
    scheme = "https" if config.tls_files else "http"
    log.info("listening on %s, %s, %d processes", config.listen, scheme, config.workers)

    def work(stopped: Callable[[], None]) -> None:
        gateway = Gateway(config, failed=end_process)
        gateway.start(sockets)
        stopped()
        gateway.stop()

    workers.run(config.workers, work)


def _raise_descriptors() -> None:
    """As many as we may have: the usual 1024 are not enough for ``max_connections``, handshakes
    that are not counted among them yet, and a channel that must connect anew."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def _own_tls(config: Config) -> rpc.TlsFiles:
    return rpc.TlsFiles(config.ca, config.certificate, config.key)


def _clients_tls(config: Config) -> ssl.SSLContext | None:
    if config.tls_files is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(*config.tls_files)
    return context


_NO_HTTP = {
    408: (Kind.INVALID, "The request did not arrive in time.", "incomplete-body"),
    500: (Kind.BUG, "An internal error has occurred.", ""),
}


def _refuse(parts: app.Parts, status: int) -> tuple[str, bytes]:
    """What is not even HTTP gets EC2's form of an error too."""
    malformed = (Kind.INVALID, "The request is not valid HTTP.", "malformed-query")
    kind, message, reason = _NO_HTTP.get(status, malformed)
    error = CloudError(kind, message, noun="request", reason=reason)
    return app.XML, parts.endpoints["ec2"].refuse(error, rpc.new_request_id())[1]
