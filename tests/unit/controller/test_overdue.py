"""What was given to a host of which nothing is heard any more does not wait for ever."""

import pytest

from controller.compute.instances.overdue import LOST, TOO_LONG
from controller.config import Config, HostsConfig, InstancesConfig
from protos.cloud.v1 import fleet_pb2
from protos.errors import CloudError
from tests.unit.controller.cloud import Cloud
from tests.unit.controller.volume_calls import call, create, found, states

MINUTE = 60_000
GIVEN_UP_MS = HostsConfig().given_up_after_ms


@pytest.fixture
def cloud(tmp_path):
    return Cloud(tmp_path)


def fall_silent(cloud) -> None:
    cloud.host.reachable = cloud.host.obeys = False


def volume_state(cloud, volume_id: str) -> str:
    return states(cloud, volume_id)[0]


def come_back(cloud) -> None:
    cloud.host.reachable = cloud.host.obeys = True
    cloud.host.heartbeat()
    cloud.converge()


def test_a_launch_is_given_up_and_ends_when_its_host_says_so(cloud):
    fall_silent(cloud)
    (instance,) = cloud.run().instances
    cloud.pass_time(GIVEN_UP_MS, heard=False)
    assert cloud.states(instance.instance_id) == ["pending"]
    cloud.pass_time(MINUTE, heard=False)
    (seen,) = cloud.describe(instance.instance_id)
    assert seen.state == "shutting-down"
    assert seen.state_reason.code == "Server.InternalError"
    assert seen.state_reason.message == f"Server.InternalError: {LOST}"
    assert not cloud.discrepancies()  # it may run there: what it claims is not given away
    come_back(cloud)
    assert cloud.states(instance.instance_id) == ["terminated"]
    assert not cloud.host.specs
    assert not cloud.discrepancies()


def test_a_start_is_given_up_and_its_instance_stays(cloud):
    (instance_id,) = cloud.run_ids()
    cloud.on("Stop", [instance_id])
    cloud.converge()
    fall_silent(cloud)
    cloud.on("Start", [instance_id])
    cloud.pass_time(GIVEN_UP_MS + MINUTE, heard=False)
    assert cloud.states(instance_id) == ["stopped"]
    cloud.host.obeys = True
    cloud.host.heartbeat()  # it is told that it should not be started
    assert cloud.host.specs[instance_id].desired == fleet_pb2.STOPPED
    come_back(cloud)
    assert cloud.states(instance_id) == ["stopped"]


def test_a_start_that_nobody_works_on_is_given_up_and_keeps_its_disks(cloud):
    (one,) = cloud.run_ids()
    cloud.on("Stop", [one])
    cloud.converge()
    cloud.host.obeys = False
    cloud.on("Start", [one])
    cloud.converge()
    cloud.pass_time(InstancesConfig().pending_limit_ms + MINUTE)
    come_back(cloud)
    assert cloud.states(one) == ["stopped"]
    assert len(cloud.describe(one)[0].block_devices) == 1


def test_what_ran_for_long_and_is_made_ready_again_is_not_given_up(cloud):
    """Its machine was rebooted, or a volume comes slowly: it started long ago."""
    (one,) = cloud.run_ids()
    cloud.pass_time(2 * InstancesConfig().pending_limit_ms)
    cloud.host.obeys = False
    cloud.host.see(one, fleet_pb2.PREPARING)
    cloud.pass_time(2 * InstancesConfig().pending_limit_ms)
    assert cloud.states(one) == ["pending"]
    come_back(cloud)
    assert cloud.states(one) == ["running"]


@pytest.mark.parametrize("heard", (False, True))
def test_what_ran_while_nobody_listened_is_not_given_up(cloud, heard):
    """The controller was away, and its host, that it gave a launch to, goes off for long as well;
    or it is heard, making the guest ready again."""
    (instance,) = cloud.run().instances
    cloud.app.dispatch_pending()
    cloud.host.work()  # it runs, and there is nobody to tell
    cloud.now_ms += 100 * GIVEN_UP_MS
    cloud.rebuild()
    if heard:
        cloud.host.see(instance.instance_id, fleet_pb2.PREPARING)
    else:
        fall_silent(cloud)
    cloud.pass_time(2 * InstancesConfig().pending_limit_ms, heard=heard)
    assert cloud.states(instance.instance_id) == ["pending"]
    come_back(cloud)
    assert cloud.states(instance.instance_id) == ["running"]


