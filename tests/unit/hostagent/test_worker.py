"""What a worker makes of what happens to its instance. The choices are in test_table.py."""

import pytest

from hostagent.compute.hypervisors.fake_guests import Faults
from hostagent.compute.limits import Limits
from hostagent.kernel.errors import DriverError
from hostagent.storage.volumes.known import images_in_use, kept_volumes
from protos.cloud.v1.fleet_pb2 import RUNNING, STOPPED, TERMINATED
from tests.unit.hostagent.rig import Rig, host_spec, instance

LIMITS = Limits()


def progress(rig, name="i-1"):
    return rig.ledger.instances.get(name).progress


def sizes(rig):
    return {name: rig.volumes.chain(name)[-1].size_bytes for name in rig.volumes.volumes()}


def test_brought_up_with_everything_it_needs(rig):
    rig.tell(instance())
    assert (rig.observed(), rig.power()) == ("OBSERVED_RUNNING", "running")
    assert rig.network.ports == {"eni-i-1": True}
    assert rig.tenants() == ["i-1"]
    assert sizes(rig) == {"vol-i-1": 1 << 30}
    assert (progress(rig).started, progress(rig).revision) == (1, 1)


def test_waits_for_its_image_without_holding_anybody_up(rig):
    rig.images.fetch_ms = 5_000
    rig.tell(instance())
    assert rig.observed() == "PREPARING"
    rig.pass_ms(4_999)
    assert rig.observed() == "PREPARING"
    rig.pass_ms(1)
    assert rig.observed() == "OBSERVED_RUNNING"


def test_terminated_while_its_image_is_on_its_way(rig):
    rig.images.fetch_ms = 3_600_000
    rig.tell(instance())
    rig.tell(instance(revision=2, desired=TERMINATED), base=1)
    assert rig.observed() == "ABSENT"


def test_many_ask_for_one_image_at_once(rig):
    rig.images.fetch_ms = 1_000
    rig.tell(*(instance(f"i-{n}") for n in range(20)))
    rig.pass_ms(1_000)
    assert rig.images.fetches == 1
    assert all(rig.observed(f"i-{n}") == "OBSERVED_RUNNING" for n in range(20))


def test_an_image_that_never_comes_is_waited_for_so_long(rig):
    rig.images.fetch_ms = 10 * LIMITS.bring_up_ms
    rig.tell(instance())
    rig.pass_ms(10 * LIMITS.bring_up_ms - 1)
    assert rig.observed() == "FAILED"
    assert "took too long" in progress(rig).message


def test_an_image_that_may_not_be_used_fails_at_once(rig):
    rig.images.broken.add(instance().disks[0].image.digest)
    rig.tell(instance())
    assert rig.observed() == "FAILED"
    assert progress(rig).code == "Server.InternalError"
    assert progress(rig).message == "ami-1 does not match its digest"
    assert rig.network.ports == {}


def test_stop_asks_the_guest_and_keeps_the_disks(rig):
    rig.tell(instance())
    rig.tell(instance(revision=2, desired=STOPPED), base=1)
    assert (rig.observed(), rig.power()) == ("STOPPING", "running")
    rig.pass_ms(100)
    assert (rig.observed(), rig.power()) == ("OBSERVED_STOPPED", "none")
    assert rig.network.ports == {}
    assert sizes(rig) == {"vol-i-1": 1 << 30}


def test_start_after_stop_makes_all_anew(rig):
    rig.tell(instance())
    rig.tell(instance(revision=2, desired=STOPPED), base=1)
    rig.pass_ms(100)
    rig.tell(instance(revision=3, starts=2), base=2)
    assert (rig.observed(), rig.power()) == ("OBSERVED_RUNNING", "running")
    assert rig.network.ports == {"eni-i-1": True}
    assert progress(rig).started == 2


def test_force_stop_does_not_ask(rig):
    rig.tell(instance())
    rig.tell(instance(revision=2, desired=STOPPED, force_stop=True), base=1)
    assert (rig.observed(), rig.power()) == ("OBSERVED_STOPPED", "none")


def test_a_deaf_guest_loses_its_power_after_the_limit(tmp_path):
    rig = Rig(tmp_path, faults=Faults(deaf=1.0))
    rig.tell(instance())
    rig.tell(instance(revision=2, desired=STOPPED), base=1)
    rig.pass_ms(LIMITS.shutdown_ms - 1)
    assert rig.observed() == "STOPPING"
    rig.pass_ms(1)
    assert rig.observed() == "OBSERVED_STOPPED"


def test_force_after_a_stop_that_takes_long(tmp_path):
    rig = Rig(tmp_path, faults=Faults(deaf=1.0))
    rig.tell(instance())
    rig.tell(instance(revision=2, desired=STOPPED), base=1)
    rig.pass_ms(1_000)
    rig.tell(instance(revision=3, desired=STOPPED, force_stop=True), base=2)
    assert rig.observed() == "OBSERVED_STOPPED"


