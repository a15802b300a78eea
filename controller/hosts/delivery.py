"""Sends to hosts what commits have changed for them, as soon as possible and no sooner.

``kick`` is called after commits; ``run_one`` sends to one host, in whatever thread calls it (the
server's pool, or the simulation). Kicks of one host that come while it is being sent to are one
sending more, however many: nothing queues up. On failure nothing is lost and nothing is kept: the
host's next report is answered with the same.
"""

import logging
import threading
from collections.abc import Callable, Iterable
from typing import Protocol

from controller.hosts.reports import Reports
from controller.hosts.specs import Specs
from controller.kernel.call import ITSELF, system_call
from controller.kernel.database import Database
from protos.cloud.v1 import fleet_pb2
from protos.errors import CloudError

log = logging.getLogger(__name__)

PAUSE_AFTER_FAILURE_MS = 10_000


class Agent(Protocol):
    """A client of one host's agent (protos/rpc.Client of HostAgent)."""

    def Apply(self, spec: fleet_pb2.HostSpec, *, timeout_s: float) -> fleet_pb2.HostReport: ...

    def ReadConsole(
        self, request: fleet_pb2.ReadConsoleRequest, *, timeout_s: float
    ) -> fleet_pb2.ReadConsoleResponse: ...


Agents = Callable[[str, str], Agent]  # (host_id, endpoint) -> client; raises CloudError


class Delivery:
    def __init__(
        self,
        db: Database,
        reports: Reports,
        agents: Agents,
        specs: Specs,
        clock: Callable[[], int],
        monotonic: Callable[[], int],
        timeout_s: float,
        checkpoint: Callable[[str], None] = lambda name: None,
    ):
        self._db, self._reports, self._agents, self._specs = db, reports, agents, specs
        self._clock, self._monotonic = clock, monotonic
        self._timeout_s, self._checkpoint = timeout_s, checkpoint
        self._changed = threading.Condition()
        self._pending: dict[str, None] = {}  # in the order of their first kick
        self._sending: set[str] = set()
        self._known: dict[str, int] = {}  # position that the host holds, as it last said
        self._paused_until: dict[str, int] = {}

    def kick(self, host_ids: Iterable[str]) -> None:
        """Notes that these hosts are to be sent what changed. Returns at once."""
        with self._changed:
            self._pending.update(dict.fromkeys(host_ids))
            self._changed.notify_all()

    def acknowledged(self, host_id: str, position: int) -> None:
        """Notes what a host holds: it lives, and the next sending starts from there."""
        with self._changed:
            self._known[host_id] = position
            self._paused_until.pop(host_id, None)

    def run_one(self, wait_s: float = 0.0) -> bool:
        """Sends to one host that waits for it; waits at most ``wait_s`` for one. Answers whether
        there was one."""
        host_id = self._take(wait_s)
        if host_id is None:
            return False
        try:
            self._send(host_id)
        finally:
            with self._changed:
                self._sending.discard(host_id)
                self._changed.notify_all()
        return True

    def _take(self, wait_s: float) -> str | None:
        with self._changed:
            self._changed.wait_for(lambda: self._next() is not None, timeout=wait_s)
            host_id = self._next()
            if host_id is not None:
                del self._pending[host_id]
                self._sending.add(host_id)
            return host_id

    def _next(self) -> str | None:
        return next((host for host in self._pending if host not in self._sending), None)

    def _send(self, host_id: str) -> None:
        now_ms = self._monotonic()
        if now_ms < self._paused_until.get(host_id, 0):
            return
        with self._db.read(ITSELF) as session:
            outgoing = self._specs.read(session, host_id, self._known.get(host_id))
        if outgoing is None or not outgoing.has_news or not outgoing.endpoint:
            return
        self._checkpoint("apply:before")
        try:
            agent = self._agents(host_id, outgoing.endpoint)
            report = agent.Apply(outgoing.spec, timeout_s=self._timeout_s)
        except CloudError as failure:
            log.info("host %s was not reached, its report will be: %r", host_id, failure)
            with self._changed:
                self._paused_until[host_id] = now_ms + PAUSE_AFTER_FAILURE_MS
            return
        self._checkpoint("apply:after")
        if report.host_id != host_id:
            log.error("host %s answered for %s: not taken in", host_id, report.host_id)
            return
        self.acknowledged(host_id, report.position)
        self._reports.take_in_answer(system_call(self._clock()), report)
