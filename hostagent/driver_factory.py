"""The drivers that a configuration asks for: real ones, or fakes that need neither root nor
libvirt.

    drivers = make_drivers(config, ledger, host_id, fleet, clock)
    drivers.start(); drivers.stop()      guests, VPCs and disks stay as they are

Called by service. libvirt and the network driver are imported only where they are asked for: a fake
host runs on a laptop that has neither.
"""

import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from hostagent import facts
from hostagent.compute.drivers import Hypervisor
from hostagent.compute.hypervisors.fake import FakeHypervisor
from hostagent.compute.hypervisors.fake_guests import FakeState
from hostagent.config import Config
from hostagent.enrolment import read_identity
from hostagent.kernel import shell
from hostagent.kernel.loops import monotonic_ms
from hostagent.ledger import HostLedger
from hostagent.network.drivers import Network
from hostagent.network.fake import FakeNetwork
from hostagent.storage.blocks import Blocks, FleetBlocks
from hostagent.storage.drivers import Exports, Images, Volumes
from hostagent.storage.images.cache import Cache, Settings
from hostagent.storage.images.fake import FakeImages
from hostagent.storage.volumes.exports import NoExports, QemuExports
from hostagent.storage.volumes.fake import FakeVolumes
from hostagent.storage.volumes.fake_exports import FakeExports
from hostagent.storage.volumes.known import images_in_use
from hostagent.storage.volumes.qcow2 import Qcow2Volumes
from hostagent.storage.volumes.storage_daemon import link_tls
from protos.cloud.v1 import fleet_pb2

if TYPE_CHECKING:
    from hostagent.compute.hypervisors.libvirt.driver import LibvirtHypervisor
    from hostagent.network.linux import LinuxNetwork
    from protos.cloud.v1.clients import FleetClient

FETCH_TIMEOUT_S = 3600.0  # of one image; a cut fetch is gone on with
CPUINFO = Path("/proc/cpuinfo")
GIB = 1024**3

Clock = Callable[[], int]


def _nothing() -> None:
    """Fakes have nothing to start or stop."""


def _no_strays() -> dict[str, Sequence[object]]:
    return {}


@dataclass(frozen=True)
class HostDrivers:
    """Drivers, and what starts and stops them. ``connects`` is what it takes to look at the host
    only. ``strays`` lists what the drivers find of their own that no driver's Protocol shows (kind
    -> names): all of it is too much where no instance should be here.
    """

    hypervisor: Hypervisor
    network: Network
    images: Images
    volumes: Volumes
    blocks: Blocks
    copiers: Executor
    connects: Sequence[Callable[[], object]] = ()
    starts: Sequence[Callable[[], object]] = ()
    stops: Sequence[Callable[[], object]] = ()
    strays: Callable[[], Mapping[str, Sequence[object]]] = _no_strays
    exports: Exports = field(default_factory=NoExports)

    def start(self) -> None:
        """Raises DriverError where this host cannot work at all."""
        for start in (*self.connects, *self.starts):
            start()

    def stop(self) -> None:
        for stop in self.stops:
            stop()


def make_drivers(
    config: Config, ledger: HostLedger, host_id: str, fleet: "FleetClient", clock: Clock
) -> HostDrivers:
    """The drivers, not started yet."""
    if config.hypervisor == "fake":
        return _fake(config, clock, FleetBlocks(fleet))
    return _real(config, ledger, host_id, fleet)