def test_reboot_is_done_once(rig):
    rig.tell(instance())
    rig.tell(instance(revision=2, reboots=1), base=1)
    rig.pass_ms(100)
    assert progress(rig).reboots_done == 1
    assert rig.hypervisor.state.guests["i-1"].reboots == 1
    rig.pass_ms(10 * LIMITS.audit_ms)
    assert rig.hypervisor.state.guests["i-1"].reboots == 1
    assert rig.observed() == "OBSERVED_RUNNING"


def test_a_deaf_guest_is_reset_after_the_limit(tmp_path):
    rig = Rig(tmp_path, faults=Faults(deaf=1.0))
    rig.tell(instance())
    rig.tell(instance(revision=2, reboots=1), base=1)
    rig.pass_ms(LIMITS.reboot_ms - 1)
    assert progress(rig).reboots_done == 0
    rig.pass_ms(1)
    assert progress(rig).reboots_done == 1
    assert rig.hypervisor.state.guests["i-1"].reboots == 1


def test_a_start_fulfils_the_reboots_asked_for_before(rig):
    rig.tell(instance(reboots=3))
    assert progress(rig).reboots_done == 3


def test_a_guest_that_powers_itself_off_waits_for_a_new_start(rig):
    rig.tell(instance())
    rig.hypervisor.power_off_inside("i-1")
    rig.run()
    assert rig.observed() == "EXITED"
    assert progress(rig).code == "Client.InstanceInitiatedShutdown"
    rig.restart()
    rig.pass_ms(10 * LIMITS.audit_ms)
    assert rig.observed() == "EXITED"
    rig.tell(instance(revision=2, starts=2), base=1)
    assert rig.observed() == "OBSERVED_RUNNING"


def test_a_guest_that_exited_is_stopped_or_terminated_as_told(rig):
    rig.tell(instance(), instance("i-2"))
    for name in ("i-1", "i-2"):
        rig.hypervisor.power_off_inside(name)
    rig.run()
    rig.tell(
        instance(revision=2, desired=STOPPED),
        instance("i-2", revision=2, desired=TERMINATED),
        base=1,
    )
    assert (rig.observed("i-1"), rig.observed("i-2")) == ("OBSERVED_STOPPED", "ABSENT")


def test_an_exit_is_remembered_over_a_power_failure(rig):
    rig.tell(instance())
    rig.hypervisor.power_off_inside("i-1")
    rig.run()
    rig.power_failure()
    rig.pass_ms(LIMITS.audit_ms)
    assert rig.observed() == "EXITED"


def test_a_power_failure_restarts_what_should_run_and_nothing_else(rig):
    rig.tell(instance("i-1"), instance("i-2"))
    rig.tell(instance("i-2", revision=2, desired=STOPPED), base=1)
    rig.pass_ms(100)
    rig.power_failure()
    rig.run()
    assert (rig.observed("i-1"), rig.power("i-1")) == ("OBSERVED_RUNNING", "running")
    assert (rig.observed("i-2"), rig.power("i-2")) == ("OBSERVED_STOPPED", "none")
    assert progress(rig).crashes == 0
    assert rig.network.ports == {"eni-i-1": True}


def test_an_exit_seen_only_after_the_machine_rebooted_is_a_power_failure(rig):
    """QEMU is told to end by the machine's shutdown and looks like a guest that did."""
    rig.tell(instance())
    rig.hypervisor.watch(lambda name: None)
    rig.hypervisor.power_off_inside("i-1")
    rig.boot_id = "boot-2"
    rig.restart()
    rig.run()
    assert (rig.observed(), rig.power()) == ("OBSERVED_RUNNING", "running")


def test_a_crash_is_restarted_then_slower_then_given_up(rig):
    rig.tell(instance())
    for crash in range(1, LIMITS.crashes + 1):
        rig.hypervisor.crash("i-1")
        rig.run()
        rig.pass_ms(LIMITS.backoff(crash))
        assert rig.observed() == "OBSERVED_RUNNING"
        assert progress(rig).crashes == crash
    rig.hypervisor.crash("i-1")
    rig.run()
    assert rig.observed() == "FAILED"
    assert "ended unasked" in progress(rig).message
    assert rig.power() == "none"
    rig.tell(instance(revision=2, starts=2), base=1)
    assert rig.observed() == "OBSERVED_RUNNING"


def test_crashes_are_forgiven_after_a_calm_time(rig):
    rig.tell(instance())
    rig.hypervisor.crash("i-1")
    rig.run()
    assert progress(rig).crashes == 1
    rig.pass_ms(LIMITS.calm_ms + LIMITS.audit_ms)
    assert progress(rig).crashes == 0