def test_a_guest_that_failed_after_it_ran_unheard_keeps_its_disks(cloud):
    (instance,) = cloud.run().instances
    cloud.app.dispatch_pending()
    cloud.host.work()
    cloud.host.fails.add(instance.instance_id)
    cloud.host.see(instance.instance_id, fleet_pb2.FAILED)
    cloud.converge()
    assert cloud.states(instance.instance_id) == ["stopped"]
    assert len(cloud.describe(instance.instance_id)[0].block_devices) == 1


def test_what_runs_is_left_alone(cloud):
    (instance_id,) = cloud.run_ids()
    fall_silent(cloud)
    cloud.pass_time(2 * GIVEN_UP_MS, heard=False)
    assert cloud.states(instance_id) == ["running"]


def test_a_new_volume_is_in_error_and_available_when_its_host_is_back(cloud):
    fall_silent(cloud)
    volume_id = create(cloud)
    cloud.pass_time(GIVEN_UP_MS, heard=False)
    assert volume_state(cloud, volume_id) == "creating"
    with pytest.raises(CloudError, match="is 'creating' and cannot be deleted"):
        call(cloud, "Delete", volume_id=volume_id)
    cloud.pass_time(MINUTE, heard=False)
    assert volume_state(cloud, volume_id) == "error"
    assert found(cloud, status="error") == {volume_id}
    assert not found(cloud, status="creating")
    come_back(cloud)
    assert volume_state(cloud, volume_id) == "available"


def test_a_volume_in_error_can_be_deleted_and_is_gone_when_its_host_says_so(cloud):
    fall_silent(cloud)
    volume_id = create(cloud)
    cloud.pass_time(GIVEN_UP_MS + MINUTE, heard=False)
    call(cloud, "Delete", volume_id=volume_id)
    assert volume_state(cloud, volume_id) == "deleting"
    come_back(cloud)
    with pytest.raises(CloudError, match="does not exist"):
        volume_state(cloud, volume_id)
    assert not cloud.discrepancies()


def test_a_controller_that_has_just_begun_gives_nothing_up(cloud):
    """It was away itself: whoever lives has to be able to say so first."""
    fall_silent(cloud)
    (instance,) = cloud.run().instances
    volume_id = create(cloud)
    cloud.now_ms += 100 * GIVEN_UP_MS
    cloud.rebuild()
    cloud.pass_time(GIVEN_UP_MS - MINUTE, heard=False)
    assert cloud.states(instance.instance_id) == ["pending"]
    assert volume_state(cloud, volume_id) == "creating"
    come_back(cloud)
    assert cloud.states(instance.instance_id) == ["running"]
    assert volume_state(cloud, volume_id) == "available"


def test_a_host_that_lives_and_does_not_start_it_has_its_own_limit(cloud):
    cloud.host.obeys = False
    (instance,) = cloud.run().instances
    limit_ms = InstancesConfig().pending_limit_ms
    cloud.pass_time(limit_ms)
    assert cloud.states(instance.instance_id) == ["pending"]
    cloud.pass_time(MINUTE)
    (seen,) = cloud.describe(instance.instance_id)
    assert (seen.state, seen.state_reason.message.partition(": ")[2]) == ("shutting-down", TOO_LONG)
    assert not cloud.discrepancies(), "what the host may hold is claimed until it speaks"
    come_back(cloud)
    assert cloud.states(instance.instance_id) == ["terminated"]


def test_no_limit_is_for_ever(tmp_path):
    config = Config(state_dir=tmp_path, hosts=HostsConfig(given_up_after_ms=0))
    cloud = Cloud(tmp_path, config=config)
    fall_silent(cloud)
    (instance,) = cloud.run().instances
    cloud.pass_time(2 * GIVEN_UP_MS, heard=False)
    assert cloud.states(instance.instance_id) == ["pending"]
