"""For real: the driver after crashes, beside a host's firewall, and after its end. Nothing is
left.
"""

import os
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from hostagent.kernel import shell
from hostagent.kernel.errors import DriverError
from hostagent.network import (
    addresses,
    dnsmasq,
    firewall,
    guests,
    namespaces,
    ports,
    router,
    routes,
    uplink,
)
from hostagent.network.config import Names, NetworkConfig, mac_of
from hostagent.network.linux import LinuxNetwork
from tests.real.network_guests import eventually, open_tap, reach
from tests.real.network_lab import EVERYTHING_OUT, Lab, allow

pytestmark = pytest.mark.real
ROOT = Path(__file__).parents[2]


@pytest.fixture
def lab():
    lab = Lab("pnwr")
    lab.network.start()
    try:
        yield lab
    finally:
        lab.close()
        assert lab.network.inventory() == type(lab.network.inventory())()


@pytest.fixture
def guest(lab):
    vpc = lab.vpc(1)
    guest = lab.start(vpc, 10, [lab.group(vpc, 1, EVERYTHING_OUT, allow("tcp", 80))])
    lab.associate(guest, "100.126.7.50")
    guest.serve(80)
    return lab.configure(guest)


FOREIGN = """table ip {table} {{
  chain fw {{
    type filter hook forward priority 0; policy drop;
    ct state invalid drop
  }}
}}
"""
ASK_DHCP = ["busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", "3", "-s", "/bin/true"]


def works(guest) -> bool:
    return (
        reach(None, guest.public, 80) is not None
        and guest.http("/latest/meta-data/mac") == (200, guest.nic.mac_address)
        and guest.run(*ASK_DHCP, accept=(0, 1)).returncode == 0
    )


def test_ensuring_again_changes_nothing(lab, guest):
    before = lab.network.inventory()
    lab.ensure(guest.nic.vpc_id)
    assert lab.network.inventory() == before
    assert works(guest)


def test_another_agent_finds_all_again(lab, guest):
    before = lab.network.inventory()
    lab.restart()
    lab.ensure(guest.nic.vpc_id)
    assert lab.network.inventory() == before, "the DHCP server too is the same process"
    assert lab.network.is_plugged(guest.nic)
    assert works(guest)
    assert list(lab.network.vpcs()) == [guest.nic.vpc_id]


def test_a_dead_dhcp_server_comes_back(lab, guest):
    (pid,) = lab.network.inventory().dhcp_pids
    os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: not lab.network.inventory().dhcp_pids)
    lab.ensure(guest.nic.vpc_id)
    (new,) = lab.network.inventory().dhcp_pids
    assert new != pid and works(guest)


def test_a_pid_file_that_names_another_process_is_not_believed(lab, guest):
    (pid,) = lab.network.inventory().dhcp_pids
    folder = lab.config.run_dir / guest.nic.vpc_id
    (folder / "pid").write_text(f"{os.getpid()}\n")
    lab.ensure(guest.nic.vpc_id)
    (new,) = lab.network.inventory().dhcp_pids
    assert new != pid and works(guest), "the old one was found by its command line, and ended"


def test_flushed_rules_and_deleted_routes_come_back(lab, guest):
    vpc_id = guest.nic.vpc_id
    shell.run(["nft", "flush", "ruleset"], netns=lab.network.names.namespace(vpc_id))
    shell.run(["nft", "delete", "table", "ip", lab.network.names.table])
    shell.run(["ip", "route", "delete", guest.public])
    shell.run(["ip", "link", "delete", lab.network.names.bridge])
    lab.restart()
    lab.ensure(vpc_id)
    assert works(guest)


def test_a_namespace_that_someone_deleted_is_made_anew(lab, guest):
    vpc_id = guest.nic.vpc_id
    lab.network.remove_vpc(vpc_id)
    assert not lab.network.is_plugged(guest.nic)
    lab.power_off(guest)
    lab.guests.append(guest)
    lab.ensure(vpc_id)
    with pytest.raises(DriverError) as refused:
        lab.network.plug(guest.nic)
    assert not refused.value.transient
    guest.services.clear()
    lab.power_on(guest)
    lab.configure(guest).serve(80)
    assert works(guest)


