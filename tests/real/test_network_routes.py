"""For real: what a subnet's routes let through, changed while guests run; appliances; several
interfaces and addresses.
"""

import pytest

from hostagent.kernel import shell
from tests.real.frames import ethernet, ipv4_udp
from tests.real.network_guests import Service, connect, eventually, reach
from tests.real.network_lab import EVERYTHING_OUT, Lab, allow

pytestmark = pytest.mark.real

OUTSIDE, HOST = "198.18.77.2", "198.18.77.1"
INTERNET = "0.0.0.0/0 internet"
PUBLIC, SECOND_PUBLIC = "100.126.7.50", "100.126.7.60"
GATEWAY = "100.126.7.1"
MASQUERADE = """table ip nat {
    chain post {
        type nat hook postrouting priority 100
        masquerade
    }
}
"""


@pytest.fixture(scope="module")
def lab():
    lab = Lab("pnwt")
    lab.network.start()
    try:
        yield lab
    finally:
        lab.close()
        assert lab.network.inventory().of_vpcs() == {}


@pytest.fixture(scope="module", autouse=True)
def outside(lab):
    name = lab.add_outside()
    service = Service(name, 80)
    yield name
    service.close()


@pytest.fixture
def vpc(lab, request):
    """Two subnets; the first is routed to the internet gateway, the second is not."""
    number = 1 + len(lab.vpcs)
    vpc = lab.vpc(number, f"10.{number}.0.0/16", routes=())
    lab.group(vpc, number, EVERYTHING_OUT, allow("-1"))
    lab.vpcs[vpc].subnets[0].routes.add(destination_cidr_block="0.0.0.0/0", internet_gateway=True)
    yield vpc
    for guest in [guest for guest in lab.guests if guest.nic.vpc_id == vpc]:
        lab.power_off(guest)
    lab.network.remove_vpc(vpc)


def start(lab, vpc, number, **nic):
    group = lab.vpcs[vpc].security_groups[0].group_id
    guest = lab.configure(lab.start(vpc, number, [group], **nic))
    guest.serve(80)
    return guest


def test_only_a_routed_subnet_reaches_the_outside(lab, vpc):
    routed, isolated = start(lab, vpc, 10), start(lab, vpc, 11, subnet=1)
    assert routed.reach(OUTSIDE, 80) == HOST
    assert isolated.reach(OUTSIDE, 80, timeout_s=0.5) is None
    assert "Unreachable" in isolated.run("ping", "-c1", "-W1", OUTSIDE, accept=(1,)).stdout
    for transit in ("100.127.0.1", GATEWAY):
        assert not isolated.pings(transit)
    assert isolated.reach(routed.address, 80) == isolated.address
    assert routed.reach(isolated.address, 80) == routed.address
    assert isolated.http("/latest/meta-data/local-ipv4") == (200, isolated.address)


def test_a_public_address_needs_the_route_too(lab, vpc):
    isolated = start(lab, vpc, 12, subnet=1)
    lab.associate(isolated, PUBLIC)
    assert reach(None, PUBLIC, 80, timeout_s=0.5) is None
    lab.route(vpc, 1, INTERNET)
    assert reach(None, PUBLIC, 80) == GATEWAY
    assert isolated.reach(OUTSIDE, 80) == HOST
    lab.route(vpc, 1)
    assert reach(None, PUBLIC, 80, timeout_s=0.5) is None
    assert lab.network.inventory().routes.count(PUBLIC) == 0


def test_what_a_route_had_allowed_ends_with_it(lab, vpc):
    guest = start(lab, vpc, 13, subnet=1)
    lab.route(vpc, 1, INTERNET)
    with connect(guest.namespace, OUTSIDE, 80) as open_one:
        assert open_one.makefile().readline().strip() == HOST
        lab.route(vpc, 1, "198.19.0.0/16 internet")
        open_one.settimeout(1)
        with pytest.raises(OSError):
            open_one.sendall(b"still there?")
            open_one.recv(100)
    assert flows(lab, vpc, guest.address, OUTSIDE) == ""


