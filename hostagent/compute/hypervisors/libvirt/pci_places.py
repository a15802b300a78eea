"""Where a guest's devices are on its PCI buses: functions of what they are to the instance, so that
a guest finds them in the same places and the same order after every start, plugged in or not. Pure.

    bus = Bus.new(machine) or Bus.of(tree of a running domain); None: libvirt finds places itself
    bus.take(nic_places(device_index))      -> Place, or None where no place is free
    bus.take(disk_places(position))

    bus 0   slot 0, 1     the machine's own
                 2..16    interfaces of device index 0..14
                 17..19   serial ports, balloon, random numbers
                 20       the bridge to bus 1
                 21..31   disks of position 0..10
    bus 1   slot 1..15    disks of position 11..25
                 16..31   interfaces of device index 15..30

A kernel looks at bus 0 first, so interfaces and disks are in their order throughout. A slot for
each, as a guest lets go of whole slots. Only machines of QEMU's "pc" family have such buses; others
(q35) have a port for each device, and libvirt makes those. Called by domain_xml, disks and
nics. Why so: docs/decisions/0210.
"""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from lxml import etree


class Place(NamedTuple):
    bus: int
    slot: int


SERIAL, BALLOON, RNG, BRIDGE = (Place(0, slot) for slot in range(17, 21))
_NICS = [Place(0, slot) for slot in range(2, 17)] + [Place(1, slot) for slot in range(16, 32)]
_DISKS = [Place(0, slot) for slot in range(21, 32)] + [Place(1, slot) for slot in range(1, 16)]


def nic_places(device_index: int) -> Sequence[Place]:
    """Its own, then what it may have where that is not free."""
    return _from(_NICS, device_index)


def disk_places(position: int) -> Sequence[Place]:
    """As ``nic_places``; position 0 is the root disk's."""
    return _from(_DISKS, position)


class Bus:
    """What is free on a guest's buses."""

    def __init__(self, buses: Collection[int], taken: Iterable[Place]):
        self._buses, self._taken = buses, set(taken)

    @classmethod
    def new(cls, machine: str) -> "Bus | None":
        """Of a domain that is about to be made."""
        if machine != "pc" and not machine.startswith("pc-i440fx"):
            return None
        return cls((0, 1), (SERIAL, BALLOON, RNG, BRIDGE))

    @classmethod
    def of(cls, tree: etree._Element) -> "Bus | None":
        """Of a domain that runs, whoever chose its places: one that an older agent made has no
        bridge, and its devices are where libvirt found room.
        """
        roots = tree.iterfind("devices/controller[@type='pci']")
        models = {int(each.get("index", "0")): each.get("model") for each in roots}
        if models.get(0) != "pci-root":
            return None
        bridges = {index for index, model in models.items() if model == "pci-bridge"}
        found = tree.iterfind("devices/*/address[@type='pci']")
        taken = [Place(*(int(each.attrib[key], 16) for key in ("bus", "slot"))) for each in found]
        return cls({0} | bridges, taken)

    def take(self, places: Iterable[Place]) -> Place | None:
        """The first that is there and free; it is free no more."""
        for place in places:
            if place.bus in self._buses and place not in self._taken:
                self._taken.add(place)
                return place
        return None


def _from(places: Sequence[Place], number: int) -> Sequence[Place]:
    """One beyond all places takes from the end, where it is in nobody's way for longest."""
    if 0 <= number < len(places):
        return [*places[number:], *places[:number]]
    return places[::-1]
