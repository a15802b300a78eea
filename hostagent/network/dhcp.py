"""What a VPC's DHCP and DNS server is told. Pure.

    files = dhcp.render(vpc, guests, folder, mtu=1400, domain="ec2.internal", ...)

Every guest has its address for certain: static leases from the specification, nothing else is
answered. Names are EC2's, ip-172-31-0-10.<domain>, for the VPC's whole range without a list. The
server itself is dnsmasq.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network
from pathlib import Path

from hostagent.network.config import (
    UPLINK,
    bridge_of,
    checked_address,
    checked_domain,
    resolver_of,
    router_of,
)
from hostagent.network.guests import Guest
from protos.cloud.v1 import fleet_pb2

LEASE_S = 3600  # as in EC2
MAX_LEASES = 4096


@dataclass(frozen=True)
class Files:
    """``config`` is read once, at the start; ``hosts`` again at every SIGHUP."""

    config: str
    hosts: str
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
        f"dhcp-lease-max={MAX_LEASES}",
        "dhcp-authoritative",
        "bogus-priv",
        "cache-size=1000",
        f"domain={domain}",
        *(f"synth-domain={domain},{IPv4Network(block)},ip-" for block in vpc.cidr_blocks),
        f"local=/{domain}/",
        *(f"server={checked_address(resolver)}" for resolver in resolvers),
        f"dhcp-option=option:dns-server,{resolver_of(vpc.cidr_blocks)}",
        f"dhcp-option=option:mtu,{mtu}",
    ]
    for subnet in sorted(vpc.subnets, key=lambda each: each.subnet_id):
        network, tag = IPv4Network(subnet.cidr_block), bridge_of(subnet.subnet_id)
        lines += [
            f"dhcp-range=set:{tag},{network.network_address},static,{network.netmask},{LEASE_S}",
            f"dhcp-option=tag:{tag},option:router,{router_of(subnet.cidr_block)}",
        ]
    hosts = [
        f"{guest.mac_address},{guest.address},ip-{guest.address.replace('.', '-')}"
        for guest in guests
    ]
    return Files(
        "\n".join(lines) + "\n",
        "".join(f"{line}\n" for line in hosts),
        frozenset((guest.mac_address, guest.address) for guest in guests),
    )
