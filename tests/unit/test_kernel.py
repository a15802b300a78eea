"""The kernel on both sides, with a kind that neither knows: one resource is assigned to three hosts
in two roles; messages are late, lost and doubled, agents restart, the database is restored.

A toy is made true when a worker has noted its newest revision. The wire keeps messages to hosts,
which arrive in any order, more than once, or never.
"""

import random
import shutil
import threading
from collections import defaultdict
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import pytest

from controller.hosts.feed import Feed
from controller.hosts.kinds import Kind, Reading
from controller.hosts.reports import Reports
from controller.hosts.rpc import FleetServicer
from controller.hosts.specs import Specs
from controller.kernel.call import system_call
from controller.kernel.sqlite import open_sqlite
from controller.kernel.table import Table, id_key
from controller.kernel.table import number as number_column
from controller.tables.hosts import Assignment, Host
from controller.tables.migrations import migrate
from controller.tables.nouns import Hosted
from hostagent.kernel import kinds as agents
from hostagent.kernel.agent import Agent
from hostagent.kernel.ledger import Ledger, open_file
from hostagent.kernel.sync import Sync
from protos.cloud.v1 import fleet_pb2

HOSTS = ("h-1", "h-2", "h-3")
TOYS = ("toy-1", "toy-2")
ROLES = ("source", "target")


class Toy(Table):
    toy_id = id_key()
    revision = number_column(default=1)


NOUNS = {role: Hosted("toy", role, Toy, Toy.toy_id) for role in ROLES}


def render(reading: Reading) -> Iterable[fleet_pb2.Assignment]:
    """A toy's spec says its revision once more: what is held is of one piece."""
    revisions = dict(reading.session.tuples(Toy.select(Toy.toy_id, Toy.revision)))
    for one in reading.assigned["toy"]:
        revision = revisions[one.resource_id]
        spec = fleet_pb2.VpcSpec(vpc_id=f"{one.resource_id} {revision}")
        yield one.message(revision, fleet_pb2.Assignment(vpc=spec))


@dataclass(frozen=True)
class Progress(agents.Progress):
    observed: int = 0


def see(record, observation) -> None:
    observation.vpc.observed = record.progress.observed


def toy_kind(role: str) -> agents.Kind:
    return agents.Kind(
        "toy",
        role,
        field="vpc",
        spec_type=fleet_pb2.VpcSpec,
        progress_type=Progress,
        observed=("observed", "revision"),
        observe=see,
        is_settled=lambda record: True,
        is_over=lambda record, ledger: False,
    )


class ToyWorker:
    """Makes one true; fails the test where another is at it at the same time."""

    def __init__(self, ledger: Ledger, kind: agents.Kind, name: str, locks: dict):
        self._records, self._kind, self._name = ledger.of(kind), kind, name
        self._lock = locks[kind.key(name)]

    def step(self, now: int) -> int | None:
        assert self._lock.acquire(blocking=False), "two workers are at it"
        try:
            if record := self._records.get(self._name):
                self._records.note(
                    self._name, observed=fleet_pb2.VPC_HERE, revision=record.revision
                )
        finally:
            self._lock.release()
        return None


class NoWorker:
    def step(self, now: int) -> int | None:
        return None


