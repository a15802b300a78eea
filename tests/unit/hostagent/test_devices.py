"""The disks of a running guest follow its spec."""

from pathlib import Path

import pytest

from hostagent.compute.hypervisors.fake_guests import Faults
from hostagent.kernel.errors import DriverError, NotYet
from hostagent.storage.volumes.known import kept_volumes, volumes_here
from protos.cloud.v1.fleet_pb2 import STOPPED
from tests.unit.hostagent.rig import Rig, instance

MIB = 1 << 20


def wanted(revision, *disks, **fields):
    """i-1 with its root disk and these: (volume id, fields)."""
    spec = instance("i-1", revision, **fields)
    spec.intent_revision = 1
    for name, more in disks:
        spec.disks.add(**{"volume_id": name, "device_name": "/dev/sdf", "size_bytes": MIB, **more})
    return spec


def tell(rig, spec):
    return rig.tell(spec, base=rig.ledger.position)


def has(rig):
    return {disk.volume_id: disk for disk in rig.hypervisor.disks("i-1")}


def revision(rig):
    return rig.ledger.instances.get("i-1").progress.devices_revision


def failures(rig):
    (observation,) = rig.said().values()
    return [(each.id, each.busy) for each in observation.instance.device_failures]


EXTRA = ("vol-1", {})


def test_a_new_guest_has_what_its_spec_says(rig):
    tell(rig, wanted(1, ("vol-1", {"iops": 100, "throughput_mibps": 5})))
    assert set(has(rig)) == {"vol-i-1", "vol-1"}
    assert (has(rig)["vol-1"].iops, has(rig)["vol-1"].throughput_mibps) == (100, 5)
    (observation,) = rig.said().values()
    assert observation.instance.devices_revision == 1


def test_attached_and_let_go_of_while_it_runs(rig):
    tell(rig, wanted(1))
    rig.acknowledge()
    tell(rig, wanted(2, EXTRA))
    assert set(has(rig)) == {"vol-i-1", "vol-1"}
    assert revision(rig) == 2
    assert rig.agent.has_news()
    tell(rig, wanted(3))
    rig.pass_ms(1)
    assert set(has(rig)) == {"vol-i-1"}
    assert revision(rig) == 3
    assert rig.volumes.chain("vol-1")  # it stays
    assert rig.observed() == "OBSERVED_RUNNING"


def test_a_guest_that_does_not_let_go_is_busy_and_asked_on(rig):
    tell(rig, wanted(1, EXTRA))
    rig.hypervisor.state.guests["i-1"].deaf = True
    tell(rig, wanted(2))
    rig.pass_ms(59_000)
    assert (revision(rig), failures(rig)) == (1, [])
    rig.pass_ms(2_000)
    assert (revision(rig), failures(rig)) == (2, [("vol-1", True)])
    assert "not let go" in rig.ledger.instances.get("i-1").progress.device_failures[0].message
    assert rig.said()["i-1"].revision == 2, "whose failure it is"
    rig.hypervisor.state.guests["i-1"].deaf = False
    rig.pass_ms(12_000)
    assert (set(has(rig)), failures(rig)) == ({"vol-i-1"}, [])


def test_one_that_was_forgotten_is_let_go_of_and_given_anew(rig):
    tell(rig, wanted(1))
    rig.hypervisor.faults = Faults(forgets=1.0)
    rig.hypervisor.state.guests["i-1"].deaf = True
    tell(rig, wanted(2, EXTRA))
    rig.hypervisor.faults = Faults()
    rig.pass_ms(120_000)
    assert has(rig)["vol-1"].untracked
    assert (revision(rig), failures(rig)) == (2, [("vol-1", True)])
    assert rig.hypervisor.holder("vol-1") == "i-1"
    rig.hypervisor.state.guests["i-1"].deaf = False
    rig.pass_ms(12_000)
    assert not has(rig)["vol-1"].untracked
    assert failures(rig) == []


def test_one_that_was_forgotten_and_is_wanted_no_more_goes(rig):
    tell(rig, wanted(1))
    rig.hypervisor.faults = Faults(forgets=1.0)
    tell(rig, wanted(2, EXTRA))
    tell(rig, wanted(3))
    rig.pass_ms(12_000)
    assert (set(has(rig)), revision(rig), failures(rig)) == ({"vol-i-1"}, 3, [])
    assert rig.hypervisor.holder("vol-1") is None