def test_other_flows_go_on_when_routes_change(lab, vpc):
    one, other = start(lab, vpc, 14), start(lab, vpc, 15, subnet=1)
    with (
        connect(one.namespace, other.address, 80) as inside,
        connect(one.namespace, OUTSIDE, 80) as away,
    ):
        inside.makefile().readline(), away.makefile().readline()
        lab.route(vpc, 1, "198.19.0.0/16 blackhole", INTERNET)
        lab.route(vpc, 1)
        for connection in (inside, away):
            connection.settimeout(2)
            connection.sendall(b"still there\n")
            assert connection.recv(100) == b"still there\n"


def test_the_longest_prefix_wins_and_a_blackhole_is_unreachable(lab, vpc):
    guest = start(lab, vpc, 16)
    lab.route(vpc, 0, INTERNET, "198.18.77.0/24 blackhole")
    assert "Unreachable" in guest.run("ping", "-c1", "-W1", OUTSIDE, accept=(1,)).stdout
    assert guest.reach(OUTSIDE, 80, timeout_s=0.5) is None
    lab.route(vpc, 0, INTERNET, "198.18.77.0/24 blackhole", f"{OUTSIDE}/32 internet")
    assert guest.reach(OUTSIDE, 80) == HOST
    lab.route(vpc, 0, "0.0.0.0/0 blackhole", "198.18.0.0/15 internet")
    assert guest.reach(OUTSIDE, 80) == HOST


def test_the_vpcs_own_ranges_are_always_local(lab, vpc):
    one, other = start(lab, vpc, 17), start(lab, vpc, 18, subnet=1)
    own = lab.vpcs[vpc].cidr_blocks[0]
    lab.route(vpc, 0, INTERNET, f"{own} internet", f"{other.address}/32 blackhole")
    assert one.reach(other.address, 80) == one.address
    nobody = own.replace(".0.0/16", ".200.1")
    assert "Unreachable" in one.run("ping", "-c1", "-W1", nobody, accept=(1,)).stdout


@pytest.fixture
def nat(lab, vpc):
    """A NAT instance in the routed subnet."""
    guest = start(lab, vpc, 20, source_dest_check=False)
    guest.run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    shell.run(
        ["nft", "-f", "-"],
        input=MASQUERADE,
        netns=guest.namespace,
    )
    lab.associate(guest, PUBLIC)
    return guest


def test_a_nat_instance_carries_traffic_there_and_back(lab, vpc, nat):
    hidden = start(lab, vpc, 21, subnet=1)
    lab.route(vpc, 1, f"0.0.0.0/0 {nat.address}")
    assert hidden.reach(OUTSIDE, 80) == HOST
    assert hidden.pings(OUTSIDE)
    assert "dst=198.18.77.2" in flows(lab, vpc, nat.address, OUTSIDE)
    lab.route(vpc, 1, "0.0.0.0/0 blackhole")
    assert hidden.reach(OUTSIDE, 80, timeout_s=0.5) is None


def test_an_appliance_is_asked_by_its_own_groups(lab, vpc, nat):
    hidden = start(lab, vpc, 22, subnet=1)
    lab.route(vpc, 1, f"0.0.0.0/0 {nat.address}")
    closed = lab.group(vpc, 900 + len(lab.vpcs), EVERYTHING_OUT)
    nat.instance.nics[0].security_group_ids[:] = [closed]
    lab.ensure(vpc)
    assert hidden.reach(OUTSIDE, 80, timeout_s=0.5) is None
    assert nat.reach(OUTSIDE, 80) == HOST


def test_with_the_check_on_nothing_is_forwarded(lab, vpc, nat):
    hidden = start(lab, vpc, 23, subnet=1)
    lab.route(vpc, 1, f"0.0.0.0/0 {nat.address}")
    with connect(hidden.namespace, OUTSIDE, 80) as open_one:
        assert open_one.makefile().readline().strip() == HOST
        nat.instance.nics[0].source_dest_check = True
        lab.ensure(vpc)
        assert hidden.reach(OUTSIDE, 80, timeout_s=0.5) is None
        open_one.settimeout(1)
        with pytest.raises(OSError):
            open_one.sendall(b"still there?")
            open_one.recv(100)
    assert nat.reach(OUTSIDE, 80) == HOST


