"""A whole cloud in one thread: a controller, its hosts, their customers, and what befalls them.

    with SimCloud(seed=7) as cloud:
        cloud.ask(cloud.customers[0], Call("Instances", "Run", request))   as a gateway would
        cloud.run_for(10_000)       simulated milliseconds; invariants after each event
        cloud.quiesce()             faults end, and all that is not dead for ever converges

One seed is one run: clock, ids, faults and workload come from it alone, and ``trace`` is a digest
of all that happened. The controller's database is a file that outlives its crashes. The cloud is
also the world that invariants look at: ``records``, ``hosts``, ``answers``, ``ratios``, ``seen``.
"""

import logging
import random
import shutil
from collections.abc import Iterable
from pathlib import Path

from hostagent.compute.hypervisors.fake_guests import Guest
from hostagent.compute.limits import Limits
from protos.cloud.v1 import fleet_pb2
from protos.errors import CloudError
from protos.rpc import Caller
from tests.harness.answers import Answers
from tests.harness.contents import Contents
from tests.harness.controller import AgentThroughNetwork, SimController
from tests.harness.customers import Call, Customer
from tests.harness.event_queue import EventQueue
from tests.harness.hosts import SimHost
from tests.harness.invariants import Broken, Invariant, check
from tests.harness.invariants.sets import QUIESCED, SOON
from tests.harness.invariants.watch import Watch
from tests.harness.network import NO_FAULTS, Network
from tests.harness.power import PowerCut
from tests.harness.records import Records
from tests.harness.scratch import scratch_folder
from tests.harness.template import Template, template
from tests.harness.trace import Trace

QUIESCE_LIMIT_MS = (
    150_000  # of simulated time, from the last fault to quiesced: deaf guests take 60 s
)
SOON_MS = 15_000  # two heartbeats and a restart
RESTART_MS = (100, 4_000)  # from a process's death to its next life
# Events of the controller and of its callers: they change machines only by what they send there.
DECIDING = ("controller ", "customer")
# Whose events change answers through their methods only, which count; a test may do anything.
COUNTED = (*DECIDING, "host:", "guest", "fault")
LIMITS = Limits(status_check_ms=8_000)  # a run is too short for guests that boot for minutes