def test_one_that_is_forced_is_busy_sooner(rig):
    tell(rig, wanted(1, EXTRA))
    rig.hypervisor.state.guests["i-1"].deaf = True
    spec = wanted(2)
    spec.forced_device_ids.append("vol-1")
    tell(rig, spec)
    rig.pass_ms(11_000)
    assert failures(rig) == [("vol-1", True)]


def test_others_go_on_beside_one_that_is_busy(rig):
    tell(rig, wanted(1, EXTRA))
    rig.hypervisor.state.guests["i-1"].deaf = True
    tell(rig, wanted(2, ("vol-2", {})))
    assert set(has(rig)) == {"vol-i-1", "vol-1", "vol-2"}
    tell(rig, wanted(3, EXTRA, ("vol-2", {})))  # wanted again: it is no longer asked for
    assert (revision(rig), failures(rig)) == (3, [])


def test_what_cannot_be_attached_is_said_and_tried_on(rig):
    tell(rig, wanted(1))
    rig.images.broken.add("sha256:bad")
    image = {"image_id": "snap-1", "digest": "sha256:bad", "disk_format": "raw"}
    tell(rig, wanted(2, ("vol-1", {"image": image}), ("vol-2", {})))
    assert (revision(rig), failures(rig)) == (2, [("vol-1", False)])
    assert set(has(rig)) == {"vol-i-1", "vol-2"}
    rig.images.broken.clear()
    rig.pass_ms(60_000)
    assert (set(has(rig)), failures(rig)) == ({"vol-i-1", "vol-1", "vol-2"}, [])


def test_what_passes_is_not_said_at_once(rig):
    tell(rig, wanted(1))
    rig.volumes.failures = 1.0
    tell(rig, wanted(2, EXTRA))
    rig.pass_ms(2_000)
    assert (revision(rig), failures(rig)) == (1, [])
    rig.pass_ms(30_000)
    assert (revision(rig), failures(rig)) == (2, [("vol-1", False)])
    rig.volumes.failures = 0.0
    rig.pass_ms(60_000)
    assert (set(has(rig)), failures(rig)) == ({"vol-i-1", "vol-1"}, [])


def test_an_image_on_its_way_is_waited_for(rig):
    tell(rig, wanted(1))
    rig.images.fetch_ms = 5_000
    image = {"image_id": "snap-1", "digest": "sha256:slow", "disk_format": "blocks"}
    tell(rig, wanted(2, ("vol-1", {"image": image})))
    assert revision(rig) == 1
    rig.pass_ms(6_000)
    assert (revision(rig), set(has(rig))) == (2, {"vol-i-1", "vol-1"})


def test_grown_and_limited_while_it_runs(rig):
    tell(rig, wanted(1, EXTRA))
    tell(rig, wanted(2, ("vol-1", {"size_bytes": 2 * MIB, "iops": 300, "throughput_mibps": 7})))
    disk = has(rig)["vol-1"]
    assert (disk.size_bytes, disk.iops, disk.throughput_mibps) == (2 * MIB, 300, 7)
    assert rig.volumes.chain("vol-1")[-1].size_bytes == 2 * MIB
    tell(rig, wanted(3, EXTRA))
    assert (has(rig)["vol-1"].size_bytes, has(rig)["vol-1"].iops) == (2 * MIB, 0)
    assert revision(rig) == 3


def test_a_stopped_guest_gets_it_with_its_next_start(rig):
    tell(rig, wanted(1))
    tell(rig, wanted(2, desired=STOPPED))
    rig.pass_ms(60_000)
    tell(rig, wanted(3, EXTRA, desired=STOPPED))
    assert revision(rig) == 3
    assert rig.volumes.chain("vol-1") == []
    tell(rig, wanted(4, EXTRA, starts=2))
    assert set(has(rig)) == {"vol-i-1", "vol-1"}


def test_one_that_powered_itself_off_too(rig):
    tell(rig, wanted(1))
    rig.hypervisor.power_off_inside("i-1")
    rig.run()
    tell(rig, wanted(2, EXTRA))
    assert (rig.observed(), revision(rig)) == ("EXITED", 2)


def test_what_somebody_took_away_is_given_back(rig):
    tell(rig, wanted(1, EXTRA))
    rig.hypervisor.detach_disk("i-1", "vol-1")
    rig.pass_ms(61_000)
    assert set(has(rig)) == {"vol-i-1", "vol-1"}


