"""The controller, wired. One call makes all of it; nothing in it starts a thread or opens a socket.

    app = build(config, db, clock=…, rng=…, agents=…, master_key=…, store=…, blocks=…)
    app.prepare(call)            once after migrating: types, address pool, missing subnets
    app.servicers["Instances"]   by the service's name, as protos/rpc.serve and LocalClient want it
    app.guard                    protos/rpc.Guard: who may call what
    app.run_tasks(now_ms)        the reconcile tasks that are due
    app.dispatch_pending()       sends what commits have left to be sent, in this thread;
                                 the server's threads call app.dispatcher.run_one instead
    app.operator_key(call)       the operator's account and key (``python -m controller init``)

What is passed in: ``db`` (db/session.Database, migrated), ``clock`` (milliseconds since the epoch),
``rng`` (random.SystemRandom in life, a seeded Random in simulations), ``agents(host_id, endpoint)``
→ a client with ``Apply(HostSpec, timeout_s=)`` and ``ReadConsole(…)``, raising CloudError
(protos/rpc.Client), ``master_key`` (identity/sealing), ``store`` (images/store), ``blocks``
(snapshots/blocks), ``authority`` (identity/authority; without one nobody can join), ``checkpoint``
(called around each call to an agent; the database's commits have their own).

How a noun is built, for all of them: a servicer's method is ``def Describe(self, request, call)``
with a Call; ``door.Door`` stands before it (gRPC, clock, retry). It reads with ``db.read()``,
writes in one ``db.write(call)`` and raises CloudError. Rules tell hosts by ``changes``
(fleet/changes.Changes), within their transaction.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from controller.call import Call
from controller.config import Config
from controller.db.session import Database, Transaction
from controller.door import Door
from controller.fleet.changes import Changes
from controller.fleet.dispatch import Agents, Dispatcher
from controller.fleet.host_spec import Surroundings
from controller.fleet.hosts_rpc import HostsServicer
from controller.fleet.reports import Reports
from controller.fleet.rpc import FleetServicer
from controller.identity.authority import Authority
from controller.identity.enrolment import Enrolment
from controller.identity.guard import Guard
from controller.identity.rpc import IdentityServicer
from controller.identity.rules import Identity, NewKey
from controller.identity.sealing import MasterKey
from controller.images.collect import ImageCollector
from controller.images.fetch import ImageFetcher
from controller.images.remote import HttpReader
from controller.images.rpc import ImagesServicer
from controller.images.settle import ImageSettle
from controller.images.store import ImageStore
from controller.instances.attributes import Attributes
from controller.instances.catalogue import ensure_catalogue
from controller.instances.describe import Describer
from controller.instances.launch import Launcher
from controller.instances.overdue import Overdue
from controller.instances.purge import Purge
from controller.instances.rpc import InstancesServicer
from controller.instances.rules import InstanceRules
from controller.instances.settle import Settle
from controller.instances.types import Types
from controller.keys.rpc import KeyPairsServicer
from controller.networks.attach_settle import InterfaceSettle
from controller.networks.defaults import add_missing_subnets, make_default_vpc
from controller.networks.dhcp_options import keep_domain
from controller.networks.interfaces_rpc import NetworkInterfacesServicer
from controller.networks.names import DnsNames, private_suffix
from controller.networks.networks_rpc import NetworksServicer
from controller.networks.pool import ensure_pool
from controller.networks.rpc import AddressesServicer, SecurityGroupsServicer
from controller.quotas.rpc import QuotasServicer
from controller.quotas.rules import Quotas
from controller.reconcile.audit import Audit
from controller.reconcile.driver import Driver, Task
from controller.reconcile.host_health import HostHealth
from controller.regions.rpc import RegionsServicer
from controller.scheduling.model import Settings
from controller.scheduling.place import Scheduler
from controller.snapshots.blocks import BlockStore
from controller.snapshots.collect import BlockCollector
from controller.snapshots.rpc import SnapshotsServicer
from controller.snapshots.rules import SnapshotRules
from controller.tags.rpc import TagsServicer
from controller.volumes.attachments import Attachments
from controller.volumes.homes import Homes
from controller.volumes.modify import Modifier
from controller.volumes.overdue import VolumeOverdue
from controller.volumes.rpc import VolumesServicer
from controller.volumes.rules import VolumeRules
from controller.volumes.settle import VolumeSettle
from protos.cloud.v1 import fleet_pb2

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000


@dataclass(frozen=True)
class App:
    """A wired controller; see the module's head."""

    servicers: dict[str, Door]
    guard: Guard
    dispatcher: Dispatcher
    driver: Driver
    identity: Identity
    enrolment: Enrolment
    prepare: Callable[[Call], None]
    fetch_image: Callable[[], bool]  # ImageFetcher.run_once, for a thread of its own

    def run_tasks(self, now_ms: int) -> int:
        """Runs the tasks that are due; answers when the next one is."""
        return self.driver.run_due(now_ms)

    def dispatch_pending(self) -> int:
        """Sends until nothing waits to be sent; answers how many hosts were sent to."""
        sent = 0
        while self.dispatcher.run_one():
            sent += 1
        return sent

    def operator_key(self, call: Call) -> NewKey | None:
        """The operator's account with its first key; None where it was made before."""
        return self.identity.operator_key(call)


