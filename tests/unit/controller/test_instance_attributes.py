"""Attributes of an instance and its console: read, changed, and sent to its host."""

import pytest

from protos.cloud.v1 import instances_pb2, networks_pb2
from protos.errors import Kind
from tests.unit.controller.cloud import Cloud
from tests.unit.controller.instance_calls import attributes, modify, used
from tests.unit.controller.refusals import error_of


@pytest.fixture
def cloud(tmp_path):
    made = Cloud(tmp_path)
    yield made
    assert made.discrepancies() == []


def test_attributes_and_their_defaults(cloud):
    (one,) = cloud.run_ids(user_data=b"\x00\xff")
    found = attributes(cloud, one)
    assert found.user_data == b"\x00\xff"
    assert found.instance_initiated_shutdown_behavior == "stop"
    assert not found.disable_api_termination and not found.disable_api_stop
    assert found.instance.source_dest_check


def test_the_type_and_the_user_data_change_while_stopped_only(cloud):
    (one,) = cloud.run_ids()
    for attribute in (
        {"instance_type": "t2.large"},
        {"user_data": b"new"},
        {"ebs_optimized": True},
    ):
        assert error_of(modify, cloud, one, **attribute).kind is Kind.WRONG_STATE
    cloud.on("Stop", [one])
    cloud.converge()
    modify(cloud, one, instance_type="t2.large")
    modify(cloud, one, user_data=b"new")
    assert error_of(modify, cloud, one, instance_type="t9.huge").kind is Kind.INVALID
    cloud.on("Start", [one])
    cloud.converge()
    assert used(cloud)[0] == (2, 8192, 1)
    spec = cloud.host.specs[one]
    assert (spec.vcpus, spec.memory_mib, spec.metadata.user_data) == (2, 8192, b"new")


def test_attributes_that_the_host_must_know_are_sent(cloud):
    (one,) = cloud.run_ids()
    group = cloud.client("SecurityGroups").Create(
        networks_pb2.CreateSecurityGroupRequest(group_name="web", description="d"),
        caller=cloud.alice.caller(),
    )
    modify(cloud, one, source_dest_check=False)
    modify(cloud, one, security_groups=instances_pb2.GroupIds(group_ids=[group.group_id]))
    device = instances_pb2.BlockDeviceMapping(device_name="/dev/xvda", delete_on_termination=False)
    modify(cloud, one, delete_on_termination=instances_pb2.BlockDeviceDeletions(devices=[device]))
    cloud.converge()
    spec = cloud.host.specs[one]
    assert not spec.nics[0].source_dest_check
    assert spec.nics[0].security_group_ids == [group.group_id]
    assert not spec.disks[0].delete_on_termination
    assert spec.metadata.security_group_names == ["web"]
    assert cloud.states(one) == ["running"]


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"instance_initiated_shutdown_behavior": "sleep"},
        {
            "delete_on_termination": instances_pb2.BlockDeviceDeletions(
                devices=[instances_pb2.BlockDeviceMapping(device_name="/dev/sdz")]
            )
        },
    ],
)
def test_attributes_that_cannot_be(cloud, wrong):
    (one,) = cloud.run_ids()
    assert error_of(modify, cloud, one, **wrong).kind is Kind.INVALID


def test_the_console_is_read_from_the_host(cloud):
    (one,) = cloud.run_ids()
    request = instances_pb2.InstanceRequest(instance_id=one)
    answer = cloud.instances.GetConsoleOutput(request, caller=cloud.alice.caller())
    assert (answer.output, answer.timestamp_ms) == (b"login: ", cloud.now_ms)
    bobs = error_of(cloud.instances.GetConsoleOutput, request, caller=cloud.bob.caller())
    assert bobs.kind is Kind.NOT_FOUND
    cloud.host.reachable = False
    away = error_of(cloud.instances.GetConsoleOutput, request, caller=cloud.alice.caller())
    assert away.kind is Kind.UNAVAILABLE
