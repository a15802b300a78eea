"""An instance is stopped, started and rebooted as it is told."""

from hostagent.compute.hypervisors.fake_guests import Faults
from protos.cloud.v1.fleet_pb2 import STOPPED
from tests.unit.hostagent.rig import LIMITS, Rig, instance, progress, sizes


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
