"""Whether a guest answers on its network, from its start to its end, and what is reported of it."""

import pytest

from hostagent.compute.limits import Limits
from hostagent.network.fake import FakeNetwork
from protos.cloud.v1 import fleet_pb2
from protos.cloud.v1.fleet_pb2 import STOPPED
from tests.unit.hostagent.rig import Rig, host_spec, instance

LIMITS = Limits()
NIC = "eni-i-1"


class SlowNetwork(FakeNetwork):
    """As the real one: who was just asked has not answered yet. ``asked`` counts questions."""

    def __init__(self):
        super().__init__()
        self.asked = 0

    def reached(self, nic, *, anew):
        self.asked += anew
        return super().reached(nic, anew=anew) and not anew


@pytest.fixture(params=[FakeNetwork, SlowNetwork])
def rig(tmp_path, request):
    return Rig(tmp_path, network=request.param())


def checked(rig) -> tuple[str, int]:
    """What it is, and for how many ms."""
    progress = rig.ledger.instances.get("i-1").progress
    since_ms = rig.clock() - progress.status_check_since_ms if progress.status_check_since_ms else 0
    return fleet_pb2.StatusCheck.Name(progress.status_check), since_ms


def reported(rig) -> str:
    (observation,) = rig.said().values()
    return fleet_pb2.StatusCheck.Name(observation.instance.status_check)


def test_a_guest_that_answers_at_once_is_one_observation(tmp_path):
    rig = Rig(tmp_path)
    rig.agent.apply(host_spec(instance()))
    rig.acknowledge()
    news = []

    def tell():
        news.append(reported(rig))
        rig.acknowledge()

    rig.agent.on_news = tell
    rig.run()
    rig.pass_ms(LIMITS.audit_ms)
    assert news == ["CHECK_PASSED"]


def test_initializing_until_it_answers(rig):
    rig.network.mute.add(NIC)
    rig.tell(instance())
    assert (rig.observed(), checked(rig)) == ("OBSERVED_RUNNING", ("INITIALIZING", 0))
    rig.pass_ms(LIMITS.status_check_ms - LIMITS.poll_ms - 1)
    assert checked(rig)[0] == "INITIALIZING"
    rig.acknowledge()
    rig.network.mute.clear()
    rig.pass_ms(LIMITS.poll_ms)
    assert checked(rig)[0] == "CHECK_PASSED"
    assert rig.agent.has_news() and reported(rig) == "CHECK_PASSED"


def test_who_never_answers_has_failed_since_its_start(rig):
    rig.network.mute.add(NIC)
    rig.tell(instance())
    rig.pass_ms(LIMITS.status_check_ms - 1)
    assert checked(rig)[0] == "INITIALIZING"
    rig.pass_ms(1)
    assert checked(rig) == ("CHECK_FAILED", LIMITS.status_check_ms)
    assert rig.agent.has_news() and reported(rig) == "CHECK_FAILED"
    rig.network.mute.clear()
    rig.pass_ms(LIMITS.audit_ms + LIMITS.poll_ms)
    assert checked(rig)[0] == "CHECK_PASSED"


def test_an_answer_that_is_missed_once_is_forgiven(rig):
    rig.tell(instance())
    rig.pass_ms(10_000)
    rig.network.mute.add(NIC)
    rig.pass_ms(LIMITS.audit_ms)
    rig.network.mute.clear()
    rig.pass_ms(2 * LIMITS.audit_ms)
    rig.network.mute.add(NIC)
    rig.pass_ms(LIMITS.audit_ms)
    assert checked(rig)[0] == "CHECK_PASSED"


