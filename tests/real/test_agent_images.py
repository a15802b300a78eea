"""Snapshots of all disks of a guest, of one moment: while it runs, and while it is off in the
middle of a reboot; libvirt and qcow2 for real. The guests are boot sectors.
"""

import pytest

from protos.cloud.v1.fleet_pb2 import OBSERVED_RUNNING, SNAPSHOT_DONE, DiskSpec, SnapshotSpec
from tests.real.agent_host import Host, eventually, volume_of
from tests.real.boot_sector import Guest
from tests.real.libvirtd import PrivateLibvirtd

pytestmark = pytest.mark.real

NAME = "i-0123456789abcdef1"
VOLUMES = (volume_of(NAME), "vol-0000000000000000d")
DATA_DISK = DiskSpec(volume_id=VOLUMES[1], device_name="/dev/sdf", size_bytes=64 << 20)
TURNS = 5


@pytest.fixture(scope="module")
def daemon():
    with PrivateLibvirtd() as daemon:
        yield daemon


@pytest.fixture
def host(tmp_path, daemon):
    host = Host(tmp_path, daemon.uri)
    yield host
    host.close()


def bring_up(host, guest):
    host.tell(NAME, guest, disks=[DATA_DISK])
    host.until_greeted(NAME, 1)
    host.until(NAME, OBSERVED_RUNNING)


def ask(host, guest, turn=1, *, off: bool):
    """As one message says it of an image."""
    snapshots = [
        SnapshotSpec(
            snapshot_id=f"snap-{turn}-{volume_id}",
            volume_id=volume_id,
            group=f"ami-{turn}",
            off_instance_id=NAME if off else "",
            quiesce=not off,
        )
        for volume_id in VOLUMES
    ]
    reboots = turn if off else 0
    host.tell(NAME, guest, disks=[DATA_DISK], snapshots=snapshots, reboots=reboots)
    return [snapshot.snapshot_id for snapshot in snapshots]


def until_done(host, names):
    eventually(
        lambda: all(host.ledger.snapshots.get(n).progress.observed == SNAPSHOT_DONE for n in names),
        lambda: str([host.ledger.snapshots.get(name).progress for name in names]),
    )


def written(host):
    """The layers that the guest writes, by their numbers."""
    return {disk.volume_id: disk.path.name.split(".")[1] for disk in host.hypervisor.disks(NAME)}


def test_a_guest_that_runs_goes_on(host):
    """No agent answers in it: EC2 would not even ask."""
    bring_up(host, Guest.LISTENS)
    until_done(host, ask(host, Guest.LISTENS, off=False))
    assert written(host) == dict.fromkeys(VOLUMES, "1")
    assert host.greetings(NAME) == 1 and host.observed(NAME) == OBSERVED_RUNNING


@pytest.mark.parametrize("guest", [Guest.LISTENS, Guest.DEAF])
def test_a_guest_goes_off_for_them_and_comes_again(host, guest):
    bring_up(host, guest)
    names = ask(host, guest, off=True)
    host.until_greeted(NAME, 2)
    until_done(host, names)
    eventually(lambda: host.ledger.instances.get(NAME).progress.reboots_done == 1)
    assert host.observed(NAME) == OBSERVED_RUNNING
    assert host.ledger.instances.get(NAME).progress.crashes == 0
    assert written(host) == dict.fromkeys(VOLUMES, "1")
    assert host.leftovers() == []


def test_agent_and_libvirtd_are_killed_amid_it(host, daemon):
    """Each turn a little later: before, while and after the guest goes off."""
    bring_up(host, Guest.LISTENS)
    for turn in range(1, TURNS + 1):
        names = ask(host, Guest.LISTENS, turn, off=True)
        eventually(lambda: steps(host, names) >= turn - 1)  # noqa: B023 - asked in this turn only
        daemon.kill_libvirtd()
        host.stop()
        daemon.start_libvirtd()
        host.start()
        until_done(host, names)
        eventually(lambda: host.ledger.instances.get(NAME).progress.reboots_done == turn)  # noqa: B023
        host.until(NAME, OBSERVED_RUNNING)


def steps(host, names) -> int:
    """How far it is: a step for each that is frozen, and for each that is copied."""
    return sum(host.ledger.snapshots.get(name).progress.observed for name in names)
