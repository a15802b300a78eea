"""The agent on real guests: libvirt, qcow2 and the image cache, with a network that is none.

Guests are boot sectors (boot_sector.py), which come up in a fraction of a second.
"""

import os
import signal
import threading

import pytest

from hostagent.compute.hypervisors.libvirt.domain_xml import Settings
from hostagent.compute.hypervisors.libvirt.driver import LibvirtHypervisor
from hostagent.kernel.errors import Unavailable
from protos.cloud.v1.fleet_pb2 import (
    ABSENT,
    EXITED,
    OBSERVED_RUNNING,
    OBSERVED_STOPPED,
    STOPPED,
    TERMINATED,
)
from tests.real.agent_host import Host, eventually, volume_of
from tests.real.boot_sector import Guest
from tests.real.libvirtd import PrivateLibvirtd
from tests.unit.hostagent.rig import HOST

pytestmark = pytest.mark.real


@pytest.fixture(scope="module")
def daemon():
    with PrivateLibvirtd() as daemon:
        yield daemon


@pytest.fixture
def host(tmp_path, daemon):
    host = Host(tmp_path, daemon.uri)
    yield host
    host.close()


I = "i-0123456789abcdef"  # noqa: E741


def test_a_life(host):
    """Launched, rebooted, stopped, started, terminated; nothing is left."""
    name = I + "1"
    host.tell(name, Guest.LISTENS)
    host.until(name, OBSERVED_RUNNING)
    host.until_greeted(name, 1)
    host.tell(name, Guest.LISTENS, reboots=1)
    eventually(lambda: host.ledger.instances.get(name).progress.reboots_done == 1)
    host.until_greeted(name, 2)
    host.tell(name, Guest.LISTENS, STOPPED, reboots=1)
    host.until(name, OBSERVED_STOPPED)
    assert list(host.hypervisor.domains()) == []
    assert host.volumes.volumes() == [volume_of(name)]
    host.tell(name, Guest.LISTENS, starts=2, reboots=1)
    host.until(name, OBSERVED_RUNNING)
    host.until_greeted(name, 3)
    host.tell(name, Guest.LISTENS, TERMINATED, starts=2, reboots=1)
    host.until(name, ABSENT)
    assert list(host.hypervisor.domains()) == []
    assert host.volumes.volumes() == []
    assert list(host.consoles.iterdir()) == []
    assert host.leftovers() == []


def test_a_guest_that_powers_itself_off_stays_off(host):
    name = I + "2"
    host.tell(name, Guest.LEAVES)
    host.until(name, EXITED)
    assert host.ledger.instances.get(name).progress.code == "Client.InstanceInitiatedShutdown"
    host.stop()
    host.start()
    host.look_at("")
    eventually(host.agent.is_quiet)
    assert host.observed(name) == EXITED
    host.tell(name, Guest.LEAVES, STOPPED)
    host.until(name, OBSERVED_STOPPED)


def test_a_deaf_guest_is_reset_and_then_powered_off(host):
    name = I + "3"
    host.tell(name, Guest.DEAF)
    host.until_greeted(name, 1)
    host.tell(name, Guest.DEAF, reboots=1)
    host.until_greeted(name, 2)
    host.tell(name, Guest.DEAF, STOPPED, reboots=1)
    host.until(name, OBSERVED_STOPPED)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_guest_is_started_again(host, daemon, number):
    name = I + "4"
    host.tell(name, Guest.LISTENS)
    host.until(name, OBSERVED_RUNNING)
    host.until_greeted(name, 1)
    (pid,) = daemon.qemu_pids()
    os.kill(pid, number)
    host.until_greeted(name, 2)
    host.until(name, OBSERVED_RUNNING)
    assert host.ledger.instances.get(name).progress.crashes == 1


