"""Which device is where on a guest's PCI buses."""

import pytest
from lxml import etree

from hostagent.compute.hypervisors.libvirt.pci_places import Bus, Place, disk_places, nic_places

NICS, DISKS = 31, 26


def tree(*taken: Place, controllers=((0, "pci-root"), (1, "pci-bridge"))) -> etree._Element:
    """Of a domain that runs."""
    rows = [f"<controller type='pci' index='{i}' model='{m}'/>" for i, m in controllers]
    rows += [
        f"<disk><address type='pci' bus='{p.bus:#04x}' slot='{p.slot:#04x}'/></disk>" for p in taken
    ]
    return etree.fromstring(f"<domain><devices>{''.join(rows)}</devices></domain>")


def test_every_device_has_a_place_of_its_own_whatever_comes_first():
    bus = Bus.new("pc")
    wanted = [nic_places(n) for n in range(NICS)] + [disk_places(n) for n in range(DISKS)]
    found = [bus.take(places) for places in reversed(wanted)][::-1]
    assert found == [places[0] for places in wanted]
    assert len(set(found)) == NICS + DISKS
    assert found[:NICS] == sorted(found[:NICS]) and found[NICS:] == sorted(found[NICS:])
    assert all(1 < place.slot < 32 for place in found if place.bus == 0)
    assert all(0 < place.slot < 32 for place in found if place.bus == 1)
    assert bus.take(nic_places(0)) is None


@pytest.mark.parametrize("machine, fixed", [("pc-i440fx-7.2", True), ("q35", False)])
def test_places_are_those_of_one_kind_of_machine(machine, fixed):
    assert (Bus.new(machine) is not None) == fixed


def test_disks_that_nobody_numbered_are_in_their_order():
    """As an agent finds them in its ledger that was told by an older controller."""
    bus = Bus.new("pc")
    assert [bus.take(disk_places(0)) for _ in range(DISKS)] == [
        disk_places(n)[0] for n in range(DISKS)
    ]


@pytest.mark.parametrize("places", [nic_places(31), nic_places(5000), disk_places(26)])
def test_what_has_no_place_is_in_nobodys_way_for_long(places):
    assert Bus.new("pc").take(places).bus == 1


def test_a_guest_that_runs_has_what_is_free_there():
    own = nic_places(1)[0]
    assert Bus.of(tree()).take(nic_places(1)) == own
    assert Bus.of(tree(own)).take(nic_places(1)) == nic_places(2)[0]
    before = Bus.of(tree(own, controllers=[(0, "pci-root")]))  # an older agent made it
    assert before.take(nic_places(1)) == nic_places(2)[0]
    assert before.take(disk_places(20)) == disk_places(0)[0]
    full = [Place(0, slot) for slot in range(32)]
    assert Bus.of(tree(*full, controllers=[(0, "pci-root")])).take(nic_places(1)) is None


def test_where_ports_are_libvirts_it_finds_places():
    assert Bus.of(tree(controllers=[(0, "pcie-root"), (1, "pcie-root-port")])) is None
