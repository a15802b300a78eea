"""Elastic addresses by boto3, against a pretended controller."""

import pytest

from protos.cloud.v1 import (
    networks_pb2,
)
from tests.unit.gateway.asking import TAG, code
from tests.unit.gateway.world import ACCOUNT

ADDRESS = networks_pb2.Address(
    allocation_id="eipalloc-1",
    public_ip="100.64.0.9",
    association_id="eipassoc-1",
    instance_id="i-1",
    network_interface_id="eni-1",
    network_interface_owner_id=ACCOUNT,
    private_ip_address="172.31.0.4",
    tags=[TAG],
)


def test_addresses(served):
    world, ec2 = served
    addresses = world.clients.addresses
    addresses.answers.update(
        Allocate=ADDRESS,
        Associate=ADDRESS,
        Describe=networks_pb2.DescribeAddressesResponse(addresses=[ADDRESS]),
    )
    made = ec2.allocate_address(Domain="vpc")
    assert (made["AllocationId"], made["PublicIp"], made["Domain"]) == (
        "eipalloc-1",
        "100.64.0.9",
        "vpc",
    )
    (seen,) = ec2.describe_addresses(AllocationIds=["eipalloc-1"])["Addresses"]
    same = {name: seen[name] for name in ("PublicIpv4Pool", "NetworkBorderGroup")}
    assert ec2.allocate_address(**same)["NetworkBorderGroup"] == same["NetworkBorderGroup"]
    assert code(ec2.allocate_address, NetworkBorderGroup="moon") == "InvalidParameterValue"
    assert code(ec2.allocate_address, PublicIpv4Pool="ipv4pool-1") == "UnsupportedOperation"
    assert seen["AssociationId"] == "eipassoc-1"
    assert seen["NetworkInterfaceOwnerId"] == ACCOUNT
    given = {"AllocationId": "eipalloc-1", "InstanceId": "i-1"}
    assert ec2.associate_address(**given)["AssociationId"] == "eipassoc-1"
    assert not addresses.calls[-1].request.HasField("allow_reassociation")
    ec2.associate_address(**given, AllowReassociation=False)
    assert addresses.calls[-1].request.HasField("allow_reassociation")
    ec2.disassociate_address(AssociationId="eipassoc-1")
    ec2.release_address(AllocationId="eipalloc-1")
    assert addresses.calls[-1].request.allocation_id == "eipalloc-1"


def test_addresses_need_to_be_named(served):
    _, ec2 = served
    assert code(ec2.associate_address, InstanceId="i-1") == "MissingParameter"
    assert code(ec2.associate_address, AllocationId="e") == "MissingParameter"
    assert code(ec2.disassociate_address) == "MissingParameter"
    assert code(ec2.release_address) == "MissingParameter"
    assert code(ec2.allocate_address, Domain="moon") == "InvalidParameterValue"


@pytest.mark.parametrize(
    "parameters",
    [
        {"Action": "ReleaseAddress", "AllocationId": "eipalloc-1"},
        {"Action": "DisassociateAddress", "AssociationId": "eipassoc-1"},
        {"Action": "AssociateAddress", "AllocationId": "eipalloc-1", "InstanceId": "i-1"},
        {"Action": "DeleteSecurityGroup", "GroupId": "sg-1"},
        {"Action": "DeleteKeyPair", "KeyName": "k"},
        {"Action": "DeregisterImage", "ImageId": "ami-1"},
        {"Action": "CreateTags", "ResourceId.0": "i-1", "Tag.0.Key": "k", "Tag.0.Value": "v"},
        {"Action": "DeleteTags", "ResourceId.0": "i-1", "Tag.0.Key": "k"},
        {"Action": "ModifyInstanceAttribute", "InstanceId": "i-1", "EbsOptimized.Value": "true"},
    ],
)
def test_libcloud_reads_return_true(world, parameters):
    answer = world.call({"Version": "2016-11-15", **parameters})
    assert b"<return>true</return>" in answer.data