def test_a_guest_killed_while_the_agent_is_away_runs_again(host, daemon):
    name = I + "5"
    host.tell(name, Guest.LISTENS)
    host.until_greeted(name, 1)
    host.until(name, OBSERVED_RUNNING)
    (pid,) = daemon.qemu_pids()
    host.stop()
    os.kill(pid, signal.SIGKILL)
    host.start()
    host.until_greeted(name, 2)
    host.until(name, OBSERVED_RUNNING)


def test_guests_outlive_libvirtd_and_the_agent_finds_it_again(host, daemon):
    name = I + "6"
    host.tell(name, Guest.LISTENS)
    host.until_greeted(name, 1)
    host.until(name, OBSERVED_RUNNING)
    pids = daemon.qemu_pids()
    daemon.kill_libvirtd()
    host.tell(I + "7", Guest.LISTENS)
    host.look_at("")
    daemon.start_libvirtd()
    host.until(I + "7", OBSERVED_RUNNING)
    assert pids[0] in daemon.qemu_pids()
    assert host.observed(name) == OBSERVED_RUNNING
    assert host.greetings(name) == 1
    host.tell(name, Guest.LISTENS, TERMINATED)
    host.tell(I + "7", Guest.LISTENS, TERMINATED)
    host.until(name, ABSENT)
    host.until(I + "7", ABSENT)
    assert host.leftovers() == []


class DiesAsItIsFound(LibvirtHypervisor):
    """libvirtd is killed when all was asked that a new connection asks, and the loss is noticed
    before the connection is kept."""

    kill = None

    def _begin(self, connection):
        super()._begin(connection)
        if self.kill:
            kill, self.kill = self.kill, None
            kill()
            eventually(self._link.lost.is_set)


def test_libvirtd_dies_as_it_is_found_again(daemon):
    hypervisor = DiesAsItIsFound(daemon.uri, Settings("qemu"), HOST)
    hypervisor.watch(lambda name: None)
    hypervisor.start()
    started, killed = threading.Event(), threading.Event()

    def kill():
        assert started.wait(30)
        daemon.kill_libvirtd()
        killed.set()

    def answers() -> bool:
        try:
            return hypervisor.domains() == []
        except Unavailable:
            return False

    try:
        hypervisor.kill = kill
        daemon.kill_libvirtd()
        daemon.start_libvirtd()
        started.set()
        assert killed.wait(30)
        daemon.start_libvirtd()
        eventually(answers)
    finally:
        hypervisor.stop()


def test_everything_is_killed_as_in_a_power_failure(host, daemon):
    """Guests that ran run again, one that was stopped stays so."""
    names = [I + "8", I + "9"]
    for name in names:
        host.tell(name, Guest.LISTENS)
    for name in names:
        host.until(name, OBSERVED_RUNNING)
        host.until_greeted(name, 1)
    host.tell(names[1], Guest.LISTENS, STOPPED)
    host.until(names[1], OBSERVED_STOPPED)
    daemon.kill_libvirtd()
    for pid in daemon.qemu_pids():
        os.kill(pid, signal.SIGKILL)
    host.boot_id = "the next boot"
    host.stop()
    daemon.start_libvirtd()
    host.start()
    host.until_greeted(names[0], 2)
    host.until(names[0], OBSERVED_RUNNING)
    assert host.observed(names[1]) == OBSERVED_STOPPED
    assert host.greetings(names[1]) == 1


def test_an_unknown_domain_is_an_orphan_and_left_alone(host, daemon):
    unknown = """<domain type='qemu'>
        <name>pet</name> <memory>65536</memory> <os><type>hvm</type></os>
    </domain>"""
    domain = host.hypervisor._connected().defineXML(unknown)
    try:
        assert [str(finding) for finding in host.leftovers()] == ["domain pet (of unknown origin)"]
        host.stop()
        host.start()
        eventually(lambda: list(host.agent.report().orphans) == ["pet"])
        host.tell(I + "a", Guest.LISTENS)
        host.until(I + "a", OBSERVED_RUNNING)
        assert host.hypervisor.destroy_all() == ["pet"]
        assert list(host.hypervisor.domains()) == ["pet"]
    finally:
        domain.undefine()
