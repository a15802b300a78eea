"""Instances by boto3, against a pretended controller: what it is asked, and what boto3 reads."""

import base64

import boto3
import pytest
from botocore.exceptions import ClientError

from protos.cloud.v1 import common_pb2, instances_pb2, networks_pb2
from protos.errors import CloudError, Kind
from tests.unit.gateway.world import ACCOUNT

LAUNCHED = 1_769_860_800_123


LENT = networks_pb2.NetworkInterfaceAssociation(public_ip="100.64.0.7", ip_owner_id="amazon")


def nic():
    return networks_pb2.NetworkInterface(
        network_interface_id="eni-1",
        owner_id=ACCOUNT,
        vpc_id="vpc-1",
        subnet_id="subnet-1",
        status="in-use",
        mac_address="02:00:00:00:00:01",
        private_ip_address="172.31.0.4",
        source_dest_check=True,
        groups=[networks_pb2.GroupIdentifier(group_id="sg-1", group_name="default")],
        attachment=networks_pb2.NetworkInterfaceAttachment(
            attachment_id="eni-attach-1",
            instance_id="i-1",
            instance_owner_id=ACCOUNT,
            status="attached",
            attach_time_ms=LAUNCHED,
            delete_on_termination=True,
        ),
        association=LENT,
        private_ip_addresses=[
            networks_pb2.InterfaceAddress(
                private_ip_address="172.31.0.4", primary=True, association=LENT
            ),
            networks_pb2.InterfaceAddress(private_ip_address="172.31.0.5"),
        ],
    )


def instance(state="running", **more):
    return instances_pb2.Instance(
        instance_id="i-1",
        image_id="ami-1",
        state=state,
        launch_time_ms=LAUNCHED,
        instance_type="t2.micro",
        availability_zone="us-east-1a",
        tenancy="default",
        vpc_id="vpc-1",
        subnet_id="subnet-1",
        private_ip_address="172.31.0.4",
        public_ip_address="100.64.0.7",
        architecture="x86_64",
        root_device_name="/dev/vda",
        source_dest_check=True,
        vcpus=1,
        security_groups=[networks_pb2.GroupIdentifier(group_id="sg-1", group_name="default")],
        network_interfaces=[nic()],
        block_devices=[
            instances_pb2.InstanceBlockDevice(
                device_name="/dev/vda",
                volume_id="vol-1",
                status="attached",
                attach_time_ms=LAUNCHED,
                delete_on_termination=True,
            )
        ],
        metadata_options=instances_pb2.MetadataOptions(
            state="applied",
            http_tokens="optional",
            http_put_response_hop_limit=1,
            http_endpoint="enabled",
            http_protocol_ipv6="disabled",
            instance_metadata_tags="disabled",
        ),
        tags=[common_pb2.Tag(key="Name", value="")],
        **more,
    )


def code(call, **parameters):
    with pytest.raises(ClientError) as failure:
        call(**parameters)
    error = failure.value.response
    return error["ResponseMetadata"]["HTTPStatusCode"], error["Error"]["Code"]


def launch(served, **more):
    """The request that RunInstances becomes."""
    world, ec2 = served
    ec2.run_instances(**{"ImageId": "ami-1", "MinCount": 1, "MaxCount": 1, **more})
    return world.clients.instances.asked[-1].request


# -- RunInstances


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
    assert code(ec2.run_instances, **given) == (400, expected)
    assert not world.clients.instances.asked


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
    assert code(ec2.run_instances, **given, UserData=b"x" * 16385) == (
        400,
        "InvalidParameterValue",
    )
    raw = {"Action": "RunInstances", **{k: str(v) for k, v in given.items()}, "UserData": "%%%"}
    assert b"<Code>InvalidParameterValue</Code>" in world.call(raw).data


def test_a_launch_is_shown_as_one_reservation(served):
    world, ec2 = served
    world.clients.instances.answers["Run"] = instances_pb2.Reservation(
        reservation_id="r-1", owner_id=ACCOUNT, instances=[instance("pending")]
    )
    made = ec2.run_instances(ImageId="ami-1", MinCount=1, MaxCount=1)
    assert (made["ReservationId"], made["OwnerId"]) == ("r-1", ACCOUNT)
    assert made["Instances"][0]["State"] == {"Code": 0, "Name": "pending"}


# -- looking


def describe(served, *reservations, token=""):
    world, ec2 = served
    world.clients.instances.answers["Describe"] = instances_pb2.DescribeInstancesResponse(
        reservations=reservations, next_token=token
    )
    return ec2.describe_instances()


