"""The host as the workers of instances know it: its drivers, and what stands before them."""

from dataclasses import dataclass, field
from pathlib import Path

from hostagent.compute.drivers import Hypervisor
from hostagent.network.drivers import Network
from hostagent.network.vpcs import Vpcs
from hostagent.storage.drivers import Exports, Images, Volumes
from hostagent.storage.volumes.exports import NoExports
from hostagent.storage.volumes.manager import VolumeManager


@dataclass(frozen=True)
class Drivers:
    """See the module's head."""

    hypervisor: Hypervisor
    network: Network
    images: Images
    volumes: Volumes
    manager: VolumeManager
    vpcs: Vpcs
    consoles: Path  # a folder; an instance's console log outlives its stops
    exports: Exports = field(default_factory=NoExports)
