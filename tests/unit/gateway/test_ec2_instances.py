"""Instances by boto3, against a pretended controller: what it is asked, and what boto3 reads."""

import base64

import boto3
import pytest

from protos.cloud.v1 import common_pb2, instances_pb2
from protos.errors import CloudError, Kind
from tests.unit.gateway.asking import refusal
from tests.unit.gateway.instance import LAUNCHED, instance
from tests.unit.gateway.world import ACCOUNT


def test_a_launch_is_shown_as_one_reservation(served):
    world, ec2 = served
    world.clients.instances.answers["Run"] = instances_pb2.Reservation(
        reservation_id="r-1", owner_id=ACCOUNT, instances=[instance("pending")]
    )
    made = ec2.run_instances(ImageId="ami-1", MinCount=1, MaxCount=1)
    assert (made["ReservationId"], made["OwnerId"]) == ("r-1", ACCOUNT)
    assert made["Instances"][0]["State"] == {"Code": 0, "Name": "pending"}


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
    asked = world.clients.instances.calls[-1].request.page
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
            assert refusal(ask, MaxResults=bad) == (400, "InvalidParameterValue"), operation


def test_37_pages_and_ids_exclude_each_other(served):
    _, ec2 = served
    for ask, ids in (
        (ec2.describe_instances, {"InstanceIds": ["i-1"]}),
        (ec2.describe_instance_status, {"InstanceIds": ["i-1"]}),
        (ec2.describe_volumes, {"VolumeIds": ["vol-1"]}),
        (ec2.describe_network_interfaces, {"NetworkInterfaceIds": ["eni-1"]}),
    ):
        assert refusal(ask, MaxResults=5, **ids) == (400, "InvalidParameterCombination")


def test_39_filters_go_on_as_they_are(served):
    world, ec2 = served
    ec2.describe_instances(
        Filters=[
            {"Name": "tag:Name", "Values": ["", "a*b", "\\*"]},
            {"Name": "nonsense", "Values": []},
        ]
    )
    assert world.clients.instances.calls[-1].request.filters == [
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
    assert world.clients.instances.calls[-1].request.include_all_instances
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


# -- 21: dry run


def test_21_a_dry_run_is_said_and_answered(served):
    world, ec2 = served
    for call, given in (
        (ec2.run_instances, {"ImageId": "ami-1", "MinCount": 1, "MaxCount": 1}),
        (ec2.describe_instances, {}),
        (ec2.terminate_instances, {"InstanceIds": ["i-1"]}),
    ):
        assert refusal(call, **given, DryRun=True) == (412, "DryRunOperation")
        assert world.clients.instances.calls[-1].caller.dry_run
    ec2.describe_instances(DryRun=False)
    assert not world.clients.instances.calls[-1].caller.dry_run


def test_21_a_dry_run_that_may_not(served):
    world, ec2 = served
    world.clients.instances.answers["Run"] = CloudError(Kind.DENIED, "You are not authorized.")
    given = {"ImageId": "ami-1", "MinCount": 1, "MaxCount": 1, "DryRun": True}
    assert refusal(ec2.run_instances, **given) == (403, "UnauthorizedOperation")


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