class ToyHost:
    def __init__(self, host_id: str):
        self.host_id, self.db, self.epochs = host_id, open_file(":memory:"), 0
        self.locks = defaultdict(threading.Lock)
        self.start()

    def start(self) -> None:
        """An agent's process; the one before is gone."""
        self.epochs += 1
        kinds = [toy_kind(role) for role in ROLES]
        self.ledger = Ledger(self.db, self.host_id, kinds, now_ms=self.epochs)
        facts, usage = fleet_pb2.HostFacts, fleet_pb2.HostUsage
        sync = Sync(self.ledger, lambda: 0, facts, usage, lambda: [])
        workers = {
            ("toy", kind.role): lambda name, kind=kind: ToyWorker(
                self.ledger, kind, name, self.locks
            )
            for kind in kinds
        }
        self.agent = Agent(self.ledger, sync, workers, NoWorker(), after_defect_ms=1)

    def work(self, pool: ThreadPoolExecutor) -> None:
        """All that is due, several at once."""
        while keys := self.agent.take(0, 4):
            for done in [pool.submit(self.agent.step, key, 0) for key in keys]:
                done.result()

    def held(self) -> dict[tuple[str, str], tuple[int, int, str]]:
        """(toy, role) -> its revision, the one that was made true, and its spec's word."""
        return {
            (name, kind.role): (record.revision, record.progress.revision, record.spec.vpc_id)
            for kind in self.ledger.kinds
            for name, record in self.ledger.of(kind).all().items()
        }


class Sendings:
    """What the service Fleet has beside reports; nothing of it is asked for here."""

    MissingBlocks = StoreBlocks = StoreManifest = FetchManifest = FetchBlocks = None

    def acknowledged(self, host_id: str, position: int) -> None:
        """Nobody sends by it."""


class World:
    """A controller's database, three hosts, and messages on their way."""

    def __init__(self, folder, seed: int):
        self.file, self.rng, self.wire = folder / "toys.db", random.Random(seed), []
        self.open()
        migrate(self.db, 1)
        with self.write() as tx:
            tx.create_table(Toy)
            tx.insert(Toy, [{"toy_id": name, "revision": 1} for name in TOYS])
            tx.insert(
                Host, [{"host_id": name, "name": name, "availability_zone": "z"} for name in HOSTS]
            )
        self.hosts = {name: ToyHost(name) for name in HOSTS}

    def open(self) -> None:
        self.db = open_sqlite(self.file, synchronous="off")
        self.feed = Feed(lambda host_ids: None)
        kind = Kind(
            noun=NOUNS["source"],
            render=render,
            word=lambda one: "here" if one.vpc.observed else "",
            observe=lambda tx, host_id, seen: False,
            catch_up=lambda tx, stale: self.feed.catch_up(tx, NOUNS["source"], stale),
            passing=frozenset(),
        )
        self.specs = Specs([kind], fleet_pb2.HostSettings())
        self.reports = Reports(self.db, [kind], [], heard=lambda *report: None)

    def write(self):
        return self.db.write(system_call(1))

    # -- what happens --------------------------------------------------------------------------

    def revise(self) -> None:
        with self.write() as tx:
            self.feed.revise(tx, NOUNS["source"], [self.rng.choice(TOYS)])

    def assign(self) -> None:
        name, host_id = self.rng.choice(TOYS), self.rng.choice(HOSTS)
        with self.write() as tx:
            noun = NOUNS[self.rng.choice(ROLES)]
            revision = tx.value(Toy.select(Toy.revision).where(Toy.toy_id == name))
            self.feed.assign_to(tx, noun, host_id, {name: revision})

    def withdraw(self) -> None:
        with self.write() as tx:
            self.feed.withdraw(
                tx, NOUNS["source"], [self.rng.choice(TOYS)], [self.rng.choice(HOSTS)]
            )

    def send(self) -> None:
        """What the controller believes that the host lacks, or the whole truth, goes on its way."""
        with self.db.read() as session:
            base = self.rng.choice([None, None, 0])
            self.wire.append(self.specs.read(session, self.rng.choice(HOSTS), base).spec)

    def arrive(self) -> None:
        """A message of any age; it may come again."""
        if self.wire:
            at = self.rng.randrange(len(self.wire))
            spec = self.wire[at] if self.rng.random() < 0.3 else self.wire.pop(at)
            self.hosts[spec.host_id].agent.apply(spec)

    def report(self, host_id: str = "", lost: float = 0.3) -> None:
        host = self.hosts[host_id or self.rng.choice(HOSTS)]
        report = host.agent.report()
        if self.rng.random() < lost:
            return
        fleet = FleetServicer(self.db, self.reports, Sendings(), self.specs, None, Sendings(), None)
        call = replace(system_call(1), peer=f"host:{host.host_id}")
        answer = fleet.Report(report, call)
        if self.rng.random() < lost:
            answer = fleet.Report(report, call)
        if self.rng.random() < lost:
            self.wire.append(answer)
        else:
            host.agent.delivered(report, answer)

    def restart(self) -> None:
        self.hosts[self.rng.choice(HOSTS)].start()

    def restored(self, backup) -> None:
        """The database is an older copy. Whoever is on the wire has nothing of it."""
        self.db.close()
        for suffix in ("", "-wal", "-shm"):
            self.file.with_name(self.file.name + suffix).unlink(missing_ok=True)
        shutil.copy(backup, self.file)
        self.open()

    def backup(self, to) -> None:
        self.db.close()
        shutil.copy(self.file, to)
        self.open()

    def work(self) -> None:
        with ThreadPoolExecutor(3) as pool:
            for host in self.hosts.values():
                host.work(pool)

    def quiesce(self) -> None:
        for _ in range(5):
            for host_id in HOSTS:
                self.report(host_id, lost=0.0)
            self.work()

    # -- what must be so -----------------------------------------------------------------------

    def check(self) -> None:
        """Each host has made true the newest revision of what it is assigned, and this is known."""
        with self.db.read() as session:
            revisions = dict(session.tuples(Toy.select(Toy.toy_id, Toy.revision)))
            rows = session.rows(Assignment.select())
        assert rows
        for row in rows:
            newest = revisions[row.resource_id]
            held = self.hosts[row.host_id].held()[row.resource_id, row.role]
            assert held == (newest, newest, f"{row.resource_id} {newest}"), row
            assert (row.revision, row.observed_revision, row.observed) == (newest, newest, "here")
        assert not any(host.agent.report().observations for host in self.hosts.values())


