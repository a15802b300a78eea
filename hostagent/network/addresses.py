"""What the host's own network has to say: ranges already in use, resolvers, the MTU outside.

    check_ranges(pool, transit, host_ranges(skip=...), resolvers) -> problems, one sentence each

``check_ranges`` is pure and is what ``pileus up`` and the agent's start refuse by; the rest reads
the host. Called by the driver and by ``python -m hostagent.network``.
"""

import socket
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

from pyroute2 import IPRoute

from hostagent.network import links, namespaces
from hostagent.network.config import Names, NetworkConfig

DEFAULT_MTU = 1500
LEAST_MTU = 576
_SYSTEMD_RESOLV_CONF = Path("/run/systemd/resolve/resolv.conf")


@dataclass(frozen=True)
class Range:
    """A network that the host has an address in or a route to; ``device`` may be empty."""

    network: IPv4Network
    device: str


def check_ranges(
    pool: str, transit: str, ranges: Iterable[Range], resolvers: Collection[str]
) -> list[str]:
    """Why the pool and the transit range cannot be used here; empty where they can.

    A range that overlaps a route would cut the host off from what the route leads to.
    """
    problems = []
    wanted = {}
    for what, text in (("pool of public addresses", pool), ("transit range", transit)):
        try:
            wanted[what] = IPv4Network(text)
        except ValueError as error:
            problems.append(f"The {what} is no IPv4 range: {error}.")
    if len(wanted) == 2 and IPv4Network(pool).overlaps(IPv4Network(transit)):
        problems.append(
            f"The pool of public addresses {pool} overlaps the transit range {transit}."
        )
    ranges = list(ranges)
    for what, network in wanted.items():
        for taken in ranges:
            if taken.network.prefixlen and taken.network.overlaps(network):
                by = f" (device {taken.device})" if taken.device else ""
                problems.append(f"The {what} {network} overlaps the route {taken.network}{by}.")
        for resolver in resolvers:
            if IPv4Address(resolver) in network:
                problems.append(f"The {what} {network} holds this host's resolver {resolver}.")
    return problems


def host_ranges(config: NetworkConfig) -> list[Range]:
    """Every IPv4 network that the host routes anywhere, but for what this agent made itself."""
    names = Names(config.prefix)

    def work(ip: IPRoute) -> list[Range]:
        devices = {link["index"]: name for name, link in links.all_links(ip).items()}
        found = set()
        for route in ip.get_routes(family=socket.AF_INET):
            device = devices.get(route.get_attr("RTA_OIF"), "")
            if device == names.bridge or device.startswith(names.cables) or device == "lo":
                continue
            destination = route.get_attr("RTA_DST") or "0.0.0.0"
            network = IPv4Network((destination, route["dst_len"]), strict=False)
            reserved = route["type"] == links.UNREACHABLE
            if not (reserved and route.get_attr("RTA_PRIORITY") == names.metric):
                found.add(Range(network, device))
        return sorted(_widest(found), key=lambda r: (r.network, r.device))

    return namespaces.netlink(None, work)


def _widest(ranges: Collection[Range]) -> list[Range]:
    """Without those inside another of the same device: one sentence a network is enough."""
    return [
        inner
        for inner in ranges
        if not any(
            outer != inner
            and outer.device == inner.device
            and outer.network.prefixlen
            and inner.network.subnet_of(outer.network)
            for outer in ranges
        )
    ]


def resolvers_of(config: NetworkConfig, nameservers: Collection[str] = ()) -> list[str]:
    """IPv4 resolvers that guests' questions are forwarded to: as told, else the configuration's,
    else the host's. A stub on the host's loopback cannot be reached from a VPC; systemd's has the
    true ones beside it, another has to be named in the configuration.
    """
    told = _ipv4(nameservers) or _ipv4(config.nameservers)
    if told:
        return told
    for path in (config.resolv_conf, _SYSTEMD_RESOLV_CONF):
        if path.is_file():
            rows = [line.split() for line in path.read_text().splitlines()]
            found = _ipv4(row[1] for row in rows if len(row) > 1 and row[0] == "nameserver")
            reachable = [r for r in found if not IPv4Address(r).is_loopback]
            if reachable:
                return reachable
    return []


def mtu_outside(config: NetworkConfig) -> int:
    """The MTU of guests: as configured, else of the device that the default route leaves by, so
    that nothing has to be fragmented on its way out.
    """
    if config.mtu:
        return config.mtu

    def work(ip: IPRoute) -> int:
        found = [
            (route.get_attr("RTA_PRIORITY") or 0, route.get_attr("RTA_OIF"))
            for route in ip.get_default_routes(family=socket.AF_INET)
            if route.get_attr("RTA_OIF")
        ]
        if not found:
            return DEFAULT_MTU
        mtu: int = ip.get_links(min(found)[1])[0].get_attr("IFLA_MTU")
        return mtu

    return max(LEAST_MTU, min(namespaces.netlink(None, work), 65521))


def _ipv4(addresses: Iterable[str]) -> list[str]:
    """Those that are IPv4 addresses, in their order."""
    found = []
    for address in addresses:
        try:
            found.append(str(IPv4Address(address)))
        except ValueError:
            continue  # IPv6 resolvers are of no use to VPCs without IPv6
    return found
