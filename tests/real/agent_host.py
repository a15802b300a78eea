"""A host for the real tests: the agent's core and pool on libvirt, the image cache and qcow2 files.

Guests are boot sectors (boot_sector.py), which come up in a fraction of a second.
"""

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor

from hostagent.app import Parts, wire
from hostagent.audit import Audit
from hostagent.compute.hypervisors.libvirt.domain_xml import Settings
from hostagent.compute.hypervisors.libvirt.driver import LibvirtHypervisor
from hostagent.compute.limits import Limits
from hostagent.events import guest_changed
from hostagent.kernel import shell
from hostagent.kernel.loops import Pump
from hostagent.ledger import HostLedger, open_file
from hostagent.network.fake import FakeNetwork
from hostagent.storage.images.cache import Cache
from hostagent.storage.images.cache import Settings as CacheSettings
from hostagent.storage.volumes.known import images_in_use
from hostagent.storage.volumes.qcow2 import Qcow2Volumes
from protos.cloud.v1 import fleet_pb2
from protos.cloud.v1.fleet_pb2 import RUNNING, InstanceSpec
from tests.harness.waiting import wait_until
from tests.real.boot_sector import GREETING, Guest, boot_sector
from tests.unit.hostagent.rig import HOST, Told, host_spec
from tests.unit.hostagent.stores import MemoryBlocks

LIMITS = Limits(
    shutdown_ms=6_000,
    reboot_ms=3_000,
    ask_again_ms=1_000,
    status_check_ms=4_000,
    detach_ms=2_000,
    poll_ms=500,
    backoff_ms=200,
)
IMAGES = {
    "sha256:" + hashlib.sha256(content).hexdigest(): content
    for content in (boot_sector(guest) for guest in Guest)
}


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


class Host:
    """An agent without its gRPC server; ``stop`` and ``start``: what its kill -9 leaves."""

    def __init__(self, folder, uri, new_network=FakeNetwork, limits=LIMITS):
        self.folder, self.uri, self.new_network = folder, uri, new_network
        self.limits = limits
        self.consoles = folder / "instances"
        self.consoles.mkdir()
        self.boot_id = "this boot"
        self.blocks = MemoryBlocks()
        self.revision = 0
        self.pump = None
        self.start()

    def stop(self) -> None:
        self.pump.stop()
        self.hypervisor.stop()

    def close(self) -> None:
        """Guests go too."""
        self.pump.stop()
        for name in self.hypervisor.domains():
            self.hypervisor.remove(name)
        self.hypervisor.stop()

    def start(self) -> None:
        self.hypervisor = LibvirtHypervisor(self.uri, Settings("qemu"), HOST)
        self.hypervisor.start()
        self.ledger = HostLedger(
            open_file(self.folder / "ledger.db"), HOST, now_ms=wall_ms(), boot_id=self.boot_id
        )
        self.network = self.new_network()
        self.volumes = Qcow2Volumes(self.folder / "volumes", shell.run)
        self.images = Cache(
            self.folder / "images",
            lambda digest, offset: iter([IMAGES[digest][offset:]]),
            lambda: images_in_use(self.ledger),
            CacheSettings(cache_bytes=1 << 30, max_virtual_bytes=1 << 40),
            ThreadPoolExecutor(2),
            wall_ms,
            shell.run,
            self.blocks,
        )
        parts = Parts(
            ledger=self.ledger,
            hypervisor=self.hypervisor,
            network=self.network,
            images=self.images,
            volumes=self.volumes,
            consoles=self.consoles,
            clock=wall_ms,
            facts=fleet_pb2.HostFacts,
            limits=self.limits,
            blocks=self.blocks,
        )
        self.agent, self.on = wire(parts)
        self.pump = Pump(self.agent, 4)
        self.pump.start()

    def tell(
        self,
        name: str,
        guest: Guest,
        desired=RUNNING,
        nics=(),
        vpcs=(),
        disks=(),
        volumes=(),
        snapshots=(),
        **fields,
    ) -> None:
        """``disks`` are beside the root disk; ``volumes`` are specified by themselves."""
        self.revision += 1
        spec = InstanceSpec(
            instance_id=name,
            intent_revision=self.revision,
            desired=desired,
            vcpus=1,
            memory_mib=64,
            instance_type="t3.nano",
            starts=1,
        )
        for key, value in fields.items():
            setattr(spec, key, value)
        content = boot_sector(guest)
        disk = spec.disks.add(volume_id=volume_of(name), size_bytes=4 << 20)
        disk.delete_on_termination = True
        disk.image.image_id, disk.image.disk_format = "ami-1", "raw"
        disk.image.digest = "sha256:" + hashlib.sha256(content).hexdigest()
        disk.image.size_bytes = len(content)
        spec.nics.extend(nics)
        spec.disks.extend(disks)
        told = [Told(each, self.revision) for each in (spec, *vpcs, *volumes, *snapshots)]
        self.agent.apply(host_spec(*told, base=self.revision - 1, vpcs=()))

    def look_at(self, instance_id: str) -> None:
        """Something may have happened to a guest; "": to any."""
        guest_changed(self.agent, self.ledger, instance_id)

    def observed(self, name: str) -> int | None:
        entry = self.ledger.instances.get(name)
        return entry.progress.observed if entry else None

    def until(self, name: str, observed: int) -> None:
        eventually(
            lambda: self.observed(name) == observed,
            lambda: f"{name} is {self.ledger.instances.get(name).progress}",
        )

    def greetings(self, name: str) -> int:
        path = self.consoles / f"{name}.log"
        return path.read_bytes().count(GREETING) if path.exists() else 0

    def until_greeted(self, name: str, times: int) -> None:
        eventually(lambda: self.greetings(name) >= times, lambda: f"{self.greetings(name)}")

    def leftovers(self) -> list:
        return Audit(self.ledger, self.on).findings()


def eventually(what, otherwise=lambda: "it did not happen", timeout_s: float = 40.0) -> None:
    wait_until(otherwise, what, timeout_s, look_s=0.02)


def volume_of(name: str) -> str:
    return "vol-" + name.removeprefix("i-")