def test_a_network_behind_an_appliance_speaks_and_is_answered(lab, vpc):
    """As behind a VPN: what is there has addresses of its own."""
    appliance = start(lab, vpc, 24, source_dest_check=False)
    appliance.run("ip", "address", "add", "10.99.1.1/32", "dev", "lo")
    guest = start(lab, vpc, 25, subnet=1)
    assert guest.reach("10.99.1.1", 80, timeout_s=0.5) is None
    lab.route(vpc, 1, f"10.99.0.0/16 {appliance.address}")
    assert guest.reach("10.99.1.1", 80) == guest.address
    assert guest.reach(OUTSIDE, 80, timeout_s=0.5) is None
    asked = appliance.run("ping", "-c1", "-W1", "-I", "10.99.1.1", guest.address, accept=(0, 1))
    assert asked.returncode == 0


def test_a_guest_with_the_check_on_forwards_nothing_of_others(lab, vpc):
    spoofer, victim = start(lab, vpc, 26), start(lab, vpc, 27, subnet=1)
    assert spoofer.reach(victim.address, 80)
    router = spoofer.run("ip", "neigh", "show", "dev", "eth0").stdout.split("lladdr ")[1].split()[0]
    for number, source in enumerate(("10.99.1.1", victim.address)):
        datagram = ipv4_udp(source, victim.address, (9, 9), b"spoofed %d" % number)
        spoofer.inject(ethernet(spoofer.nic.mac_address, router, 0x0800, datagram))
    honest = ipv4_udp(spoofer.address, victim.address, (9, 9), b"honest")
    spoofer.inject(ethernet(spoofer.nic.mac_address, router, 0x0800, honest))
    assert eventually(lambda: any(b"honest" in frame for frame in victim.seen))
    assert not any(b"spoofed" in frame for frame in victim.seen)


def test_a_secondary_address_is_its_owners(lab, vpc):
    guest = start(lab, vpc, 30, secondary=[31, 32])
    first, second = guest.nic.secondary_private_ip_addresses
    guest.run("ip", "address", "add", f"{first}/20", "dev", "eth0")
    guest.run("ip", "address", "add", f"{second}/20", "dev", "eth0")
    lab.associate(guest, PUBLIC)
    lab.associate(guest, SECOND_PUBLIC, second)
    beside, far = start(lab, vpc, 33), start(lab, vpc, 34, subnet=1)
    for other in (beside, far):
        assert other.reach(first, 80) == other.address
    for public in (PUBLIC, SECOND_PUBLIC):
        assert reach(None, public, 80) == GATEWAY
    seen = guest.run("ping", "-c1", "-W1", "-I", second, OUTSIDE, accept=(0, 1))
    assert seen.returncode == 0
    beside.run("ip", "address", "add", f"{second}/20", "dev", "eth0")  # not its own
    assert beside.run("ping", "-c1", "-W1", "-I", second, far.address, accept=(0, 1)).returncode
    mac = f"/latest/meta-data/network/interfaces/macs/{guest.nic.mac_address}"
    assert guest.http(f"{mac}/local-ipv4s") == (200, f"{guest.address}\n{first}\n{second}")
    assert guest.http(f"{mac}/public-ipv4s") == (200, f"{PUBLIC}\n{SECOND_PUBLIC}")
    assert guest.http(f"{mac}/ipv4-associations/{SECOND_PUBLIC}") == (200, second)


def test_a_secondary_address_that_moves_leaves_no_flow_behind(lab, vpc):
    old, new = start(lab, vpc, 35, secondary=[36]), start(lab, vpc, 37)
    moving, caller = old.nic.secondary_private_ip_addresses[0], start(lab, vpc, 38, subnet=1)
    old.run("ip", "address", "add", f"{moving}/20", "dev", "eth0")
    with connect(caller.namespace, moving, 80) as open_one:
        assert open_one.makefile().readline().strip() == caller.address
        del old.instance.nics[0].secondary_private_ip_addresses[:]
        new.instance.nics[0].secondary_private_ip_addresses.append(moving)
        lab.restart()  # whoever makes the change need not have seen the state before
        lab.ensure(vpc)
        assert flows(lab, vpc, caller.address, moving) == ""
    old.run("ip", "address", "del", f"{moving}/20", "dev", "eth0")
    new.run("ip", "address", "add", f"{moving}/20", "dev", "eth0")
    new.run("ping", "-c1", "-W1", "-I", moving, caller.address)
    assert eventually(lambda: caller.reach(moving, 80) == caller.address)


