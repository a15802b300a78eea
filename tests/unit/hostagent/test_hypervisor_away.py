"""While the hypervisor's daemon is away everything that needs it waits; nothing of it fails."""

import pytest

from hostagent.hypervisors.fake import Faults
from protos.cloud.v1 import fleet_pb2
from protos.cloud.v1.fleet_pb2 import STOPPED, TERMINATED, HostSpec, SnapshotSpec, VolumeSpec
from tests.unit.hostagent.rig import HOST, Rig, instance
from tests.unit.hostagent.stores import MemoryBlocks

MIB = 1 << 20
LONG_MS = (1, 35_000, 3_600_000)  # the last is longer than any bring-up may take


@pytest.fixture
def rig(tmp_path):
    """A guest that runs, and a volume that is attached to nothing."""
    rig = Rig(tmp_path, blocks=MemoryBlocks())
    rig.tell(instance())
    tell(rig, 2, volumes=[volume("vol-free")])
    rig.run()
    assert (rig.observed(), of_volume(rig, "vol-free")) == ("OBSERVED_RUNNING", "VOLUME_HERE")
    return rig


def tell(rig, generation, **parts):
    for each in (one for some in parts.values() for one in some):
        each.generation = generation
    known = rig.ledger.generation
    rig.agent.apply(HostSpec(host_id=HOST, generation=generation, base=known, **parts))


def volume(name):
    return VolumeSpec(volume_id=name, desired=fleet_pb2.VOLUME_PRESENT, size_bytes=4 * MIB)


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
        lambda: {"instances": [instance("i-2")]},
        lambda rig: rig.observed("i-2"),
        "OBSERVED_RUNNING",
    ),
    "a stop": (
        lambda: {"instances": [instance(desired=STOPPED, intent_generation=3)]},
        lambda rig: rig.observed(),
        "OBSERVED_STOPPED",
    ),
    "an end": (
        lambda: {"instances": [instance(desired=TERMINATED, intent_generation=3)]},
        lambda rig: rig.observed(),
        "ABSENT",
    ),
    "a new volume": (
        lambda: {"volumes": [volume("vol-new")]},
        lambda rig: of_volume(rig, "vol-new"),
        "VOLUME_HERE",
    ),
    "a snapshot": (
        lambda: {"snapshots": [SnapshotSpec(snapshot_id="snap-1", volume_id="vol-i-1")]},
        of_snapshot,
        "SNAPSHOT_DONE",
    ),
    "attachments": (
        lambda: {"instances": [with_devices()]},
        devices,
        {"vol-i-1", "vol-free", "eni-i-1", "eni-2"},
    ),
}


@pytest.mark.parametrize("away_ms", LONG_MS)
@pytest.mark.parametrize("what", ASKED)
def test_what_is_asked_for_meanwhile_waits_and_is_done(rig, what, away_ms):
    ask, seen, wanted = ASKED[what]
    rig.hypervisor.leave(away_ms)
    tell(rig, 3, **ask())
    rig.pass_ms(away_ms)
    report = rig.agent.report()
    assert fleet_pb2.FAILED not in [one.observed for one in report.observations]
    rig.pass_ms(65_000)
    assert seen(rig) == wanted
    assert not rig.ledger.get("i-1").progress.device_failures


def test_a_guest_is_given_its_time_to_let_go_when_it_can_be_heard(rig):
    tell(rig, 3, instances=[with_devices()])
    rig.run()
    rig.hypervisor.state.guests["i-1"].deaf = True
    tell(rig, 4, instances=[instance(), instance("i-2")])
    rig.run()
    rig.hypervisor.leave(120_000)
    rig.pass_ms(121_000)
    assert not rig.ledger.get("i-1").progress.device_failures
    rig.pass_ms(60_000)
    assert [each.busy for each in rig.ledger.get("i-1").progress.device_failures] == [True, True]


def test_it_comes_and_goes_and_nothing_fails(rig):
    """At any call, and for longer than all tries of anything take."""
    rig.hypervisor.faults = Faults(away=0.05, away_ms=40_000, forgets=0.2)
    asked = [ASKED[what][0]() for what in ("a launch", "a new volume", "a snapshot", "attachments")]
    tell(rig, 3, **{name: [one for each in asked for one in each.get(name, [])] for name in PARTS})
    rig.pass_ms(3_600_000)
    assert rig.observed("i-2") == rig.observed("i-1") == "OBSERVED_RUNNING"
    assert (of_volume(rig, "vol-new"), of_snapshot(rig)) == ("VOLUME_HERE", "SNAPSHOT_DONE")
    rig.hypervisor.faults = Faults()
    rig.hypervisor.come_back()
    rig.pass_ms(65_000)
    assert devices(rig) == {"vol-i-1", "vol-free", "eni-i-1", "eni-2"}


PARTS = ("instances", "volumes", "snapshots")


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
