"""The agent with everything real: libvirt's guests on the network driver's taps.

What packets do is test_network_*.py's; here it is about taps, namespaces and who makes them when.
"""

import os
import signal

import pytest

from hostagent.kernel import shell
from hostagent.network.config import NetworkConfig
from hostagent.network.linux import LinuxNetwork
from protos.cloud.v1.fleet_pb2 import (
    ABSENT,
    CHECK_FAILED,
    INITIALIZING,
    OBSERVED_RUNNING,
    OBSERVED_STOPPED,
    STOPPED,
    TERMINATED,
    NicSpec,
    SecurityGroupSpec,
    SubnetSpec,
    VpcSpec,
)
from tests.real.agent_host import Host, eventually
from tests.real.boot_sector import Guest
from tests.real.libvirtd import PrivateLibvirtd

pytestmark = pytest.mark.real

VPC, SUBNET, GROUP = "vpc-0a9e000000000001", "subnet-0a9e000000000001", "sg-0a9e000000000001"
NAMES = ("i-0a9e0000000000001", "i-0a9e0000000000002")


def vpc() -> VpcSpec:
    return VpcSpec(
        vpc_id=VPC,
        account_id="1" * 12,
        cidr_blocks=["172.31.0.0/16"],
        subnets=[SubnetSpec(subnet_id=SUBNET, cidr_block="172.31.0.0/20")],
        security_groups=[SecurityGroupSpec(group_id=GROUP, group_name="default")],
    )


def nic(name: str, index: int = 0) -> NicSpec:
    number = int(name[-1]) + 10 * index
    return NicSpec(
        network_interface_id=f"eni-{name.removeprefix('i-')[:-1]}{number:x}",
        device_index=index,
        mac_address=f"02:16:3e:a9:e0:{number:02x}",
        private_ip_address=f"172.31.0.{10 + number}",
        subnet_id=SUBNET,
        vpc_id=VPC,
        security_group_ids=[GROUP],
        source_dest_check=True,
    )


@pytest.fixture(scope="module")
def daemon():
    with PrivateLibvirtd() as daemon:
        yield daemon


@pytest.fixture
def host(tmp_path, daemon):
    config = NetworkConfig(prefix="agtest", pool="100.126.9.0/24", transit="100.120.0.0/16")

    def new_network() -> LinuxNetwork:
        network = LinuxNetwork(config, run=shell.run)
        network.start()
        return network

    host = Host(tmp_path, daemon.uri, new_network)
    yield host
    host.close()
    host.network.stop()
    host.network.destroy_all()


def tell(host, name, guest=Guest.LISTENS, **fields):
    host.tell(name, guest, nics=[nic(name)], vpcs=[vpc()], **fields)


def plugged(host) -> int:
    return len(host.network.inventory().plugged_taps)


def test_taps_come_and_go_with_their_guests(host, daemon):
    for name in NAMES:
        tell(host, name)
    for name in NAMES:
        host.until(name, OBSERVED_RUNNING)
        host.until_greeted(name, 1)
    assert plugged(host) == 2
    first, second = NAMES

    tell(host, first, reboots=1)
    host.until_greeted(first, 2)
    assert plugged(host) == 2  # a reset keeps the tap

    tell(host, first, desired=STOPPED, reboots=1)
    host.until(first, OBSERVED_STOPPED)
    assert plugged(host) == 1

    (pid,) = daemon.qemu_pids()
    os.kill(pid, signal.SIGKILL)
    host.until_greeted(second, 2)
    host.until(second, OBSERVED_RUNNING)
    assert plugged(host) == 1

    tell(host, first, starts=2, reboots=1)
    host.until(first, OBSERVED_RUNNING)
    assert plugged(host) == 2

    host.stop()
    host.network.stop()
    host.start()
    eventually(host.agent.is_quiet)
    assert plugged(host) == 2

    for name in NAMES:
        tell(host, name, desired=TERMINATED, starts=2)
    for name in NAMES:
        host.until(name, ABSENT)
    assert host.network.inventory().of_vpcs() == {}
    assert host.leftovers() == []


def test_an_interface_is_plugged_into_a_running_guest(host, daemon):
    """A boot sector lets go of nothing: what is taken from it is cut off, and said to be busy."""
    name = NAMES[0]
    tell(host, name)
    host.until(name, OBSERVED_RUNNING)
    both = [nic(name), nic(name, 1)]
    host.tell(name, Guest.LISTENS, nics=both, vpcs=[vpc()])
    converged(host, name)
    assert has(host, name) == {each.network_interface_id for each in both}
    assert plugged(host) == 2

    host.stop()
    host.network.stop()
    host.start()
    host.tell(name, Guest.LISTENS, nics=both[:1], vpcs=[vpc()])
    eventually(lambda: host.ledger.instances.get(name).progress.device_failures)
    (failure,) = host.ledger.instances.get(name).progress.device_failures
    assert (failure.id, failure.busy) == (both[1].network_interface_id, True)
    assert host.network.is_plugged(both[0]) and not host.network.is_plugged(both[1])

    (pid,) = daemon.qemu_pids()
    os.kill(pid, signal.SIGKILL)  # with the guest, what it held goes
    host.until_greeted(name, 2)
    converged(host, name)
    assert has(host, name) == {both[0].network_interface_id}
    tell(host, name, desired=TERMINATED)
    host.until(name, ABSENT)
    assert host.network.inventory().of_vpcs() == {}


def has(host, name) -> set[str]:
    return {nic.network_interface_id for nic in host.hypervisor.nics(name)}


def converged(host, name) -> None:
    def is_converged() -> bool:
        entry = host.ledger.instances.get(name)
        done = entry.progress.devices_revision == entry.revision
        return done and not entry.progress.device_failures

    eventually(is_converged, lambda: str(host.ledger.instances.get(name).progress))


def test_a_guest_that_never_answers_fails_its_check(host, daemon):
    """A boot sector has no network: the router asks it in vain."""
    name = NAMES[0]
    tell(host, name)
    host.until(name, OBSERVED_RUNNING)
    assert host.ledger.instances.get(name).progress.status_check == INITIALIZING
    eventually(lambda: host.ledger.instances.get(name).progress.status_check == CHECK_FAILED)
    began = host.ledger.instances.get(name).progress.status_check_since_ms

    tell(host, name, reboots=1)
    eventually(lambda: host.ledger.instances.get(name).progress.status_check == INITIALIZING)
    assert host.ledger.instances.get(name).progress.status_check_since_ms > began
    assert host.observed(name) == OBSERVED_RUNNING


def test_the_machine_loses_its_power(host, daemon):
    """Taps, namespaces and guests are gone; what should run runs again on new ones."""
    tell(host, NAMES[0])
    host.until(NAMES[0], OBSERVED_RUNNING)
    host.until_greeted(NAMES[0], 1)
    host.stop()
    host.network.stop()
    daemon.kill_libvirtd()
    for pid in daemon.qemu_pids():
        os.kill(pid, signal.SIGKILL)
    host.network.destroy_all()
    host.boot_id = "the next boot"
    daemon.start_libvirtd()
    host.start()
    host.until_greeted(NAMES[0], 2)
    host.until(NAMES[0], OBSERVED_RUNNING)
    assert plugged(host) == 1
