"""An agent's core, wired: everything that it depends on is passed in, real or fake.

    agent = build(Parts(ledger=..., hypervisor=..., network=..., ...))

How a simulation drives it (manual clock, no thread):

    agent.apply(spec) -> HostReport      as the controller's delivery would
    report = agent.report(); agent.delivered(report, fleet.Report(report))     the heartbeat
    agent.run_due(now) -> next time      the work; then at that time again, or after a call above
    agent.has_news()                     a heartbeat is worth sending before its time

A crash is the loss of the Agent, the HostLedger and (if it should forget) nothing else: keep the
drivers and the ledger's connection, open a new HostLedger on it (the epoch grows) and build again.
A host's power failure is the same with ``FakeHypervisor.lose_power()`` and a new ``boot_id``.
``checkpoint`` may raise a BaseException that is no Exception to cut at that point; nothing in here
catches it.
"""

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from hostagent.compute.drivers import Hypervisor
from hostagent.compute.host import Drivers
from hostagent.compute.instance_kind import INSTANCE
from hostagent.compute.limits import Limits
from hostagent.compute.worker import InstanceWorker
from hostagent.events import watch
from hostagent.host_worker import HostWorker
from hostagent.kernel.agent import Agent
from hostagent.kernel.kinds import Worker as KernelWorker
from hostagent.kernel.sync import Sync
from hostagent.ledger import VOLUME, VPC, HostLedger
from hostagent.network.drivers import Network
from hostagent.network.vpcs import Vpcs, VpcWorker
from hostagent.storage.blocks import Blocks, NoBlocks
from hostagent.storage.drivers import Exports, Images, Volumes
from hostagent.storage.snapshots.copies import Copies, Inline
from hostagent.storage.snapshots.kind import SNAPSHOT
from hostagent.storage.snapshots.progress import is_copied
from hostagent.storage.snapshots.worker import SnapshotWorker
from hostagent.storage.volumes.exports import NoExports
from hostagent.storage.volumes.manager import VolumeManager
from hostagent.storage.volumes.worker import VolumeWorker
from protos.cloud.v1 import fleet_pb2


@dataclass(frozen=True)
class Parts:
    """What an agent depends on. ``clock`` is the wall's, in ms; ``consoles`` an existing folder."""

    ledger: HostLedger
    hypervisor: Hypervisor
    network: Network
    images: Images
    volumes: Volumes
    consoles: Path
    clock: Callable[[], int]
    facts: Callable[[], fleet_pb2.HostFacts]
    usage: Callable[[], fleet_pb2.HostUsage] = fleet_pb2.HostUsage
    limits: Limits = field(default_factory=Limits)
    exports: Exports = field(default_factory=NoExports)
    checkpoint: Callable[[str], None] = lambda name: None
    blocks: Blocks = field(default_factory=NoBlocks)  # the controller's store of snapshots
    copiers: Executor = field(default_factory=Inline)  # copies run in it: here and now, untold


class HasDrivers(Protocol):
    """Parts, or drivers that nothing is built on."""

    @property
    def hypervisor(self) -> Hypervisor: ...
    @property
    def network(self) -> Network: ...
    @property
    def images(self) -> Images: ...
    @property
    def volumes(self) -> Volumes: ...
    @property
    def exports(self) -> Exports: ...


def host_of(on: HasDrivers, ledger: HostLedger, consoles: Path, limits: Limits) -> Drivers:
    """What the workers, and an audit, have of the host."""

    def copied(volume_id: str) -> bool:
        return is_copied(ledger.snapshots.all(), volume_id)

    vpcs = Vpcs(ledger, on.network, audit_ms=limits.audit_ms, retry_ms=limits.backoff_ms)
    manager = VolumeManager(
        *(on.volumes, on.hypervisor, on.images, ledger.volumes, on.exports), is_copied=copied
    )
    return Drivers(
        *(on.hypervisor, on.network, on.images, on.volumes, manager, vpcs, consoles, on.exports)
    )


def build(parts: Parts) -> Agent:
    """The agent, with all that its ledger holds due at once."""
    return wire(parts)[0]


def wire(parts: Parts) -> tuple[Agent, Drivers]:
    """The agent, and what its workers have of the host."""
    limits, ledger = parts.limits, parts.ledger
    drivers = host_of(parts, ledger, parts.consoles, limits)
    manager, vpcs = drivers.manager, drivers.vpcs

    def facts() -> fleet_pb2.HostFacts:
        told = fleet_pb2.HostFacts()
        told.CopyFrom(parts.facts())
        told.hypervisor_away = parts.hypervisor.away()
        return told

    sync = Sync(ledger, parts.clock, facts, parts.usage, parts.images.cached)
    copies = Copies(parts.volumes, parts.blocks, parts.copiers)
    checkpoint = parts.checkpoint
    workers: dict[tuple[str, str], Callable[[str], KernelWorker]] = {
        (kind.name, kind.role): make
        for kind, make in (
            (
                INSTANCE,
                lambda name: InstanceWorker(name, ledger, drivers, limits, parts.clock, checkpoint),
            ),
            (VPC, lambda name: VpcWorker(name, vpcs)),
            (VOLUME, lambda name: VolumeWorker(name, ledger, manager, limits, checkpoint)),
            (
                SNAPSHOT,
                lambda name: SnapshotWorker(name, ledger, manager, copies, limits, checkpoint),
            ),
        )
    }
    host = HostWorker(ledger, drivers, sync.set_orphans, limits)
    agent = Agent(ledger, sync, workers, host, limits.backoff_most_ms, checkpoint)
    watch(agent, ledger, drivers, copies)
    return agent, drivers