def build(
    config: Config,
    db: Database,
    *,
    clock: Callable[[], int],
    rng: random.Random,
    agents: Agents,
    master_key: MasterKey,
    store: ImageStore,
    blocks: BlockStore,
    authority: Authority | None = None,
    checkpoint: Callable[[str], None] = lambda name: None,
) -> App:
    """Everything, wired. Raises scheduling.place.UnknownName for names that the configuration got
    wrong."""
    zones = config.region.zones
    quotas = Quotas(config.quotas)
    changes = Changes(
        lambda host_ids: dispatcher.kick(host_ids)
    )  # made below: they need each other
    instances = InstanceRules(db, _settings(config), quotas, changes)
    settles = _settles(db, instances, quotas, changes)
    reports = Reports(db, list(settles.values()))
    snapshots = SnapshotRules(rng, quotas, changes)
    around = _surroundings(config)
    dispatcher = Dispatcher(
        db, reports, agents, around, clock, config.hosts.apply_timeout_s, checkpoint
    )

    def open_account(tx: Transaction, account_id: str) -> None:
        quotas.make(tx, account_id)
        make_default_vpc(tx, account_id, zones, rng, quotas, around.names.private_suffix)

    def prepare(call: Call) -> None:
        with db.write(call) as tx:
            ensure_catalogue(tx)
            ensure_pool(tx, config.networks.public_pool)
            add_missing_subnets(tx, zones, rng)
            keep_domain(tx, changes, around.names.private_suffix)

    identity = Identity(db, rng, master_key, open_account)
    enrolment = Enrolment(db, rng, config, authority)
    servicers = {
        "Fleet": FleetServicer(
            db, reports, dispatcher, around, store.read, blocks, max(1, config.rpc_threads // 2)
        ),
        "Enrolment": enrolment,
        "Hosts": HostsServicer(db, enrolment, zones, _settings(config)),
        "Identity": IdentityServicer(db, identity),
        "Snapshots": SnapshotsServicer(db, snapshots),
        "Instances": _instances(config, db, rng, quotas, changes, instances, agents),
        **_resources(config, db, rng, quotas, changes, snapshots, store),
    }
    fetcher = ImageFetcher(db, store, config.images, HttpReader(config.images.sources).read, clock)
    doors = {name: Door(servicer, clock) for name, servicer in servicers.items()}
    return App(
        servicers=doors,
        guard=Guard(),
        dispatcher=dispatcher,
        driver=Driver(
            _tasks(config, db, clock, settles, instances, store, blocks, identity, enrolment)
        ),
        identity=identity,
        enrolment=enrolment,
        prepare=prepare,
        fetch_image=fetcher.run_once,
    )


def _settles(
    db: Database, instances: InstanceRules, quotas: Quotas, changes: Changes
) -> dict[str, Callable[[Call], object]]:
    """What follows from what hosts saw: tasks, and run after a report that ended something."""
    return {
        "settle": Settle(db, instances, quotas, changes).run_once,
        "volumes": VolumeSettle(db, quotas, changes).run_once,
        "interfaces": InterfaceSettle(db, changes).run_once,
        "images of instances": ImageSettle(db).run_once,
    }


def _tasks(
    config: Config,
    db: Database,
    clock: Callable[[], int],
    settles: Mapping[str, Callable[[Call], object]],
    instances: InstanceRules,
    store: ImageStore,
    blocks: BlockStore,
    identity: Identity,
    enrolment: Enrolment,
) -> list[Task]:
    """What is run for ever, and how often."""
    hosts, started_ms = config.hosts, clock()
    limit_ms = config.instances.pending_limit_ms
    overdue = Overdue(db, instances, limit_ms, hosts, started_ms)
    return [
        *(Task(name, SECOND, settle) for name, settle in settles.items()),
        Task("host health", SECOND, HostHealth(db, hosts, started_ms).run_once),
        Task("overdue", 5 * SECOND, overdue.run_once),
        Task("overdue volumes", 5 * SECOND, VolumeOverdue(db, hosts, started_ms).run_once),
        Task("purge", MINUTE, Purge(db, config.instances.keep_terminated_ms).run_once),
        Task("images", MINUTE, ImageCollector(db, store).run_once),
        Task("blocks", HOUR, BlockCollector(db, blocks).run_once),
        Task("key changes", HOUR, identity.forget_changes),
        Task("join tokens", HOUR, enrolment.forget_expired),
        Task("audit", HOUR, Audit(db).run_once),
    ]


def _instances(
    config: Config,
    db: Database,
    rng: random.Random,
    quotas: Quotas,
    changes: Changes,
    rules: InstanceRules,
    agents: Agents,
) -> InstancesServicer:
    names = _names(config)
    describer = Describer(db, names, config.region.zones)
    chosen = config.scheduler
    scheduler = Scheduler(chosen.name, chosen.filters, chosen.weighers, _settings(config), rng)
    zones = config.region.zones
    launcher = Launcher(
        db, rng, config.instances, scheduler, quotas, changes, describer, names, zones
    )
    types = Types(db, config.region.name, zones)
    timeout_s = config.hosts.console_timeout_s
    attributes = Attributes(db, changes)
    return InstancesServicer(
        db, launcher, describer, rules, attributes, types, changes, agents, timeout_s
    )


def _resources(
    config: Config,
    db: Database,
    rng: random.Random,
    quotas: Quotas,
    changes: Changes,
    snapshots: SnapshotRules,
    store: ImageStore,
) -> dict[str, object]:
    region = config.region
    return {
        "Images": ImagesServicer(db, rng, store, config.images, snapshots, changes),
        "Volumes": _volumes(config, db, rng, quotas, changes),
        "Networks": NetworksServicer(db, rng, quotas, changes, _names(config), region),
        "NetworkInterfaces": NetworkInterfacesServicer(db, rng, quotas, changes, _names(config)),
        "SecurityGroups": SecurityGroupsServicer(db, rng, quotas, changes),
        "Addresses": AddressesServicer(db, rng, quotas, changes, region.name),
        "KeyPairs": KeyPairsServicer(db, rng, quotas),
        "Quotas": QuotasServicer(db, quotas),
        "Regions": RegionsServicer(db, region, quotas),
        "Tags": TagsServicer(db, changes),
    }


def _volumes(
    config: Config, db: Database, rng: random.Random, quotas: Quotas, changes: Changes
) -> VolumesServicer:
    homes = Homes(_settings(config), config.region.zones)
    return VolumesServicer(
        db,
        config.region.zones,
        VolumeRules(db, rng, homes, quotas, changes),
        Attachments(db, changes),
        Modifier(db, homes, quotas, changes),
    )


def _names(config: Config) -> DnsNames:
    region = config.region
    return DnsNames(region.dns_suffix or private_suffix(region.name), region.public_dns_suffix)


def _settings(config: Config) -> Settings:
    chosen = config.scheduler
    return Settings(
        chosen.cpu_ratio,
        chosen.ram_ratio,
        chosen.disk_ratio,
        frozenset(chosen.isolated_hosts),
        frozenset(chosen.isolated_images),
    )


def _surroundings(config: Config) -> Surroundings:
    names = _names(config)
    return Surroundings(
        settings=fleet_pb2.HostSettings(
            report_interval_ms=config.hosts.report_interval_ms,
            region=config.region.name,
            dns_suffix=names.private_suffix,
            nameservers=config.networks.nameservers,
        ),
        names=names,
        zone_ids={zone.name: zone.id for zone in config.region.zones},
    )
