"""An instance is terminated: every undo runs, and nothing is left but what was to be kept."""

from hostagent.storage.volumes.known import images_in_use, kept_volumes
from protos.cloud.v1.fleet_pb2 import TERMINATED
from tests.unit.hostagent.rig import LIMITS, instance, progress


def test_tear_down_runs_every_undo_and_repeats_until_all_succeed(rig):
    rig.tell(instance())
    rig.network.failures = 2.0  # every call, at its beginning
    rig.tell(instance(revision=2, desired=TERMINATED), base=1)
    assert rig.observed() == "STOPPING"
    assert (rig.power(), rig.volumes.made) == ("none", {})
    assert rig.network.ports == {"eni-i-1": True}
    rig.network.failures = 0.0
    rig.pass_ms(LIMITS.backoff_most_ms)
    assert rig.observed() == "ABSENT"
    assert rig.is_bare()


def test_tear_down_waits_for_a_volume_that_is_being_worked_on(rig):
    rig.tell(instance())
    with rig.held_elsewhere("vol-i-1"):
        rig.tell(instance(revision=2, desired=TERMINATED), base=1)
        assert (rig.observed(), rig.power()) == ("STOPPING", "none")
        assert rig.network.ports == {}
        assert rig.volumes.volumes() == ["vol-i-1"]
    rig.pass_ms(1000)
    assert rig.observed() == "ABSENT"
    assert rig.is_bare()
    assert progress(rig).attempts == 0


def test_terminate_does_not_ask_where_all_ends_with_the_instance(rig):
    rig.tell(instance())
    rig.tell(instance(revision=2, desired=TERMINATED), base=1)
    assert rig.observed() == "ABSENT"
    assert rig.is_bare()


def test_a_volume_that_outlives_its_instance_is_written_back_and_kept(rig):
    keeps = instance()
    keeps.disks[0].delete_on_termination = False
    rig.tell(keeps)
    ends = instance(revision=2, desired=TERMINATED)
    ends.disks[0].delete_on_termination = False
    rig.tell(ends, base=1)
    assert (rig.observed(), rig.power()) == ("STOPPING", "running")
    rig.pass_ms(100)
    assert (rig.observed(), rig.power()) == ("ABSENT", "none")
    rig.acknowledge()
    assert rig.volumes.volumes() == ["vol-i-1"]
    assert rig.findings() == []
    rig.restart()
    assert set(kept_volumes(rig.ledger)) == {"vol-i-1"}
    assert images_in_use(rig.ledger) == {keeps.disks[0].image.digest}


def test_terminated_before_it_was_ever_here(rig):
    rig.tell(instance(desired=TERMINATED))
    assert rig.observed() == "ABSENT"
    assert rig.is_bare()


def test_the_vpc_goes_with_its_last_instance(rig):
    rig.tell(instance("i-1"), instance("i-2"))
    rig.tell(instance("i-1", revision=2, desired=TERMINATED), base=1)
    assert rig.tenants() == ["i-2"]
    rig.tell(instance("i-2", revision=3, desired=TERMINATED), base=2)
    assert rig.network.made == {}
