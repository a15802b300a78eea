"""The controller as a process: sockets and threads around what ``app.build`` wires. Thin: no rule
lives here.

    main port     every service but Enrolment; mutual TLS; gateways and hosts
    socket        the main port's unary rpcs for a gateway of this machine (protos/unix_socket)
    join port     Enrolment only; TLS proves the server, the token proves the caller
    threads       rpc workers, senders to hosts, one for reconcile tasks, one that fetches images

Killed at any moment it loses nothing: all state is in the database.
"""

import logging
import random
import signal
import threading
import time
from collections.abc import Callable

import grpc

from controller import app as wiring
from controller.config import Config
from controller.hosts.authority import Authority
from controller.hosts.delivery import Agents
from controller.identity.sealing import read_master_key
from controller.kernel.call import system_call
from controller.kernel.database import Database
from controller.kernel.sqlite import open_sqlite
from controller.storage.blocks.store import FolderBlocks
from controller.storage.images.store import FileStore
from controller.tables.migrations import migrate
from protos import rpc, unix_socket
from protos.cloud.v1 import fleet_pb2_grpc
from protos.services import SERVICES, add_to_server
from protos.threads import vital

log = logging.getLogger(__name__)

ADDERS = {service.name: add_to_server(service) for service in SERVICES}
STOP_GRACE_S = 5.0
SENDER_WAIT_S = 2.0
FETCHER_WAIT_S = 1.0


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def monotonic_ms() -> int:
    return time.monotonic_ns() // 1_000_000


def open_database(config: Config) -> Database:
    """The database, migrated. Raises migrations.NewerDatabase."""
    config.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    db = open_sqlite(config.database, statement_limit_s=config.statement_limit_s)
    migrate(db, now_ms())
    return db


def build_app(config: Config, db: Database, agents: Agents | None = None) -> wiring.App:
    """What the configuration says, wired and prepared."""
    rng = random.SystemRandom()
    made = wiring.build(
        config,
        db,
        clock=now_ms,
        monotonic=monotonic_ms,
        rng=rng,
        agents=agents or AgentClients(config),
        master_key=read_master_key(config.master_key_file, rng),
        store=FileStore(config.image_dir),
        blocks=FolderBlocks(config.snapshot_dir, time.time),
        authority=read_authority(config, rng),
    )
    made.prepare(system_call(now_ms()))
    return made


def read_authority(config: Config, rng: random.Random) -> Authority | None:
    """The certificate authority, where its key is here."""
    if config.tls.ca_key is None:
        return None
    return Authority(
        config.tls.ca.read_bytes(),
        config.tls.ca_key.read_bytes(),
        config.hosts.certificate_days,
        rng,
    )


class AgentClients:
    """(host_id, endpoint) → a client of that host's agent. One channel a host, kept while its
    endpoint stays."""

    def __init__(self, config: Config):
        self._tls = _tls(config)
        self._timeout_s = config.hosts.apply_timeout_s
        self._lock = threading.Lock()
        self._clients: dict[str, tuple[str, grpc.Channel, rpc.Client]] = {}

    def __call__(self, host_id: str, endpoint: str) -> rpc.Client:
        with self._lock:
            known = self._clients.get(host_id)
            if known is not None and known[0] == endpoint:
                return known[2]
            if known is not None:
                known[1].close()
            channel = rpc.connect(endpoint, self._tls, f"host:{host_id}")
            client = rpc.Client(channel, fleet_pb2_grpc.HostAgentStub, self._timeout_s)
            self._clients[host_id] = (endpoint, channel, client)
            return client


class Server:
    """start() listens and works; stop() ends it within seconds. Raises OSError where a port is
    taken."""

    def __init__(self, config: Config, app: wiring.App):
        self._config, self._app = config, app
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._servers: list[grpc.Server] = []
        self._socket: unix_socket.Server | None = None

    def start(self) -> None:
        app, tls = self._app, _tls(self._config)
        services = [
            (ADDERS[name], servicer)
            for name, servicer in app.servicers.items()
            if name != "Enrolment"
        ]
        self._servers.append(
            rpc.serve(
                self._config.listen, services, tls, app.guard, max_workers=self._config.rpc_threads
            )
        )
        if self._config.socket is not None:
            servicers = {name: app.servicers[name] for name in app.servicers.keys() - {"Enrolment"}}
            self._socket = unix_socket.serve(
                self._config.socket, servicers, app.guard, at_once=self._config.rpc_threads
            )
        if self._config.tls.ca_key is not None:
            self._servers.append(
                rpc.serve(
                    self._config.join_listen,
                    [(ADDERS["Enrolment"], app.servicers["Enrolment"])],
                    tls,
                    app.guard,
                    max_workers=2,
                    client_certificates=False,
                )
            )
        for number in range(self._config.hosts.dispatch_threads):
            self._run(f"send-{number}", lambda: app.delivery.run_one(SENDER_WAIT_S))
        self._run("tasks", self._run_tasks)
        self._run("fetch-image", self._fetch_images)
        log.info("listening on %s", self._config.listen)

    def stop(self) -> None:
        self._stopping.set()
        for ended in [server.stop(STOP_GRACE_S) for server in self._servers]:
            ended.wait(STOP_GRACE_S)
        if self._socket is not None:
            self._socket.stop(STOP_GRACE_S)
        for thread in self._threads:
            thread.join(STOP_GRACE_S)

    def _run(self, name: str, step: Callable[[], object]) -> None:
        """A thread that does one step after the other; a step that fails is logged and followed by
        the next."""

        def loop() -> None:
            while not self._stopping.is_set():
                try:
                    step()
                except Exception:
                    log.exception("%s failed", name)
                    self._stopping.wait(1.0)

        thread = vital(name, loop)
        thread.start()
        self._threads.append(thread)

    def _run_tasks(self) -> None:
        self._app.run_tasks()
        self._stopping.wait(self._config.task_interval_ms / 1000)

    def _fetch_images(self) -> None:
        if not self._app.fetch_image():
            self._stopping.wait(FETCHER_WAIT_S)


def run(config: Config) -> None:
    """Serves until SIGTERM or SIGINT."""
    server = Server(config, build_app(config, open_database(config)))
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    server.start()
    ended.wait()
    log.info("stopping")
    server.stop()


def _tls(config: Config) -> rpc.TlsFiles:
    return rpc.TlsFiles(config.tls.ca, config.tls.certificate, config.tls.key)
