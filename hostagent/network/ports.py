"""Taps: made on the host where the hypervisor opens them, then moved behind the VPC's firewall.

    on the host, down       ensure: QEMU can open it by name; nothing can flow
    in the namespace        plug, first half
    a port of its bridge    plug, second half: static address entry, no learning, no flooding, up

Each state is found again after a crash, and ``ensure`` and ``plug`` go on from there. A tap
outlives the domain that used it; it is removed by its own name in either place.
"""

import socket
from collections.abc import Collection

from pyroute2 import IPRoute

from hostagent.kernel.errors import DriverError
from hostagent.network import links, namespaces
from hostagent.network.config import Names, bridge_of
from protos.cloud.v1 import fleet_pb2

_NUD_NOARP, _NTF_MASTER = 0x40, 0x04
# A bridge also learns from link-local frames that no rule set sees: so it learns nothing at all.
_PORT = {"learning": 0, "unicast_flood": 0, "mcast_flood": 0}


def ensure(nic: fleet_pb2.NicSpec, names: Names, mtu: int) -> str:
    """The tap's name. One that a domain holds open is left where it is; one left over from a domain
    that is gone is made anew on the host.
    """
    tap, namespace = names.tap(nic.network_interface_id), names.namespace(nic.vpc_id)
    if namespaces.exists(namespace):
        plugged = namespaces.netlink(namespace, lambda ip: _held_or_removed(ip, tap))
        if plugged:
            return tap
    namespaces.netlink(None, lambda ip: _make(ip, tap, nic, names, mtu))
    return tap


def plug(nic: fleet_pb2.NicSpec, names: Names, mtu: int) -> None:
    """Moves the tap into the VPC and onto its subnet's bridge. DriverError, not transient, where
    there is none: the domain has to be made anew with one.
    """
    tap, namespace = names.tap(nic.network_interface_id), names.namespace(nic.vpc_id)
    if not namespaces.exists(namespace):
        raise DriverError(f"{nic.vpc_id} is not on this host yet")
    namespaces.netlink(None, lambda ip: _move(ip, tap, namespace))
    namespaces.netlink(namespace, lambda ip: _join(ip, tap, nic, mtu))


def is_plugged(nic: fleet_pb2.NicSpec, names: Names) -> bool:
    tap, namespace = names.tap(nic.network_interface_id), names.namespace(nic.vpc_id)

    def look(ip: IPRoute) -> bool:
        present = links.all_links(ip)
        port, bridge = present.get(tap), present.get(bridge_of(nic.subnet_id))
        if port is None or bridge is None or not port["flags"] & links.IFF_UP:
            return False
        return bool(port.get_attr("IFLA_MASTER") == bridge["index"])

    return namespaces.exists(namespace) and namespaces.netlink(namespace, look)


def remove(nic: fleet_pb2.NicSpec, names: Names) -> None:
    tap, namespace = names.tap(nic.network_interface_id), names.namespace(nic.vpc_id)
    namespaces.netlink(None, lambda ip: links.remove_link(ip, tap))
    if namespaces.exists(namespace):
        namespaces.netlink(namespace, lambda ip: links.remove_link(ip, tap))


def sweep(vpc_id: str, wanted: Collection[str], names: Names) -> None:
    """The VPC's taps that no NIC has go, plugged or not yet. One that a guest has not let go of is
    cut off, and goes later.
    """

    def inside(ip: IPRoute) -> None:
        for tap, link in _strays(ip, wanted, names):
            if link.get_attr("IFLA_CARRIER"):
                ip.link("set", index=link["index"], master=0)
            else:
                links.remove_link(ip, tap)

    def on_host(ip: IPRoute) -> None:
        for tap, link in _strays(ip, wanted, names):
            mine = (link.get_attr("IFLA_IFALIAS") or "").endswith(f" {vpc_id}")
            if mine and not link.get_attr("IFLA_CARRIER"):
                links.remove_link(ip, tap)

    namespaces.netlink(names.namespace(vpc_id), inside)
    namespaces.netlink(None, on_host)


def _strays(ip: IPRoute, wanted: Collection[str], names: Names) -> list[tuple[str, links.Message]]:
    return [
        (name, link)
        for name, link in links.all_links(ip).items()
        if name.startswith(names.taps) and name not in wanted
    ]


def _held_or_removed(ip: IPRoute, tap: str) -> bool:
    link = links.all_links(ip).get(tap)
    if link is None:
        return False
    if link.get_attr("IFLA_CARRIER"):  # a tap has a carrier while a process has it open
        return True
    links.remove_link(ip, tap)
    return False


def _make(ip: IPRoute, tap: str, nic: fleet_pb2.NicSpec, names: Names, mtu: int) -> None:
    if links.index_of(ip, tap) is None:
        ip.link("add", ifname=tap, kind="tuntap", mode="tap")
    namespaces.set_sysctls({f"net/ipv6/conf/{tap}/disable_ipv6": "1"})
    index = links.index_of(ip, tap)
    alias = f"{names.prefix} {nic.network_interface_id} {nic.private_ip_address} {nic.vpc_id}"
    ip.link("set", index=index, mtu=mtu, ifalias=alias)


def _move(ip: IPRoute, tap: str, namespace: str) -> None:
    index = links.index_of(ip, tap)
    if index is not None:
        ip.link("set", index=index, net_ns_fd=namespace)


def _join(ip: IPRoute, tap: str, nic: fleet_pb2.NicSpec, mtu: int) -> None:
    bridge = links.index_of(ip, bridge_of(nic.subnet_id))
    index = links.index_of(ip, tap)
    if bridge is None:
        raise DriverError(f"the bridge of {nic.subnet_id} is not on this host yet")
    if index is None:
        raise DriverError(
            f"{nic.network_interface_id} has no tap: the domain has lost it", transient=False
        )
    ip.link("set", index=index, master=bridge, mtu=mtu)
    ip.brport("set", index=index, **_PORT)
    ip.fdb(
        "replace",
        ifindex=index,
        lladdr=nic.mac_address.lower(),
        state=_NUD_NOARP,
        flags=_NTF_MASTER,
        family=socket.AF_BRIDGE,
    )
    ip.link("set", index=index, state="up")
