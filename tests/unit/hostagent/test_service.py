"""The agent's outer shell on fake drivers: joining, the server, the loops, restarts."""

import socket

import pytest

from hostagent.config import parse
from hostagent.enrolment import EnrolmentError
from hostagent.service import Service
from protos import rpc
from protos.cloud.v1 import fleet_pb2, fleet_pb2_grpc
from protos.cloud.v1.fleet_pb2 import ABSENT, OBSERVED_RUNNING, PREPARING, TERMINATED
from protos.errors import CloudError, Kind
from tests.unit.hostagent.cloud import Controller
from tests.unit.hostagent.rig import HOST, host_spec, instance


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture
def controller(tmp_path):
    controller = Controller(tmp_path, HOST)
    controller.serve(free_port(), free_port())
    yield controller
    controller.stop()


@pytest.fixture
def config(tmp_path, controller):
    return parse(
        {
            "name": "host-1",
            "state_dir": str(tmp_path / "host-1"),
            "listen": f"127.0.0.1:{free_port()}",
            "hypervisor": "fake",
            "join_token": controller.token,
        }
    )


@pytest.fixture
def service(config):
    service = Service(config)
    service.start()
    yield service
    service.stop()


def agent_client(config, tls) -> rpc.Client:
    channel = rpc.connect(config.listen, tls, f"host:{HOST}")
    return rpc.Client(channel, fleet_pb2_grpc.HostAgentStub)


def test_joins_reports_and_runs_what_it_is_told(config, controller, service):
    controller.wait_for(lambda: controller.reports)
    assert controller.reports[0].facts.name == "host-1"
    assert controller.reports[0].facts.hypervisor == "fake"
    told = agent_client(config, controller.tls).Apply(host_spec(instance()))
    assert [one.instance.observed for one in told.observations if one.kind == "instance"] == [
        PREPARING
    ]
    controller.wait_for(lambda: controller.observed.get("i-1") == OBSERVED_RUNNING)


def test_one_launch_is_one_apply_and_one_report(config, controller, service):
    controller.wait_for(lambda: controller.reports)
    agent_client(config, controller.tls).Apply(host_spec(instance()))
    controller.wait_for(lambda: controller.observed.get("i-1") == OBSERVED_RUNNING)
    about_it = [report for report in controller.reports if report.observations]
    assert len(about_it) == 1


def test_only_the_controller_may_tell_it_anything(tmp_path, config, controller, service):
    gateway = controller.authority.files(tmp_path, "gateway")
    with pytest.raises(CloudError) as refusal:
        agent_client(config, gateway).Apply(host_spec(instance()))
    assert refusal.value.kind is Kind.DENIED


def test_another_hosts_spec_is_refused(config, controller, service):
    spec = host_spec(instance())
    spec.host_id = "h-00000000000000002"
    with pytest.raises(CloudError) as refusal:
        agent_client(config, controller.tls).Apply(spec)
    assert (refusal.value.kind, refusal.value.reason) == (Kind.INVALID, "wrong-host")


def test_guests_outlive_the_agent_and_it_finds_them_again(config, controller, service):
    agent_client(config, controller.tls).Apply(host_spec(instance()))
    controller.wait_for(lambda: controller.observed.get("i-1") == OBSERVED_RUNNING)
    epoch = controller.reports[-1].epoch
    service.stop()
    again = Service(config)
    again.start()
    try:
        controller.wait_for(
            lambda: controller.reports[-1].epoch > epoch and controller.reports[-1].observations
        )
        assert controller.observed["i-1"] == OBSERVED_RUNNING
        client = agent_client(config, controller.tls)
        client.Apply(host_spec(instance(revision=2, desired=TERMINATED), base=1))
        controller.wait_for(lambda: controller.observed.get("i-1") == ABSENT)
    finally:
        again.stop()
    assert Service(config, only_look=True).audit() == []


def test_console_is_read_from_its_end(config, controller, service):
    client = agent_client(config, controller.tls)
    client.Apply(host_spec(instance()))
    controller.wait_for(lambda: controller.observed.get("i-1") == OBSERVED_RUNNING)
    asked = fleet_pb2.ReadConsoleRequest(host_id=HOST, instance_id="i-1", max_bytes=7)
    answer = client.ReadConsole(asked)
    assert answer.output == b"login: "
    assert answer.timestamp_ms > 0
    with pytest.raises(CloudError) as refusal:
        client.ReadConsole(fleet_pb2.ReadConsoleRequest(host_id=HOST, instance_id="i-2"))
    assert refusal.value.kind is Kind.NOT_FOUND


def test_works_on_while_the_controller_is_away(config, controller, service):
    client = agent_client(config, controller.tls)
    client.Apply(host_spec(instance()))
    controller.wait_for(lambda: controller.observed.get("i-1") == OBSERVED_RUNNING)
    controller.stop()
    client.Apply(host_spec(instance("i-2", revision=2), base=1))
    port, join_port = int(controller.endpoint.rpartition(":")[2]), free_port()
    controller.serve(port, join_port)
    controller.wait_for(lambda: controller.observed.get("i-2") == OBSERVED_RUNNING)


def test_one_agent_per_state_directory(config, controller, service):
    with pytest.raises(OSError, match="another agent"):
        Service(config)


def test_without_certificate_and_token_it_says_so(config):
    with pytest.raises(EnrolmentError, match="no join token"):
        Service(parse({"name": "x", "state_dir": str(config.state_dir) + "-2"}))
