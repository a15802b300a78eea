"""The NICs of one VPC on this host, in the form that firewall, DHCP and metadata need them.

Pure. Here is also where a specification is checked: nothing that is not an id, an address or a
number gets into a rule set or a configuration file, whatever the controller sent.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from hostagent.kernel.errors import DriverError
from hostagent.network.config import Names, bridge_of, checked
from protos.cloud.v1 import fleet_pb2

_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


@dataclass(frozen=True)
class Guest:
    """One NIC. ``number`` is its mark on packets: stable, 1..65535, unique in the VPC here.
    ``addresses`` are its private ones, the primary ``address`` first.
    """

    network_interface_id: str
    tap: str
    mac_address: str
    address: str
    addresses: tuple[str, ...]
    bridge: str
    group_ids: tuple[str, ...]
    checked: bool  # EC2's SourceDestCheck
    number: int
    instance: fleet_pb2.InstanceSpec
    nic: fleet_pb2.NicSpec


def guests_of(
    vpc: fleet_pb2.VpcSpec, instances: Sequence[fleet_pb2.InstanceSpec], names: Names
) -> list[Guest]:
    """The VPC's NICs among those of ``instances``, sorted by address.

    Raises DriverError (not transient) for what no correct controller sends: a malformed id or
    address, one address or MAC twice, an address outside its subnet.
    """
    try:
        return _guests(vpc, instances, names)
    except ValueError as error:
        raise DriverError(
            f"the specification of {vpc.vpc_id} makes no sense: {error}", transient=False
        ) from error


def _guests(
    vpc: fleet_pb2.VpcSpec, instances: Sequence[fleet_pb2.InstanceSpec], names: Names
) -> list[Guest]:
    subnets = {checked(s.subnet_id): IPv4Network(s.cidr_block) for s in vpc.subnets}
    nics = [(i, n) for i in instances for n in i.nics if n.vpc_id == vpc.vpc_id]
    nics.sort(key=lambda pair: IPv4Address(pair[1].private_ip_address))
    numbers: dict[int, str] = {}
    found: list[Guest] = []
    for instance, nic in nics:
        check_nic(nic, subnets)
        addresses = addresses_of(nic)
        found.append(
            Guest(
                nic.network_interface_id,
                names.tap(nic.network_interface_id),
                nic.mac_address.lower(),
                nic.private_ip_address,
                addresses,
                bridge_of(nic.subnet_id),
                tuple(sorted(set(nic.security_group_ids))),
                nic.source_dest_check,
                _number(nic.private_ip_address, numbers),
                instance,
                nic,
            )
        )
    _refuse_twice("address", [address for guest in found for address in guest.addresses])
    _refuse_twice("mac_address", [guest.mac_address for guest in found])
    _refuse_twice("tap", [guest.tap for guest in found])
    return found


def check_nic(nic: fleet_pb2.NicSpec, subnets: Mapping[str, IPv4Network]) -> None:
    """Raises ValueError."""
    mac = nic.mac_address.lower()
    if not _MAC.fullmatch(mac) or int(mac[:2], 16) & 1:
        raise ValueError(f"MAC address {nic.mac_address!r}")
    if nic.subnet_id not in subnets:
        raise ValueError(f"{nic.network_interface_id} is in an unknown subnet {nic.subnet_id}")
    for address in addresses_of(nic):
        if IPv4Address(address) not in subnets[nic.subnet_id]:
            raise ValueError(f"{address} is outside {subnets[nic.subnet_id]}")
    for group in nic.security_group_ids:
        checked(group)


def addresses_of(nic: fleet_pb2.NicSpec) -> tuple[str, ...]:
    return nic.private_ip_address, *nic.secondary_private_ip_addresses


def _refuse_twice(what: str, values: list[str]) -> None:
    twice = [value for value, count in Counter(values).items() if count > 1]
    if twice:
        raise ValueError(f"two interfaces with one {what}: {', '.join(sorted(twice))}")


def _number(address: str, taken: dict[int, str]) -> int:
    """The address's low sixteen bits, or the next free number. So a NIC keeps its number while
    others come and go, and a packet that was marked just before a change means the same after it.
    """
    number = int(IPv4Address(address)) & 0xFFFF
    while number == 0 or number in taken:
        number = (number + 1) & 0xFFFF
    taken[number] = address
    return number