STEPS = (
    *(World.revise, World.assign, World.send, World.send, World.arrive, World.arrive),
    *(World.report, World.report, World.work, World.withdraw, World.restart),
)


@pytest.mark.parametrize("number", range(12))
def test_all_hosts_end_with_the_newest(tmp_path, number):
    world = World(tmp_path, number)
    world.assign()
    for _ in range(150):
        world.rng.choice(STEPS)(world)
    world.assign()
    world.quiesce()
    world.check()


@pytest.mark.parametrize("number", range(12))
def test_a_restored_database_goes_on_behind_its_hosts(tmp_path, number):
    world = World(tmp_path, number)
    for _ in range(60):
        world.rng.choice(STEPS)(world)
    world.assign()
    world.quiesce()
    world.backup(tmp_path / "backup.db")
    for _ in range(60):
        world.rng.choice(STEPS)(world)
    world.revise()
    world.quiesce()
    world.wire.clear()
    world.restored(tmp_path / "backup.db")
    for _ in range(60):
        world.rng.choice(STEPS)(world)
    world.assign()
    world.quiesce()
    world.check()


def test_a_late_message_brings_back_nothing_newer_does(tmp_path):
    """Of one resource on two hosts, each holds its own role."""
    world = World(tmp_path, 1)
    with world.write() as tx:
        world.feed.assign_to(tx, NOUNS["source"], "h-1", {"toy-1": 1})
        world.feed.assign_to(tx, NOUNS["target"], "h-2", {"toy-1": 1})
        world.feed.assign_to(tx, NOUNS["target"], "h-1", {"toy-1": 1})
    with world.db.read() as session:
        early = world.specs.read(session, "h-1", 0).spec
    world.quiesce()
    with world.write() as tx:
        world.feed.revise(tx, NOUNS["source"], ["toy-1"])
    world.quiesce()
    world.hosts["h-1"].agent.apply(early)
    world.work()
    assert world.hosts["h-1"].held().keys() == {("toy-1", "source"), ("toy-1", "target")}
    assert world.hosts["h-2"].held().keys() == {("toy-1", "target")}
    world.check()
