"""What "terminated" promises: nothing of the instance is in the way of what is deleted next."""

import pytest

from protos.cloud.v1 import networks_pb2 as pb
from tests.unit.controller.cloud import Cloud


@pytest.fixture
def cloud(tmp_path):
    return Cloud(tmp_path)


def interfaces(cloud):
    request = pb.DescribeNetworkInterfacesRequest()
    networks = cloud.client("Networks")
    return networks.DescribeNetworkInterfaces(
        request, caller=cloud.alice.caller()
    ).network_interfaces


def test_whoever_sees_it_terminated_finds_its_interfaces_gone(cloud):
    """Looked at by another process before every statement of what follows a host's report."""
    (one,) = cloud.run_ids()
    cloud.on("Terminate", [one])
    cloud.app.dispatch_pending()
    cloud.host.work()
    other, seen = cloud.second_process(), []

    def look(sql: str) -> None:
        states, left = other.states(one), len(interfaces(other))
        seen.append((*states, left))

    cloud.db.on_statement = look
    cloud.host.heartbeat()
    cloud.db.on_statement = None
    look("")
    assert ("terminated", 1) not in seen
    assert (seen[0], seen[-1]) == (("shutting-down", 1), ("terminated", 0))
    assert cloud.states(one) == ["terminated"]
