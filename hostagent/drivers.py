"""What the steps know of the world: the drivers' Protocols. Real and fake drivers stand behind the
same ones.

Every ``ensure_*`` looks before it acts and may be called again at any time, also after a crash in
its middle. Every ``remove_*`` succeeds where there is nothing to remove. All raise ``DriverError``
with a message that an operator understands; ``transient`` says whether trying again can help
without anything else changing.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Protocol

from protos.cloud.v1 import fleet_pb2


class DriverError(Exception):
    """Something on the host could not be made true."""

    def __init__(self, message: str, *, transient: bool = True, because: object = None):
        super().__init__(message)
        self.transient, self.because = transient, because


class NotYet(Exception):
    """What was asked for is being made in the background. Look again when told by ``watch``, or
    after ``retry_ms``. ``progress`` is for an operator's eyes ("fetching ami-1: 40 of 100 MiB").
    """

    def __init__(self, progress: str, *, retry_ms: int = 1000):
        super().__init__(progress)
        self.progress, self.retry_ms = progress, retry_ms


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
class Disk:
    """A disk as the hypervisor gets it. ``device_name`` is EC2's; the order of disks decides the
    guest's names.
    """

    volume_id: str
    device_name: str
    path: Path
    disk_format: str  # qcow2 | raw
    backing: Path | None = None
    backing_format: str = ""


@dataclass(frozen=True)
class Port:
    """A network interface's end on the host."""

    network_interface_id: str
    tap: str  # at most 15 characters, starts with "tap"
    mac_address: str
    mtu: int


class Hypervisor(Protocol):
    """Runs guests. One domain an instance, named by the instance id."""

    def facts(self) -> fleet_pb2.HostFacts: ...

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

    def domains(self) -> Collection[str]:
        """Names of all domains, ours and strangers'."""

    def watch(self, on_change: Callable[[str], None]) -> None:
        """Calls ``on_change(instance_id)`` from any thread whenever a domain may have changed,
        ``on_change("")`` when anything may have (a lost connection is back).
        """


class Network(Protocol):
    """VPCs on this host: a namespace each, with a router, a bridge per subnet, DHCP, metadata and
    the firewall.
    """

    def ensure_host(self) -> None:
        """What all VPCs share, should somebody have taken it away. Not at every launch: now and
        then.
        """

    def ensure_vpc(
        self, vpc: fleet_pb2.VpcSpec, instances: Sequence[fleet_pb2.InstanceSpec]
    ) -> None:
        """Makes the VPC here exactly what ``vpc`` says for these local instances (those with a NIC
        in it): namespace, router, bridges, DHCP hosts, NAT of public addresses, and the firewall,
        replaced atomically.
        """

    def ensure_port(self, nic: fleet_pb2.NicSpec) -> Port:
        """A tap for the NIC where the hypervisor can open it, anew for each start of the domain."""

    def plug(self, nic: fleet_pb2.NicSpec) -> None:
        """Joins the tap, held open by a paused domain, to its subnet's bridge. The firewall is in
        place before.
        """

    def is_plugged(self, nic: fleet_pb2.NicSpec) -> bool: ...

    def remove_port(self, nic: fleet_pb2.NicSpec) -> None: ...

    def remove_vpc(self, vpc_id: str) -> None: ...

    def vpcs(self) -> Collection[str]:
        """Ids of the VPCs that have anything here."""


class Images(Protocol):
    """The bounded, content-addressed cache of image files."""

    def ensure(self, source: fleet_pb2.ImageSource) -> Path:
        """The image's file, fetched, verified and inspected at most once a host, never evicted
        while in use. Does not wait: raises NotYet while the image is on its way, and DriverError
        (not transient) for one that may not be used.
        """

    def cached(self) -> Collection[str]:
        """Digests that are here, whole and inspected."""

    def watch(self, on_change: Callable[[str], None]) -> None:
        """Calls ``on_change(digest)`` from any thread when an image has come or will not come."""


class Volumes(Protocol):
    """Disk files."""

    def ensure(self, disk: fleet_pb2.DiskSpec, base: Path | None) -> Disk:
        """The volume's file: an overlay on ``base`` (or blank) of the size asked for; never smaller
        than it was. Only for a disk that no domain has open.
        """

    def remove(self, volume_id: str) -> None: ...

    def volumes(self) -> Collection[str]: ...