def test_a_new_agent_finds_a_change_that_was_cut(rig):
    tell(rig, wanted(1, EXTRA))
    rig.hypervisor.state.guests["i-1"].deaf = True
    tell(rig, wanted(2, ("vol-2", {})))
    rig.hypervisor.state.guests["i-1"].deaf = False
    rig.restart()
    rig.pass_ms(2_000)
    assert (set(has(rig)), revision(rig)) == ({"vol-i-1", "vol-2"}, 2)


def test_an_ephemeral_disk_lives_from_start_to_stop(rig):
    spec = ("vol-e", {"ephemeral": True})
    tell(rig, wanted(1, spec))
    rig.hypervisor.crash("i-1")
    rig.pass_ms(10_000)
    assert "vol-e" in rig.volumes.made
    tell(rig, wanted(2, spec, desired=STOPPED))
    rig.pass_ms(60_000)
    assert sorted(rig.volumes.made) == ["vol-i-1"]


def test_frozen_and_committed_under_a_guest_that_writes(rig):
    tell(rig, wanted(1, EXTRA))
    manager, volumes = rig.on.manager, rig.volumes

    def write(data):
        volumes.write("vol-1", 0, data, has(rig)["vol-1"].path)

    write(b"one")
    volumes.add_layer("vol-1", 0)  # cut before the guest was moved to it
    write(b"two")
    for number in (0, 1):
        manager.freeze("vol-1", number)
        manager.freeze("vol-1", number)
        write(b"six")
    assert volumes.read("vol-1", 0, 0, 3) == b"two"
    assert manager.top("vol-1").number == 2
    for act, number in ((manager.commit, 1), (manager.freeze, 2)):
        with pytest.raises(NotYet, match="committing"):
            act("vol-1", number)
    assert manager.grow("vol-1", 2 * MIB) == 2 * MIB
    for _ in range(4):
        try:
            manager.commit("vol-1", 1)
        except Exception as wait:
            assert "committing" in str(wait)
    assert [layer.number for layer in volumes.chain("vol-1")] == [0, 2]
    assert volumes.read("vol-1", 2, 0, 3) == b"six"
    with pytest.raises(DriverError, match="open in i-1"):
        manager.remove("vol-1")
    tell(rig, wanted(2, EXTRA, desired=STOPPED))
    rig.pass_ms(60_000)
    tell(rig, wanted(3, EXTRA, starts=2))
    assert has(rig)["vol-1"].path == volumes.chain("vol-1")[-1].path


def test_a_guest_that_writes_what_is_no_layer_is_left_alone(rig):
    tell(rig, wanted(1, EXTRA))
    rig.hypervisor.state.guests["i-1"].disks["vol-1"].path = "/elsewhere/x.9.qcow2"
    with pytest.raises(DriverError, match="not in its chain"):
        rig.on.manager.freeze("vol-1", 0)


def test_a_served_disk_has_no_file_here(rig):
    remote = {"host_id": "h-2", "host": "192.0.2.2", "port": 10809, "export_name": "vol-1"}
    tell(rig, wanted(1, ("vol-1", {"remote": remote})))
    assert has(rig)["vol-1"].path is None
    assert sorted(rig.volumes.made) == ["vol-i-1"]
    assert volumes_here(rig.ledger) == {"vol-i-1"}
    tell(rig, wanted(2))
    rig.pass_ms(1)
    assert kept_volumes(rig.ledger) == set()
    assert isinstance(rig.consoles, Path)


def test_what_serves_a_disk_may_be_away_for_five_minutes(tmp_path):
    served = {}

    def served_bytes(volume_id):
        if volume_id not in served:
            raise DriverError("nobody serves it")
        return served[volume_id]

    rig = Rig(tmp_path, served_bytes=served_bytes)
    remote = {"host_id": "h-2", "host": "192.0.2.2", "port": 10809}
    tell(rig, wanted(1))
    tell(rig, wanted(2, ("vol-1", {"remote": remote}), ("vol-2", {"remote": remote})))
    rig.pass_ms(280_000)
    assert failures(rig) == []
    served["vol-1"] = 1 << 30
    rig.pass_ms(60_000)
    assert has(rig).keys() == {"vol-i-1", "vol-1"}
    assert failures(rig) == [("vol-2", False)]
