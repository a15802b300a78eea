"""The controller, wired. One call makes all of it; nothing in it starts a thread or opens a socket.

    app = build(config, db, clock=…, monotonic=…, rng=…, agents=…, master_key=…, store=…, blocks=…)
    app.prepare(call)            once after migrating: types, address pool, missing subnets
    app.servicers["Instances"]   by the service's name, as protos/rpc.serve and LocalClient want it
    app.guard                    protos/rpc.Guard: who may call what
    app.run_tasks()              the reconcile tasks that are due
    app.dispatch_pending()       sends what commits have left to be sent, in this thread;
                                 the server's threads call app.delivery.run_one instead
    app.operator_key(call)       the operator's account and key (``python -m controller init``)

What is passed in: ``db`` (kernel/database.Database, migrated), ``clock`` (milliseconds since the
epoch: what time it is), ``monotonic`` (milliseconds of a clock that never goes back: how long
something took, and what is due), ``rng`` (random.SystemRandom in life, a seeded Random in
simulations), ``agents(host_id, endpoint)`` → a client with ``Apply(HostSpec, timeout_s=)`` and
``ReadConsole(…)``, raising CloudError (protos/rpc.Client), ``master_key`` (identity/sealing),
``store`` (storage/images/store), ``blocks`` (storage/blocks/store), ``authority`` (hosts/authority;
without one nobody can join), ``authorize`` (identity/authorize: may a principal do what it asks
for?), ``checkpoint`` (called around each call to an agent; the database's commits have their own).

How a noun is built, for all of them: a servicer's method is ``def Describe(self, request, call)``
with a Call; ``middleware.Middleware`` stands before it (gRPC, clock, retry). It reads with
``db.read(call)``, writes in one ``db.write(call)`` and raises CloudError. Rules tell hosts by
``feed`` (hosts/feed.Feed), within their transaction.
"""

