"""The host's side: the pool's gateway, a cable and host routes per VPC, NAT to the outside.

Every VPC's router hangs on a cable of its own (a veth pair), and the host's routing table says
which cable a public address is behind. That table is the only record, of transit addresses too: a
crash leaves nothing to reconcile, an address moves from one VPC to another in one replaced route,
and all of it goes with the cable (docs/decisions/0252). The rule set of the root namespace is one
table of our own beside whatever the host has.
"""

import errno
import json
import logging
import socket
from collections.abc import Collection, Mapping
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import Any

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from hostagent.kernel.errors import DriverError
from hostagent.kernel.shell import Run
from hostagent.network import links, namespaces
from hostagent.network.config import UPLINK, Names, NetworkConfig, mac_of
from protos.network_values import address as checked_address

log = logging.getLogger(__name__)


def render(config: NetworkConfig, names: Names, resolvers: Collection[str]) -> str:
    """The root namespace's table, for ``nft -f -``. Guests reach the outside and each other's
    public addresses; of the host itself nothing but its resolvers, where those are on it.
    """
    cables, table = f'"{names.cables}*"', names.table
    dns = "".join(
        f"\n\t\tiifname {cables} ip daddr {checked_address(resolver)} "
        "meta l4proto { tcp, udp } th dport 53 accept"
        for resolver in sorted(resolvers)
    )
    leaving = config.transit if config.route_pool else f"{{ {config.pool}, {config.transit} }}"
    return f"""table ip {table}
delete table ip {table}
table ip {table} {{
	chain forward {{
		type filter hook forward priority 0; policy accept;
		iifname {cables} ip saddr != {{ {config.pool}, {config.transit} }} drop
		oifname {cables} jump to_guests
	}}
	chain to_guests {{
		ct state established,related accept
		ip daddr {config.pool} accept
		drop
	}}
	chain input {{
		type filter hook input priority 0; policy accept;
		iifname {cables} ct state established,related accept{dns}
		iifname {cables} drop
	}}
	chain output {{
		type filter hook output priority 0; policy accept;
		oifname {cables} icmp type redirect drop
	}}
	chain postrouting {{
		type nat hook postrouting priority 100; policy accept;
		ip saddr {leaving} oifname != {cables} oifname != "lo" masquerade
	}}
}}
"""


def ensure_host(config: NetworkConfig, names: Names, resolvers: Collection[str], run: Run) -> None:
    """What all VPCs share. Forwarding stays switched on when Pileus goes: others may have come to
    need it.
    """
    _ensure_bridge_filter(run)
    run(["nft", "-f", "-"], input=render(config, names, resolvers))
    _open_foreign_chains(names, run)
    namespaces.netlink(None, lambda ip: _ensure_gateway(ip, config, names))
    namespaces.set_sysctls({"net/ipv4/ip_forward": "1"})


def remove_host(config: NetworkConfig, names: Names, run: Run) -> None:
    """The reverse of ensure_host, for when the last VPC is gone."""

    def work(ip: IPRoute) -> None:
        for reserved in _reserved(config, names):
            links.remove_route(ip, **reserved)
        links.remove_link(ip, names.bridge)

    namespaces.netlink(None, work)
    _close_foreign_chains(names, run)
    run(["nft", "-f", "-"], input=f"table ip {names.table}\ndelete table ip {names.table}\n")