def test_two_audits_in_a_row_without_an_answer(rig):
    rig.tell(instance())
    rig.pass_ms(10_000)
    rig.network.mute.add(NIC)
    rig.pass_ms(2 * (LIMITS.audit_ms + LIMITS.poll_ms))
    word, since_ms = checked(rig)
    assert word == "CHECK_FAILED" and LIMITS.audit_ms <= since_ms <= 2 * LIMITS.audit_ms
    rig.pass_ms(10 * LIMITS.audit_ms)
    assert checked(rig) == ("CHECK_FAILED", since_ms + 10 * LIMITS.audit_ms)
    rig.network.mute.clear()
    rig.pass_ms(LIMITS.audit_ms + LIMITS.poll_ms)
    assert checked(rig)[0] == "CHECK_PASSED"


def test_a_start_begins_anew(rig):
    rig.tell(instance())
    rig.pass_ms(10_000)
    rig.tell(instance(revision=2, desired=STOPPED), base=1)
    assert checked(rig) == ("NOT_CHECKED", 0)
    rig.pass_ms(100)
    rig.network.mute.add(NIC)
    rig.tell(instance(revision=3, starts=2), base=2)
    assert checked(rig) == ("INITIALIZING", 0)


def test_a_reboot_begins_anew(rig):
    rig.tell(instance())
    rig.pass_ms(10_000)
    rig.network.mute.add(NIC)
    rig.tell(instance(revision=2, reboots=1), base=1)
    rig.pass_ms(100)
    assert rig.ledger.instances.get("i-1").progress.reboots_done == 1
    assert checked(rig)[0] == "INITIALIZING"


def test_a_crash_begins_anew(rig):
    rig.tell(instance())
    rig.network.mute.add(NIC)
    rig.hypervisor.crash("i-1")
    rig.run()
    assert (rig.observed(), checked(rig)) == ("OBSERVED_RUNNING", ("INITIALIZING", 0))


def test_an_agent_that_comes_back_asks_again_and_keeps_what_it_knew(rig):
    rig.network.mute.add(NIC)
    rig.tell(instance())
    rig.pass_ms(LIMITS.status_check_ms - 1_000)
    rig.restart()
    rig.pass_ms(LIMITS.status_check_ms - 1)
    assert checked(rig) == ("INITIALIZING", 2 * LIMITS.status_check_ms - 1_001)
    rig.pass_ms(1)
    assert checked(rig)[0] == "CHECK_FAILED"
    rig.network.mute.clear()
    rig.restart()
    assert checked(rig)[0] == "CHECK_FAILED"
    rig.pass_ms(LIMITS.poll_ms)
    assert checked(rig)[0] == "CHECK_PASSED"


def test_a_network_that_cannot_be_asked_is_not_an_answer_and_does_no_harm(tmp_path, caplog):
    rig = Rig(tmp_path)
    rig.tell(instance())
    rig.network.failures = 2.0  # each call
    rig.pass_ms(2 * (LIMITS.audit_ms + LIMITS.poll_ms))
    assert (rig.power(), checked(rig)[0]) == ("running", "CHECK_FAILED")
    assert "i-1 cannot be asked: the network did not do as it was told" in caplog.text
    rig.network.failures = 0.0
    rig.pass_ms(LIMITS.audit_ms)
    assert checked(rig)[0] == "CHECK_PASSED"


def test_an_audit_asks_once(tmp_path):
    rig = Rig(tmp_path, network=SlowNetwork())
    rig.tell(instance())
    rig.pass_ms(LIMITS.poll_ms)
    asked = rig.network.asked
    for _ in range(20):
        rig.look_at("i-1")  # events of the hypervisor
        rig.run()
    assert rig.network.asked == asked
    rig.pass_ms(5 * LIMITS.audit_ms)
    assert rig.network.asked == asked + 5


def test_only_the_primary_interface_is_asked(tmp_path):
    rig = Rig(tmp_path)
    spec = instance()
    spec.nics.add(network_interface_id="eni-second", vpc_id="vpc-1", device_index=1)
    rig.network.mute.add("eni-second")
    rig.tell(spec)
    assert checked(rig)[0] == "CHECK_PASSED"
