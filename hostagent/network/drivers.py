"""What makes VPCs on a host, as a Protocol. The real network and the fake one stand behind it.

Every ``ensure_*`` looks before it acts and may be called again at any time, also after a crash in
its middle. Every ``remove_*`` succeeds where there is nothing to remove. All raise ``DriverError``.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol

from protos.cloud.v1 import fleet_pb2


@dataclass(frozen=True)
class Port:
    """A network interface's end on the host."""

    network_interface_id: str
    tap: str  # at most 15 characters, starts with "tap"
    mac_address: str
    mtu: int
    device_index: int = 0  # decides the guest's name


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
    ) -> Sequence[str]:
        """Makes the VPC here exactly what ``vpc`` says for these local instances (those with a NIC
        in it): namespace, router, bridges, DHCP hosts, NAT of public addresses, and the firewall,
        replaced atomically. Answers what of it made no sense and was left out, a sentence each.
        """

    def ensure_port(self, nic: fleet_pb2.NicSpec) -> Port:
        """A tap for the NIC where the hypervisor can open it, anew for each start of the domain."""

    def plug(self, nic: fleet_pb2.NicSpec) -> None:
        """Joins the tap, held open by a paused domain, to its subnet's bridge. The firewall is in
        place before.
        """

    def is_plugged(self, nic: fleet_pb2.NicSpec) -> bool: ...

    def reached(self, nic: fleet_pb2.NicSpec, *, anew: bool) -> bool:
        """Whether the guest has answered on its network since it was asked; where it has not, it is
        asked again. Returns at once: look again a little later. ``anew`` asks whatever is known of
        earlier answers.
        """

    def remove_port(self, nic: fleet_pb2.NicSpec) -> None: ...

    def remove_vpc(self, vpc_id: str) -> None: ...

    def vpcs(self) -> Collection[str]:
        """Ids of the VPCs that have anything here."""
