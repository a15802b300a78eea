"""The agent on real guests: libvirt, qcow2 and the image cache, with a network that is none.

Guests are boot sectors (boot_sector.py), which come up in a fraction of a second.
"""

import hashlib
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from hostagent import shell
from hostagent.app import Parts, build
from hostagent.audit import Audit
from hostagent.hypervisors.domain_xml import Settings
from hostagent.hypervisors.libvirt_driver import LibvirtHypervisor
from hostagent.images.cache import Cache
from hostagent.images.cache import Settings as CacheSettings
from hostagent.ledger import Ledger, open_file
from hostagent.limits import Limits
from hostagent.loops import Pump
from hostagent.network.fake import FakeNetwork
from hostagent.volumes.qcow2 import Qcow2Volumes
from protos.cloud.v1 import fleet_pb2
from protos.cloud.v1.fleet_pb2 import (
    ABSENT,
    EXITED,
    OBSERVED_RUNNING,
    OBSERVED_STOPPED,
    RUNNING,
    STOPPED,
    TERMINATED,
    InstanceSpec,
)
from tests.real.boot_sector import GREETING, Guest, boot_sector
from tests.real.libvirtd import PrivateLibvirtd
from tests.unit.hostagent.rig import HOST, host_spec

pytestmark = pytest.mark.real

LIMITS = Limits(shutdown_ms=6_000, reboot_ms=3_000, ask_again_ms=1_000, poll_ms=500, backoff_ms=200)
IMAGES = {
    "sha256:" + hashlib.sha256(content).hexdigest(): content
    for content in (boot_sector(guest) for guest in Guest)
}


@pytest.fixture(scope="module")
def daemon():
    with PrivateLibvirtd() as daemon:
        yield daemon


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


class Host:
    """An agent without its door; ``stop`` and ``start``: what its kill -9 leaves."""

    def __init__(self, folder, uri):
        self.folder, self.uri = folder, uri
        self.consoles = folder / "instances"
        self.consoles.mkdir()
        self.boot_id = "this boot"
        self.generation = 0
        self.pump = None
        self.start()

    def stop(self) -> None:
        self.pump.stop()
        self.hypervisor.stop()

    def start(self) -> None:
        self.hypervisor = LibvirtHypervisor(self.uri, Settings("qemu"), HOST)
        self.hypervisor.start()
        self.ledger = Ledger(
            open_file(self.folder / "ledger.db"), HOST, now_ms=wall_ms(), boot_id=self.boot_id
        )
        self.volumes = Qcow2Volumes(self.folder / "volumes", shell.run)
        self.images = Cache(
            self.folder / "images",
            lambda digest, offset: iter([IMAGES[digest][offset:]]),
            self.ledger.images_in_use,
            CacheSettings(cache_bytes=1 << 30, max_virtual_bytes=1 << 40),
            ThreadPoolExecutor(2),
            wall_ms,
            shell.run,
        )
        parts = Parts(
            ledger=self.ledger,
            hypervisor=self.hypervisor,
            network=FakeNetwork(),
            images=self.images,
            volumes=self.volumes,
            consoles=self.consoles,
            clock=wall_ms,
            facts=fleet_pb2.HostFacts,
            limits=LIMITS,
        )
        self.agent = build(parts)
        self.pump = Pump(self.agent, 4)
        self.pump.start()

    def tell(self, name: str, guest: Guest, desired=RUNNING, **fields) -> None:
        self.generation += 1
        spec = InstanceSpec(
            instance_id=name,
            generation=self.generation,
            intent_generation=self.generation,
            desired=desired,
            vcpus=1,
            memory_mib=64,
            instance_type="t3.nano",
            starts=1,
        )
        for key, value in fields.items():
            setattr(spec, key, value)
        content = boot_sector(guest)
        disk = spec.disks.add(volume_id=volume_of(name), size_bytes=4 << 20)
        disk.delete_on_termination = True
        disk.image.image_id, disk.image.disk_format = "ami-1", "raw"
        disk.image.digest = "sha256:" + hashlib.sha256(content).hexdigest()
        disk.image.size_bytes = len(content)
        told = host_spec(spec, generation=self.generation, base=self.generation - 1, vpcs=())
        self.agent.apply(told)

    def observed(self, name: str) -> int | None:
        entry = self.ledger.get(name)
        return entry.progress.observed if entry else None

    def until(self, name: str, observed: int) -> None:
        eventually(
            lambda: self.observed(name) == observed,
            lambda: f"{name} is {self.ledger.get(name).progress}",
        )

    def greetings(self, name: str) -> int:
        path = self.consoles / f"{name}.log"
        return path.read_bytes().count(GREETING) if path.exists() else 0

    def until_greeted(self, name: str, times: int) -> None:
        eventually(lambda: self.greetings(name) >= times, lambda: f"{self.greetings(name)}")

    def leftovers(self) -> list:
        return Audit(self.ledger, self.agent._on).findings()


def eventually(what, otherwise=lambda: "it did not happen", timeout_s: float = 40.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, otherwise()
        time.sleep(0.02)


def volume_of(name: str) -> str:
    return "vol-" + name.removeprefix("i-")


@pytest.fixture
def host(tmp_path, daemon):
    host = Host(tmp_path, daemon.uri)
    yield host
    host.pump.stop()
    for name in host.hypervisor.domains():
        host.hypervisor.remove(name)
    host.hypervisor.stop()


I = "i-0123456789abcdef"  # noqa: E741


def test_a_life(host):
    """Launched, rebooted, stopped, started, terminated; nothing is left."""
    name = I + "1"
    host.tell(name, Guest.LISTENS)
    host.until(name, OBSERVED_RUNNING)
    host.until_greeted(name, 1)
    host.tell(name, Guest.LISTENS, reboots=1)
    eventually(lambda: host.ledger.get(name).progress.reboots_done == 1)
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
    assert host.ledger.get(name).progress.code == "Client.InstanceInitiatedShutdown"
    host.stop()
    host.start()
    host.agent.look_at("")
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
    assert host.ledger.get(name).progress.crashes == 1


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
    host.agent.look_at("")
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


def test_a_strangers_domain_is_an_orphan_and_left_alone(host, daemon):
    stranger = """<domain type='qemu'>
        <name>pet</name> <memory>65536</memory> <os><type>hvm</type></os>
    </domain>"""
    domain = host.hypervisor._connected().defineXML(stranger)
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