def ensure_cable(config: NetworkConfig, names: Names, vpc_id: str, mtu: int) -> str:
    """The VPC's cable, up at the host's end. Answers the router's transit address, which is claimed
    by the route to it: the kernel lets one claimant win.
    """
    cable, namespace = names.cable(vpc_id), names.namespace(vpc_id)
    far_end = namespaces.netlink(namespace, lambda ip: links.index_of(ip, UPLINK) is not None)

    def work(ip: IPRoute) -> str:
        if not far_end:  # what is there belongs to a namespace that is gone or going
            links.remove_link(ip, cable)
        present = links.all_links(ip)
        if cable not in present:
            peer = {"ifname": UPLINK, "net_ns_fd": namespace, "address": mac_of(f"router {vpc_id}")}
            ip.link("add", ifname=cable, kind="veth", peer=peer, address=mac_of(f"host {vpc_id}"))
            present = links.all_links(ip)
        namespaces.set_sysctls(
            {
                f"net/ipv6/conf/{cable}/disable_ipv6": "1",
                f"net/ipv4/conf/{cable}/rp_filter": "1",  # no VPC speaks for another
                f"net/ipv4/conf/{cable}/accept_redirects": "0",
            }
        )
        index = links.ensure_link(ip, present, cable, mtu=mtu)
        links.ensure_addresses(ip, index, {(config.transit_gateway, 32)})
        transit = _claim_transit(ip, index, config)
        links.ensure_neighbour(ip, index, transit, mac_of(f"router {vpc_id}"))
        return transit

    return namespaces.netlink(None, work)


def ensure_public_routes(
    config: NetworkConfig, names: Names, vpc_id: str, transit: str, wanted: Collection[str]
) -> None:
    """Exactly these public addresses lead to the VPC. One that led to another VPC leads here
    now.
    """

    def work(ip: IPRoute) -> None:
        index = links.required(ip, names.cable(vpc_id))
        present = links.routes_to(ip, index) - {transit, nat_address(transit)}
        for address in sorted(present - set(wanted)):
            links.remove_route(ip, dst=address, dst_len=32, oif=index)
        for address in sorted(set(wanted) - present):
            _route(ip, address, transit, index, prefsrc=config.pool_gateway)

    namespaces.netlink(None, work)


def nat_address(transit: str) -> str:
    """What guests without a public address are seen under: beside the router's own, so that it is
    no address of the router. A guest that asks for a public address of its own VPC goes out and
    comes back as any stranger does, and the answer must find the same way.
    """
    return str(IPv4Address(int(IPv4Address(transit)) | 1))


def remove_cable(names: Names, vpc_id: str) -> None:
    """With it go its routes and the router's end."""
    namespaces.netlink(None, lambda ip: links.remove_link(ip, names.cable(vpc_id)))


def _ensure_gateway(ip: IPRoute, config: NetworkConfig, names: Names) -> None:
    """A bridge without ports holds the pool's gateway address, because every kernel that can have
    VPCs has bridges. What of the pool is behind no cable is unreachable, at once.
    """
    present = links.all_links(ip)
    index = links.ensure_link(
        ip, present, names.bridge, kind="bridge", address=mac_of(names.bridge)
    )
    namespaces.set_sysctls({f"net/ipv6/conf/{names.bridge}/disable_ipv6": "1"})
    links.ensure_addresses(ip, index, {(config.pool_gateway, 32)})
    for route in _reserved(config, names):
        ip.route("replace", **route)


def _reserved(config: NetworkConfig, names: Names) -> list[dict[str, str | int]]:
    """Routes that lead nowhere, and say by their metric whose they are."""
    networks = [IPv4Network(config.pool), IPv4Network(config.transit)]
    return [
        {
            "dst": str(network.network_address),
            "dst_len": network.prefixlen,
            "type": links.UNREACHABLE,
            "priority": names.metric,
            "family": socket.AF_INET,
        }
        for network in networks
    ]


def _claim_transit(ip: IPRoute, index: int, config: NetworkConfig) -> str:
    """The even one of two neighbouring addresses, which together are the router's."""
    network = IPv4Network(config.transit)
    routes = links.routes_to(ip, index)
    mine = [a for a in routes if IPv4Address(a) in network and nat_address(a) != a]
    if mine:
        _route(ip, nat_address(mine[0]), mine[0], index)
        return mine[0]
    taken = {
        route.get_attr("RTA_DST")
        for route in ip.get_routes(family=socket.AF_INET, table=254)
        if route["dst_len"] == 32
    }
    for number in range(2, network.num_addresses - 1, 2):
        address = str(network[number])
        if address in taken:
            continue
        try:
            ip.route("add", dst=address, dst_len=32, oif=index, scope=253, family=socket.AF_INET)
        except NetlinkError as error:
            if error.code != errno.EEXIST:
                raise
            continue
        _route(ip, nat_address(address), address, index)
        return address
    raise DriverError(f"all addresses of the transit range {config.transit} are taken")


