"""Everything on the host that carries this driver's names: to audit it, and to take it away."""

import shutil
import socket
from dataclasses import dataclass, fields
from pathlib import Path

from pyroute2 import IPRoute

from hostagent.kernel.shell import Run
from hostagent.network import dnsmasq, links, namespaces, uplink
from hostagent.network.config import Names, NetworkConfig

_LOOPBACK = 0x8  # IFF_LOOPBACK


@dataclass(frozen=True)
class Inventory:
    """What is here. ``host_*`` is shared by all VPCs and stays until ``destroy_all``; ``taps`` are
    those on the host that are not plugged yet, or never were.
    """

    namespaces: tuple[str, ...] = ()
    cables: tuple[str, ...] = ()
    taps: tuple[str, ...] = ()
    plugged_taps: tuple[str, ...] = ()
    routes: tuple[str, ...] = ()  # to public and transit addresses
    dhcp_pids: tuple[int, ...] = ()
    folders: tuple[str, ...] = ()
    host_links: tuple[str, ...] = ()
    host_tables: tuple[str, ...] = ()
    host_foreign_rules: tuple[str, ...] = ()

    def of_vpcs(self) -> dict[str, tuple[object, ...]]:
        """What should be empty when no instance lives here."""
        return {
            field.name: getattr(self, field.name)
            for field in fields(self)
            if not field.name.startswith("host_") and getattr(self, field.name)
        }


def take(config: NetworkConfig, names: Names, run: Run) -> Inventory:
    spaces = tuple(n for n in namespaces.listed() if names.vpc_of_namespace(n))
    tables = run(["nft", "list", "tables"]).stdout.splitlines()

    def work(ip: IPRoute) -> tuple[list[str], list[str]]:
        present = links.all_links(ip)
        cables = {link["index"] for name, link in present.items() if name.startswith(names.cables)}
        routes = [
            str(route.get_attr("RTA_DST"))
            for route in ip.get_routes(family=socket.AF_INET, table=254)
            if route.get_attr("RTA_OIF") in cables
        ]
        return sorted(present), sorted(routes)

    present, routes = namespaces.netlink(None, work)
    return Inventory(
        namespaces=spaces,
        cables=tuple(name for name in present if name.startswith(names.cables)),
        taps=tuple(name for name in present if name.startswith(names.taps)),
        plugged_taps=tuple(tap for space in spaces for tap in _taps_in(space, names)),
        routes=tuple(routes),
        dhcp_pids=tuple(dnsmasq.running(None, under=config.run_dir)),
        folders=_folders(config.run_dir),
        host_links=tuple(name for name in present if name == names.bridge),
        host_tables=tuple(line for line in tables if line.split()[-1:] == [names.table]),
        host_foreign_rules=tuple(
            f"{family} {table} {chain} handle {handle}"
            for family, table, chain, handle in uplink.foreign_rules(names, run)
        ),
    )


def remove_links(ip: IPRoute) -> None:
    """All links of the namespace, before it goes: the kernel takes its time with the rest."""
    for name, link in links.all_links(ip).items():
        if not link["flags"] & _LOOPBACK:
            links.remove_link(ip, name)


def remove_strays(config: NetworkConfig, names: Names) -> None:
    """Taps and cables of no VPC that is known, and DHCP servers whose namespace is gone."""

    def work(ip: IPRoute) -> None:
        for name in links.all_links(ip):
            if name.startswith((names.taps, names.cables)):
                links.remove_link(ip, name)

    namespaces.netlink(None, work)
    dnsmasq.stop_all(config.run_dir)
    for folder in _folders(config.run_dir):
        shutil.rmtree(folder)


def _taps_in(space: str, names: Names) -> list[str]:
    if not namespaces.exists(space):
        return []
    present = namespaces.netlink(space, links.all_links)
    return sorted(name for name in present if name.startswith(names.taps))


def _folders(run_dir: Path) -> tuple[str, ...]:
    return tuple(sorted(map(str, run_dir.iterdir()))) if run_dir.is_dir() else ()