STAGES = (
    "file without namespace",
    "namespace",
    "cable",
    "transit claimed",
    "rules",
    "router",
    "routes",
    "all",
)


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("then", ["ensure", "remove"])
def test_a_crash_in_the_middle(lab, stage, then):
    """What ``ensure_vpc`` had done so far when it was killed, by its own parts."""
    vpc_id = lab.vpc(1)
    vpc, names, config, run = lab.vpcs[vpc_id], lab.network.names, lab.config, shell.run
    namespace, done = names.namespace(vpc_id), STAGES.index(stage)
    if done == 0:
        (namespaces.NETNS_FOLDER / namespace).parent.mkdir(exist_ok=True)
        (namespaces.NETNS_FOLDER / namespace).touch()
    if done >= 1:
        namespaces.ensure(namespace, run)
        router.prepare(namespace)
    if done >= 2:
        transit = uplink.ensure_cable(config, names, vpc_id, 1400)
    if done == 2:
        shell.run(["ip", "route", "delete", transit])
    if done >= 4:
        text = firewall.render(vpc, guests.guests_of(vpc, [], names), transit)
        run(["nft", "-f", "-"], input=text, netns=namespace)
    if done >= 5:
        plan = router.Router(namespace, mac_of(f"host {vpc_id}"), transit, 1400)
        router.converge(vpc, plan, config, routes.routes_of(vpc, []))
    if done >= 6:
        uplink.ensure_public_routes(config, names, vpc_id, transit, ["100.126.7.50"])
    if done >= 7:
        lab.ensure(vpc_id)
    assert list(lab.network.vpcs()) == [vpc_id]
    if then == "ensure":
        guest = lab.start(vpc_id, 10, [lab.group(vpc_id, 1, EVERYTHING_OUT, allow("tcp", 80))])
        lab.associate(guest, "100.126.7.50")
        guest.serve(80)
        assert works(lab.configure(guest))
        lab.network.remove_port(guest.nic)
    lab.network.remove_vpc(vpc_id)
    assert lab.network.inventory().of_vpcs() == {}
    assert not lab.network.vpcs()
    lab.network.remove_vpc(vpc_id)


def test_a_port_goes_through_its_stages(lab, guest):
    """Held open it stays; left over from a domain that is gone it is made anew on the host."""
    nic, names = guest.nic, lab.network.names
    tap = lab.network.ensure_port(nic).tap
    assert lab.network.inventory().plugged_taps == (tap,) and lab.network.is_plugged(nic)
    lab.power_off(guest)
    lab.guests.append(guest)
    guest.services.clear()
    assert lab.network.ensure_port(nic).tap == tap
    assert lab.network.inventory().taps == (tap,) and not lab.network.is_plugged(nic)
    held = open_tap(tap)
    assert lab.network.ensure_port(nic).tap == tap
    shell.run(["ip", "link", "set", tap, "netns", names.namespace(nic.vpc_id)])
    assert not lab.network.is_plugged(nic)
    assert lab.network.ensure_port(nic).tap == tap, "a crash in the middle of plug"
    assert lab.network.inventory().taps == ()
    lab.network.plug(nic)
    lab.network.plug(nic)
    assert lab.network.is_plugged(nic)
    os.close(held)
    lab.network.remove_port(nic)
    assert lab.network.inventory().plugged_taps == ()
    with pytest.raises(DriverError):
        lab.network.plug(nic)
    lab.power_on(guest)
    lab.configure(guest).serve(80)
    assert works(guest)


def test_an_address_reused_inherits_no_flow(lab, guest):
    namespace = lab.network.names.namespace(guest.nic.vpc_id)

    def flows() -> str:
        listed = shell.run(["conntrack", "-L"], netns=namespace).stdout
        return "\n".join(line for line in listed.splitlines() if guest.address in line)

    assert reach(None, guest.public, 80)
    assert flows()
    lab.network.remove_port(guest.nic)
    assert not flows()
    lab.power_off(guest)


