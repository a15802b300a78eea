"""Network interfaces by boto3, against a pretended controller: each call to its proto and back."""

import pytest

from protos.cloud.v1 import common_pb2, networks_pb2
from protos.cloud.v1 import network_interfaces_pb2 as pb
from tests.unit.gateway.asking import TAG, code, plain
from tests.unit.gateway.world import ACCOUNT

ELASTIC = networks_pb2.NetworkInterfaceAssociation(
    public_ip="100.64.0.7",
    public_dns_name="100.64.0.7",
    ip_owner_id=ACCOUNT,
    allocation_id="eipalloc-1",
    association_id="eipassoc-1",
)


def nic(**more):
    return networks_pb2.NetworkInterface(
        network_interface_id="eni-1",
        owner_id=ACCOUNT,
        vpc_id="vpc-1",
        subnet_id="subnet-1",
        status="available",
        private_ip_address="10.0.0.4",
        source_dest_check=True,
        groups=[networks_pb2.GroupIdentifier(group_id="sg-1", group_name="web")],
        tags=[TAG],
        private_ip_addresses=[
            networks_pb2.InterfaceAddress(private_ip_address="10.0.0.4", primary=True),
            networks_pb2.InterfaceAddress(private_ip_address="10.0.0.5", association=ELASTIC),
        ],
        **more,
    )


def asked(world, method):
    (one,) = world.clients.network_interfaces.calls
    assert one.method == method
    return one.request


def test_create(served):
    world, ec2 = served
    world.clients.network_interfaces.answers["Create"] = nic()
    answer = plain(
        ec2.create_network_interface(
            SubnetId="subnet-1",
            Description="d",
            Groups=["sg-1"],
            PrivateIpAddresses=[
                {"PrivateIpAddress": "10.0.0.5"},
                {"PrivateIpAddress": "10.0.0.4", "Primary": True},
            ],
            ClientToken="t",
            TagSpecifications=[
                {"ResourceType": "network-interface", "Tags": [{"Key": "k", "Value": "v"}]}
            ],
        )
    )
    assert asked(world, "Create") == pb.CreateNetworkInterfaceRequest(
        subnet_id="subnet-1",
        description="d",
        security_group_ids=["sg-1"],
        private_ip_address="10.0.0.4",
        secondary_private_ip_addresses=["10.0.0.5"],
        client_token="t",
        tag_specifications=[
            common_pb2.TagSpecification(resource_type="network-interface", tags=[TAG])
        ],
    )
    assert answer["ClientToken"] == "t"
    shown = answer["NetworkInterface"]
    assert (shown["Status"], shown["Description"]) == ("available", "")
    assert shown["TagSet"] == [{"Key": "k", "Value": "v"}]
    assert "Attachment" not in shown
    assert "Association" not in shown
    primary, secondary = shown["PrivateIpAddresses"]
    assert (primary["Primary"], secondary["Primary"]) == (True, False)
    assert "Association" not in primary
    assert secondary["Association"]["AllocationId"] == "eipalloc-1"


@pytest.mark.parametrize(
    ("asked_for", "expected"),
    [
        ({}, "MissingParameter"),
        ({"SubnetId": "s", "InterfaceType": "efa"}, "UnsupportedOperation"),
        ({"SubnetId": "s", "Ipv6AddressCount": 1}, "UnsupportedOperation"),
        (
            {
                "SubnetId": "s",
                "PrivateIpAddress": "10.0.0.4",
                "PrivateIpAddresses": [{"PrivateIpAddress": "10.0.0.5", "Primary": True}],
            },
            "InvalidParameterCombination",
        ),
        (
            {"SubnetId": "s", "TagSpecifications": [{"ResourceType": "vpc", "Tags": []}]},
            "InvalidParameterValue",
        ),
    ],
)
def test_what_cannot_be_created(served, asked_for, expected):
    world, ec2 = served
    assert code(ec2.create_network_interface, **asked_for) == expected
    assert not world.clients.network_interfaces.calls


