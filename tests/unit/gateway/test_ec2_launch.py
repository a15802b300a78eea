"""RunInstances by boto3, against a pretended controller."""

import pytest

from protos.cloud.v1 import common_pb2, instances_pb2
from tests.unit.gateway.asking import refusal


def launch(served, **more):
    """The request that RunInstances becomes."""
    world, ec2 = served
    ec2.run_instances(**{"ImageId": "ami-1", "MinCount": 1, "MaxCount": 1, **more})
    return world.clients.instances.calls[-1].request


def test_all_of_a_launch_becomes_one_request(served):
    request = launch(
        served,
        MinCount=2,
        MaxCount=5,
        InstanceType="t2.small",
        KeyName="key",
        ClientToken="token",
        SubnetId="subnet-1",
        PrivateIpAddress="172.31.0.9",
        SecurityGroupIds=["sg-1", "sg-2"],
        SecurityGroups=["default"],
        Placement={"AvailabilityZone": "us-east-1a", "Tenancy": "default"},
        Monitoring={"Enabled": True},
        EbsOptimized=True,
        DisableApiTermination=True,
        DisableApiStop=False,
        InstanceInitiatedShutdownBehavior="terminate",
        MetadataOptions={"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
        BlockDeviceMappings=[
            {"DeviceName": "/dev/vda", "Ebs": {"VolumeSize": 20, "DeleteOnTermination": False}},
            {"DeviceName": "/dev/vdb", "NoDevice": ""},
        ],
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": [{"Key": "a", "Value": "1"}]},
            {"ResourceType": "volume", "Tags": [{"Key": "b", "Value": ""}]},
        ],
    )
    assert request == instances_pb2.RunInstancesRequest(
        image_id="ami-1",
        min_count=2,
        max_count=5,
        instance_type="t2.small",
        key_name="key",
        client_token="token",
        subnet_id="subnet-1",
        private_ip_address="172.31.0.9",
        security_group_ids=["sg-1", "sg-2"],
        security_group_names=["default"],
        availability_zone="us-east-1a",
        tenancy="default",
        monitoring=True,
        ebs_optimized=True,
        disable_api_termination=True,
        disable_api_stop=False,
        instance_initiated_shutdown_behavior="terminate",
        metadata_options=instances_pb2.MetadataOptions(
            http_tokens="required", http_put_response_hop_limit=2
        ),
        block_device_mappings=[
            instances_pb2.BlockDeviceMapping(
                device_name="/dev/vda", volume_size_gib=20, delete_on_termination=False
            ),
            instances_pb2.BlockDeviceMapping(device_name="/dev/vdb", no_device=True),
        ],
        tag_specifications=[
            common_pb2.TagSpecification(
                resource_type="instance", tags=[common_pb2.Tag(key="a", value="1")]
            ),
            common_pb2.TagSpecification(
                resource_type="volume", tags=[common_pb2.Tag(key="b", value="")]
            ),
        ],
    )


def test_what_is_not_said_is_not_set(served):
    request = launch(served, ClientToken="t")
    assert request == instances_pb2.RunInstancesRequest(
        image_id="ami-1", min_count=1, max_count=1, client_token="t"
    )


def test_22_botocore_fills_in_a_client_token(served):
    assert len(launch(served).client_token) == 36


