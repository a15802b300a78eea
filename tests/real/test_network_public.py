"""For real: VPCs side by side, public addresses, and the way to the outside."""

import pytest

from hostagent.kernel import shell
from tests.real.network_guests import Service, connect, eventually, pings, reach
from tests.real.network_lab import EVERYTHING_OUT, Lab, allow

pytestmark = pytest.mark.real

NAT_PREFIX, HOST = "100.127.", "100.126.7.1"
A_PUBLIC, B_PUBLIC, SPARE = "100.126.7.50", "100.126.7.60", "100.126.7.70"


@pytest.fixture(scope="module")
def lab():
    lab = Lab("pnwp")
    lab.network.start()
    try:
        yield lab
    finally:
        lab.close()


@pytest.fixture(scope="module")
def outside(lab):
    name = lab.add_outside()
    services = [Service(name, 80)]
    yield name
    for service in services:
        service.close()


def open_guest(lab, vpc, number, group):
    guest = lab.configure(lab.start(vpc, number, [group]))
    guest.serve(80)
    guest.serve(81)
    return guest


@pytest.fixture(scope="module")
def a(lab):
    """In a VPC of one account, with a public address; port 80 is open to all."""
    vpc = lab.vpc(1)
    guest = open_guest(lab, vpc, 10, lab.group(vpc, 1, EVERYTHING_OUT, allow("tcp", 80)))
    lab.associate(guest, A_PUBLIC)
    return guest


@pytest.fixture(scope="module")
def a_private(lab, a):
    """Beside ``a``, without a public address."""
    return open_guest(lab, a.nic.vpc_id, 11, a.nic.security_group_ids[0])


@pytest.fixture(scope="module")
def b(lab):
    """In another VPC with the same range and the same private address; all is open."""
    vpc = lab.vpc(2)
    guest = open_guest(lab, vpc, 10, lab.group(vpc, 2, EVERYTHING_OUT, allow("-1")))
    lab.associate(guest, B_PUBLIC)
    return guest


def test_two_vpcs_with_one_range_do_not_see_each_other(lab, a, a_private, b):
    assert a.address == b.address
    assert b.reach(a_private.address, 80, timeout_s=0.5) is None  # .11 is in a's VPC only
    beside = open_guest(lab, b.nic.vpc_id, 12, b.nic.security_group_ids[0])
    assert a.reach(beside.address, 80, timeout_s=0.5) is None
    assert b.reach(beside.address, 80) == b.address


def test_the_host_reaches_a_public_address_as_the_pools_gateway(a):
    assert reach(None, A_PUBLIC, 80) == HOST
    assert reach(None, A_PUBLIC, 81, timeout_s=0.5) is None


def test_vpcs_reach_each_others_public_addresses_under_their_own(a, a_private, b):
    assert b.reach(A_PUBLIC, 80) == B_PUBLIC
    assert a.reach(B_PUBLIC, 81) == A_PUBLIC
    assert b.reach(A_PUBLIC, 81, timeout_s=0.5) is None
    assert a_private.reach(B_PUBLIC, 80).startswith(NAT_PREFIX)
    assert a.pings(B_PUBLIC) and not b.pings(A_PUBLIC)


def test_a_public_address_of_the_own_vpc_is_the_outside_too(a, a_private):
    assert a.reach(A_PUBLIC, 80) == A_PUBLIC
    assert a_private.reach(A_PUBLIC, 80).startswith(NAT_PREFIX)


def test_a_group_reference_does_not_match_traffic_from_outside(lab, a, a_private):
    """As in EC2: through the public address the sender is its public address, not a member."""
    vpc, group = a.nic.vpc_id, a.nic.security_group_ids[0]
    lab.group(vpc, 1, EVERYTHING_OUT, allow("tcp", 80), allow("tcp", 81, peer=group))
    lab.ensure(vpc)
    assert a_private.reach(a.address, 81) == a_private.address
    assert a_private.reach(A_PUBLIC, 81, timeout_s=0.5) is None
    lab.group(vpc, 1, EVERYTHING_OUT, allow("tcp", 80))
    lab.ensure(vpc)


def test_guests_reach_the_outside_and_it_sees_the_host(a, a_private, outside):
    assert a.reach("198.18.77.2", 80) == "198.18.77.1"
    assert a_private.reach("198.18.77.2", 80) == "198.18.77.1"
    assert a_private.pings("198.18.77.2")


def test_the_outside_comes_in_by_public_addresses_only(a, a_private, outside):
    for network in ("100.126.7.0/24", "100.127.0.0/16"):
        shell.run(["ip", "route", "replace", network, "via", "198.18.77.1"], netns=outside)
    assert reach(outside, A_PUBLIC, 80) == "198.18.77.2"
    assert reach(outside, A_PUBLIC, 81, timeout_s=0.5) is None
    for transit in ("100.127.0.2", "100.127.0.3"):
        assert not pings(outside, transit)


def test_the_host_itself_is_closed_to_guests(a, a_private):
    service = Service(None, 18099)
    try:
        assert reach(None, "127.0.0.1", 18099) == "127.0.0.1"
        for address in (HOST, "100.127.0.1", "198.18.77.1"):
            assert a.reach(address, 18099, timeout_s=0.5) is None
            assert a_private.reach(address, 18099, timeout_s=0.5) is None
            assert not a.pings(address)
    finally:
        service.close()


def test_an_address_of_nobody_is_unreachable_at_once(a):
    with pytest.raises(OSError, match=r"unreachable|No route"):
        connect(None, SPARE, 80, timeout_s=5)
    assert a.reach(SPARE, 80, timeout_s=5) is None


def test_an_address_moves_between_guests_and_between_vpcs(lab, a, a_private, b):
    def answers(public):
        return reach(None, public, 80, timeout_s=0.5)

    lab.associate(a_private, SPARE)
    with connect(None, SPARE, 80) as old:
        assert old.makefile().readline().strip() == HOST
        lab.associate(a, SPARE)  # in its VPC, and a's own address is free
        assert answers(SPARE) == HOST
        assert answers(A_PUBLIC) is None
        assert a.reach(B_PUBLIC, 80) == SPARE
        assert a_private.reach(B_PUBLIC, 80).startswith(NAT_PREFIX)
        old.settimeout(1)
        with pytest.raises(OSError):  # the flow did not stay with the former owner
            old.sendall(b"anybody there\n")
            assert old.recv(100) != b"anybody there\n", "answered by the former owner"
            raise OSError("closed")
    lab.associate(b, SPARE)  # before a's VPC hears of it
    assert answers(SPARE) == HOST
    assert b.reach("198.18.77.2", 80) in ("198.18.77.1", None)
    lab.associate(a, A_PUBLIC)
    assert answers(SPARE) == HOST and answers(A_PUBLIC) == HOST
    lab.associate(b, B_PUBLIC)
    assert eventually(lambda: answers(SPARE) is None, 2)


def test_large_packets_pass_to_the_outside(a, outside):
    size = str(lab_mtu(a) - 28)
    a.run("ping", "-c", "1", "-W", "2", "-M", "do", "-s", size, "198.18.77.2")


def lab_mtu(guest) -> int:
    return int(guest.run("cat", "/sys/class/net/eth0/mtu").stdout or 0) or 1400


def test_a_public_addresss_former_vpc_keeps_nothing(lab, b):
    assert SPARE not in lab.network.inventory().routes