def test_attach_detach_delete(served):
    world, ec2 = served
    service = world.clients.network_interfaces
    service.answers["Attach"] = networks_pb2.NetworkInterfaceAttachment(attachment_id="a-1")
    answer = ec2.attach_network_interface(
        NetworkInterfaceId="eni-1", InstanceId="i-1", DeviceIndex=1, NetworkCardIndex=0
    )
    assert plain(answer) == {"AttachmentId": "a-1", "NetworkCardIndex": 0}
    ec2.detach_network_interface(AttachmentId="a-1", Force=True)
    ec2.delete_network_interface(NetworkInterfaceId="eni-1")
    assert [one.request for one in service.calls] == [
        pb.AttachNetworkInterfaceRequest(
            network_interface_id="eni-1", instance_id="i-1", device_index=1
        ),
        pb.DetachNetworkInterfaceRequest(attachment_id="a-1", force=True),
        pb.NetworkInterfaceRequest(network_interface_id="eni-1"),
    ]
    card = {"NetworkInterfaceId": "eni-1", "InstanceId": "i-1", "DeviceIndex": 1}
    refusal = code(ec2.attach_network_interface, **card, NetworkCardIndex=1)
    assert refusal == "UnsupportedOperation"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"Description": {"Value": "new"}}, {"description": "new"}),
        ({"Description": {"Value": ""}}, {"description": ""}),
        ({"SourceDestCheck": {"Value": False}}, {"source_dest_check": False}),
        ({"Groups": ["sg-2"]}, {"security_groups": pb.SecurityGroupIds(group_ids=["sg-2"])}),
        (
            {"Attachment": {"AttachmentId": "a-1", "DeleteOnTermination": True}},
            {"attachment": pb.AttachmentChange(attachment_id="a-1", delete_on_termination=True)},
        ),
    ],
)
def test_modify(served, change, expected):
    world, ec2 = served
    ec2.modify_network_interface_attribute(NetworkInterfaceId="eni-1", **change)
    assert asked(world, "ModifyAttribute") == pb.ModifyNetworkInterfaceAttributeRequest(
        network_interface_id="eni-1", **expected
    )


def test_one_attribute_at_a_time(served):
    _, ec2 = served
    two = {"Description": {"Value": "d"}, "SourceDestCheck": {"Value": True}}
    for change in ({}, two):
        refusal = code(ec2.modify_network_interface_attribute, NetworkInterfaceId="eni-1", **change)
        assert refusal == "InvalidParameterCombination"


def test_attributes_are_shown_and_reset(served):
    world, ec2 = served
    service = world.clients.network_interfaces
    service.answers["DescribeAttributes"] = pb.NetworkInterfaceAttributes(
        network_interface=nic(description="d"), associate_public_ip_address=True
    )
    for attribute, member, value in (
        ("description", "Description", {"Value": "d"}),
        ("groupSet", "Groups", [{"GroupId": "sg-1", "GroupName": "web"}]),
        ("sourceDestCheck", "SourceDestCheck", {"Value": True}),
        ("associatePublicIpAddress", "AssociatePublicIpAddress", True),
    ):
        answer = ec2.describe_network_interface_attribute(
            NetworkInterfaceId="eni-1", Attribute=attribute
        )
        assert plain(answer) == {"NetworkInterfaceId": "eni-1", member: value}
    describe = ec2.describe_network_interface_attribute
    assert code(describe, NetworkInterfaceId="eni-1") == "MissingParameter"
    ec2.reset_network_interface_attribute(NetworkInterfaceId="eni-1", SourceDestCheck="true")
    assert service.calls[-1].method == "ResetAttribute"
    reset = ec2.reset_network_interface_attribute
    assert code(reset, NetworkInterfaceId="eni-1") == "MissingParameter"


def test_private_addresses(served):
    world, ec2 = served
    service = world.clients.network_interfaces
    service.answers["AssignPrivateAddresses"] = pb.PrivateAddressList(
        private_ip_addresses=["10.0.0.6"]
    )
    answer = ec2.assign_private_ip_addresses(
        NetworkInterfaceId="eni-1", SecondaryPrivateIpAddressCount=1, AllowReassignment=True
    )
    assert plain(answer)["AssignedPrivateIpAddresses"] == [{"PrivateIpAddress": "10.0.0.6"}]
    ec2.unassign_private_ip_addresses(NetworkInterfaceId="eni-1", PrivateIpAddresses=["10.0.0.6"])
    assert [one.request for one in service.calls] == [
        pb.AssignPrivateAddressesRequest(
            network_interface_id="eni-1", count=1, allow_reassignment=True
        ),
        pb.UnassignPrivateAddressesRequest(
            network_interface_id="eni-1", private_ip_addresses=["10.0.0.6"]
        ),
    ]


def test_no_address_has_a_name_in_the_reverse_zone(served):
    world, ec2 = served
    address = networks_pb2.Address(allocation_id="eipalloc-1", public_ip="100.64.0.7")
    world.clients.addresses.answers["Describe"] = networks_pb2.DescribeAddressesResponse(
        addresses=[address]
    )
    answer = ec2.describe_addresses_attribute(AllocationIds=["eipalloc-1"], Attribute="domain-name")
    assert plain(answer)["Addresses"] == []
