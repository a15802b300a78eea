"""What runs guests, as a Protocol. Real and fake hypervisors stand behind it. All raise
``DriverError``, and ``Unavailable`` while what does the work is away.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

from hostagent.network.drivers import Port
from hostagent.storage.drivers import Disk, VolumeUser
from protos.cloud.v1 import fleet_pb2


class Power(Enum):
    """What a hypervisor sees of a domain."""

    NONE = "none"  # not defined here
    PAUSED = "paused"  # made, not yet let go
    RUNNING = "running"
    SHUTTING_DOWN = "shutting-down"
    OFF = "off"  # was asked to stop, or never started, or the host lost power
    EXITED = "exited"  # the guest powered itself off
    CRASHED = "crashed"  # QEMU died or the guest panicked


@dataclass(frozen=True)
class GuestNic:
    """A network interface as a domain has it."""

    network_interface_id: str
    untracked: bool = False  # as a disk's


class Hypervisor(VolumeUser, Protocol):
    """Runs guests. One domain an instance, named by the instance id. While it is away, guests run
    on and every method that needs it raises Unavailable.
    """

    def facts(self) -> fleet_pb2.HostFacts:
        """What it is and may use. Known while it is away, too."""

    def away(self) -> str:
        """Why it cannot be used just now, in a few words; empty: it can."""

    def power(self, instance_id: str) -> Power: ...

    def create_paused(
        self,
        spec: fleet_pb2.InstanceSpec,
        disks: Sequence[Disk],
        ports: Sequence[Port],
        console: Path,
    ) -> None:
        """Defines and starts the domain paused, so that its taps can be plugged before the first
        packet.
        """

    def resume(self, instance_id: str) -> None: ...

    def shut_down(self, instance_id: str) -> None:
        """Asks the guest (ACPI). Returns at once."""

    def power_off(self, instance_id: str) -> None:
        """Takes the power away. Returns when the domain is off."""

    def reboot(self, instance_id: str) -> None:
        """Asks the guest to reboot (ACPI). Returns at once; ``reboot_seen`` tells, and ``reset`` is
        for the guest that does not listen.
        """

    def reboot_seen(self, instance_id: str) -> bool:
        """Whether the guest has started anew since the last ``reboot`` that this process made.
        Forgotten when the process ends: a reboot may then be asked for twice.
        """

    def reset(self, instance_id: str) -> None: ...

    def remove(self, instance_id: str) -> None:
        """Off and undefined; nothing of the domain is left. Its console's file stays."""

    def attach_disk(self, instance_id: str, disk: Disk) -> None:
        """Gives a running guest a disk. The same again is the same."""

    def detach_disk(self, instance_id: str, volume_id: str) -> None:
        """Asks a running guest to let go of a disk. Returns at once; ``disks`` tells, and ``watch``
        when it may have. May be asked again.
        """

    def tune_disk(self, instance_id: str, volume_id: str, iops: int, throughput_mibps: int) -> None:
        """Limits a disk of a running guest; 0: no limit."""

    def nics(self, instance_id: str) -> Sequence[GuestNic]:
        """The network interfaces of a domain as it is now; all else as with ``disks``."""

    def attach_nic(self, instance_id: str, port: Port) -> None:
        """Gives a running guest an interface on its tap. The same again is the same."""

    def detach_nic(self, instance_id: str, network_interface_id: str) -> None:
        """Asks a running guest to let go of an interface. Returns at once; ``nics`` tells, and
        ``watch`` when it may have. May be asked again.
        """

    def domains(self) -> Collection[str]:
        """Names of all domains, also of those that are not ours."""

    def watch(self, on_change: Callable[[str], None]) -> None:
        """Calls ``on_change(instance_id)`` from any thread whenever a domain may have changed,
        ``on_change("")`` when anything may have (a lost connection is back).
        """
