"""For real: security groups at the tap, and guests that lie about who they are."""

import threading

import pytest

from hostagent.network.config import mac_of
from tests.real.frames import BROADCAST, arp_reply, ethernet, ipv4_udp
from tests.real.network_guests import connect, eventually, pings, reach
from tests.real.network_lab import EVERYTHING_OUT, Lab, allow, allow_out

pytestmark = pytest.mark.real

WEB, CLIENT, CLOSED = 1, 2, 3
IPV4, ARP, IPV6 = 0x0800, 0x0806, 0x86DD


@pytest.fixture(scope="module")
def lab():
    lab = Lab("pnwf")
    try:
        yield lab
    finally:
        lab.close()


@pytest.fixture(scope="module")
def vpc(lab):
    vpc = lab.vpc(5)
    client = lab.group(vpc, CLIENT, EVERYTHING_OUT)
    lab.group(vpc, WEB, EVERYTHING_OUT, allow("tcp", 80, peer=client), allow("tcp", 8000, 8100))
    lab.group(vpc, CLOSED, EVERYTHING_OUT)
    return vpc


def group(number: int) -> str:
    return f"sg-{number:017x}"


@pytest.fixture(scope="module")
def web(lab, vpc):
    guest = lab.configure(lab.start(vpc, 10, [group(WEB)]))
    for port in (80, 443, 8000, 8100, 8101):
        guest.serve(port)
    return guest


@pytest.fixture(scope="module")
def client(lab, vpc):
    return lab.configure(lab.start(vpc, 11, [group(CLIENT)]))


@pytest.fixture(scope="module")
def stranger(lab, vpc):
    guest = lab.configure(lab.start(vpc, 12, [group(CLOSED)]))
    guest.serve(80)
    return guest


@pytest.fixture(scope="module")
def far(lab, vpc):
    """In the VPC's other subnet."""
    return lab.configure(lab.start(vpc, 13, [group(CLIENT)], subnet=1))


# -- groups ----------------------------------------------------------------------------------------


def test_a_group_lets_in_its_peers_only(web, client, stranger, far):
    assert client.reach(web.address, 80) == client.address
    assert far.reach(web.address, 80) == far.address
    assert stranger.reach(web.address, 80, timeout_s=0.5) is None


def test_ports_outside_the_rules_are_closed_and_ranges_are_whole(web, client, stranger):
    assert client.reach(web.address, 443, timeout_s=0.5) is None
    assert [stranger.reach(web.address, port) for port in (8000, 8100, 8101)] == [
        stranger.address,
        stranger.address,
        None,
    ]


def test_nothing_comes_in_by_default(web, client, stranger, far):
    assert client.reach(stranger.address, 80, timeout_s=0.5) is None
    assert far.reach(stranger.address, 80, timeout_s=0.5) is None
    assert not client.pings(stranger.address) and not far.pings(stranger.address)


def test_icmp_by_type(lab, vpc, web, client):
    assert not client.pings(web.address)
    lab.group(vpc, CLOSED, EVERYTHING_OUT)
    lab.group(vpc, 4, allow("icmp", 8, -1, peer=group(CLIENT)))
    web.nic.security_group_ids.append(group(4))
    web.instance.nics[0].security_group_ids.append(group(4))
    lab.ensure(vpc)
    assert client.pings(web.address)
    lab.group(vpc, 4, allow("icmp", 13, 0, peer=group(CLIENT)))
    lab.ensure(vpc)
    assert not client.pings(web.address)


def test_egress_rules_bind_the_sender(lab, vpc, web):
    lab.group(vpc, 6, allow_out("tcp", 8000, 8000, peer=f"{web.address}/32"))
    guest = lab.configure(lab.start(vpc, 14, [group(6)]))
    assert guest.reach(web.address, 8000) == guest.address
    assert guest.reach(web.address, 8100, timeout_s=0.5) is None
    assert guest.http("/latest/meta-data/mac") == (200, guest.nic.mac_address)
    lab.group(vpc, 6, allow_out("tcp", 8100, peer=group(WEB)))
    lab.ensure(vpc)
    assert guest.reach(web.address, 8000, timeout_s=0.5) is None
    assert guest.reach(web.address, 8100) == guest.address


