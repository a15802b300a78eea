"""While the hypervisor's daemon is away everything that needs it waits; nothing of it fails."""

import pytest

from hostagent.compute.hypervisors.fake_guests import Faults
from protos.cloud.v1 import fleet_pb2
from protos.cloud.v1.fleet_pb2 import STOPPED, TERMINATED, SnapshotSpec, VolumeSpec
from tests.unit.hostagent.rig import Rig, Told, host_spec, instance
from tests.unit.hostagent.stores import MemoryBlocks

MIB = 1 << 20
LONG_MS = (1, 35_000, 3_600_000)  # the last is longer than any bring-up may take


@pytest.fixture
def rig(tmp_path):
    """A guest that runs, and a volume that is attached to nothing."""
    rig = Rig(tmp_path, blocks=MemoryBlocks())
    rig.tell(instance())
    tell(rig, 2, volume("vol-free"))
    rig.run()
    assert (rig.observed(), of_volume(rig, "vol-free")) == ("OBSERVED_RUNNING", "VOLUME_HERE")
    return rig


def tell(rig, revision, *told):
    told = [Told(each.spec, revision) for each in told]
    rig.agent.apply(host_spec(*told, position=revision, base=rig.ledger.position, vpcs=()))


def volume(name):
    desired = fleet_pb2.VOLUME_PRESENT
    return Told(VolumeSpec(volume_id=name, desired=desired, size_bytes=4 * MIB), 1)


def snapshot():
    return Told(SnapshotSpec(snapshot_id="snap-1", volume_id="vol-i-1"), 1)


def with_devices(desired=fleet_pb2.RUNNING):
    """i-1 with a second disk and a second interface."""
    spec = instance(desired=desired)
    spec.disks.add(volume_id="vol-free", device_name="/dev/sdf", size_bytes=4 * MIB)
    nic = spec.nics.add()
    nic.CopyFrom(spec.nics[0])
    nic.network_interface_id, nic.device_index = "eni-2", 1
    return spec


def of_volume(rig, name):
    return fleet_pb2.ObservedVolume.Name(rig.ledger.volumes.get(name).progress.observed)


def of_snapshot(rig):
    progress = rig.ledger.snapshots.get("snap-1").progress
    return fleet_pb2.ObservedSnapshot.Name(progress.observed)


def devices(rig):
    hypervisor = rig.hypervisor
    found = {disk.volume_id for disk in hypervisor.disks("i-1")}
    return found | {nic.network_interface_id for nic in hypervisor.nics("i-1")}


ASKED = {
    "a launch": (
        lambda: [instance("i-2")],
        lambda rig: rig.observed("i-2"),
        "OBSERVED_RUNNING",
    ),
    "a stop": (
        lambda: [instance(revision=3, desired=STOPPED)],
        lambda rig: rig.observed(),
        "OBSERVED_STOPPED",
    ),
    "an end": (
        lambda: [instance(revision=3, desired=TERMINATED)],
        lambda rig: rig.observed(),
        "ABSENT",
    ),
    "a new volume": (
        lambda: [volume("vol-new")],
        lambda rig: of_volume(rig, "vol-new"),
        "VOLUME_HERE",
    ),
    "a snapshot": (
        lambda: [snapshot()],
        of_snapshot,
        "SNAPSHOT_DONE",
    ),
    "attachments": (
        lambda: [with_devices()],
        devices,
        {"vol-i-1", "vol-free", "eni-i-1", "eni-2"},
    ),
}


@pytest.mark.parametrize("away_ms", LONG_MS)
@pytest.mark.parametrize("what", ASKED)
def test_what_is_asked_for_meanwhile_waits_and_is_done(rig, what, away_ms):
    ask, seen, wanted = ASKED[what]
    rig.hypervisor.leave(away_ms)
    tell(rig, 3, *ask())
    rig.pass_ms(away_ms)
    report = rig.agent.report()
    instances = [one.instance for one in report.observations if one.kind == "instance"]
    assert instances and fleet_pb2.FAILED not in [one.observed for one in instances]
    rig.pass_ms(65_000)
    assert seen(rig) == wanted
    assert not rig.ledger.instances.get("i-1").progress.device_failures


def test_a_guest_is_given_its_time_to_let_go_when_it_can_be_heard(rig):
    tell(rig, 3, with_devices())
    rig.run()
    rig.hypervisor.state.guests["i-1"].deaf = True
    tell(rig, 4, instance(), instance("i-2"))
    rig.run()
    rig.hypervisor.leave(120_000)
    rig.pass_ms(121_000)
    assert not rig.ledger.instances.get("i-1").progress.device_failures
    rig.pass_ms(60_000)
    failures = rig.ledger.instances.get("i-1").progress.device_failures
    assert [each.busy for each in failures] == [True, True]


def test_it_comes_and_goes_and_nothing_fails(rig):
    """At any call, and for longer than all tries of anything take."""
    rig.hypervisor.faults = Faults(away=0.05, away_ms=40_000, forgets=0.2)
    asked = [ASKED[what][0]() for what in ("a launch", "a new volume", "a snapshot", "attachments")]
    tell(rig, 3, *(one for each in asked for one in each))
    rig.pass_ms(3_600_000)
    assert rig.observed("i-2") == rig.observed("i-1") == "OBSERVED_RUNNING"
    assert (of_volume(rig, "vol-new"), of_snapshot(rig)) == ("VOLUME_HERE", "SNAPSHOT_DONE")
    rig.hypervisor.faults = Faults()
    rig.hypervisor.come_back()
    rig.pass_ms(65_000)
    assert devices(rig) == {"vol-i-1", "vol-free", "eni-i-1", "eni-2"}


def test_an_agent_begins_without_it_and_says_so(rig):
    assert not rig.agent.report().facts.hypervisor_away
    rig.hypervisor.leave()
    rig.restart()
    rig.run()
    facts = rig.agent.report().facts
    assert (facts.vcpus, facts.hypervisor_away) == (64, "the fake hypervisor is away")
    rig.acknowledge()
    assert not rig.agent.report().HasField("facts")
    assert not rig.agent.has_news()
    rig.hypervisor.come_back()
    assert rig.agent.has_news()
    assert rig.agent.report().HasField("facts")
    assert not rig.agent.report().facts.hypervisor_away
