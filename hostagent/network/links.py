"""Links, addresses and routes through netlink, each made what it should be and left alone if it is.

Called by router, uplink and ports with an open netlink socket; knows nothing of VPCs.
"""

import errno
import socket
from collections.abc import Mapping
from typing import Any, Protocol

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from hostagent.kernel.errors import DriverError

IFF_UP = 0x1
NUD_PERMANENT = 0x80
UNREACHABLE = 7  # RTN_UNREACHABLE
GONE = (errno.ENODEV, errno.ENXIO, errno.ESRCH, errno.ENOENT, errno.EADDRNOTAVAIL)


class Message(Protocol):
    """What the kernel says of a link, an address, a route or a rule, as pyroute2 reads it."""

    def __getitem__(self, name: str) -> Any: ...

    def get_attr(self, name: str) -> Any:
        """None where the kernel does not say it."""


def all_links(ip: IPRoute) -> dict[str, Message]:
    """Every link by name."""
    return {link.get_attr("IFLA_IFNAME"): link for link in ip.get_links()}


def index_of(ip: IPRoute, name: str) -> int | None:
    found = ip.link_lookup(ifname=name)
    return found[0] if found else None


def required(ip: IPRoute, name: str) -> int:
    """The index of a link that should be there: DriverError where somebody has taken it away."""
    index = index_of(ip, name)
    if index is None:
        raise DriverError(f"the link {name} has gone")
    return index


def ensure_link(
    ip: IPRoute,
    links: Mapping[str, Message],
    name: str,
    *,
    kind: str | None = None,
    **wanted: str | int,
) -> int:
    """A link that is up and as ``wanted`` says (``mtu``, ``address``; ``kind`` is for a new one).
    Answers its index.
    """
    link = links.get(name)
    if link is None:
        ip.link("add", ifname=name, kind=kind, **wanted)
        index = required(ip, name)
        ip.link("set", index=index, state="up", **wanted)
        return index
    changes = {
        key: value for key, value in wanted.items() if link.get_attr(f"IFLA_{key.upper()}") != value
    }
    if not link["flags"] & IFF_UP:
        changes["state"] = "up"
    if changes:
        ip.link("set", index=link["index"], **changes)
    return int(link["index"])


def remove_link(ip: IPRoute, name: str) -> None:
    index = index_of(ip, name)
    if index is None:
        return
    try:
        ip.link("del", index=index)
    except NetlinkError as error:
        if error.code not in GONE:
            raise


def ensure_addresses(ip: IPRoute, index: int, wanted: set[tuple[str, int]]) -> None:
    """Exactly these IPv4 addresses, but for the loopback's own."""
    present = {
        (entry.get_attr("IFA_LOCAL") or entry.get_attr("IFA_ADDRESS"), entry["prefixlen"])
        for entry in ip.get_addr(family=socket.AF_INET, index=index)
    }
    for address, length in sorted(wanted - present):
        ip.addr("replace", index=index, address=address, prefixlen=length)
    for address, length in sorted(present - wanted):
        if not address.startswith("127."):
            ip.addr("del", index=index, address=address, prefixlen=length)


def routes_to(ip: IPRoute, index: int) -> set[str]:
    """Addresses that a host route leads to through this link, of the main table."""
    return {
        route.get_attr("RTA_DST")
        for route in ip.get_routes(family=socket.AF_INET, table=254)
        if route.get_attr("RTA_OIF") == index and route["dst_len"] == 32
    }


def remove_route(ip: IPRoute, **route: str | int) -> None:
    try:
        ip.route("del", **route)
    except NetlinkError as error:
        if error.code not in GONE:
            raise


def ensure_neighbour(ip: IPRoute, index: int, address: str, mac: str) -> None:
    """Known for good: no ARP, so no setting of the host about ARP can come between."""
    ip.neigh("replace", ifindex=index, dst=address, lladdr=mac, state=NUD_PERMANENT)