def test_a_revoked_rule_ends_new_connections_but_not_old_ones(lab, vpc, web, client):
    lab.group(vpc, WEB, EVERYTHING_OUT, allow("tcp", 8000, 8100), allow("tcp", 443))
    lab.ensure(vpc)
    with connect(client.namespace, web.address, 443) as old:
        stream = old.makefile("rwb")
        assert stream.readline().strip().decode() == client.address
        for turn in range(3):
            rules = [allow("tcp", 8000, 8100)] + [allow("tcp", 80, peer=group(CLIENT))] * turn
            lab.group(vpc, WEB, EVERYTHING_OUT, *rules)
            lab.ensure(vpc)
            stream.write(b"still there\n")
            stream.flush()
            assert stream.readline() == b"still there\n"
            assert client.reach(web.address, 443, timeout_s=0.5) is None
    assert client.reach(web.address, 80) == client.address


def test_rules_change_under_traffic_without_a_gap(lab, vpc, web, client):
    """While the whole set is replaced again and again, what is open stays open, what is closed
    never opens."""
    lab.group(vpc, WEB, EVERYTHING_OUT, allow("tcp", 8000, 8100))
    lab.ensure(vpc)
    stop, loads, failures = threading.Event(), [], []

    def reload():
        while not stop.is_set():
            try:
                lab.ensure(vpc)
                loads.append(1)
            except Exception as failure:
                failures.append(failure)

    changing = threading.Thread(target=reload)
    changing.start()
    try:
        opened = [client.reach(web.address, 8000) for _ in range(40)]
        closed = [client.reach(web.address, 443, timeout_s=0.05) for _ in range(40)]
    finally:
        stop.set()
        changing.join()
    assert set(opened) == {client.address} and set(closed) == {None}
    assert len(loads) > 5 and not failures


# -- lies ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ears(lab, vpc):
    """Two guests whose groups forbid nothing, so that only anti-spoofing can."""
    lab.group(vpc, 9, EVERYTHING_OUT, allow("-1"))
    return [lab.configure(lab.start(vpc, number, [group(9)])) for number in (40, 41)]


def heard(listener, word: bytes) -> bool:
    return any(word in frame for frame in listener.seen)


def test_a_true_datagram_arrives(ears):
    liar, listener = ears
    says(liar, listener, b"true-word")
    assert eventually(lambda: heard(listener, b"true-word"), 2)


def says(liar, listener, word: bytes, **lies) -> None:
    """A datagram, true but for ``lies``; then a true one, whose arrival proves the wire's order."""
    frame = ethernet(
        lies.get("mac", liar.nic.mac_address),
        lies.get("target_mac", listener.nic.mac_address),
        lies.get("kind", IPV4),
        lies.get("payload")
        or ipv4_udp(lies.get("address", liar.address), listener.address, (5, 5), word),
    )
    liar.inject(frame)


@pytest.mark.parametrize(
    "name, lies",
    [
        ("address", {"address": "172.31.0.77"}),
        ("router", {"address": "172.31.0.1"}),
        ("outside", {"address": "8.8.8.8"}),
        ("mac", {"mac": "02:16:3e:77:77:77"}),
        ("ipv6", {"kind": IPV6}),
        ("unknown-kind", {"kind": 0x88B5}),
        ("vlan", {"kind": 0x8100}),
    ],
)
def test_a_lie_does_not_arrive(ears, name, lies):
    liar, listener = ears
    says(liar, listener, f"lie-{name}".encode(), **lies)
    says(liar, listener, f"end-{name}".encode())
    assert eventually(lambda: heard(listener, f"end-{name}".encode()), 2)
    assert not heard(listener, f"lie-{name}".encode())


