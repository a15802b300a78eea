"""An agent's core on fakes with a manual clock: what the tests of this folder drive."""

import contextlib
import random
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from hostagent.app import Parts, wire
from hostagent.audit import Audit, Finding
from hostagent.compute.hypervisors.fake import FakeHypervisor
from hostagent.compute.hypervisors.fake_guests import Faults
from hostagent.compute.limits import Limits
from hostagent.compute.progress import InstanceProgress
from hostagent.events import guest_changed
from hostagent.ledger import KINDS, HostLedger, open_file
from hostagent.network.fake import FakeNetwork
from hostagent.storage.blocks import Blocks, NoBlocks
from hostagent.storage.images.fake import FakeImages
from hostagent.storage.snapshots.copies import Inline
from hostagent.storage.volumes.fake import FakeVolumes
from hostagent.storage.volumes.fake_exports import FakeExports
from protos.cloud.v1 import fleet_pb2
from protos.cloud.v1.fleet_pb2 import RUNNING, Assignment, HostSpec, InstanceSpec

HOST = "h-00000000000000001"
LIMITS = Limits()


class Clock:
    """Stands still until told."""

    def __init__(self):
        self.now_ms = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now_ms


class Told:
    """A specification with its resource's revision. Reads and writes of fields are the spec's."""

    def __init__(self, spec, revision: int):
        object.__setattr__(self, "spec", spec)
        object.__setattr__(self, "revision", revision)

    def __getattr__(self, name):
        return getattr(self.spec, name)

    def __setattr__(self, name, value):
        setattr(self.spec, name, value)

    def assignment(self) -> Assignment:
        kind = next(kind for kind in KINDS if isinstance(self.spec, kind.spec_type))
        name = getattr(self.spec, f"{kind.name}_id")
        key = {"kind": kind.name, "id": name, "role": kind.role}
        return Assignment(**key, revision=self.revision, **{kind.name: self.spec})


def instance(name="i-1", revision=1, desired=RUNNING, **fields) -> Told:
    """An instance with a root disk and a NIC in vpc-1."""
    spec = InstanceSpec(instance_id=name, desired=desired, intent_revision=revision)
    spec.starts, spec.vcpus, spec.memory_mib = 1, 1, 128
    disk = spec.disks.add(volume_id=f"vol-{name}", device_name="/dev/xvda", size_bytes=1 << 30)
    disk.delete_on_termination = True
    disk.image.image_id, disk.image.digest = "ami-1", "sha256:" + "ab" * 32
    disk.image.disk_format = "qcow2"
    spec.nics.add(
        network_interface_id=f"eni-{name}", vpc_id="vpc-1", subnet_id="subnet-1"
    ).mac_address = "02:00:00:00:00:01"
    for key, value in fields.items():
        setattr(spec, key, value)
    return Told(spec, revision)


def host_spec(*told: Told, position=None, base=0, vpcs=("vpc-1",)) -> HostSpec:
    """With VPCs of the newest revision, which is the position where none is given."""
    newest = max((each.revision for each in told), default=0)
    position = newest if position is None else position
    described = [Told(fleet_pb2.VpcSpec(vpc_id=vpc), max(newest, 1)) for vpc in vpcs]
    assignments = [each.assignment() for each in (*told, *described)]
    return HostSpec(host_id=HOST, position=position, base=base, assignments=assignments)