def test_two_interfaces_of_a_guest(lab, vpc):
    guest = start(lab, vpc, 40)
    far, other = start(lab, vpc, 41, subnet=1), start(lab, vpc, 42)
    second = lab.attach(guest, 43, subnet=1)
    address = second.private_ip_address
    assert far.reach(address, 80) == far.address
    assert guest.reach(far.address, 80) == address
    router = address.rpartition(".")[0] + ".1"
    guest.run("ip", "route", "add", "default", "via", router, "dev", "eth1", "table", "101")
    guest.run("ip", "rule", "add", "from", address, "lookup", "101")
    assert other.reach(address, 80) == other.address
    base = "/latest/meta-data/network/interfaces/macs"
    macs = [nic.mac_address for nic in guest.instance.nics]
    assert guest.http(f"{base}/") == (200, "\n".join(f"{mac}/" for mac in sorted(macs)))
    assert guest.http(f"{base}/{second.mac_address}/device-number") == (200, "1")
    assert guest.http(f"{base}/{second.mac_address}/local-ipv4s") == (200, address)
    lab.detach(guest, second)
    assert far.reach(address, 80, timeout_s=0.5) is None
    assert guest.reach(far.address, 80) == guest.address


def test_a_port_that_was_left_behind_goes_with_the_next_look(lab, vpc):
    guest = start(lab, vpc, 44)
    second = lab.attach(guest, 45, subnet=1)
    tap = lab.network.names.tap(second.network_interface_id)
    lab.unplug(guest, second)  # and the agent dies before it has taken the tap away
    assert tap in lab.network.inventory().plugged_taps
    lab.ensure(vpc)
    lab.network.ensure_port(second)  # or just after it was made
    assert tap in lab.network.inventory().taps
    lab.ensure(vpc)
    found = lab.network.inventory()
    assert tap not in (*found.taps, *found.plugged_taps)
    assert lab.network.names.tap(guest.nic.network_interface_id) in found.plugged_taps


def test_a_switch_that_was_cut_off_is_made_good(lab, vpc):
    guest = start(lab, vpc, 50)
    with connect(guest.namespace, OUTSIDE, 80) as open_one:
        assert open_one.makefile().readline().strip() == HOST

        def cut(command, **how):
            if "--mark" in command:
                raise RuntimeError("killed before a subnet's flows are forgotten")
            return shell.run(command, **how)

        lab.restart(run=cut)
        with pytest.raises(RuntimeError):
            lab.route(vpc, 0, INTERNET, "198.19.0.0/16 blackhole")
        lab.restart()
        lab.ensure(vpc)
    assert flows(lab, vpc, guest.address, OUTSIDE) == ""
    assert guest.reach(OUTSIDE, 80) == HOST


def test_the_same_again_changes_nothing(lab, vpc):
    start(lab, vpc, 51)
    lab.route(vpc, 0, INTERNET, "198.19.0.0/16 blackhole")
    before = tables(lab, vpc)
    lab.restart()
    lab.ensure(vpc)
    assert tables(lab, vpc) == before


def tables(lab, vpc) -> list[str]:
    space = lab.network.names.namespace(vpc)
    return [
        shell.run(["ip", *words.split()], netns=space).stdout.replace(" linkdown", "")
        for words in ("rule show", "route show table all")
    ]


def flows(lab, vpc, source: str, target: str) -> str:
    space = lab.network.names.namespace(vpc)
    argv = ["conntrack", "-L", "-f", "ipv4", "-s", source, "-d", target]
    return shell.run(argv, netns=space, accept=(0, 1)).stdout
