"""Whether a guest answers on its subnet: the kernel's own address resolution in the VPC's router.

No packet is made here. An entry put into the state "probe" makes the kernel ask the guest at its
address (ARP, three times, a second apart); its answer makes the entry reachable, silence makes it
failed. ``anew`` does so with whatever entry there is, so that one from an earlier time, and what
other traffic has confirmed meanwhile, counts for nothing. The rule set lets each guest answer for
itself only (firewall), so an answer is the guest's own.
"""

import errno

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

from hostagent.kernel.errors import DriverError
from hostagent.network import links, namespaces
from hostagent.network.config import Names, bridge_of
from protos.cloud.v1 import fleet_pb2

_NUD_REACHABLE, _NUD_STALE, _NUD_DELAY, _NUD_PROBE = 0x02, 0x04, 0x08, 0x10
_ANSWERED = (_NUD_REACHABLE, _NUD_STALE, _NUD_DELAY)


def reached(nic: fleet_pb2.NicSpec, names: Names, *, anew: bool) -> bool:
    """Whether the guest has answered since it was asked; where it has not, it is asked again."""

    def look(ip: IPRoute) -> bool:
        bridge = links.index_of(ip, bridge_of(nic.subnet_id))
        if bridge is None:
            raise DriverError(f"the bridge of {nic.subnet_id} is not on this host yet")
        if not anew and _has_answered(ip, bridge, nic):
            return True
        ip.neigh(
            "replace",
            ifindex=bridge,
            dst=nic.private_ip_address,
            lladdr=nic.mac_address.lower(),
            state=_NUD_PROBE,
        )
        return False

    return namespaces.netlink(names.namespace(nic.vpc_id), look)


def _has_answered(ip: IPRoute, bridge: int, nic: fleet_pb2.NicSpec) -> bool:
    try:
        (entry,) = ip.neigh("get", ifindex=bridge, dst=nic.private_ip_address)
    except NetlinkError as error:
        if error.code == errno.ENOENT:  # forgotten, as the kernel may
            return False
        raise
    mac = (entry.get_attr("NDA_LLADDR") or "").lower()
    return entry["state"] in _ANSWERED and mac == nic.mac_address.lower()