def test_34_an_instance_has_all_that_terraform_and_ansible_read(served):
    seen = describe(served, instances_pb2.Reservation(reservation_id="r-1", instances=[instance()]))
    (shown,) = seen["Reservations"][0]["Instances"]
    for name in [
        "State",
        "Placement",
        "CpuOptions",
        "HibernationOptions",
        "EnclaveOptions",
        "MaintenanceOptions",
        "MetadataOptions",
        "PrivateDnsNameOptions",
        "CapacityReservationSpecification",
        "Monitoring",
        "EbsOptimized",
        "SourceDestCheck",
        "NetworkInterfaces",
        "SecurityGroups",
        "BlockDeviceMappings",
        "Tags",
        "RootDeviceType",
        "RootDeviceName",
        "Architecture",
        "VirtualizationType",
        "LaunchTime",
        "AmiLaunchIndex",
    ]:
        assert name in shown, name
    (interface,) = shown["NetworkInterfaces"]
    assert interface["Attachment"]["DeviceIndex"] == 0
    assert interface["Attachment"]["NetworkCardIndex"] == 0
    assert interface["Attachment"]["DeleteOnTermination"] is True
    assert interface["Association"]["PublicIp"] == "100.64.0.7"
    assert interface["Groups"] == shown["SecurityGroups"]
    assert [each["Primary"] for each in interface["PrivateIpAddresses"]] == [True, False]
    assert interface["PrivateIpAddresses"][0]["Association"]["PublicIp"] == "100.64.0.7"
    assert interface["Ipv6Addresses"] == []
    assert shown["LaunchTime"].isoformat() == "2026-01-31T12:00:00.123000+00:00"
    assert shown["Tags"] == [{"Key": "Name", "Value": ""}]


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("pending", 0),
        ("running", 16),
        ("shutting-down", 32),
        ("terminated", 48),
        ("stopping", 64),
        ("stopped", 80),
    ],
)
def test_30_states_have_ec2s_numbers(served, name, number):
    seen = describe(served, instances_pb2.Reservation(instances=[instance(name)]))
    shown = seen["Reservations"][0]["Instances"][0]["State"]
    assert shown == {"Code": number, "Name": name}


