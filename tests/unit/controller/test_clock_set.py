"""The wall's clock is set, by hand or by NTP: how long something took is another clock's affair."""

import pytest

from controller.config import HostsConfig, InstancesConfig
from controller.tables.hosts import Host
from tests.unit.controller.cloud import Cloud
from tests.unit.controller.volume_calls import create, states

HOUR = 3_600_000


@pytest.fixture
def cloud(tmp_path):
    made = Cloud(tmp_path)
    made.app.run_tasks()
    return made


def set_clock(cloud, by_ms: int) -> None:
    cloud.now_ms += by_ms
    cloud.set_back_ms -= by_ms


def pass_time(cloud, span_ms: int) -> None:
    for _ in range(span_ms // 1_000):
        cloud.now_ms += 1_000
        cloud.app.run_tasks()


def health(cloud) -> str:
    with cloud.db.read() as session:
        return session.value(Host.select(Host.health))


@pytest.mark.parametrize("by_ms", (-HOUR, HOUR))
def test_a_host_falls_silent_when_it_is_silent(cloud, by_ms):
    cloud.host.heartbeat()
    set_clock(cloud, by_ms)
    pass_time(cloud, 10_000)
    assert health(cloud) == "up"
    pass_time(cloud, HostsConfig().lost_after_ms)
    assert health(cloud) == "lost"


@pytest.mark.parametrize("by_ms", (-HOUR, 100 * HOUR))
def test_nothing_is_given_up_by_it(cloud, by_ms):
    cloud.host.obeys = False
    (instance,) = cloud.run().instances
    volume_id = create(cloud)
    pass_time(cloud, 10_000)
    cloud.host.heartbeat()
    set_clock(cloud, by_ms)
    pass_time(cloud, 10_000)
    assert cloud.states(instance.instance_id) == ["pending"]
    assert states(cloud, volume_id)[0] == "creating"
    cloud.host.reachable = False
    limit_ms = min(HostsConfig().given_up_after_ms, InstancesConfig().pending_limit_ms)
    pass_time(cloud, limit_ms + 10_000)
    assert cloud.states(instance.instance_id) == ["shutting-down"]
    assert states(cloud, volume_id)[0] == "error"


def test_a_host_that_was_not_reached_is_tried_again_in_time(cloud):
    cloud.host.reachable = False
    cloud.run()
    cloud.app.dispatch_pending()
    cloud.host.reachable = True
    set_clock(cloud, -HOUR)
    pass_time(cloud, 10_000)
    cloud.run()
    cloud.app.dispatch_pending()
    assert len(cloud.host.applied) == 1