def _route(ip: IPRoute, address: str, router: str, index: int, **more: str) -> None:
    family = socket.AF_INET
    ip.route("replace", dst=address, dst_len=32, gateway=router, oif=index, family=family, **more)


def _ensure_bridge_filter(run: Run) -> None:
    """br_netfilter, loaded where it is not built in. Loading switches it on for all bridges of the
    host: that is undone, because it is wanted inside the VPCs' namespaces only.
    """
    folder = Path("/proc/sys/net/bridge")
    if folder.is_dir():
        return
    run(["modprobe", "br_netfilter"])
    if not folder.is_dir():
        raise DriverError("the kernel has no br_netfilter, which security groups need")
    for kind in ("ip", "ip6", "arp"):
        namespaces.set_sysctls({f"net/bridge/bridge-nf-call-{kind}tables": "0"})


# -- a host that has a firewall already ------------------------------------------------------------


def dropping_chains(ruleset: Mapping[str, Any]) -> list[tuple[str, str, str]]:
    """(family, table, chain) of every chain that drops forwarded IPv4 packets by its policy, from
    the answer of ``nft -j list chains``. No accept of ours can overrule such a chain.
    """
    chains = [entry["chain"] for entry in ruleset.get("nftables", ()) if "chain" in entry]
    return sorted(
        (chain["family"], chain["table"], chain["name"])
        for chain in chains
        if chain.get("hook") == "forward"
        and chain.get("policy") == "drop"
        and chain["family"] in ("ip", "inet")
    )


def _foreign_rules(names: Names) -> list[str]:
    return [f'iifname "{names.cables}*" accept', f'oifname "{names.cables}*" accept']


def _open_foreign_chains(names: Names, run: Run) -> None:
    """Docker and ufw set the forward policy to drop: as they do themselves, two rules that let our
    traffic pass are put first. Our own table has had its say on it already.
    """
    listed = json.loads(run(["nft", "-j", "list", "chains"]).stdout)
    done = {(family, table, chain) for family, table, chain, _ in foreign_rules(names, run)}
    for family, table, chain in dropping_chains(listed):
        if table == names.table or (family, table, chain) in done:
            continue
        for rule in _foreign_rules(names):
            run(["nft", "insert", "rule", family, table, chain, *rule.split()])
        log.warning("%s %s %s drops forwarded packets: ours are let pass", family, table, chain)


def _close_foreign_chains(names: Names, run: Run) -> None:
    for family, table, chain, handle in foreign_rules(names, run):
        run(["nft", "delete", "rule", family, table, chain, "handle", str(handle)])


def foreign_rules(names: Names, run: Run) -> list[tuple[str, str, str, int]]:
    """(family, table, chain, handle) of our rules in chains that are not ours.

    The whole rule set at once: chain by chain, another's table may go between two looks.
    """
    listed = json.loads(run(["nft", "-j", "-a", "list", "ruleset"]).stdout).get("nftables", ())
    forwarding = {
        (chain["family"], chain["table"], chain["name"])
        for entry in listed
        if (chain := entry.get("chain")) and chain.get("hook") == "forward"
    }
    mine = f"{names.cables}*"
    return [
        (rule["family"], rule["table"], rule["chain"], rule["handle"])
        for entry in listed
        if (rule := entry.get("rule"))
        and rule["table"] != names.table
        and (rule["family"], rule["table"], rule["chain"]) in forwarding
        and mine in json.dumps(rule.get("expr", []))
    ]