def test_network_interfaces_are_the_controllers_to_judge(served):
    request = launch(
        served,
        NetworkInterfaces=[
            {
                "DeviceIndex": 0,
                "SubnetId": "subnet-1",
                "Groups": ["sg-1"],
                "PrivateIpAddresses": [
                    {"PrivateIpAddress": "172.31.0.9", "Primary": True},
                    {"PrivateIpAddress": "172.31.0.10"},
                ],
                "AssociatePublicIpAddress": False,
                "DeleteOnTermination": True,
                "Description": "d",
            },
            {"DeviceIndex": 1, "NetworkInterfaceId": "eni-1", "DeleteOnTermination": False},
            {"DeviceIndex": 2, "SecondaryPrivateIpAddressCount": 2},
        ],
    )
    assert list(request.network_interfaces) == [
        instances_pb2.LaunchInterface(
            device_index=0,
            subnet_id="subnet-1",
            security_group_ids=["sg-1"],
            private_ip_address="172.31.0.9",
            secondary_private_ip_addresses=["172.31.0.10"],
            associate_public_ip_address=False,
            delete_on_termination=True,
            description="d",
        ),
        instances_pb2.LaunchInterface(
            device_index=1, network_interface_id="eni-1", delete_on_termination=False
        ),
        instances_pb2.LaunchInterface(device_index=2, secondary_private_ip_address_count=2),
    ]
    assert not request.subnet_id


PRIMARY = {"PrivateIpAddress": "172.31.0.9", "Primary": True}
NIC = {"DeviceIndex": 0}


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ({"NetworkInterfaces": [{"SubnetId": "s"}]}, "MissingParameter"),
        ({"NetworkInterfaces": [{**NIC, "Ipv6AddressCount": 1}]}, "UnsupportedOperation"),
        (
            {
                "NetworkInterfaces": [
                    {**NIC, "PrivateIpAddress": "172.31.0.8", "PrivateIpAddresses": [PRIMARY]}
                ]
            },
            "InvalidParameterCombination",
        ),
        ({"LaunchTemplate": {"LaunchTemplateName": "x"}}, "UnsupportedOperation"),
        ({"IamInstanceProfile": {"Name": "x"}}, "UnsupportedOperation"),
        ({"HibernationOptions": {"Configured": True}}, "UnsupportedOperation"),
        ({"Placement": {"Tenancy": "dedicated"}}, "UnsupportedOperation"),
        ({"Placement": {"Tenancy": "imaginary"}}, "InvalidParameterValue"),
        ({"TagSpecifications": [{"ResourceType": "vpc", "Tags": []}]}, "InvalidParameterValue"),
        ({"ImageId": ""}, "MissingParameter"),
    ],
)
def test_what_cannot_be_launched(served, parameters, expected):
    world, ec2 = served
    given = {"ImageId": "ami-1", "MinCount": 1, "MaxCount": 1, **parameters}
    assert refusal(ec2.run_instances, **given) == (400, expected)
    assert not world.clients.instances.calls


@pytest.mark.parametrize(
    "harmless",
    [
        {"HibernationOptions": {"Configured": False}},
        {"EnclaveOptions": {"Enabled": False}},
        {"CreditSpecification": {"CpuCredits": "unlimited"}},
        {"CapacityReservationSpecification": {"CapacityReservationPreference": "open"}},
        {"MaintenanceOptions": {"AutoRecovery": "default"}},
        {"PrivateDnsNameOptions": {"HostnameType": "ip-name"}},
        {"AdditionalInfo": "x"},
    ],
)
def test_what_is_harmless_is_taken(served, harmless):
    assert launch(served, **harmless).image_id == "ami-1"


def test_25_user_data_is_decoded_once(served):
    assert launch(served, UserData="#!/bin/sh\n").user_data == b"#!/bin/sh\n"
    assert launch(served, UserData=bytes(range(256))).user_data == bytes(range(256))


def test_25_user_data_has_a_limit_and_a_form(served, world):
    _, ec2 = served
    given = {"ImageId": "ami-1", "MinCount": 1, "MaxCount": 1}
    assert launch(served, UserData=b"x" * 16384).user_data == b"x" * 16384
    assert refusal(ec2.run_instances, **given, UserData=b"x" * 16385) == (
        400,
        "InvalidParameterValue",
    )
    raw = {"Action": "RunInstances", **{k: str(v) for k, v in given.items()}, "UserData": "%%%"}
    assert b"<Code>InvalidParameterValue</Code>" in world.call(raw).data