import random
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from controller.audit import Audit
from controller.compute.attachments.interfaces import InterfaceAttachments
from controller.compute.attachments.reconcile import AttachmentReconciler
from controller.compute.attachments.volumes import VolumeAttachments
from controller.compute.create_image import ImageMaker
from controller.compute.instances import rules as instances
from controller.compute.instances.attributes import Attributes
from controller.compute.instances.describe import Describer
from controller.compute.instances.metadata_options import retagged
from controller.compute.instances.overdue import Overdue
from controller.compute.instances.purge import Purge
from controller.compute.instances.reconcile import InstanceReconciler
from controller.compute.instances.rules import InstanceRules
from controller.compute.key_pairs import rules as key_pairs
from controller.compute.key_pairs.rpc import KeyPairsServicer
from controller.compute.launch.run import Launcher
from controller.compute.rpc import InstancesServicer
from controller.compute.scheduling.place import Scheduler
from controller.compute.types.catalogue import ensure_catalogue
from controller.compute.types.describe import Types
from controller.config import Config
from controller.hosted import hosted_kinds
from controller.hosts.administration import HostsServicer
from controller.hosts.authority import Authority
from controller.hosts.delivery import Agents, Delivery
from controller.hosts.enrolment import Enrolment
from controller.hosts.feed import Feed
from controller.hosts.health import Hearing, HostHealth
from controller.hosts.overcommit import Settings
from controller.hosts.regions import RegionsServicer
from controller.hosts.reports import Reports
from controller.hosts.rpc import FleetServicer
from controller.hosts.specs import Specs
from controller.identity.authorize import Authorize, authorize
from controller.identity.guard import Guard
from controller.identity.quotas.rpc import QuotasServicer
from controller.identity.quotas.rules import Quotas
from controller.identity.rpc import IdentityServicer
from controller.identity.rules import Identity, NewKey
from controller.identity.sealing import MasterKey
from controller.identity.tags.rpc import TagsServicer
from controller.kernel.call import Call
from controller.kernel.database import Database, Transaction
from controller.kernel.middleware import Middleware
from controller.kernel.tasks import Driver, Task
from controller.network.acls import describe as network_acls
from controller.network.address_pool import ensure_pool
from controller.network.addresses import rules as addresses
from controller.network.addresses.rpc import AddressesServicer
from controller.network.default_vpc import add_missing_subnets, make_default_vpc
from controller.network.dhcp_options import rules as dhcp_options
from controller.network.dhcp_options.rules import keep_domain
from controller.network.interfaces import rules as network_interfaces
from controller.network.interfaces.launch import GROUPS_PER_INTERFACE_MAX
from controller.network.interfaces.rpc import NetworkInterfacesServicer
from controller.network.names import DnsNames, private_suffix
from controller.network.routing import internet_gateways, route_tables
from controller.network.rpc import NetworksServicer
from controller.network.security_groups import group_rules as security_group_rules
from controller.network.security_groups import groups as security_groups
from controller.network.security_groups.rpc import SecurityGroupsServicer
from controller.network.subnets import rules as subnets
from controller.network.vpcs import rules as vpcs
from controller.storage.blocks.fleet_rpc import BlocksRpc
from controller.storage.blocks.store import BlockStore
from controller.storage.images import sharing as images
from controller.storage.images.collect import ImageCollector
from controller.storage.images.fetch import ImageFetcher
from controller.storage.images.reconcile import ImageReconciler
from controller.storage.images.remote import HttpReader
from controller.storage.images.rpc import ImagesServicer
from controller.storage.images.store import ImageStore
from controller.storage.snapshots import sources as snapshots
from controller.storage.snapshots.collect import BlockCollector
from controller.storage.snapshots.rpc import SnapshotsServicer
from controller.storage.snapshots.rules import SnapshotRules
from controller.storage.snapshots.scrub import Scrub
from controller.storage.volumes import rows as volumes
from controller.storage.volumes.modify import Modifier
from controller.storage.volumes.overdue import VolumeOverdue
from controller.storage.volumes.placement import VolumePlacement
from controller.storage.volumes.reconcile import VolumeReconciler
from controller.storage.volumes.rpc import VolumesServicer
from controller.storage.volumes.rules import VolumeRules
from protos.cloud.v1 import fleet_pb2

SECOND, MINUTE, HOUR = 1_000, 60_000, 3_600_000
# What accounts have: tagged, counted by quotas, asked about by policies.
OWNED = (
    instances.OWNED,
    key_pairs.OWNED,
    addresses.OWNED,
    security_groups.OWNED,
    security_group_rules.OWNED,
    network_interfaces.OWNED,
    vpcs.OWNED,
    subnets.OWNED,
    internet_gateways.OWNED,
    route_tables.OWNED,
    network_acls.OWNED,
    dhcp_options.OWNED,
    images.OWNED,
    volumes.OWNED,
    snapshots.OWNED,
)


