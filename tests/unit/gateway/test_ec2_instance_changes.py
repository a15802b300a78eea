"""Instances are changed by boto3, against a pretended controller: states and attributes."""

import base64

import pytest

from protos.cloud.v1 import instances_pb2
from tests.unit.gateway.asking import refusal
from tests.unit.gateway.instance import instance


def test_states_are_changed(served):
    world, ec2 = served
    changes = instances_pb2.InstanceStateChanges(
        changes=[
            instances_pb2.InstanceStateChange(
                instance_id="i-1", previous_state="running", current_state="stopping"
            )
        ]
    )
    world.clients.instances.answers.update(Start=changes, Stop=changes, Terminate=changes)
    shown = {
        "InstanceId": "i-1",
        "PreviousState": {"Code": 16, "Name": "running"},
        "CurrentState": {"Code": 64, "Name": "stopping"},
    }
    assert ec2.start_instances(InstanceIds=["i-1"])["StartingInstances"] == [shown]
    assert ec2.stop_instances(InstanceIds=["i-1"], Force=True)["StoppingInstances"] == [shown]
    assert world.clients.instances.calls[-1].request.force
    assert ec2.terminate_instances(InstanceIds=["i-1"])["TerminatingInstances"] == [shown]
    assert refusal(ec2.stop_instances, InstanceIds=["i-1"], Hibernate=True) == (
        400,
        "UnsupportedOperation",
    )


def test_a_reboot_answers_true(world):
    answer = world.call({"Action": "RebootInstances", "InstanceId.1": "i-1"})
    assert b"<return>true</return>" in answer.data


ATTRIBUTES = {
    "instanceType": ("InstanceType", {"Value": "t2.micro"}),
    "kernel": ("KernelId", {}),
    "ramdisk": ("RamdiskId", {}),
    "userData": ("UserData", {"Value": base64.b64encode(b"\xffdata").decode()}),
    "disableApiTermination": ("DisableApiTermination", {"Value": True}),
    "disableApiStop": ("DisableApiStop", {"Value": False}),
    "instanceInitiatedShutdownBehavior": (
        "InstanceInitiatedShutdownBehavior",
        {"Value": "stop"},
    ),
    "rootDeviceName": ("RootDeviceName", {"Value": "/dev/vda"}),
    "productCodes": ("ProductCodes", []),
    "sourceDestCheck": ("SourceDestCheck", {"Value": True}),
    "groupSet": ("Groups", [{"GroupId": "sg-1", "GroupName": "default"}]),
    "ebsOptimized": ("EbsOptimized", {"Value": False}),
    "sriovNetSupport": ("SriovNetSupport", {}),
    "enaSupport": ("EnaSupport", {"Value": True}),
    "enclaveOptions": ("EnclaveOptions", {"Enabled": False}),
}


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_35_attributes(served, attribute):
    world, ec2 = served
    world.clients.instances.answers["DescribeAttributes"] = instances_pb2.InstanceAttributes(
        instance=instance(),
        user_data=b"\xffdata",
        disable_api_termination=True,
        instance_initiated_shutdown_behavior="stop",
    )
    member, value = ATTRIBUTES[attribute]
    seen = ec2.describe_instance_attribute(InstanceId="i-1", Attribute=attribute)
    del seen["ResponseMetadata"]
    assert seen == {"InstanceId": "i-1", member: value}


@pytest.mark.parametrize(
    ("given", "field", "value"),
    [
        ({"InstanceType": {"Value": "t2.large"}}, "instance_type", "t2.large"),
        ({"UserData": {"Value": b"data"}}, "user_data", b"data"),
        ({"DisableApiTermination": {"Value": False}}, "disable_api_termination", False),
        ({"DisableApiStop": {"Value": True}}, "disable_api_stop", True),
        ({"SourceDestCheck": {"Value": False}}, "source_dest_check", False),
        ({"EbsOptimized": {"Value": True}}, "ebs_optimized", True),
        ({"EnaSupport": {"Value": True}}, "ena_support", True),
        (
            {"InstanceInitiatedShutdownBehavior": {"Value": "terminate"}},
            "instance_initiated_shutdown_behavior",
            "terminate",
        ),
        (
            {"Groups": ["sg-1", "sg-2"]},
            "security_groups",
            instances_pb2.GroupIds(group_ids=["sg-1", "sg-2"]),
        ),
        ({"Attribute": "instanceType", "Value": "t2.large"}, "instance_type", "t2.large"),
        ({"Attribute": "disableApiTermination", "Value": "true"}, "disable_api_termination", True),
        (
            {"Attribute": "userData", "Value": base64.b64encode(b"data").decode()},
            "user_data",
            b"data",
        ),
    ],
)
def test_attributes_are_changed_one_at_a_time(served, given, field, value):
    world, ec2 = served
    ec2.modify_instance_attribute(InstanceId="i-1", **given)
    request = world.clients.instances.calls[-1].request
    assert request.WhichOneof("attribute") == field
    assert getattr(request, field) == value


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "InvalidParameterCombination"),
        (
            {"EbsOptimized": {"Value": True}, "DisableApiStop": {"Value": True}},
            "InvalidParameterCombination",
        ),
        (
            {"Attribute": "instanceType", "Value": "x", "EbsOptimized": {"Value": True}},
            "InvalidParameterCombination",
        ),
        ({"Attribute": "kernel", "Value": "x"}, "UnsupportedOperation"),
        ({"Attribute": "disableApiStop", "Value": "maybe"}, "InvalidParameterValue"),
        ({"Attribute": "userData", "Value": "%"}, "InvalidParameterValue"),
        ({"UserData": {"Value": b"x" * 16385}}, "InvalidParameterValue"),
        ({"Kernel": {"Value": "aki-1"}}, "UnsupportedOperation"),
        ({"BlockDeviceMappings": [{"DeviceName": "/dev/vda"}]}, "InvalidParameterValue"),
    ],
)
def test_attributes_that_cannot_be_changed(served, given, expected):
    world, ec2 = served
    assert refusal(ec2.modify_instance_attribute, InstanceId="i-1", **given) == (400, expected)
    assert not world.clients.instances.calls


def test_a_devices_deletion_is_changed(served):
    world, ec2 = served
    ec2.modify_instance_attribute(
        InstanceId="i-1",
        BlockDeviceMappings=[{"DeviceName": "/dev/vda", "Ebs": {"DeleteOnTermination": False}}],
    )
    request = world.clients.instances.calls[-1].request
    (device,) = request.delete_on_termination.devices
    assert (device.device_name, device.delete_on_termination) == ("/dev/vda", False)