def test_31_a_terminated_instance_has_empty_lists(served):
    gone = instances_pb2.Instance(
        instance_id="i-1",
        state="terminated",
        state_reason=common_pb2.StateReason(code="Client.UserInitiatedShutdown", message="m"),
    )
    seen = describe(served, instances_pb2.Reservation(instances=[gone]))
    shown = seen["Reservations"][0]["Instances"][0]
    assert shown["NetworkInterfaces"] == shown["BlockDeviceMappings"] == []
    assert shown["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    assert "PublicIpAddress" not in shown


def test_36_the_last_page_has_no_token(served):
    assert "NextToken" not in describe(served)
    assert describe(served, token="more")["NextToken"] == "more"


def test_36_an_empty_token_is_no_token(served):
    world, ec2 = served
    ec2.describe_instances(NextToken="", MaxResults=5)
    asked = world.clients.instances.asked[-1].request.page
    assert asked == common_pb2.Page(max_results=5)


def test_37_pages_have_limits(served):
    _, ec2 = served
    for operation, low, high in (
        ("describe_instances", 5, 1000),
        ("describe_instance_status", 5, 1000),
        ("describe_instance_types", 5, 100),
        ("describe_instance_type_offerings", 5, 1000),
        ("describe_images", 1, 1000),
        ("describe_tags", 5, 1000),
        ("describe_volumes", 5, 1000),
        ("describe_vpcs", 5, 1000),
        ("describe_subnets", 5, 1000),
        ("describe_network_interfaces", 5, 1000),
        ("describe_route_tables", 5, 100),
        ("describe_internet_gateways", 5, 1000),
        ("describe_network_acls", 5, 1000),
        ("describe_security_groups", 5, 1000),
        ("describe_security_group_rules", 5, 1000),
    ):
        ask = getattr(ec2, operation)
        ask(MaxResults=low)
        ask(MaxResults=high)
        for bad in (low - 1, high + 1, 0, -1):
            assert code(ask, MaxResults=bad) == (400, "InvalidParameterValue"), operation


def test_37_pages_and_ids_exclude_each_other(served):
    _, ec2 = served
    for ask, ids in (
        (ec2.describe_instances, {"InstanceIds": ["i-1"]}),
        (ec2.describe_instance_status, {"InstanceIds": ["i-1"]}),
        (ec2.describe_volumes, {"VolumeIds": ["vol-1"]}),
        (ec2.describe_network_interfaces, {"NetworkInterfaceIds": ["eni-1"]}),
    ):
        assert code(ask, MaxResults=5, **ids) == (400, "InvalidParameterCombination")


def test_39_filters_go_on_as_they_are(served):
    world, ec2 = served
    ec2.describe_instances(
        Filters=[
            {"Name": "tag:Name", "Values": ["", "a*b", "\\*"]},
            {"Name": "nonsense", "Values": []},
        ]
    )
    assert world.clients.instances.asked[-1].request.filters == [
        common_pb2.Filter(name="tag:Name", values=["", "a*b", "\\*"]),
        common_pb2.Filter(name="nonsense"),
    ]


def test_statuses(served):
    world, ec2 = served
    world.clients.instances.answers["DescribeStatus"] = (
        instances_pb2.DescribeInstanceStatusResponse(
            statuses=[
                instances_pb2.InstanceStatus(
                    instance_id="i-1",
                    state="running",
                    instance_status="ok",
                    system_status="impaired",
                    system_impaired_since_ms=LAUNCHED,
                ),
                instances_pb2.InstanceStatus(
                    instance_id="i-2",
                    state="stopped",
                    instance_status="not-applicable",
                    system_status="not-applicable",
                ),
            ]
        )
    )
    first, second = ec2.describe_instance_status(IncludeAllInstances=True)["InstanceStatuses"]
    assert world.clients.instances.asked[-1].request.include_all_instances
    assert first["InstanceStatus"]["Details"] == [{"Name": "reachability", "Status": "passed"}]
    assert first["SystemStatus"]["Details"][0]["Status"] == "failed"
    assert "ImpairedSince" in first["SystemStatus"]["Details"][0]
    assert second["InstanceStatus"] == {"Status": "not-applicable"}


def test_26_console_output_is_base64(served):
    world, ec2 = served
    world.clients.instances.answers["GetConsoleOutput"] = instances_pb2.ConsoleOutput(
        instance_id="i-1", output=b"boot\xff\n", timestamp_ms=LAUNCHED
    )
    seen = ec2.get_console_output(InstanceId="i-1")
    assert seen["Output"] == "boot\ufffd\n"  # botocore replaces what is no UTF-8
    raw = world.call({"Action": "GetConsoleOutput", "InstanceId.1": "i-1"})  # as boto 2 asks
    assert base64.b64encode(b"boot\xff\n") in raw.data


# -- changing


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
    assert world.clients.instances.asked[-1].request.force
    assert ec2.terminate_instances(InstanceIds=["i-1"])["TerminatingInstances"] == [shown]
    assert code(ec2.stop_instances, InstanceIds=["i-1"], Hibernate=True) == (
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
    request = world.clients.instances.asked[-1].request
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
    assert code(ec2.modify_instance_attribute, InstanceId="i-1", **given) == (400, expected)
    assert not world.clients.instances.asked


def test_a_devices_deletion_is_changed(served):
    world, ec2 = served
    ec2.modify_instance_attribute(
        InstanceId="i-1",
        BlockDeviceMappings=[{"DeviceName": "/dev/vda", "Ebs": {"DeleteOnTermination": False}}],
    )
    request = world.clients.instances.asked[-1].request
    (device,) = request.delete_on_termination.devices
    assert (device.device_name, device.delete_on_termination) == ("/dev/vda", False)


# -- 21: dry run


def test_21_a_dry_run_is_said_and_answered(served):
    world, ec2 = served
    for call, given in (
        (ec2.run_instances, {"ImageId": "ami-1", "MinCount": 1, "MaxCount": 1}),
        (ec2.describe_instances, {}),
        (ec2.terminate_instances, {"InstanceIds": ["i-1"]}),
    ):
        assert code(call, **given, DryRun=True) == (412, "DryRunOperation")
        assert world.clients.instances.asked[-1].caller.dry_run
    ec2.describe_instances(DryRun=False)
    assert not world.clients.instances.asked[-1].caller.dry_run


def test_21_a_dry_run_that_may_not(served):
    world, ec2 = served
    world.clients.instances.answers["Run"] = CloudError(Kind.DENIED, "You are not authorized.")
    given = {"ImageId": "ami-1", "MinCount": 1, "MaxCount": 1, "DryRun": True}
    assert code(ec2.run_instances, **given) == (403, "UnauthorizedOperation")


def test_boto3s_resources_work(served, _served):
    world, _ = served
    from tests.unit.gateway.world import credentials

    world.clients.instances.answers["Describe"] = instances_pb2.DescribeInstancesResponse(
        reservations=[instances_pb2.Reservation(instances=[instance()])]
    )
    resource = boto3.resource("ec2", endpoint_url=_served[1], **credentials())
    (found,) = resource.instances.filter(Filters=[{"Name": "image-id", "Values": ["ami-1"]}])
    assert (found.id, found.state["Name"], found.public_ip_address) == (
        "i-1",
        "running",
        "100.64.0.7",
    )
