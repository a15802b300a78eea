"""The simulated controller: its database's file, which outlives it, and its process.

The process is what ``controller.app.build`` makes. Here is also what ``controller/server.py`` does
with threads, done by the event queue: reconcile tasks every second, and sending to hosts right
after a commit.
"""

import random
from collections.abc import Callable

from controller.config import Config
from controller.kernel.call import system_call
from controller.kernel.database import Database
from controller.kernel.sqlite import open_sqlite
from controller.storage.snapshots.collect import BlockCollector
from controller.tables.migrations import migrate
from protos.rpc import LocalClient
from tests.harness.event_queue import EventQueue
from tests.harness.power import PowerCut, Supply
from tests.harness.template import blocks_of, build_app

DISPATCH_MS = 2  # commits this close together are one sending


class SimController:
    """See the module's head. ``agents(host_id, endpoint)`` are clients through the simulated
    network; ``on_death(controller, why)`` decides when it comes back; ``on_statement(sql)`` hears
    what it has the database do."""

    name = "controller"

    def __init__(
        self,
        config: Config,
        events: EventQueue,
        rng: random.Random,
        agents: Callable[[str, str], object],
        on_death: Callable[["SimController", str], None],
        on_statement: Callable[[str], None],
        *,
        keep_checkpoints: bool = False,
    ):
        self.supply = Supply(self.name, keep=keep_checkpoints)
        self._config, self._events, self._rng = config, events, rng
        self._agents, self._on_death, self._on_statement = agents, on_death, on_statement
        self._life = 0
        self._db: Database | None = None
        self._app = None
        self._dispatching = False
        self._clients: dict[tuple[str, str], LocalClient] = {}

    @property
    def alive(self) -> bool:
        return self._app is not None

    def start(self) -> None:
        if self.alive:
            return
        self._life += 1
        self._dispatching = False
        self._clients.clear()
        self._db = open_sqlite(
            self._config.database,
            checkpoint=self.supply.checkpoint,
            on_statement=self._on_statement,
        )
        self._guarded(self._build)
        if self.alive:
            self._at(self._config.task_interval_ms, "tasks", self._tasks)

    def lose_power(self, why: str) -> None:
        """The process ends here and now; only the file is left."""
        self._app = None
        self._db.close()
        self.supply.mend()
        self._on_death(self, why)

    def stop(self) -> None:
        """Ends it for good."""
        if self.alive:
            self._app = None
            self._db.close()

    def client(self, service: str, peer: str) -> LocalClient:
        """The service as ``peer`` reaches it: same middleware, same guard, no network between."""
        if (service, peer) not in self._clients:
            self._clients[service, peer] = LocalClient(
                self._app.servicers[service], peer, self._app.guard, f"pileus.cloud.v1.{service}"
            )
        return self._clients[service, peer]

    def soon_dispatch(self) -> None:
        """Something may have been committed that hosts should know."""
        if self.alive and not self._dispatching:
            self._dispatching = True
            self._at(DISPATCH_MS, "dispatches", self._dispatch)

    def collect_blocks(self, kept_s: float) -> None:
        """The task that a run is too short for, and with less patience."""
        if self.alive:
            config, clock = self._config, self._events.clock
            blocks = blocks_of(config, clock, self.supply.checkpoint)
            collector = BlockCollector(self._db, blocks, kept_s)
            self._guarded(lambda: collector.run_once(system_call(self._events.now_ms)))

    def _build(self) -> None:
        """As ``controller/server.py`` does, migrations and all: it may be cut in the middle."""
        migrate(self._db, self._events.now_ms)
        made = build_app(
            self._config,
            self._db,
            self._events.clock,
            self._rng,
            self._agents,
            self.supply.checkpoint,
        )
        made.prepare(system_call(self._events.now_ms))
        self._app = made

    def _dispatch(self) -> None:
        self._dispatching = False
        self._app.dispatch_pending()

    def _tasks(self) -> None:
        self._at(self._config.task_interval_ms, "tasks", self._tasks)
        self._app.run_tasks()
        self.soon_dispatch()

    def _at(self, delay_ms: int, what: str, act: Callable[[], object]) -> None:
        life = self._life

        def happen():
            if self.alive and self._life == life:
                self._guarded(act)

        self._events.after(delay_ms, f"{self.name} {what}", happen)

    def _guarded(self, act: Callable[[], object]) -> None:
        try:
            act()
        except PowerCut as cut:
            if cut.process != self.name:
                raise
            self.lose_power(cut.at)


class AgentThroughNetwork:
    """The client of a host's agent that the controller is given. ``call(what, deliver)`` is the
    simulated network's."""

    def __init__(self, host, call: Callable[[str, Callable[[], object]], object]):
        self._host, self._call = host, call

    def Apply(self, spec, *, timeout_s: float = 0.0):
        return self._call("Apply", lambda: self._host.apply(spec))

    def ReadConsole(self, request, *, timeout_s: float = 0.0):
        return self._call("ReadConsole", lambda: self._host.read_console(request))
