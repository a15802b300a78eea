"""libvirtd is away for longer than all tries of anything last, by the limits that are shipped: what
is asked for meanwhile waits and is done, also by an agent that begins without it."""

import time

import pytest

from hostagent.compute.limits import Limits
from protos.cloud.v1 import fleet_pb2
from protos.cloud.v1.fleet_pb2 import (
    OBSERVED_RUNNING,
    SNAPSHOT_DONE,
    TERMINATED,
    VOLUME_HERE,
    DiskSpec,
    SnapshotSpec,
    VolumeSpec,
)
from tests.real.agent_host import Host, eventually, volume_of
from tests.real.boot_sector import Guest
from tests.real.libvirtd import PrivateLibvirtd

pytestmark = pytest.mark.real

MIB = 1 << 20
AWAY_S = 38
FIRST, SECOND = "i-0123456789abcdef1", "i-0123456789abcdef2"
FREE, NEW, SNAPSHOT = "vol-0000000000000000d", "vol-0000000000000000e", "snap-0000000000000000d"


@pytest.fixture
def daemon():
    with PrivateLibvirtd() as daemon:
        yield daemon


@pytest.mark.parametrize(
    ("begins_without", "away_s"), [(False, AWAY_S), (True, 5)], ids=["goes on", "begins"]
)
def test_what_is_asked_for_meanwhile_waits_and_is_done(tmp_path, daemon, begins_without, away_s):
    host = Host(tmp_path, daemon.uri, limits=Limits())
    host.tell(FIRST, Guest.LISTENS, volumes=[volume(FREE)])
    host.until(FIRST, OBSERVED_RUNNING)
    eventually(lambda: observed(host.ledger.volumes, FREE) == VOLUME_HERE)

    daemon.kill_libvirtd()
    gone_at = time.monotonic()
    eventually(lambda: host.hypervisor.away())
    if begins_without:
        host.stop()
        host.start()
    disk = DiskSpec(volume_id=FREE, device_name="/dev/sdf", size_bytes=64 * MIB)
    snapshot = SnapshotSpec(snapshot_id=SNAPSHOT, volume_id=volume_of(FIRST))
    host.tell(FIRST, Guest.LISTENS, disks=[disk], volumes=[volume(NEW)], snapshots=[snapshot])
    host.tell(SECOND, Guest.LISTENS)
    eventually(lambda: time.monotonic() > gone_at + away_s, timeout_s=2 * AWAY_S)
    assert host.hypervisor.away() and host.agent.report().facts.hypervisor_away
    assert host.observed(FIRST) == OBSERVED_RUNNING
    daemon.start_libvirtd()

    host.until(SECOND, OBSERVED_RUNNING)
    eventually(lambda: observed(host.ledger.volumes, NEW) == VOLUME_HERE)
    eventually(lambda: observed(host.ledger.snapshots, SNAPSHOT) == SNAPSHOT_DONE)
    eventually(lambda: FREE in {disk.volume_id for disk in host.hypervisor.disks(FIRST)})
    assert not host.hypervisor.away() and not host.agent.report().facts.hypervisor_away
    assert not host.ledger.instances.get(FIRST).progress.device_failures
    assert host.greetings(FIRST) == 1  # it ran on
    for name in (FIRST, SECOND):
        host.tell(name, Guest.LISTENS, TERMINATED)
    for name in (FIRST, SECOND):
        host.until(name, fleet_pb2.ABSENT)
    host.close()


def test_an_agent_begins_although_libvirtd_hangs(tmp_path, daemon):
    with daemon.hanging():
        host = Host(tmp_path, daemon.uri)
        host.tell(FIRST, Guest.LISTENS)
        assert "not answered" in host.agent.report().facts.hypervisor_away
    host.until(FIRST, OBSERVED_RUNNING)
    host.close()


def volume(name: str) -> VolumeSpec:
    return VolumeSpec(volume_id=name, desired=fleet_pb2.VOLUME_PRESENT, size_bytes=64 * MIB)


def observed(records, name: str) -> int:
    record = records.get(name)
    return record.progress.observed if record else 0
