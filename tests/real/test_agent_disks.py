"""Disks of running guests: attached, frozen, committed, grown, limited; libvirt and qcow2 for real.

The guests are boot sectors: they let go of nothing by themselves. What a guest with an operating
system does is in test_up_volumes.py.
"""

import itertools

import libvirt
import pytest

from hostagent.kernel import shell
from hostagent.kernel.errors import DriverError, NotYet
from protos.cloud.v1 import fleet_pb2
from protos.cloud.v1.fleet_pb2 import (
    OBSERVED_RUNNING,
    OBSERVED_STOPPED,
    STOPPED,
    VOLUME_GONE,
    VOLUME_HERE,
    DiskSpec,
    VolumeSpec,
)
from tests.real.agent_host import Host, eventually, volume_of
from tests.real.boot_sector import Guest
from tests.real.libvirtd import PrivateLibvirtd
from tests.unit.qcow2_corpus import broken

pytestmark = pytest.mark.real

MIB = 1 << 20
NAME = "i-0123456789abcdef1"
VOLUME = "vol-0000000000000000d"


@pytest.fixture(scope="module")
def daemon():
    with PrivateLibvirtd() as daemon:
        yield daemon


@pytest.fixture
def host(tmp_path, daemon):
    host = Host(tmp_path, daemon.uri)
    host.tell(NAME, Guest.LISTENS)
    host.until(NAME, OBSERVED_RUNNING)
    yield host
    host.close()


@pytest.fixture
def attached(host):
    host.tell(NAME, Guest.LISTENS, disks=[disk()])
    converged(host)
    return host


def disk(size_bytes=64 * MIB, **fields):
    return DiskSpec(volume_id=VOLUME, device_name="/dev/sdf", size_bytes=size_bytes, **fields)


def converged(host):
    progress = lambda: host.ledger.instances.get(NAME).progress  # noqa: E731
    eventually(lambda: progress().devices_revision == host.revision, progress)
    return progress().device_failures


def has(host, volume_id=VOLUME):
    return {disk.volume_id: disk for disk in host.hypervisor.disks(NAME)}.get(volume_id)


def numbers(host):
    return [layer.number for layer in host.volumes.chain(VOLUME)]


def write(host, block, byte):
    """Into the frozen layers' files directly: a boot sector writes nothing."""
    path = host.volumes.chain(VOLUME)[-1].path
    shell.run(["qemu-io", "-f", "qcow2", "-c", f"write -P {byte} {block * MIB} 1M", path])


def make_layers(host, count):
    """A volume that nobody has yet, with so many that are frozen: each holds a block of its own
    and one more."""
    spec = VolumeSpec(volume_id=VOLUME, desired=fleet_pb2.VOLUME_PRESENT, size_bytes=64 * MIB)
    host.tell(NAME, Guest.LISTENS, volumes=[spec])
    eventually(lambda: host.ledger.volumes.get(VOLUME).progress.observed == VOLUME_HERE)
    for number in range(count):
        write(host, number, number + 1)
        write(host, 10 + number, 7)
        host.on.manager.freeze(VOLUME, number)


def committed(host, number):
    manager = host.on.manager

    def done():
        try:
            manager.commit(VOLUME, number)
            return True
        except NotYet:
            return False

    eventually(done)


def test_attached_limited_grown_and_found_again(attached):
    host = attached
    assert has(host).path == host.volumes.chain(VOLUME)[-1].path
    assert (has(host).size_bytes, has(host).iops) == (64 * MIB, 0)
    assert has(host, volume_of(NAME)).size_bytes == 4 * MIB
    host.stop()
    host.start()
    host.tell(NAME, Guest.LISTENS, disks=[disk(128 * MIB, iops=300, throughput_mibps=5)])
    assert converged(host) == ()
    assert (has(host).size_bytes, has(host).iops, has(host).throughput_mibps) == (128 * MIB, 300, 5)
    assert host.volumes.chain(VOLUME)[-1].size_bytes == 128 * MIB
    host.tell(NAME, Guest.LISTENS, disks=[disk(128 * MIB)])
    assert converged(host) == ()
    assert (has(host).iops, has(host).throughput_mibps) == (0, 0)
    assert host.hypervisor.holder(VOLUME) == NAME
    assert host.greetings(NAME) == 1


def test_a_guest_that_does_not_let_go_is_busy_until_it_is_stopped(attached):
    host = attached
    host.tell(NAME, Guest.LISTENS)
    (failure,) = converged(host)
    assert (failure.id, failure.busy) == (VOLUME, True)
    with pytest.raises(DriverError, match="open in"):
        host.on.manager.remove(VOLUME)
    host.tell(NAME, Guest.LISTENS, STOPPED)
    host.until(NAME, OBSERVED_STOPPED)
    assert host.ledger.instances.get(NAME).progress.device_failures == ()
    gone = VolumeSpec(volume_id=VOLUME, desired=fleet_pb2.VOLUME_DELETED)
    host.tell(NAME, Guest.LISTENS, STOPPED, volumes=[gone])
    eventually(lambda: host.ledger.volumes.get(VOLUME).progress.observed == VOLUME_GONE)
    assert host.leftovers() == []


