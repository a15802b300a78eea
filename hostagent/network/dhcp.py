"""What a VPC's DHCP and DNS server is told. Pure.

    files = dhcp.render(vpc, guests, folder, mtu=1400, domain="ec2.internal", ...)

Every guest has its address for certain: static leases from the specification, nothing else is
answered. Private names are EC2's, ip-172-31-0-10.<domain>, for the VPC's whole range without a
list. Public names of the VPC's own addresses are answered with the private ones, as in EC2: what
names a neighbour publicly reaches it inside the VPC (docs/decisions/0257). Other public names are
asked of the resolvers outside. The server itself is dnsmasq.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from hostagent.network.config import (
    OWN_RESOLVER,
    UPLINK,
    bridge_of,
    resolver_of,
    router_of,
)
from hostagent.network.guests import Guest
from protos.cloud.v1 import fleet_pb2
from protos.network_values import address as checked_address
from protos.network_values import domain as checked_domain

LEASE_S = 3600  # as in EC2
MAX_LEASES = 4096


@dataclass(frozen=True)
class Files:
    """``config`` is read once, at the start; ``hosts`` and ``names`` again at every SIGHUP."""

    config: str
    hosts: str  # leases: MAC, address, host name
    names: str  # of the form of /etc/hosts
    bindings: frozenset[tuple[str, str]]  # (MAC, address): no other lease may be remembered


def render(
    vpc: fleet_pb2.VpcSpec,
    guests: Sequence[Guest],
    folder: Path,
    *,
    mtu: int,
    domain: str,
    resolvers: Sequence[str],
    user: str,
) -> Files:
    """Raises ValueError for a malformed address or domain."""
    checked_domain(domain)
    lines = [
        f"user={user}",
        "no-resolv",
        "no-hosts",
        "no-ping",
        f"except-interface={UPLINK}",
        f"pid-file={folder / 'pid'}",
        f"dhcp-leasefile={folder / 'leases'}",
        f"dhcp-hostsfile={folder / 'hosts'}",
        f"addn-hosts={folder / 'names'}",
        f"dhcp-lease-max={MAX_LEASES}",
        "dhcp-authoritative",
        "bogus-priv",
        "cache-size=1000",
        f"domain={domain}",
        *(f"synth-domain={domain},{IPv4Network(block)},ip-" for block in vpc.cidr_blocks),
        f"local=/{domain}/",
        *(f"server={checked_address(resolver)}" for resolver in resolvers),
        f"dhcp-option=option:mtu,{mtu}",
        *_told(vpc),
    ]
    for subnet in sorted(vpc.subnets, key=lambda each: each.subnet_id):
        network, tag = IPv4Network(subnet.cidr_block), bridge_of(subnet.subnet_id)
        lines += [
            f"dhcp-range=set:{tag},{network.network_address},static,{network.netmask},{LEASE_S}",
            f"dhcp-option=tag:{tag},option:router,{router_of(subnet.cidr_block)}",
        ]
    if vpc.dns_disabled:
        lines.append("port=0")
    hosts = [f"{guest.mac_address},{guest.address},{_label(guest.address)}" for guest in guests]
    return Files(
        "\n".join(lines) + "\n",
        "".join(f"{line}\n" for line in hosts),
        "".join(f"{line}\n" for line in _public_names(vpc, domain)),
        frozenset((guest.mac_address, guest.address) for guest in guests),
    )


def _label(address: str) -> str:
    return f"ip-{address.replace('.', '-')}"


def _public_names(vpc: fleet_pb2.VpcSpec, domain: str) -> list[str]:
    """Lines "private address, private name, public name": what stands first is what the address
    itself is answered with.
    """
    return [
        f"{checked_address(each.private_ip)} {_label(each.private_ip)}.{domain} "
        f"{checked_domain(each.dns_name)}"
        for each in vpc.public_addresses
        if each.dns_name not in ("", each.public_ip)  # where names are served
    ]


def _told(vpc: fleet_pb2.VpcSpec) -> list[str]:
    """The options of the VPC's set; without one the VPC's resolver, and the domain is the region's
    (dnsmasq says its own). An option without a value is not said."""
    own, told = resolver_of(vpc.cidr_blocks), vpc.dhcp_options
    servers = told.domain_name_servers if vpc.HasField("dhcp_options") else [OWN_RESOLVER]
    if vpc.dns_disabled:
        servers = [server for server in servers if server != OWN_RESOLVER]
    addresses = {
        "dns-server": [own if server == OWN_RESOLVER else server for server in servers],
        "ntp-server": told.ntp_servers,
        "netbios-ns": told.netbios_name_servers,
    }
    lines = [
        ",".join([f"dhcp-option=option:{name}", *map(checked_address, values)])
        for name, values in addresses.items()
        if values or name == "dns-server"  # which dnsmasq would say by itself
    ]
    if told.domain_name:
        lines.append(f"dhcp-option=option:domain-name,{checked_domain(told.domain_name)}")
    if told.netbios_node_type:
        lines.append(f"dhcp-option=option:netbios-nodetype,{told.netbios_node_type}")
    return lines