def test_a_host_that_drops_what_it_forwards_is_asked_to_let_ours_pass(lab, guest):
    """As with Docker or ufw. The foreign chain is ours here, in a table of another name. A cloud of
    other tests may let its own pass there, too.
    """
    table = "pnwr-foreign"
    shell.run(["nft", "-f", "-"], input=FOREIGN.format(table=table))
    try:
        assert reach(None, guest.public, 80), "the host's own traffic is not forwarded"
        assert guest.reach("100.126.7.50", 80, timeout_s=0.5) is None
        lab.restart()
        lab.ensure(guest.nic.vpc_id)
        assert guest.reach("100.126.7.50", 80) == "100.126.7.50"
        assert len(lab.network.inventory().host_foreign_rules) == 2
        lab.network.start()
        assert len(lab.network.inventory().host_foreign_rules) == 2
        lab.power_off(guest)
        lab.network.destroy_all()
        left = shell.run(["nft", "list", "table", "ip", table]).stdout
        ours = Names(lab.config.prefix).cables
        assert ours not in left and "invalid" in left
    finally:
        shell.run(["nft", "delete", "table", "ip", table])


def test_a_range_in_use_is_refused(lab):
    outside = lab.add_outside()
    assert outside
    ranges = addresses.host_ranges(lab.config)
    assert addresses.check_ranges(lab.config.pool, lab.config.transit, ranges, ()) == []
    problems = addresses.check_ranges("198.18.77.0/24", "100.127.0.0/16", ranges, ())
    own = [problem for problem in problems if "(device pnwr-out)" in problem]
    assert len(own) == 1 and "198.18.77.0/30" in own[0]


def test_leases_and_files_go_with_the_vpc(lab, guest):
    works(guest)
    folder = lab.config.run_dir / guest.nic.vpc_id
    assert guest.nic.mac_address in (folder / "leases").read_text()
    lab.power_off(guest)
    lab.ensure(guest.nic.vpc_id)
    assert (folder / "leases").read_text() == "", "a lease of nobody"
    lab.network.remove_vpc(guest.nic.vpc_id)
    assert not folder.exists() and not dnsmasq.running(None, under=Path(lab.config.run_dir))
    assert ports.is_plugged(guest.nic, lab.network.names) is False


def test_other_users_read_nothing_of_a_vpc(lab, guest):
    """The DHCP server goes on as a user of its own, and reads its hosts again."""
    works(guest)
    folder = lab.config.run_dir / guest.nic.vpc_id
    modes = {path.name: path.stat().st_mode & 0o777 for path in (folder, *folder.iterdir())}
    assert modes == {
        folder.name: 0o711,
        "dnsmasq.conf": 0o400,
        "hosts": 0o400,
        "names": 0o400,
        "leases": 0o600,
        "pid": 0o644,  # no tenant's
    }


def test_many_vpcs_at_once(lab):
    """As after a restart: every VPC by a thread of its own, and then all go at once."""
    ids = [lab.vpc(number) for number in range(1, 9)]
    with ThreadPoolExecutor(len(ids)) as pool:
        list(pool.map(lab.ensure, ids * 2))
        found = lab.network.inventory()
        assert list(lab.network.vpcs()) == sorted(ids)
        assert len(found.cables) == len(found.dhcp_pids) == len(ids)
        assert len(set(found.routes)) == len(found.routes) == 2 * len(ids)
        list(pool.map(lab.network.remove_vpc, ids))
    assert lab.network.inventory().of_vpcs() == {}


def test_two_agents_on_one_machine(lab, guest):
    """With another prefix and other ranges; the end of one is nothing to the other."""
    config = NetworkConfig(prefix="pnws", pool="100.126.8.0/24", transit="100.125.0.0/16")
    other = LinuxNetwork(config, run=shell.run)
    other.start()
    try:
        other.ensure_vpc(lab.vpcs[guest.nic.vpc_id], [])
        assert works(guest)
        assert list(other.vpcs()) == list(lab.network.vpcs())
    finally:
        other.stop()
        other.destroy_all()
    assert works(guest)
    assert other.inventory() == type(other.inventory())()


def test_the_command_for_the_operator(lab, guest):
    def command(*words: str) -> shell.Result:
        argv = [sys.executable, "-m", "hostagent.network", *words, "--prefix", "pnwr"]
        argv += ["--pool", lab.config.pool, "--transit", lab.config.transit]
        return shell.run(argv, accept=(0, 1), env={"PYTHONPATH": str(ROOT)})

    assert command("check").returncode == 0
    here = command("inventory")
    assert here.returncode == 1 and lab.network.names.tap(guest.nic.network_interface_id) in (
        here.stdout
    )
    lab.network.stop()
    lab.power_off(guest)
    assert command("destroy").returncode == 0
    assert command("inventory").returncode == 0
