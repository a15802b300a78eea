"""Interfaces of a running domain, by their ids: hot plug and unplug.

An interface bears its id as its alias in the domain ("ua-eni-…"), so that libvirt itself keeps what
a domain has. Called by driver, which translates errors. A domain is made anew for each
start: its definition is left alone.
"""

from collections.abc import Sequence

import libvirt
from lxml import etree

from hostagent.compute.drivers import GuestNic
from hostagent.compute.hypervisors.libvirt.domain_xml import ALIAS, interface_of
from hostagent.compute.hypervisors.libvirt.monitor import QemuMonitor
from hostagent.compute.hypervisors.libvirt.pci_places import Bus
from hostagent.network.drivers import Port

TAP_FILE = "tapfd-{}0"  # as libvirt names a device's when it hands it to QEMU


def listed(domain: libvirt.virDomain) -> Sequence[GuestNic]:
    """One that the guest was asked to let go of is there until it has."""
    return [GuestNic(name) for name in _names(etree.fromstring(domain.XMLDesc(0)))]


def attach(domain: libvirt.virDomain, port: Port) -> None:
    """The same again is the same."""
    tree = etree.fromstring(domain.XMLDesc(0))
    if port.network_interface_id not in _names(tree):
        text = interface_of(port, Bus.of(tree)).to_text()
        try:
            domain.attachDeviceFlags(text, libvirt.VIR_DOMAIN_AFFECT_LIVE)
        except libvirt.libvirtError:  # perhaps QEMU has the tap, from a libvirtd that died
            QemuMonitor(domain).drop_file(TAP_FILE.format(ALIAS + port.network_interface_id))
            raise


def detach(domain: libvirt.virDomain, network_interface_id: str) -> None:
    """Asks the guest to let go of it, and does not wait."""
    if network_interface_id in _names(etree.fromstring(domain.XMLDesc(0))):
        domain.detachDeviceAlias(ALIAS + network_interface_id, libvirt.VIR_DOMAIN_AFFECT_LIVE)


def _names(tree: etree._Element) -> list[str]:
    aliases = tree.iterfind("devices/interface/alias")
    names = [alias.get("name", "") for alias in aliases]
    return sorted(name.removeprefix(ALIAS) for name in names if name.startswith(ALIAS))
