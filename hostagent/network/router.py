"""The inside of a VPC's namespace: its router, a bridge and a route table per subnet.

``converge`` makes it what the specification says, whatever a crash has left; the driver calls it
after the rule set is loaded, so nothing in here is ever up without a firewall.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network

from pyroute2 import IPRoute

from hostagent.network import links, namespaces, route_tables
from hostagent.network.config import (
    METADATA_ADDRESS,
    RESOLVER_ADDRESS,
    UPLINK,
    NetworkConfig,
    bridge_of,
    mac_of,
    resolver_of,
    router_of,
)
from hostagent.network.links import Message
from hostagent.network.routes import Route
from protos.cloud.v1 import fleet_pb2

# Before any link is there: forwarding only, no IPv6 at all, bridged packets seen by the ip hooks.
# Spoofing is refused at the tap, so the router need not guess by reverse path.
SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    "net/ipv4/conf/all/rp_filter": "0",
    "net/ipv4/conf/default/rp_filter": "0",
    "net/ipv4/conf/all/send_redirects": "0",
    "net/ipv4/conf/default/send_redirects": "0",
    "net/ipv4/conf/all/accept_redirects": "0",
    "net/ipv4/conf/default/accept_redirects": "0",
    "net/ipv4/conf/all/arp_announce": "2",
    "net/ipv6/conf/all/disable_ipv6": "1",
    "net/ipv6/conf/default/disable_ipv6": "1",
    "net/bridge/bridge-nf-call-iptables": "1",
    "net/bridge/bridge-nf-call-ip6tables": "0",
    "net/bridge/bridge-nf-call-arptables": "0",
}
# After the rule set, which brings connection tracking: a packet outside the window is the guests'
# affair, not a new flow.
CONNTRACK_SYSCTLS = {"net/netfilter/nf_conntrack_tcp_be_liberal": "1"}


@dataclass(frozen=True)
class Router:
    """Addresses of one VPC's router."""

    namespace: str
    cable_mac: str  # of the host's end
    transit: str
    mtu: int


def prepare(namespace: str) -> None:
    """Settings of a namespace that has no links yet, or has them all."""
    namespaces.inside(namespace, lambda: namespaces.set_sysctls(SYSCTLS))


def converge(
    vpc: fleet_pb2.VpcSpec,
    router: Router,
    config: NetworkConfig,
    routes: Mapping[str, Collection[Route]],
) -> dict[int, str]:
    """Links, addresses and routes as the specification says; ``routes`` by subnet id. Bridges of
    subnets that it does not name go; their ports have gone before, or the instances there have no
    subnet either.

    Answers what this call or an earlier one that was cut off has replaced: table -> bridge ("" for
    one that is gone). The flows that it allowed have to end, then ``sweep`` forgets it.
    """

    def work(ip: IPRoute) -> dict[int, str]:
        namespaces.set_sysctls(CONNTRACK_SYSCTLS)
        present = links.all_links(ip)
        _loopback(ip, present, vpc)
        uplink = _uplink(ip, present, router, config)
        blocks = [str(IPv4Network(block)) for block in vpc.cidr_blocks]
        route_tables.ensure_own(ip, blocks, uplink, config.transit_gateway, router.transit)
        wanted = {bridge_of(subnet.subnet_id): subnet for subnet in vpc.subnets}
        for name, subnet in wanted.items():
            _bridge(ip, present, name, subnet, router.mtu)
        for name in present:
            if name.startswith("br") and name not in wanted:
                links.remove_link(ip, name)
        indexes = {name: link["index"] for name, link in links.all_links(ip).items()}
        by_bridge = {name: routes[subnet.subnet_id] for name, subnet in wanted.items()}
        route_tables.converge(ip, by_bridge, indexes, uplink, config.transit_gateway)
        names = {index: name for name, index in indexes.items()}
        replaced = route_tables.superseded(ip)
        return {table: names.get(index, "") for table, index in replaced.items()}

    return namespaces.netlink(router.namespace, work)


def sweep(router: Router, tables: Collection[int]) -> None:
    """Forgets replaced tables whose flows have ended."""
    namespaces.netlink(router.namespace, lambda ip: route_tables.sweep(ip, tables))


def _loopback(ip: IPRoute, present: Mapping[str, Message], vpc: fleet_pb2.VpcSpec) -> None:
    """Services of the router live on addresses of no subnet: it answers ARP for them on every
    bridge, so a guest that thinks them its neighbours reaches them too.
    """
    index = links.ensure_link(ip, present, "lo")
    local = {METADATA_ADDRESS, RESOLVER_ADDRESS, resolver_of(vpc.cidr_blocks)}
    links.ensure_addresses(ip, index, {(address, 32) for address in local})


def _uplink(
    ip: IPRoute, present: Mapping[str, Message], router: Router, config: NetworkConfig
) -> int:
    index = links.ensure_link(ip, present, UPLINK, mtu=router.mtu)
    links.ensure_addresses(ip, index, {(router.transit, 32)})
    links.ensure_neighbour(ip, index, config.transit_gateway, router.cable_mac)
    return index


def _bridge(
    ip: IPRoute, present: Collection[str], name: str, subnet: fleet_pb2.SubnetSpec, mtu: int
) -> None:
    if name not in present:
        ip.link("add", ifname=name, kind="bridge", address=mac_of(subnet.subnet_id))
    index = links.ensure_link(
        ip, links.all_links(ip), name, mtu=mtu, address=mac_of(subnet.subnet_id)
    )
    network = IPv4Network(subnet.cidr_block)
    links.ensure_addresses(ip, index, {(router_of(subnet.cidr_block), network.prefixlen)})
