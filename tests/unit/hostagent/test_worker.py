"""An instance is brought up, and what stands in the way is tried again or told. The choices are in
test_table.py."""

import pytest

from hostagent.compute.hypervisors.fake_guests import Faults
from hostagent.kernel.errors import DriverError
from protos.cloud.v1.fleet_pb2 import FAILED, RUNNING, TERMINATED
from tests.unit.hostagent.rig import LIMITS, Rig, host_spec, instance, progress, sizes


def test_brought_up_with_everything_it_needs(rig):
    rig.tell(instance())
    assert (rig.observed(), rig.power()) == ("OBSERVED_RUNNING", "running")
    assert rig.network.ports == {"eni-i-1": True}
    assert rig.tenants() == ["i-1"]
    assert sizes(rig) == {"vol-i-1": 1 << 30}
    assert (progress(rig).started, progress(rig).revision) == (1, 1)


def test_a_guest_that_ran_once_is_said_to_have_run_whatever_became_of_it(rig):
    rig.tell(instance())
    assert progress(rig).ran_start == 1
    rig.hypervisor.faults = Faults(create_fails=1.0)
    rig.hypervisor.crash("i-1")
    rig.run()
    rig.pass_ms(LIMITS.bring_up_ms)
    seen = rig.said()["i-1"].instance
    assert (seen.observed, seen.ran_start) == (FAILED, 1)
    assert progress(rig).started == 0, "it is not up"


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
