"""The simulation's own parts: what a lost call, a power cut and a clock are."""

import random

import pytest

from protos.cloud.v1 import networks_pb2
from protos.errors import CloudError, Kind
from tests.harness.cloud import SimCloud
from tests.harness.customers import Call
from tests.harness.event_queue import EventQueue
from tests.harness.network import NO_FAULTS, Network, NetworkFaults
from tests.harness.power import PowerCut, Supply


class Target:
    """A process that counts what arrives, and can die of it."""

    name = "target"

    def __init__(self):
        self.alive, self.arrived, self.supply = True, 0, Supply("target")

    def deliver(self):
        self.arrived += 1
        self.supply.checkpoint("arrived")
        return "answer"

    def lose_power(self, why: str) -> None:
        self.alive = False


@pytest.fixture
def target():
    return Target()


def network(events, **faults):
    return Network(events, random.Random(1), NetworkFaults(**faults) if faults else NO_FAULTS)


def call(target, through):
    return through.call("source", target, "call", target.deliver)


def refused(target, through) -> CloudError:
    with pytest.raises(CloudError) as caught:
        call(target, through)
    assert caught.value.kind is Kind.UNAVAILABLE
    return caught.value


def run_out(events) -> None:
    while events.next_ms() is not None:
        events.step()


def test_without_faults_a_call_is_answered_once(target):
    events = EventQueue()
    assert call(target, network(events)) == "answer"
    run_out(events)
    assert target.arrived == 1


def test_a_lost_call_is_not_done_and_one_whose_reply_is_lost_is(target):
    refused(target, network(EventQueue(), lost=1.0))
    assert target.arrived == 0
    refused(target, network(EventQueue(), reply_lost=1.0))
    assert target.arrived == 1


def test_a_late_call_is_done_when_its_caller_has_given_up(target):
    events = EventQueue()
    through = network(events, late=1.0)
    refused(target, through)
    assert target.arrived == 0
    run_out(events)
    assert target.arrived == 1
    assert events.now_ms == through.last_arrival_ms


def test_a_doubled_call_is_answered_and_done_again_later(target):
    events = EventQueue()
    assert call(target, network(events, doubled=1.0)) == "answer"
    assert target.arrived == 1
    run_out(events)
    assert target.arrived == 2


def test_who_is_cut_off_or_dead_answers_nothing(target):
    through = network(EventQueue())
    for name in ("source", "target"):
        through.cut_off = {name}
        refused(target, through)
    through.cut_off.clear()
    target.alive = False
    refused(target, through)
    assert target.arrived == 0


def test_a_power_cut_kills_the_callee_and_its_caller_sees_silence(target):
    target.supply.cut_in(1)
    refused(target, network(EventQueue()))
    assert (target.arrived, target.alive) == (1, False)


def test_a_cut_comes_at_the_checkpoint_that_it_was_planned_for():
    supply = Supply("process", keep=True)
    supply.cut_in(3)
    supply.checkpoint("one")
    supply.checkpoint("two")
    with pytest.raises(PowerCut) as caught:
        supply.checkpoint("three")
    assert (caught.value.process, caught.value.at) == ("process", "three")
    assert not isinstance(caught.value, Exception), "no handler of the rooms may catch it"
    supply.checkpoint("four")
    assert supply.passed == ["one", "two", "three", "four"]


def test_events_of_one_moment_come_in_the_order_of_their_planning():
    events, happened = EventQueue(), []
    for name in "abc":
        events.after(5, name, lambda name=name: happened.append(name))
    events.after(1, "first", lambda: happened.append("first"))
    run_out(events)
    assert happened == ["first", "a", "b", "c"]


@pytest.mark.parametrize(("checkpoint", "survives"), ((1, False), (2, True)))
def test_what_was_committed_survives_the_controller_and_nothing_else_does(checkpoint, survives):
    """commit:before is its first checkpoint in a call, commit:after the second."""
    with SimCloud() as cloud:
        alice = cloud.customers[0]
        cloud.controller.supply.cut_in(checkpoint)
        create = networks_pb2.CreateSecurityGroupRequest(group_name="web", description="of a test")
        with pytest.raises(CloudError):
            cloud.ask(alice, Call("SecurityGroups", "Create", create))
        assert not cloud.controller.alive
        cloud.run_for(10_000)
        assert cloud.controller.alive
        groups = cloud.ask(
            alice, Call("SecurityGroups", "Describe", networks_pb2.DescribeSecurityGroupsRequest())
        ).groups
        assert ("web" in {group.group_name for group in groups}) is survives
