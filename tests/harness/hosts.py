"""A simulated host: a machine, which outlives its agent, and the agent's process on it.

The machine is what the shipped fake drivers hold (guests, taps, VPCs, volumes and what serves them,
cached images) and the ledger's database. The process is what ``hostagent.app.build`` makes: it is
lost whenever its power is cut, and made anew on the same machine. Here is also what
``hostagent/server.py`` does with threads, done by the event queue: work when it is due, a report
when there is news or it is time.
"""

import difflib
import random
from collections.abc import Callable
from pathlib import Path

from hostagent import app
from hostagent.compute.hypervisors.fake import FakeHypervisor
from hostagent.compute.hypervisors.fake_guests import Faults
from hostagent.compute.limits import Limits
from hostagent.kernel.agent import Agent
from hostagent.kernel.errors import DriverError
from hostagent.ledger import HostLedger, open_file
from hostagent.network.fake import FakeNetwork
from hostagent.storage.blocks import FleetBlocks
from hostagent.storage.volumes.fake import FakeVolumes
from hostagent.storage.volumes.fake_exports import FakeExports
from protos.cloud.v1 import fleet_pb2
from protos.errors import CloudError, Kind
from tests.harness.event_queue import EventQueue
from tests.harness.machine import (
    ALIVE,
    RETRY_MS,
    FleetThroughNetwork,
    Later,
    SimImages,
    SimState,
)
from tests.harness.power import PowerCut, Supply

REPORT_MS = 5_000  # until the controller has said how often
NEWS_MS = 20  # what happens within this goes into one report

# send(report) -> HostSpec: Fleet.Report through the simulated network; raises CloudError
Send = Callable[[fleet_pb2.HostReport], fleet_pb2.HostSpec]


