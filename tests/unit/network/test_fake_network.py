"""The fake network keeps the contract that steps rely on, and trips over what the real one
would.
"""

import random
import subprocess
import sys

import pytest

from hostagent.kernel.errors import DriverError
from hostagent.network.fake import FakeNetwork
from tests.unit.network import specs

NIC = specs.instances()[0].nics[0]


@pytest.fixture
def network():
    network = FakeNetwork(strict=True)
    network.ensure_vpc(specs.vpc(), specs.instances())
    return network


def test_a_port_goes_through_its_stages(network):
    assert not network.is_plugged(NIC)
    port = network.ensure_port(NIC)
    assert port.tap.startswith("tap") and len(port.tap) <= 15 and not network.is_plugged(NIC)
    network.plug(NIC)
    network.plug(NIC)
    assert network.is_plugged(NIC)
    network.remove_port(NIC)
    network.remove_port(NIC)
    assert not network.is_plugged(NIC) and network.ports == {}


def test_steps_in_a_wrong_order_are_refused_for_good(network):
    with pytest.raises(DriverError) as no_tap:
        network.plug(NIC)
    network.ensure_port(NIC)  # a tap lies on the host, whatever there is of its VPC
    network.remove_vpc(specs.VPC)
    with pytest.raises(DriverError) as no_vpc:
        network.plug(NIC)
    assert not no_tap.value.transient and not no_vpc.value.transient


def test_a_vpc_takes_its_plugged_taps_along(network):
    other = specs.instances()[1].nics[0]
    for nic in (NIC, other):
        network.ensure_port(nic)
    network.plug(NIC)
    network.remove_vpc(specs.VPC)
    assert list(network.vpcs()) == [] and set(network.ports) == {other.network_interface_id}


def test_strict_says_what_could_not_be_rendered(network):
    bad = specs.vpc()
    bad.security_groups[0].rules.add(protocol="tcp", from_port=9, to_port=1, cidr_ipv4="0.0.0.0/0")
    bad.subnets[1].routes.add(destination_cidr_block="10.0.0.1/80", internet_gateway=True)
    assert len(network.ensure_vpc(bad, specs.instances())) == 2
    assert network.ensure_vpc(specs.vpc(), specs.instances()) == []


def test_strict_refuses_what_nothing_could_be_made_of(network):
    bad = specs.vpc()
    del bad.cidr_blocks[:]
    with pytest.raises(DriverError) as refused:
        network.ensure_vpc(bad, specs.instances())
    assert not refused.value.transient


def test_a_port_of_no_interface_goes_with_the_next_look_at_its_vpc(network):
    web, database = specs.instances()
    for nic in (*web.nics, *database.nics):
        network.ensure_port(nic)
    network.plug(web.nics[0])
    network.ensure_vpc(specs.vpc(), [database])
    assert set(network.ports) == {database.nics[0].network_interface_id}


def test_it_keeps_its_own_copy(network):
    spec = specs.vpc()
    network.ensure_vpc(spec, specs.instances())
    del spec.security_groups[:]
    assert network.made[specs.VPC].security_groups


def test_what_is_kept_outlives_the_process(tmp_path):
    path = tmp_path / "ports.json"
    network = FakeNetwork(path=path)
    network.ensure_vpc(specs.vpc(), [])
    network.ensure_port(NIC)
    network.plug(NIC)
    again = FakeNetwork(path=path)
    assert again.is_plugged(NIC) and list(again.vpcs()) == [specs.VPC]
    again.lose_power()
    assert not FakeNetwork(path=path).vpcs()


def test_failures_are_seeded_and_repeating_gets_there():
    def calls(seed: int) -> int:
        network = FakeNetwork(random.Random(seed), failures=0.5)
        for count in range(1, 100):
            try:
                network.ensure_vpc(specs.vpc(), specs.instances())
                return count
            except DriverError as failure:
                assert failure.transient
        raise AssertionError("never")

    assert [calls(seed) for seed in range(5)] == [calls(seed) for seed in range(5)]
    assert max(calls(seed) for seed in range(20)) > 1


def test_a_fake_host_needs_no_netlink():
    code = "import sys, hostagent.network.fake; sys.exit('pyroute2' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
