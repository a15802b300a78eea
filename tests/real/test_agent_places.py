"""Where libvirt's guests have their devices: by what they are to the instance, however they came.

The guests are boot sectors, which take what is plugged in and look at none of it.
"""

import subprocess

import libvirt
import pytest
from lxml import etree

from hostagent.compute.hypervisors.libvirt.pci_places import Place, disk_places, nic_places
from hostagent.network.fake import FakeNetwork
from protos.cloud.v1.fleet_pb2 import (
    OBSERVED_RUNNING,
    OBSERVED_STOPPED,
    STOPPED,
    VOLUME_PRESENT,
    DiskSpec,
    NicSpec,
    VolumeSpec,
    VpcSpec,
)
from tests.real.agent_host import Host, eventually, volume_of
from tests.real.boot_sector import Guest
from tests.real.libvirtd import PrivateLibvirtd

NAME = "i-0a9eb1ace00000001"
MIB = 1 << 20
MOST_DISKS, MOST_NICS = 26, 15


class Taps(FakeNetwork):
    """A network of taps on the host, joined to nothing."""

    def __init__(self):
        super().__init__()
        self.own_taps = set()

    def ensure_port(self, nic):
        port = super().ensure_port(nic)
        if port.tap not in self.own_taps:
            subprocess.run(["ip", "tuntap", "add", port.tap, "mode", "tap"], check=True)
            self.own_taps.add(port.tap)
        return port


@pytest.fixture(scope="module")
def daemon():
    with PrivateLibvirtd() as daemon:
        yield daemon


@pytest.fixture
def host(tmp_path, daemon):
    network = Taps()
    host = Host(tmp_path, daemon.uri, new_network=lambda: network)
    yield host
    host.close()
    for tap in network.own_taps:
        subprocess.run(["ip", "link", "del", tap], check=True)


def nic(index: int) -> NicSpec:
    return NicSpec(
        network_interface_id=f"eni-{0xB1ACE000 + index:017x}",
        device_index=index,
        mac_address=f"02:16:3e:b1:ac:{index:02x}",
        vpc_id="vpc-1",
    )


def disk(position: int) -> DiskSpec:
    """``position`` 0 is the root disk's, which each guest has."""
    return DiskSpec(
        volume_id=f"vol-{0xB1ACE000 + position:017x}",
        device_name=f"/dev/sd{chr(ord('z') - position)}",  # names in no helpful order
        size_bytes=MIB,
        position=position,
    )


def tell(host, nics, disks=(), **fields) -> None:
    volumes = [
        VolumeSpec(volume_id=each.volume_id, desired=VOLUME_PRESENT, size_bytes=MIB)
        for each in disks
    ]
    vpcs = [VpcSpec(vpc_id="vpc-1")]
    host.tell(NAME, Guest.LISTENS, nics=nics, vpcs=vpcs, disks=disks, volumes=volumes, **fields)


def converged(host) -> None:
    def is_converged() -> bool:
        known = host.ledger.instances.get(NAME).progress
        return known.devices_revision == host.revision and not known.device_failures

    eventually(is_converged, lambda: str(host.ledger.instances.get(NAME).progress))


def domain(host) -> libvirt.virDomain:
    return host.hypervisor._existing(NAME)


def places(host) -> dict[str, Place]:
    """By the ids of disks and interfaces."""
    found = {}
    for address in etree.fromstring(domain(host).XMLDesc(0)).iterfind("devices/*/address[@bus]"):
        alias = address.getparent().find("alias").get("name")
        if alias.startswith("ua-"):
            place = Place(int(address.get("bus"), 16), int(address.get("slot"), 16))
            found[alias.removeprefix("ua-")] = place
    return found


def own(nics, disks) -> dict[str, Place]:
    return (
        {each.network_interface_id: nic_places(each.device_index)[0] for each in nics}
        | {each.volume_id: disk_places(each.position)[0] for each in disks}
        | {volume_of(NAME): disk_places(0)[0]}
    )


def test_places_are_kept_over_a_stop_however_devices_were_plugged_in(host):
    tell(host, [nic(0)])
    host.until(NAME, OBSERVED_RUNNING)
    tell(host, [nic(0), nic(2)], [disk(2)])
    converged(host)
    nics, disks = [nic(0), nic(1), nic(2)], [disk(1), disk(2)]
    tell(host, nics, disks)
    converged(host)
    assert places(host) == own(nics, disks)

    tell(host, nics, disks, desired=STOPPED)
    host.until(NAME, OBSERVED_STOPPED)
    tell(host, nics, disks, starts=2)
    host.until(NAME, OBSERVED_RUNNING)
    assert places(host) == own(nics, disks)


def test_there_is_room_for_all_that_an_instance_can_have(host):
    tell(host, [nic(0)])
    host.until(NAME, OBSERVED_RUNNING)
    nics = [nic(index) for index in range(MOST_NICS)]
    disks = [disk(position) for position in range(1, MOST_DISKS)]
    tell(host, nics, disks)
    converged(host)
    assert places(host) == own(nics, disks)


def test_a_guest_that_an_older_agent_made_goes_on_with_what_is_free(host, daemon):
    """It has no bridge, and libvirt chose its places: what is plugged in goes elsewhere until the
    next start.
    """
    tell(host, [nic(0)])
    host.until(NAME, OBSERVED_RUNNING)
    host.stop()
    tree = etree.fromstring(domain_xml(daemon))
    for each in tree.xpath("devices/*/address[@type='pci'] | devices/controller"):
        each.getparent().remove(each)
    with_libvirt(daemon, lambda old: old.destroy())
    with_libvirt(daemon, lambda old: old.connect().defineXML(etree.tostring(tree).decode()))
    with_libvirt(daemon, lambda old: old.create())
    host.start()
    host.until(NAME, OBSERVED_RUNNING)
    before = places(host)
    nics, disks = [nic(0), nic(1), nic(20)], [disk(1), disk(20)]
    tell(host, nics, disks)
    converged(host)
    found = places(host)
    assert found.keys() == own(nics, disks).keys() and found.items() >= before.items()
    assert found != own(nics, disks)

    tell(host, nics, disks, desired=STOPPED)
    host.until(NAME, OBSERVED_STOPPED)
    tell(host, nics, disks, starts=2)
    host.until(NAME, OBSERVED_RUNNING)
    assert places(host) == own(nics, disks)


def with_libvirt(daemon, act):
    """While the agent is away."""
    connection = libvirt.open(daemon.uri)
    try:
        return act(connection.lookupByName(NAME))
    finally:
        connection.close()


def domain_xml(daemon) -> str:
    return with_libvirt(daemon, lambda old: old.XMLDesc(libvirt.VIR_DOMAIN_XML_INACTIVE))