@dataclass(frozen=True)
class App:
    """A wired controller; see the module's head."""

    servicers: dict[str, Middleware]
    guard: Guard
    delivery: Delivery
    driver: Driver
    identity: Identity
    enrolment: Enrolment
    prepare: Callable[[Call], None]
    fetch_image: Callable[[], bool]  # ImageFetcher.run_once, for a thread of its own

    def run_tasks(self) -> int:
        """Runs the tasks that are due; answers after how many milliseconds the next one is."""
        return self.driver.run_due()

    def dispatch_pending(self) -> int:
        """Sends until nothing waits to be sent; answers how many hosts were sent to."""
        sent = 0
        while self.delivery.run_one():
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
    monotonic: Callable[[], int],
    rng: random.Random,
    agents: Agents,
    master_key: MasterKey,
    store: ImageStore,
    blocks: BlockStore,
    authority: Authority | None = None,
    authorize: Authorize = authorize,
    checkpoint: Callable[[str], None] = lambda name: None,
) -> App:
    """Everything, wired. Raises scheduling.place.UnknownName for names that the configuration got
    wrong."""
    zones = config.region.zones
    quotas = Quotas(config.quotas)
    feed = Feed(lambda host_ids: delivery.kick(host_ids))  # made below: they need each other
    instances = InstanceRules(db, _settings(config), quotas, feed)
    reconcilers = _reconcilers(db, instances, quotas, feed)
    kinds = hosted_kinds(_names(config), zones, feed)
    hearing = Hearing(db, config.hosts, monotonic)
    reports = Reports(db, kinds, list(reconcilers.values()), hearing.heard)
    snapshots = SnapshotRules(rng, quotas, feed)
    specs = Specs(kinds, _host_settings(config))
    timeout_s = config.hosts.apply_timeout_s
    delivery = Delivery(db, reports, agents, specs, clock, monotonic, timeout_s, checkpoint)

    def open_account(tx: Transaction, account_id: str) -> None:
        quotas.make(tx, account_id)
        make_default_vpc(tx, account_id, zones, rng, quotas, _names(config).private_suffix)

    identity = Identity(db, rng, master_key, open_account)
    enrolment = Enrolment(db, rng, config, authority)
    streams = threading.BoundedSemaphore(max(1, config.rpc_threads // 2))
    servicers = {
        "Fleet": FleetServicer(
            db, reports, delivery, specs, store.read, BlocksRpc(db, blocks, streams), streams
        ),
        "Enrolment": enrolment,
        "Hosts": HostsServicer(db, enrolment, zones, _settings(config)),
        "Identity": IdentityServicer(db, identity),
        "Snapshots": SnapshotsServicer(db, snapshots),
        "Instances": _instances(config, db, rng, quotas, feed, instances, agents),
        **_resources(config, db, rng, quotas, feed, snapshots, store),
    }
    fetcher = ImageFetcher(db, store, config.images, HttpReader(config.images.sources).read, clock)
    guard = Guard(authorize, config.region.name, OWNED)
    by_time = _overdue(config, db, instances, hearing, monotonic)
    tasks = _tasks(config, db, reconcilers, by_time, store, blocks, identity, enrolment, monotonic)
    wrapped = {
        name: Middleware(servicer, clock, guard.asks_of(name))
        for name, servicer in servicers.items()
    }
    return App(
        servicers=wrapped,
        guard=guard,
        delivery=delivery,
        driver=Driver(tasks, clock, monotonic),
        identity=identity,
        enrolment=enrolment,
        prepare=partial(_prepare, config, db, rng, quotas, feed),
        fetch_image=fetcher.run_once,
    )


def _prepare(
    config: Config, db: Database, rng: random.Random, quotas: Quotas, feed: Feed, call: Call
) -> None:
    with db.write(call) as tx:
        ensure_catalogue(tx)
        ensure_pool(tx, config.networks.public_pool)
        add_missing_subnets(tx, config.region.zones, rng)
        quotas.add_missing(tx)
        keep_domain(tx, feed, _names(config).private_suffix)


def _reconcilers(
    db: Database, instances: InstanceRules, quotas: Quotas, feed: Feed
) -> dict[str, Callable[[Call], object]]:
    """What follows from what hosts saw: tasks, and run after a report that ended something."""
    return {
        "instances": InstanceReconciler(db, instances, quotas, feed).run_once,
        "attachments": AttachmentReconciler(db, feed).run_once,
        "volumes": VolumeReconciler(db, quotas, feed).run_once,
        "images of instances": ImageReconciler(db).run_once,
    }


def _overdue(
    config: Config,
    db: Database,
    instances: InstanceRules,
    hearing: Hearing,
    monotonic: Callable[[], int],
) -> list[Task]:
    """What follows from what hosts did not say."""
    overdue = Overdue(db, instances, config.instances.pending_limit_ms, hearing, monotonic)
    return [
        Task("host health", SECOND, HostHealth(db, config.hosts, hearing).run_once),
        Task("overdue", 5 * SECOND, overdue.run_once),
        Task("overdue volumes", 5 * SECOND, VolumeOverdue(db, hearing, monotonic).run_once),
    ]


def _tasks(
    config: Config,
    db: Database,
    reconcilers: Mapping[str, Callable[[Call], object]],
    by_time: Sequence[Task],
    store: ImageStore,
    blocks: BlockStore,
    identity: Identity,
    enrolment: Enrolment,
    monotonic: Callable[[], int],
) -> list[Task]:
    """What is run for ever, and how often."""
    scrub = Scrub(db, blocks, config.snapshots.scrub_mib_per_s)
    return [
        *(Task(name, SECOND, reconcile) for name, reconcile in reconcilers.items()),
        *by_time,
        Task("purge", MINUTE, Purge(db, config.instances.keep_terminated_ms).run_once),
        Task("images", MINUTE, ImageCollector(db, store, monotonic).run_once),
        Task("blocks", HOUR, BlockCollector(db, blocks).run_once),
        Task("scrub", SECOND, scrub.run_once),
        Task("damaged snapshots", HOUR, scrub.report),
        Task("key changes", HOUR, identity.forget_changes),
        Task("join tokens", HOUR, enrolment.forget_expired),
        Task("audit", HOUR, Audit(db, OWNED).run_once),
    ]


def _instances(
    config: Config,
    db: Database,
    rng: random.Random,
    quotas: Quotas,
    feed: Feed,
    rules: InstanceRules,
    agents: Agents,
) -> InstancesServicer:
    names = _names(config)
    describer = Describer(db, names, config.region.zones)
    chosen = config.scheduler
    scheduler = Scheduler(chosen.name, chosen.filters, chosen.weighers, _settings(config), rng)
    zones = config.region.zones
    launcher = Launcher(db, rng, config.instances, scheduler, quotas, feed, describer, names, zones)
    types = Types(db, config.region.name, zones)
    timeout_s = config.hosts.console_timeout_s
    attributes = Attributes(db, feed)
    return InstancesServicer(
        db, launcher, describer, rules, attributes, types, feed, agents, timeout_s
    )


def _resources(
    config: Config,
    db: Database,
    rng: random.Random,
    quotas: Quotas,
    feed: Feed,
    snapshots: SnapshotRules,
    store: ImageStore,
) -> dict[str, object]:
    region = config.region
    return {
        "Images": ImagesServicer(
            db, rng, store, config.images, snapshots, ImageMaker(rng, snapshots, feed), quotas
        ),
        "Volumes": _volumes(config, db, rng, quotas, feed),
        "Networks": NetworksServicer(db, rng, quotas, feed, _names(config), region),
        "NetworkInterfaces": NetworkInterfacesServicer(
            db, rng, quotas, feed, _names(config), InterfaceAttachments(rng, feed)
        ),
        "SecurityGroups": SecurityGroupsServicer(db, rng, quotas, feed),
        "Addresses": AddressesServicer(db, rng, quotas, feed, region.name),
        "KeyPairs": KeyPairsServicer(db, rng, quotas),
        "Quotas": QuotasServicer(db, quotas),
        "Regions": RegionsServicer(db, region, quotas, GROUPS_PER_INTERFACE_MAX),
        "Tags": TagsServicer(db, OWNED, partial(retagged, feed)),
    }


def _volumes(
    config: Config, db: Database, rng: random.Random, quotas: Quotas, feed: Feed
) -> VolumesServicer:
    placement = VolumePlacement(_settings(config), config.region.zones)
    return VolumesServicer(
        db,
        config.region.zones,
        VolumeRules(db, rng, placement, quotas, feed),
        VolumeAttachments(db, feed),
        Modifier(db, placement, quotas, feed),
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


def _host_settings(config: Config) -> fleet_pb2.HostSettings:
    return fleet_pb2.HostSettings(
        report_interval_ms=config.hosts.report_interval_ms,
        region=config.region.name,
        dns_suffix=_names(config).private_suffix,
        nameservers=config.networks.nameservers,
    )
