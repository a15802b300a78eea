"""Ends of instances that nobody asked for: exits, failures, launches that nobody works on."""

import pytest

from controller.kernel.call import system_call
from controller.tables.compute import Instance, Placement
from controller.tables.hosts import Assignment
from protos.cloud.v1 import fleet_pb2
from protos.errors import CloudError, Kind
from tests.unit.controller.cloud import Cloud
from tests.unit.controller.instance_calls import used
from tests.unit.controller.refusals import error_of


@pytest.fixture
def cloud(tmp_path):
    made = Cloud(tmp_path)
    yield made
    assert made.discrepancies() == []


@pytest.mark.parametrize(("behavior", "end"), [("stop", "stopped"), ("terminate", "terminated")])
def test_a_guest_that_powers_itself_off(cloud, behavior, end):
    (one,) = cloud.run_ids(instance_initiated_shutdown_behavior=behavior)
    cloud.host.see(one, fleet_pb2.EXITED)
    cloud.host.heartbeat()
    cloud.converge()
    gone = cloud.describe(one)[0]
    assert gone.state == end
    assert gone.state_reason.code == "Client.InstanceInitiatedShutdown"
    if end == "stopped":
        assert used(cloud)[0] == (0, 0, 1)
        cloud.on("Start", [one])
        cloud.converge()
        assert cloud.states(one) == ["running"]


def test_an_exit_from_before_a_start_says_nothing_about_the_start(cloud):
    (one,) = cloud.run_ids()
    cloud.host.see(one, fleet_pb2.EXITED)
    late = cloud.host.report()
    cloud.on("Stop", [one])
    cloud.converge()
    cloud.on("Start", [one])
    with pytest.raises(CloudError):
        cloud.fleet("h-00000000000000bad").Report(late)
    cloud.fleet(cloud.host.host_id).Report(late)
    assert cloud.states(one) == ["pending"]
    cloud.converge()
    assert cloud.states(one) == ["running"]


@pytest.mark.parametrize(
    "said",
    [
        "image ami-1 is cut off",
        "Server.InternalError: image ami-1 is cut off",
        "Server.InternalError: Server.InternalError: image\nami-1 is\n cut off\n",
    ],
)
def test_a_launch_that_fails_is_terminated_with_the_reason(cloud, said):
    """In one line that has the code once, whatever the host's words are."""
    cloud.host.fails.add("*")
    cloud.host.why = said
    (one,) = [instance.instance_id for instance in cloud.run().instances]
    cloud.converge()
    failed = cloud.describe(one)[0]
    assert failed.state == "terminated"
    assert failed.state_reason.code == "Server.InternalError"
    assert failed.state_reason.message == "Server.InternalError: image ami-1 is cut off"
    assert used(cloud) == ((0, 0, 0), (0, 0, 0))


def test_a_start_that_fails_leaves_it_stopped_with_its_disks(cloud):
    (one,) = cloud.run_ids()
    cloud.on("Stop", [one])
    cloud.converge()
    cloud.host.fails.add(one)
    cloud.on("Start", [one])
    cloud.converge()
    stopped = cloud.describe(one)[0]
    assert stopped.state == "stopped"
    assert stopped.state_reason.code == "Server.InternalError"
    assert len(stopped.block_devices) == 1
    assert used(cloud)[0] == (0, 0, 1)


def test_what_follows_is_done_by_the_task_where_the_controller_died_in_between(cloud):
    (one,) = cloud.run_ids()
    with cloud.db.write(system_call(cloud.now_ms)) as tx:
        tx.advance(Assignment, {"observed": "exited"}, Assignment.resource_id == one)
    assert cloud.states(one) == ["stopping"]
    cloud.tasks()
    cloud.converge()
    assert cloud.states(one) == ["stopped"]


def test_what_cannot_be_reconciled_keeps_nothing_else_and_no_report(cloud):
    broken, sound = cloud.run_ids(2)
    is_broken = Placement.instance_id == broken
    with cloud.db.write(system_call(cloud.now_ms)) as tx:
        tx.advance(Placement, {"vcpus": 10**6}, is_broken)  # more than was ever charged
    cloud.on("Terminate", [broken, sound])
    cloud.converge()
    living = Placement.select(Placement.instance_id).where(Placement.live)
    with cloud.db.read() as session:
        assert [row.instance_id for row in session.rows(living)] == [broken]
    with cloud.db.write(system_call(cloud.now_ms)) as tx:
        tx.advance(Placement, {"vcpus": 1}, is_broken)
    cloud.tasks()
    with cloud.db.read() as session:
        assert session.rows(living) == []
    assert used(cloud) == ((0, 0, 0), (0, 0, 0))


def test_terminated_instances_are_seen_for_an_hour(cloud):
    (one,) = cloud.run_ids()
    cloud.on("Terminate", [one])
    cloud.converge()
    cloud.tasks(later_ms=3_599_000)
    assert cloud.states(one) == ["terminated"]
    cloud.tasks(later_ms=2_000)
    assert error_of(cloud.describe, one).kind is Kind.NOT_FOUND
    with cloud.db.read() as session:
        assert session.rows(Instance.select()) == session.rows(Placement.select()) == []
