"""For real: whether a guest answers, as the router's kernel finds out (neighbours.py)."""

import pytest

from hostagent.kernel.errors import DriverError
from hostagent.network import links, namespaces
from hostagent.network.config import bridge_of
from tests.real.frames import arp_reply
from tests.real.network_guests import eventually
from tests.real.network_lab import EVERYTHING_OUT, Lab

pytestmark = pytest.mark.real

SILENCE_S = 3.5  # three questions, a second apart


@pytest.fixture(scope="module")
def lab():
    lab = Lab("pnwe")
    try:
        yield lab
    finally:
        lab.close()


@pytest.fixture
def vpc(lab):
    return lab.vpc(1)


@pytest.fixture
def start(lab, vpc):
    """Guests of this VPC that are gone after the test; they have no address yet."""
    groups, started = [lab.group(vpc, 1, EVERYTHING_OUT)], []

    def start(number: int):
        started.append(lab.start(vpc, number, groups))
        return started[-1]

    yield start
    for guest in started:
        lab.power_off(guest)


def asked(lab, guest) -> bool:
    """Whether it answers when it is asked now."""
    assert not lab.network.reached(guest.nic, anew=True)
    return bool(eventually(lambda: lab.network.reached(guest.nic, anew=False), SILENCE_S))


def test_a_guest_is_reached_once_it_has_its_address(lab, start):
    guest = start(10)
    assert not asked(lab, guest)
    lab.configure(guest)
    assert eventually(lambda: lab.network.reached(guest.nic, anew=False), SILENCE_S)
    assert lab.network.reached(guest.nic, anew=False), "what was answered stays so"


def test_an_answer_of_before_does_not_count(lab, start):
    guest = lab.configure(start(11))
    assert asked(lab, guest)
    guest.run("ip", "link", "set", "eth0", "down")
    assert lab.network.reached(guest.nic, anew=False), "nobody has asked since"
    assert not asked(lab, guest)
    guest.run("ip", "link", "set", "eth0", "up")
    assert asked(lab, guest)


def test_an_entry_that_traffic_keeps_fresh_does_not_count(lab, vpc, start):
    """The kernel believes in whom it has heard; the check does not."""
    guest = lab.configure(start(12))
    assert asked(lab, guest)
    guest.run("ip", "link", "set", "eth0", "down")

    def confirm(ip) -> None:
        bridge = links.index_of(ip, bridge_of(guest.nic.subnet_id))
        ip.neigh(
            "replace",
            ifindex=bridge,
            dst=guest.address,
            lladdr=guest.nic.mac_address,
            state=0x02,  # reachable
        )

    namespaces.netlink(lab.network.names.namespace(vpc), confirm)
    assert not asked(lab, guest)


def test_nobody_answers_for_another(lab, start):
    absent, liar = start(13), lab.configure(start(14))
    router = namespaces.netlink(
        lab.network.names.namespace(absent.nic.vpc_id),
        lambda ip: links.all_links(ip)[bridge_of(absent.nic.subnet_id)].get_attr("IFLA_ADDRESS"),
    )
    assert not lab.network.reached(absent.nic, anew=True)
    for mac in (liar.nic.mac_address, absent.nic.mac_address):
        liar.inject(arp_reply(mac, absent.address, router, "172.31.0.1"))
    assert not eventually(lambda: lab.network.reached(absent.nic, anew=False), SILENCE_S)


def test_the_groups_of_a_guest_do_not_matter(lab, vpc):
    closed = lab.start(vpc, 15, [lab.group(vpc, 2)])
    try:
        assert asked(lab, lab.configure(closed))
    finally:
        lab.power_off(closed)


def test_where_there_is_no_network_nobody_can_be_asked(lab, start):
    guest = start(16)
    guest.nic.vpc_id = "vpc-00000000000000bad"
    with pytest.raises(DriverError, match="there is no namespace"):
        lab.network.reached(guest.nic, anew=True)
