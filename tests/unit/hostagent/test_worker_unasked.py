"""What a worker makes of ends that nobody asked for: exits, crashes, power failures, losses."""

from protos.cloud.v1.fleet_pb2 import STOPPED, TERMINATED
from tests.unit.hostagent.rig import LIMITS, instance, progress


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