def test_a_paused_guest_is_let_go_again(rig):
    rig.tell(instance())
    rig.hypervisor.state.guests["i-1"].power = "paused"
    rig.look_at("i-1")
    rig.run()
    assert (rig.observed(), rig.power()) == ("OBSERVED_RUNNING", "running")


def test_a_domain_that_vanished_is_made_again(rig):
    rig.tell(instance())
    del rig.hypervisor.state.guests["i-1"]
    rig.pass_ms(LIMITS.audit_ms)
    assert rig.power() == "running"


def test_an_unplugged_port_is_plugged_again(rig):
    rig.tell(instance())
    rig.network.ports["eni-i-1"] = False
    rig.pass_ms(LIMITS.audit_ms)
    assert rig.network.ports == {"eni-i-1": True}


def test_passing_trouble_is_tried_again_and_lasting_trouble_fails(tmp_path):
    rig = Rig(tmp_path, faults=Faults(create_fails=1.0))
    rig.tell(instance())
    assert (rig.observed(), progress(rig).attempts) == ("PREPARING", 1)
    rig.hypervisor.faults = Faults()
    rig.pass_ms(LIMITS.backoff_ms)
    assert (rig.observed(), progress(rig).attempts) == ("OBSERVED_RUNNING", 0)
    rig.hypervisor.faults = Faults(create_fails=1.0)
    rig.tell(instance("i-2", revision=2), base=1)
    rig.pass_ms(LIMITS.attempts * LIMITS.backoff_most_ms)
    assert rig.observed("i-2") == "FAILED"
    assert "failed to start it" in progress(rig, "i-2").message
    assert rig.network.ports == {"eni-i-1": True}


def test_attempts_are_counted_over_restarts_of_the_agent(tmp_path):
    rig = Rig(tmp_path, faults=Faults(create_fails=1.0))
    rig.tell(instance())
    for _ in range(LIMITS.attempts):
        rig.restart()
        rig.run()
    assert rig.observed() == "FAILED"


def test_a_hypervisor_that_is_away_is_nobodys_attempt(tmp_path):
    rig = Rig(tmp_path, faults=Faults(call_fails=1.0))
    rig.tell(instance())
    rig.pass_ms(100 * LIMITS.backoff_ms)
    assert (rig.observed(), progress(rig).attempts) == ("PREPARING", 0)
    rig.hypervisor.faults = Faults()
    rig.pass_ms(LIMITS.backoff_ms)
    assert rig.observed() == "OBSERVED_RUNNING"


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


def test_a_vpc_not_described_yet_is_waited_for(rig):
    report = rig.tell(instance(), vpcs=())
    assert report.position == 0
    assert rig.observed() == "PREPARING"
    rig.agent.take_in(host_spec(position=1, vpcs=["vpc-1"]))
    rig.pass_ms(LIMITS.backoff_ms)
    assert rig.observed() == "OBSERVED_RUNNING"


def test_told_otherwise_in_mid_bring_up_it_stops_there(rig):
    """A termination that arrives between two steps is not held up by the rest of them."""
    passed = []

    def cut_in(name):
        passed.append(name)
        if name == "step: disks i-1" and rig.ledger.instances.get("i-1").spec.desired == RUNNING:
            rig.checkpoint = passed.append
            rig.agent.apply(host_spec(instance(revision=2, desired=TERMINATED), base=1))

    rig.checkpoint = cut_in
    rig.tell(instance())
    assert rig.observed() == "ABSENT"
    assert "step: domain i-1" not in passed
    assert rig.is_bare()


def test_a_defect_in_a_driver_is_logged_and_tried_again(rig, caplog):
    broken = rig.volumes.ensure
    rig.volumes.ensure = lambda disk, base: 1 / 0
    rig.tell(instance())
    assert "a defect in the agent" in caplog.text
    rig.volumes.ensure = broken
    rig.pass_ms(LIMITS.backoff_ms)
    assert rig.observed() == "OBSERVED_RUNNING"


@pytest.mark.parametrize(
    "failures, pause", [(0, 1000), (1, 1000), (2, 2000), (5, 16000), (99, 30000)]
)
def test_pauses_double_up_to_a_bound(failures, pause):
    assert LIMITS.backoff(failures) == pause


def test_a_new_word_ends_a_pause(rig):
    rig.volumes.failures = 1.0
    rig.tell(instance())
    assert rig.observed() == "PREPARING"
    rig.volumes.failures = 0.0
    rig.tell(instance(revision=2, desired=TERMINATED), base=1)
    assert rig.observed() == "ABSENT"


def test_driver_errors_carry_whether_trying_again_helps():
    assert DriverError("x").transient
    assert not DriverError("x", transient=False).transient
