"""Interfaces of a running domain, by their ids: hot plug and unplug.

An interface bears its id as its alias in the domain ("ua-eni-…"), so that libvirt itself keeps what
a domain has. Called by libvirt_driver, which translates errors. A domain is made anew for each
start: its definition is left alone.
"""

from collections.abc import Sequence

import libvirt
from lxml import etree

from hostagent.drivers import Port
from hostagent.hypervisors.domain_xml import ALIAS, interface_of


def listed(domain: libvirt.virDomain) -> Sequence[str]:
    """Ids of the interfaces that the domain has now; of one that the guest was asked to let go of
    until it has.
    """
    aliases = etree.fromstring(domain.XMLDesc(0)).iterfind("devices/interface/alias")
    names = [alias.get("name", "") for alias in aliases]
    return sorted(name.removeprefix(ALIAS) for name in names if name.startswith(ALIAS))


def attach(domain: libvirt.virDomain, port: Port) -> None:
    """The same again is the same."""
    if port.network_interface_id not in listed(domain):
        text = interface_of(port).to_text()
        domain.attachDeviceFlags(text, libvirt.VIR_DOMAIN_AFFECT_LIVE)


def detach(domain: libvirt.virDomain, network_interface_id: str) -> None:
    """Asks the guest to let go of it, and does not wait."""
    if network_interface_id in listed(domain):
        domain.detachDeviceAlias(ALIAS + network_interface_id, libvirt.VIR_DOMAIN_AFFECT_LIVE)