def _fake(config: Config, clock: Clock, blocks: Blocks) -> HostDrivers:
    """Guests and ports in files, so that they outlive the agent as real ones do."""
    run = config.state_dir / "run"
    state = FakeState(run / "fake-guests.json", facts.boot_id())
    rng = random.Random(config.fake_seed) if config.fake_seed else random.Random()
    images = FakeImages(clock, blocks=blocks, folder=run / "fake-images")
    volumes = FakeVolumes(
        path=run / "fake-volumes.json", read_base=images.read, base_holds=images.holds
    )
    hypervisor = FakeHypervisor(clock, rng, config.faults, state, later=_timer, volumes=volumes)
    network = FakeNetwork(path=run / "fake-ports.json")
    copiers = ThreadPoolExecutor(config.copies, thread_name_prefix="snapshot")
    stops = [lambda: copiers.shutdown(False, cancel_futures=True)]
    exports = FakeExports(volumes, endpoint=config.volumes.listen or config.listen)
    return HostDrivers(
        *(hypervisor, network, images, volumes, blocks, copiers), stops=stops, exports=exports
    )


def _timer(delay_ms: int, call: Callable[[], None]) -> None:
    timer = threading.Timer(delay_ms / 1000, call)
    timer.daemon = True
    timer.start()


def libvirt_hypervisor(config: Config, host_id: str) -> "LibvirtHypervisor":
    from hostagent.compute.hypervisors.libvirt import domain_xml
    from hostagent.compute.hypervisors.libvirt.driver import LibvirtHypervisor

    virtual = facts.choose_hypervisor(config.hypervisor, CPUINFO.read_text())
    made = config.libvirt
    settings = domain_xml.Settings(virtual, made.machine, made.cache, made.tcg_translation_mib)
    return LibvirtHypervisor(made.uri, settings, host_id)


def linux_network(
    config: Config, settings: Callable[[], fleet_pb2.HostSettings] = fleet_pb2.HostSettings
) -> "LinuxNetwork":
    from hostagent.network.linux import LinuxNetwork

    return LinuxNetwork(config.network, run=shell.run, settings=settings)


def _real(config: Config, ledger: HostLedger, host_id: str, fleet: "FleetClient") -> HostDrivers:
    hypervisor = libvirt_hypervisor(config, host_id)
    network = linux_network(config, lambda: ledger.settings)
    pool = ThreadPoolExecutor(config.images.fetches, thread_name_prefix="image")
    copiers = ThreadPoolExecutor(config.copies, thread_name_prefix="snapshot")
    blocks = FleetBlocks(fleet)

    def fetch(digest: str, offset: int) -> Iterator[bytes]:
        request = fleet_pb2.FetchImageRequest(digest=digest, offset=offset)
        for chunk in fleet.FetchImage(request, timeout_s=FETCH_TIMEOUT_S):
            yield chunk.data

    volumes = Qcow2Volumes(config.state_dir / "volumes", shell.run)

    def in_use() -> set[str]:
        """What the ledger knows of, and what a volume's file stands on, whatever was told since."""
        return images_in_use(ledger) | {f"sha256:{path.stem}" for path in volumes.bases()}

    images = Cache(
        config.state_dir / "images",
        fetch,
        in_use,
        Settings(config.images.cache_gib * GIB, config.images.max_virtual_gib * GIB),
        pool,
        monotonic_ms,
        shell.run,
        blocks,
    )
    tls, nbd = read_identity(config.pki).tls, config.state_dir / "run" / "nbd"
    exports: Exports = NoExports()
    starts: list[Callable[[], object]] = [
        *(network.start, images.start, volumes.start),
        partial(link_tls, nbd, tls),  # libvirt's QEMU is a client with it
    ]
    if listen := config.volumes.listen:
        server = QemuExports(nbd, listen, config.volumes.endpoint, tls, volumes, shell.run)
        starts.append(server.start)
        exports = server
    return HostDrivers(
        hypervisor,
        network,
        images,
        volumes,
        blocks,
        copiers,
        connects=[hypervisor.start],
        starts=starts,
        stops=[
            network.stop,
            hypervisor.stop,
            *(partial(one.shutdown, False, cancel_futures=True) for one in (pool, copiers)),
        ],
        strays=lambda: {
            **network.inventory().of_vpcs(),
            "unfinished": [*images.unfinished(), *volumes.unfinished()],
        },
        exports=exports,
    )
