"""Where the packets of a VPC's subnets go: its route tables, as this host needs them. Pure.

    routes_of(vpc, guests)      -> {subnet id: (Route, ...)}, a default route always among them
    with_internet(vpc)          -> ids of the subnets that reach the outside

The VPC's own ranges are no routes here: they are always local, and looked up first (router). The
longest prefix wins by the kernel's own rule. A route to a private address leads to an interface
that may receive for others (no SourceDestCheck) and is on this host; any other leads nowhere, as
its packets would be dropped there.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network

from hostagent.network.guests import Guest
from protos.cloud.v1 import fleet_pb2
from protos.network_values import address as checked_address
from protos.network_values import canonical_block

EVERYWHERE = "0.0.0.0/0"
MARKED = 0x10000  # a subnet's mark is never 0, which every other flow has


@dataclass(frozen=True)
class Route:
    """To the internet gateway, or to ``next_hop`` on ``bridge``, or (neither) to nowhere."""

    destination: str
    internet: bool = False
    next_hop: str = ""
    bridge: str = ""


def routes_of(vpc: fleet_pb2.VpcSpec, guests: Iterable[Guest]) -> Mapping[str, tuple[Route, ...]]:
    """Raises ValueError for a malformed range or address."""
    forwarding = {
        address: guest.bridge
        for guest in guests
        if not guest.checked
        for address in guest.addresses
    }
    local = [IPv4Network(block) for block in vpc.cidr_blocks]
    found = {}
    for subnet in vpc.subnets:
        routes = {EVERYWHERE: Route(EVERYWHERE)}
        for spec in subnet.routes:
            network = canonical_block(spec.destination_cidr_block)
            if isinstance(network, IPv6Network):
                continue  # guests have no IPv6: no effect
            if not any(network.subnet_of(block) for block in local):
                routes[str(network)] = _route(spec, str(network), forwarding)
        found[subnet.subnet_id] = tuple(routes.values())
    return found


def with_internet(vpc: fleet_pb2.VpcSpec) -> frozenset[str]:
    return frozenset(
        subnet.subnet_id
        for subnet in vpc.subnets
        if any(route.WhichOneof("target") == "internet_gateway" for route in subnet.routes)
    )


def mark_of(cidr_block: str) -> int:
    """What a subnet's flows to and from beyond its VPC are marked with, to end them when its routes
    change. The same at any time; two subnets of different ranges may share one.
    """
    return MARKED | (int(IPv4Network(cidr_block).network_address) >> 4 & 0xFFFF)


def _route(spec: fleet_pb2.RouteSpec, destination: str, forwarding: Mapping[str, str]) -> Route:
    target = spec.WhichOneof("target")
    if target == "internet_gateway" and spec.internet_gateway:
        return Route(destination, internet=True)
    if target == "private_ip_address":
        address = checked_address(spec.private_ip_address)
        if address in forwarding:
            return Route(destination, next_hop=address, bridge=forwarding[address])
    return Route(destination)