class SimCloud:
    """See the module's head."""

    def __init__(
        self,
        seed: int = 0,
        hosts: int = 3,
        *,
        keep_checkpoints: bool = False,
        cut: tuple[str, int] | None = None,
    ):
        """cut: a process's name and at which of its checkpoints it loses its power."""
        self.seed, self.rng = seed, random.Random(f"cloud {seed}")
        self.folder = scratch_folder()
        self.trace, self.events = Trace(), EventQueue()
        self.network = Network(self.events, random.Random(f"network {seed}"))
        self._template = template(hosts)
        self.config = self._template.copy_to(self.folder)
        self.records = Records(self.config.database)
        self.answers = Answers(self.records)
        self.contents, self.blocks = Contents(), self.config.snapshot_dir
        self.seen: dict = {}
        self.harmed: set[str] = set()  # instances that a fault of the simulation may have ended
        self.harmed_hosts: set[str] = set()  # hosts where any instance may be
        self.deafened: list[Guest] = []  # by a fault that ends
        self.customers, self.operator = _customers(self._template)
        self._dead_for_ever: set[str] = set()
        self.controller = SimController(
            self.config,
            self.events,
            random.Random(f"controller {seed}"),
            self._agent,
            self._on_death,
            self.records.hears,
            keep_checkpoints=keep_checkpoints,
        )
        self.hosts = [
            SimHost(
                host_id,
                facts,
                self.events,
                random.Random(f"host {number} {seed}"),
                self.folder / f"host-{number}",
                self._report,
                self._fleet,
                self._on_death,
                self._lived,
                self.served_to,
                LIMITS,
                keep_checkpoints=keep_checkpoints,
            )
            for number, (host_id, facts) in enumerate(self._template.hosts)
        ]
        for process in (self.controller, *self.hosts):
            if cut is not None and process.name == cut[0]:
                process.supply.cut_in(cut[1])
        self._log = _DefectLog()
        self._watch = Watch(self)
        self._moves = self._strange = 0  # events that may have changed machines; anything
        self.is_restored = False

    def __enter__(self) -> "SimCloud":
        logging.getLogger().addHandler(self._log)
        try:
            for account in (*self.customers, self.operator):
                self.answers.adopt(account.account_id)
            self.controller.start()
            for host in self.hosts:
                host.start()
            self.run_for(500)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *failure) -> None:
        logging.getLogger().removeHandler(self._log)
        self.controller.stop()
        self.records.close()
        shutil.rmtree(self.folder)

    @property
    def ratios(self) -> dict[str, float]:
        scheduler = self.config.scheduler
        return {
            "vcpus": scheduler.cpu_ratio,
            "memory_mib": scheduler.ram_ratio,
            "disk_gib": scheduler.disk_ratio,
        }

    def is_harmed(self, instance_id: str) -> bool:
        """Whether the simulation did what may end an instance: to it, to its host's drivers, or to
        what should have served one of its volumes."""
        if instance_id in self.harmed:
            return True
        placed, attached = (
            [row for row in self.records.table(name) if row["instance_id"] == instance_id]
            for name in ("placement", "held_volume")
        )
        return any(row["host_id"] in self.harmed_hosts for row in placed) or any(
            self.was_unserved(row["volume_id"]) for row in attached
        )

    def was_unserved(self, volume_id: str) -> bool:
        """Whether a guest was to have it from another host that did not serve it just then."""
        return any(volume_id in host.unserved for host in self.hosts)

    # -- calls ---------------------------------------------------------------------------------

    def ask(self, customer: Customer, call: Call, dry_run: bool = False):
        """A call as a gateway makes it. Its answer, or CloudError as the gateway would see it."""
        what = f"{call.service}.{call.method}"
        try:
            answer = self.network.call(
                "gateway", self.controller, what, lambda: self._handle(customer, call, dry_run)
            )
        except CloudError as refusal:
            self.say(f"{customer.name} {what}: {refusal.kind.name} {refusal.reason}")
            raise
        finally:
            self.controller.soon_dispatch()
        self.say(f"{customer.name} {what}: {answer.SerializeToString(deterministic=True).hex()}")
        return answer

    def _handle(self, customer: Customer, call: Call, dry_run: bool):
        """At the controller. What it finished is noted, heard or not."""
        caller = Caller(
            request_id=f"request-{self.trace.count}",
            account_id=customer.account_id,
            principal_arn=f"arn:aws:iam::{customer.account_id}:root",
            operator=customer.operator,
            dry_run=dry_run,
        )
        before = self.records.version()
        self.answers.asked(call)
        try:
            client = self.controller.client(call.service, "gateway")
            answer = getattr(client, call.method)(call.request, caller=caller)
        except CloudError as refusal:
            kept = self.records.version() != before
            self.answers.refused(customer, call, refusal, kept)
            raise
        except PowerCut as cut:
            self.answers.cut(customer, call, cut.at, self.records.version() != before)
            raise
        self.answers.answered(customer, call, answer)
        return answer

    def _report(self, host: SimHost, report: fleet_pb2.HostReport) -> fleet_pb2.HostSpec:
        def deliver():
            answer = self.controller.client("Fleet", host.name).Report(report)
            self.controller.soon_dispatch()
            return answer

        return self.network.call(host.name, self.controller, "Report", deliver)

    def _fleet(self, host: SimHost, method: str, request):
        """Another call of the Fleet service; a list stands for a stream."""

        def deliver():
            sent = iter(request) if isinstance(request, list) else request
            answer = getattr(self.controller.client("Fleet", host.name), method)(sent)
            return answer if hasattr(answer, "SerializeToString") else list(answer)

        return self.network.call(host.name, self.controller, method, deliver)

    def _agent(self, host_id: str, endpoint: str) -> AgentThroughNetwork:
        host = next(host for host in self.hosts if host.host_id == host_id)

        def call(what: str, deliver):
            self._moves += 1
            return self.network.call(self.controller.name, host, what, deliver)

        return AgentThroughNetwork(host, call)

    # -- lives and deaths ----------------------------------------------------------------------

    def _on_death(self, process, why: str) -> None:
        self.say(f"{process.name} died: {why}")
        if process.name not in self._dead_for_ever:
            delay_ms = self.rng.randrange(*RESTART_MS)
            self.events.after(delay_ms, f"{process.name} starts", process.start)

    def _lived(self, guest: str, alive: bool) -> None:
        self.contents.lived(guest, alive, self.events.now_ms)

    def served_to(self, host: SimHost, volume_id: str) -> SimHost | None:
        """The host that serves it, to that host, at this moment."""
        for home in self.hosts:
            if host.host_id in home.exports.hosts.get(volume_id, ()):
                return home
        return None

    def kill_for_good(self, host: SimHost) -> None:
        """The host never comes back."""
        self._dead_for_ever.add(host.name)
        host.fail()

    def restore(self, copy: Path) -> None:
        """The controller ends, and begins anew on an older copy of its database. It has forgotten
        what it promised since: which invariants hold from now on is the caller's to say."""
        self.controller.lose_power("its database is restored")
        self.records.close()
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self.config.database}{suffix}").unlink(missing_ok=True)
        shutil.copy(copy, self.config.database)
        self.records, self.is_restored = Records(self.config.database), True

    # -- time ----------------------------------------------------------------------------------

    def _step(self) -> None:
        """The next event, and the invariants after it."""
        what = self.events.step()
        self.say(what)
        if not what.startswith(DECIDING):
            self._moves += 1
        if not what.startswith(COUNTED):
            self._strange += 1
        self.check()

    def run_for(self, duration_ms: int) -> None:
        """Lets simulated time pass."""
        self._moves += 1  # who calls this may have done anything before
        self._strange += 1
        until = self.events.now_ms + duration_ms
        while (due := self.events.next_ms()) is not None and due <= until:
            self._step()
        self.events.now_ms = until

    @property
    def states(self) -> dict[str, object]:
        """Of what is no row, numbers that change whenever it may have (invariants/watch)."""
        return {"answers": (self.answers.changes, self._strange), "machines": self._moves}

    def check(self, invariants: Iterable[Invariant] | None = None) -> None:
        """Raises Broken, with the seed and the last events, where an invariant does not hold: one
        of these, or (None) one that holds after every event."""
        if invariants is None and self.is_restored:
            invariants = ()
        try:
            self._watch.check() if invariants is None else check(self, invariants)
            if self._log.defects:
                raise Broken("a defect was logged:\n  " + "\n  ".join(self._log.defects))
        except Broken as broken:
            self._raise(broken)

    def _raise(self, breach: object) -> None:
        last = "\n  ".join(self.trace.last)
        raise Broken(f"seed {self.seed}: {breach}\nthe last events:\n  {last}")

    def calm_down(self) -> None:
        """Ends all faults: of the network, drivers and power. Hosts killed for good stay dead."""
        self.network.faults, self.network.cut_off = NO_FAULTS, set()
        self.controller.supply.mend()
        for host in self.hosts:
            host.supply.mend()
            host.behave()
            host.network.mute.clear()
        for guest in self.deafened:
            guest.deaf = False
        for process in (self.controller, *self.hosts):
            if not process.alive and process.name not in self._dead_for_ever:
                process.start()

    def quiesce(self) -> None:
        """Ends faults and waits until all invariants hold and go on to. Raises Broken."""
        self.calm_down()
        self.run_for(max(0, self.network.last_arrival_ms - self.events.now_ms))
        self._look_until_it_holds(SOON, 1_000, SOON_MS)
        last_plan_ms = max(host.last_plan_ms() for host in self.hosts)
        self.run_for(max(0, last_plan_ms - self.events.now_ms))
        self._look_until_it_holds(QUIESCED, 5_000, QUIESCE_LIMIT_MS)
        self.check_truth()
        self.run_for(6_000)
        self.check(QUIESCED)
        self.say("quiesced")

    def _look_until_it_holds(
        self, invariants: Iterable[Invariant], every_ms: int, limit_ms: int
    ) -> None:
        until = self.events.now_ms + limit_ms
        while True:
            self.run_for(every_ms)
            try:
                return check(self, invariants)
            except Broken:
                if self.events.now_ms >= until:
                    self.check(invariants)

    def check_truth(self) -> None:
        """What hosts were told bit by bit is what they would be told at once: no change of theirs
        was forgotten. Not an invariant, as asking is an event."""
        for host in self.hosts:
            if host.alive:
                fleet = self.controller.client("Fleet", host.name)
                if differences := host.differs_from_truth(fleet.Report):
                    self._raise(f"{host.host_id} was not told: " + "; ".join(differences))

    def say(self, line: str) -> None:
        self.trace.say(self.events.now_ms, line)


class _DefectLog(logging.Handler):
    """What the rooms log as an error is a defect of theirs: nothing here is their operator's."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.defects: list[str] = []
        self._format = logging.Formatter("%(name)s: %(message)s")

    def emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith(("controller", "hostagent", "protos")):
            self.defects.append(self._format.format(record)[-3000:])


def _customers(made: Template) -> tuple[list[Customer], Customer]:
    customers = [
        Customer(name, account_id, made.image_id) for name, account_id in made.accounts.items()
    ]
    return customers, Customer("operator", made.operator_id, made.image_id, operator=True)