def test_nobody_else_offers_dhcp(ears):
    liar, listener = ears
    offer = ipv4_udp(liar.address, "255.255.255.255", (67, 68), b"lie-offer")
    liar.inject(ethernet(liar.nic.mac_address, BROADCAST, IPV4, offer))
    liar.inject(
        ethernet(
            liar.nic.mac_address,
            listener.nic.mac_address,
            IPV4,
            ipv4_udp(liar.address, listener.address, (67, 68), b"lie-offer"),
        )
    )
    says(liar, listener, b"end-offer")
    assert eventually(lambda: heard(listener, b"end-offer"), 2)
    assert not heard(listener, b"lie-offer")


def test_arp_is_true_or_dropped(ears):
    liar, listener = ears
    router = "172.31.0.1"
    for mac, address in ((liar.nic.mac_address, router), (mac_of("x"), liar.address)):
        lie = arp_reply(mac, address, listener.nic.mac_address, listener.address)
        liar.inject(ethernet(liar.nic.mac_address, listener.nic.mac_address, ARP, lie))
    truth = arp_reply(
        liar.nic.mac_address, liar.address, listener.nic.mac_address, listener.address
    )
    liar.inject(ethernet(liar.nic.mac_address, listener.nic.mac_address, ARP, truth))
    assert eventually(lambda: any(truth in frame for frame in listener.seen), 2)
    replies = [f[22:32] for f in listener.seen if f[12:14] == b"\x08\x06" and f[20:22] == b"\0\x02"]
    lies = [r for r in replies if r[:6] == bytes.fromhex(liar.nic.mac_address.replace(":", ""))]
    assert {r[6:] for r in lies} == {bytes(map(int, liar.address.split(".")))}


def test_a_link_local_frame_does_not_teach_the_bridge(ears):
    """An LLDP frame passes no rule set; learning from it would draw the listener's traffic away."""
    liar, listener = ears
    lldp = ethernet(listener.nic.mac_address, "01:80:c2:00:00:0e", 0x88CC, bytes(46))
    liar.inject(lldp)
    assert pings(listener.namespace, liar.address)
    assert not any(frame[:6].hex(":") == listener.nic.mac_address for frame in liar.seen), (
        "frames for the listener came to the liar"
    )


def test_guests_hear_nothing_that_is_not_for_them(ears, client, web):
    liar, listener = ears
    client.reach(web.address, 80)
    dhcp = ipv4_udp("0.0.0.0", "255.255.255.255", (68, 67), b"discover-word")
    liar.inject(ethernet(liar.nic.mac_address, BROADCAST, IPV4, dhcp))
    says(liar, listener, b"end-broadcast")
    assert eventually(lambda: heard(listener, b"end-broadcast"), 2)
    assert not heard(listener, b"discover-word")
    mine = {listener.nic.mac_address, BROADCAST}
    assert {frame[:6].hex(":") for frame in listener.seen} <= mine


def test_without_the_source_check_a_guest_may_forward(lab, vpc, ears):
    """A NAT instance: sends under others' addresses, and gets what is for others; groups hold."""
    _, listener = ears
    nat = lab.configure(lab.start(vpc, 50, [group(9)], source_dest_check=False))
    says(nat, listener, b"forwarded", address="10.9.8.7")
    assert eventually(lambda: heard(listener, b"forwarded"), 2)
    packet = ipv4_udp(listener.address, "10.9.8.7", (7, 7), b"to-elsewhere")  # no reply
    frame = ethernet(listener.nic.mac_address, nat.nic.mac_address, IPV4, packet)
    listener.inject(frame)
    assert eventually(lambda: heard(nat, b"to-elsewhere"), 2)
    nat.nic.security_group_ids[:] = nat.instance.nics[0].security_group_ids[:] = [group(CLOSED)]
    lab.ensure(vpc)
    other = ipv4_udp(listener.address, "10.9.8.7", (6, 6), b"refused-word")
    listener.inject(ethernet(listener.nic.mac_address, nat.nic.mac_address, IPV4, other))
    says(listener, ears[0], b"end-forward")
    assert eventually(lambda: heard(ears[0], b"end-forward"), 2)
    assert not heard(nat, b"refused-word")


def test_the_host_cannot_reach_a_private_address(web):
    assert reach(None, web.address, 8000, timeout_s=0.5) is None