def test_frozen_and_committed_while_it_is_open(attached):
    host = attached
    manager = host.on.manager
    for number in range(3):
        manager.freeze(VOLUME, number, quiesce=True)
        manager.freeze(VOLUME, number)
        assert has(host).path.name == f"{VOLUME}.{number + 1}.qcow2"
    assert numbers(host) == [0, 1, 2, 3]
    assert host.volumes.extents(VOLUME, 1) == []
    assert manager.grow(VOLUME, 96 * MIB) == 96 * MIB
    committed(host, 1)
    assert numbers(host) == [0, 2, 3]
    committed(host, 2)
    committed(host, 2)
    assert numbers(host) == [0, 3]
    assert len(list((host.folder / "volumes").glob(f"{VOLUME}.*"))) == 2
    host.tell(NAME, Guest.LISTENS, STOPPED, disks=[disk()])
    host.until(NAME, OBSERVED_STOPPED)
    manager.freeze(VOLUME, 3)
    host.tell(NAME, Guest.LISTENS, disks=[disk()], starts=2)
    host.until(NAME, OBSERVED_RUNNING)
    assert has(host).path.name == f"{VOLUME}.4.qcow2"
    committed(host, 3)
    assert numbers(host) == [0, 4]


def test_a_commit_that_fails_is_heard_of_and_begins_anew_when_it_is_asked_for(host):
    make_layers(host, 2)
    with broken(host.volumes.chain(VOLUME)[1].path):
        host.tell(NAME, Guest.LISTENS, disks=[disk()])
        converged(host)
        for _ in range(2):
            with pytest.raises(DriverError, match="its commit failed: Input/output error"):
                committed(host, 1)
        assert numbers(host) == [0, 1, 2]
    host.tell(NAME, Guest.LISTENS, STOPPED, disks=[disk()])
    host.until(NAME, OBSERVED_STOPPED)
    host.tell(NAME, Guest.LISTENS, disks=[disk()], starts=2)
    host.until(NAME, OBSERVED_RUNNING)
    committed(host, 1)
    assert numbers(host) == [0, 2]
    assert host.volumes.read(VOLUME, 2, MIB, 1) == b"\2"


def test_what_is_done_to_a_disk_waits_for_its_commit(host):
    manager = host.on.manager
    make_layers(host, 2)
    host.tell(NAME, Guest.LISTENS, disks=[disk()])
    converged(host)
    lowest, frozen, _ = (str(layer.path) for layer in host.volumes.chain(VOLUME))
    domain, slow = host.hypervisor._existing(NAME), libvirt.VIR_DOMAIN_BLOCK_COMMIT_BANDWIDTH_BYTES
    domain.blockCommit("vdf", lowest, frozen, 1 << 16, slow)
    for act in (
        lambda: manager.freeze(VOLUME, 2),
        lambda: manager.grow(VOLUME, 96 * MIB),
        lambda: host.hypervisor.detach_disk(NAME, VOLUME),
    ):
        with pytest.raises(NotYet, match="committing"):
            act()
    domain.blockJobSetSpeed("vdf", 0)
    committed(host, 1)
    manager.freeze(VOLUME, 2)
    assert manager.grow(VOLUME, 96 * MIB) == 96 * MIB
    assert numbers(host) == [0, 2, 3]


def test_nothing_is_lost_where_libvirtd_and_agent_are_killed_amid_a_commit(host, daemon):
    make_layers(host, 3)
    host.tell(NAME, Guest.LISTENS, disks=[disk()])
    converged(host)
    with pytest.raises(NotYet):
        host.on.manager.commit(VOLUME, 2)
    daemon.kill_libvirtd()
    host.stop()
    daemon.start_libvirtd()
    host.start()
    committed(host, 2)
    assert numbers(host) == [0, 3]
    assert host.observed(NAME) == OBSERVED_RUNNING
    host.on.manager.freeze(VOLUME, 3)
    whole = host.volumes.read(VOLUME, 3, 0, 16 * MIB)
    assert [whole[block * MIB] for block in range(16)] == [1, 2, 3, *[0] * 7, 7, 7, 7, 0, 0, 0]
    assert host.greetings(NAME) == 1


def test_killed_between_every_step_of_an_attachment(host, daemon):
    """The agent's end is a new one that finds what libvirt has."""
    for turn, wanted in zip(range(4), itertools.cycle([[disk()], [disk(128 * MIB)]])):
        if turn % 2:
            daemon.kill_libvirtd()
        host.tell(NAME, Guest.LISTENS, disks=wanted)
        host.stop()
        if turn % 2:
            daemon.start_libvirtd()
        host.start()
        assert converged(host) == ()
    assert [disk.volume_id for disk in host.hypervisor.disks(NAME)] == [volume_of(NAME), VOLUME]
    assert has(host).size_bytes == 128 * MIB
    assert numbers(host) == [0]
    assert host.leftovers() == []