class SimHost:
    """See the module's head. ``send`` is Fleet.Report, ``fleet`` the other calls of that service,
    through the network; ``on_death(host, why)`` decides when the agent comes back,
    ``lived`` hears of its guests (machine.py), ``served(host, volume)`` is the host that serves it
    that volume, or None."""

    def __init__(
        self,
        host_id: str,
        facts: fleet_pb2.HostFacts,
        events: EventQueue,
        rng: random.Random,
        folder: Path,
        send: Callable[["SimHost", fleet_pb2.HostReport], fleet_pb2.HostSpec],
        fleet: Callable[["SimHost", str, object], object],
        on_death: Callable[["SimHost", str], None],
        lived: Callable[[str, bool], None],
        served: Callable[["SimHost", str], "SimHost | None"],
        limits: Limits = Limits(),
        *,
        keep_checkpoints: bool = False,
    ):
        self.host_id, self.name = host_id, f"host:{host_id}"
        self.supply = Supply(self.name, keep=keep_checkpoints)
        self.faults = Faults()
        self.agent: Agent | None = None
        self.unserved: set[str] = set()  # volumes that a guest here was to have from elsewhere
        self._acting: set[str] = set()  # assignments that a worker is at
        self.twice_at_once: list[str] = []  # what two were ever at
        self._facts, self._events, self._rng = facts, events, rng
        self._send, self._on_death, self._limits = send, on_death, limits
        self._served = served
        self._life = 0  # which of its processes: events of earlier ones are void
        self._boot = 1
        self._work_at: int | None = None
        self._news_at: int | None = None
        self.state = SimState(lived)
        self.network = FakeNetwork(rng)
        self.consoles = folder / "consoles"
        self.consoles.mkdir(parents=True)

        def call(method: str, request):
            return fleet(self, method, request)

        client = FleetThroughNetwork(call, lambda name: self.supply.checkpoint(name))
        self.blocks = FleetBlocks(client)
        self.images = SimImages(events, call, self.blocks, folder / "images")
        self.volumes = FakeVolumes(rng, read_base=self.images.read, base_holds=self.images.holds)
        self.exports = FakeExports(self.volumes, facts.volume_endpoint)
        self.ledger_file, self._ledger_begun = open_file(":memory:"), False
        self.ledgers_lost = 0
        self.ledger: HostLedger | None = None
        self.hypervisor = self._new_hypervisor()

    # -- the process ---------------------------------------------------------------------------

    @property
    def alive(self) -> bool:
        return self.agent is not None

    def start(self) -> None:
        """The agent's process begins; it may be cut while it does."""
        if self.alive:
            return
        self._life += 1
        self._work_at = self._news_at = None
        self.hypervisor = self._new_hypervisor()
        self._guarded(self._build)
        if self.alive:
            self._soon_work()
            self._at(0, "reports first", self._heartbeat)

    def lose_power(self, why: str) -> None:
        """The process ends here and now; the machine goes on."""
        self.agent = self.ledger = None
        self.hypervisor.watch(_nobody)
        self.supply.mend()
        self._on_death(self, why)

    def fail(self) -> None:
        """The machine loses its power: process, guests, taps and VPCs are gone, disks stay."""
        self._boot += 1
        self.hypervisor.lose_power()
        self.network.lose_power()
        self.exports.lose_power()
        if self.alive:
            self.lose_power("the machine's power failed")

    def lose_ledger(self) -> None:
        """The disk that held the ledger was replaced; guests, volumes and taps are still there."""
        self.ledgers_lost += 1
        self.ledger_file, self._ledger_begun = open_file(":memory:"), False
        if self.alive:
            self.lose_power("its ledger is lost")

    def _build(self) -> None:
        self.ledger = HostLedger(
            self.ledger_file,
            self.host_id,
            now_ms=self._events.now_ms,
            boot_id=f"boot-{self._boot}",
            checkpoint=self.supply.checkpoint,
        )
        parts = app.Parts(
            ledger=self.ledger,
            hypervisor=self.hypervisor,
            network=self.network,
            images=self.images,
            volumes=self.volumes,
            exports=self.exports,
            blocks=self.blocks,
            copiers=Later(self._rng, self._at),
            consoles=self.consoles,
            clock=self._events.clock,
            facts=lambda: self._facts,
            limits=self._limits,
            checkpoint=self._at_checkpoint,
        )
        self._acting.clear()  # what an earlier process was at
        agent = app.build(parts)
        agent.on_work, agent.on_news = self._soon_work, self._soon_news
        self.agent = agent

    def _at_checkpoint(self, name: str) -> None:
        """Notes which assignments are being acted on."""
        _, _, what = name.partition("agent: ")
        act, _, key = what.partition(" ")
        if act == "begin":
            if key in self._acting:
                self.twice_at_once.append(f"{self.host_id}: two workers were at {key}")
            self._acting.add(key)
        elif act == "end":
            self._acting.discard(key)
        else:
            self.supply.checkpoint(name)

    def _new_hypervisor(self) -> FakeHypervisor:
        return FakeHypervisor(
            self._events.clock,
            self._rng,
            self.faults,
            self.state,
            later=lambda delay_ms, _: self._events.after(
                delay_ms, f"{self.name} guest", self._tick
            ),
            facts=self._facts,
            volumes=self.volumes,
            served_bytes=self._served_bytes,
        )

    def _served_bytes(self, volume_id: str) -> int:
        home = self._served(self, volume_id)
        if home is None:
            self.unserved.add(volume_id)
            raise DriverError(f"{volume_id}: nobody serves it")
        return next(
            disk.size_bytes for disk in home.exports.disks("") if disk.volume_id == volume_id
        )

    def _tick(self) -> None:
        """Guests live on the machine: whoever watches by now is told, not who watched before."""
        self.hypervisor.tick()

    # -- what others ask of it -----------------------------------------------------------------

    def apply(self, spec: fleet_pb2.HostSpec) -> fleet_pb2.HostReport:
        """HostAgent.Apply, as it arrives."""
        return fleet_pb2.HostReport.FromString(
            self.agent.apply(
                fleet_pb2.HostSpec.FromString(spec.SerializeToString())
            ).SerializeToString()
        )

    def read_console(self, request: fleet_pb2.ReadConsoleRequest) -> fleet_pb2.ReadConsoleResponse:
        """HostAgent.ReadConsole."""
        path = self.consoles / f"{request.instance_id}.log"
        output = path.read_bytes()[-request.max_bytes :] if path.exists() else b""
        return fleet_pb2.ReadConsoleResponse(output=output, timestamp_ms=self._events.now_ms)

    # -- what server.py does with threads ------------------------------------------------------

    def _soon_work(self) -> None:
        self._plan_work(self._events.now_ms)

    def _plan_work(self, when: int | None) -> None:
        if when is None or (self._work_at is not None and self._work_at <= when):
            return
        self._work_at = max(when, self._events.now_ms)
        self._at(self._work_at - self._events.now_ms, "works", self._work)

    def _work(self) -> None:
        if self._work_at is not None and self._work_at > self._events.now_ms:
            return  # planned anew, for later
        self._work_at = None
        self._plan_work(self.agent.run_due(self._events.now_ms))

    def _soon_news(self) -> None:
        if self._news_at is None:
            self._news_at = self._events.now_ms + NEWS_MS
            self._at(NEWS_MS, "has news", self._tell_news)

    def _tell_news(self) -> None:
        self._news_at = None
        if self.agent.has_news():
            self._report()

    def _heartbeat(self) -> None:
        told = self._report()
        interval_ms = self.agent.report_interval_ms or REPORT_MS
        self._at(interval_ms if told else RETRY_MS, "reports", self._heartbeat)

    def _report(self) -> bool:
        report = self.agent.report()
        try:
            answer = self._send(self, report)
        except CloudError as failure:
            if failure.kind is Kind.BUG:
                raise
            return False
        self.agent.delivered(report, answer)
        return True

    def _at(self, delay_ms: int, what: str, act: Callable[[], object]) -> None:
        """``act`` after a while, unless the process has ended by then."""
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

    def behave(self) -> None:
        """Hypervisor, network and disks do as they are told again; guests stay as they are."""
        self.misbehave(Faults())
        self.hypervisor.come_back()

    def misbehave(self, faults: Faults, others: float = 0.0) -> None:
        """``others`` is how often calls of the network's and the disks' driver fail."""
        self.faults = self.hypervisor.faults = faults
        self.network.failures = self.volumes.failures = others

    def last_plan_ms(self) -> int:
        """When the last of its guests does what a fault, or a call, made it plan; 0: none does."""
        guests = self.state.guests.values()
        return max((guest.next_at for guest in guests if guest.next_power), default=0)

    # -- what an auditor sees ------------------------------------------------------------------

    def domains(self) -> list[str]:
        return sorted(self.state.guests)

    def living(self) -> list[str]:
        """Instances whose guest uses memory and writes to its disks."""
        return [name for name, guest in self.state.guests.items() if guest.power in ALIVE]

    def copies(self) -> list[str]:
        """Snapshots that its agent has not done with."""
        return sorted(self.ledger.snapshots.all())

    def writers(self) -> list[tuple[str, str, str | None]]:
        """(volume, guest or "", the name of the layer that is written) for each living guest's
        disk, None where another host serves it, and for each volume that is served from here."""
        found = [
            (volume_id, name, disk.path.rpartition("/")[2] if disk.path else None)
            for name in self.living()
            for volume_id, disk in self.state.guests[name].disks.items()
        ]
        served = self.exports.disks("") if self.exports.hosts else ()
        return found + [(disk.volume_id, "", disk.path.name) for disk in served]

    def running_specs(self) -> list[fleet_pb2.InstanceSpec]:
        """Specs of the guests that live here, as the ledger has them; none while there is no
        agent."""
        entries = self.ledger.instances.all() if self.ledger else {}
        return [entries[name].spec for name in self.living() if name in entries]

    def differs_from_truth(self, ask_whole: Send) -> list[str]:
        """Asks as an agent does that lacks something; says what its ledger holds otherwise."""
        report = self.agent.report()
        report.position = 0
        truth = ask_whole(report)
        told = {one.id: (one.revision, _spec_of(one)) for one in truth.assignments}
        held = {
            name: (record.revision, record.spec)
            for kind in self.ledger.kinds
            for name, record in self.ledger.of(kind).all().items()
            if record.revision
        }
        self.agent.delivered(report, truth)
        return [
            f"{name}: {_difference(told.get(name), held.get(name))}"
            for name in sorted({*told, *held})
            if _comparable(told.get(name)) != _comparable(held.get(name))
        ]

    def ledger_position(self) -> int:
        """What the ledger's file holds, whether or not somebody has it open; 0 for a new one."""
        if not self._ledger_begun:
            there = "SELECT 1 FROM sqlite_master WHERE name = 'host'"
            self._ledger_begun = self.ledger_file.execute(there).fetchone() is not None
            if not self._ledger_begun:
                return 0
        held = "SELECT value FROM host WHERE key = 'position'"
        row = self.ledger_file.execute(held).fetchone()
        return int(row[0]) if row else 0


def _nobody(instance_id: str) -> None:
    """Watches for an agent that is not there."""


def _spec_of(assignment):
    return getattr(assignment, assignment.WhichOneof("spec"))


def _comparable(revised):
    """What was taken by force and is gone may be remembered so."""
    if revised is None or not isinstance(revised[1], fleet_pb2.InstanceSpec):
        return revised
    compared = fleet_pb2.InstanceSpec()
    compared.CopyFrom(revised[1])
    compared.ClearField("forced_device_ids")
    return revised[0], compared


def _difference(told, held) -> str:
    """The fields in which two specs differ."""
    if told is None or held is None:
        return "is nowhere" if held is None else "should be forgotten"
    held_lines, told_lines = str(held).splitlines(), str(told).splitlines()
    lines = difflib.unified_diff(held_lines, told_lines, "held", "should be", lineterm="", n=0)
    return "\n    ".join(lines)