@dataclass
class Rig:
    """A host. ``restart`` is kill -9 of the agent, ``power_failure`` that of the machine."""

    consoles: Path
    faults: Faults = field(default_factory=Faults)
    limits: Limits = LIMITS
    checkpoint: object = lambda name: None
    network: FakeNetwork = field(default_factory=FakeNetwork)
    blocks: Blocks = field(default_factory=NoBlocks)
    copiers: Executor = field(default_factory=Inline)
    served_bytes: Callable[[str], int] | None = None

    def __post_init__(self):
        self.clock = Clock()
        self.db = open_file(":memory:")
        self.volumes = FakeVolumes()
        self.hypervisor = FakeHypervisor(
            self.clock,
            random.Random(1),
            self.faults,
            volumes=self.volumes,
            served_bytes=self.served_bytes,
        )
        self.images = FakeImages(self.clock)
        self.exports = FakeExports(self.volumes)
        self.boot_id = "boot-1"
        self.restart()

    def restart(self) -> None:
        self.ledger = HostLedger(
            self.db,
            HOST,
            now_ms=self.clock(),
            boot_id=self.boot_id,
            checkpoint=lambda name: self.checkpoint(name),
        )
        self.agent, self.on = wire(
            Parts(
                ledger=self.ledger,
                hypervisor=self.hypervisor,
                network=self.network,
                images=self.images,
                volumes=self.volumes,
                consoles=self.consoles,
                clock=self.clock,
                facts=lambda: fleet_pb2.HostFacts(name="host-1", vcpus=64),
                limits=self.limits,
                exports=self.exports,
                checkpoint=lambda name: self.checkpoint(name),
                blocks=self.blocks,
                copiers=self.copiers,
            )
        )

    def power_failure(self) -> None:
        self.hypervisor.lose_power()
        self.network.lose_power()
        self.boot_id += "+"
        self.restart()

    def look_at(self, instance_id: str) -> None:
        """Something may have happened to a guest."""
        guest_changed(self.agent, self.ledger, instance_id)

    def tell(self, *told: Told, **fields) -> fleet_pb2.HostReport:
        """Apply, and all the work that is due at once."""
        report = self.agent.apply(host_spec(*told, **fields))
        self.run()
        return report

    def run(self) -> int | None:
        return self.agent.run_due(self.clock())

    @contextlib.contextmanager
    def held_elsewhere(self, volume_id: str) -> Iterator[None]:
        """Another of the agent's threads is at the volume."""
        held = self.on.manager.held([volume_id])
        with ThreadPoolExecutor(1) as another:
            another.submit(held.__enter__).result()
        try:
            yield
        finally:
            held.__exit__(None, None, None)

    def pass_ms(self, span: int) -> None:
        """Time passes; everything is done when it is due."""
        end = self.clock() + span
        while True:
            self.hypervisor.tick()
            due = self.run()
            guest = self.hypervisor.next_due()
            then = min((t for t in (due, guest) if t is not None), default=end)
            if then >= end:
                break
            self.clock.now_ms = max(then, self.clock() + 1)
        self.clock.now_ms = end
        self.hypervisor.tick()
        self.run()

    def acknowledge(self, position: int | None = None) -> None:
        """A heartbeat whose answer acknowledges all that it said."""
        report = self.agent.report()
        known = report.position if position is None else position
        self.agent.delivered(
            report,
            HostSpec(
                host_id=HOST,
                position=known,
                base=known,
                acknowledged_epoch=report.epoch,
                acknowledged_sequence=report.sequence,
            ),
        )

    def said(self, kind="instance") -> dict[str, fleet_pb2.Observation]:
        """What the next report says of a kind, by id."""
        return {one.id: one for one in self.agent.report().observations if one.kind == kind}

    def findings(self) -> list[Finding]:
        """What is on the host that should not be."""
        return Audit(self.ledger, self.on).findings()

    def observed(self, name="i-1") -> str:
        entry = self.ledger.instances.get(name)
        return fleet_pb2.Observed.Name(entry.progress.observed) if entry else "forgotten"

    def power(self, name="i-1") -> str:
        guest = self.hypervisor.state.guests.get(name)
        return guest.power if guest else "none"

    def tenants(self) -> list[str]:
        return [spec.instance_id for spec in self.network.tenants.get("vpc-1", ())]

    def is_bare(self) -> bool:
        """Nothing of any instance is left on the host."""
        return not (
            self.hypervisor.state.guests
            or self.network.made
            or self.network.ports
            or self.volumes.made
            or list(self.consoles.iterdir())
        )


def progress(rig: Rig, name="i-1") -> InstanceProgress:
    return rig.ledger.instances.get(name).progress


def sizes(rig: Rig) -> dict[str, int]:
    """Of the volumes on the host, in bytes."""
    return {name: rig.volumes.chain(name)[-1].size_bytes for name in rig.volumes.volumes()}
