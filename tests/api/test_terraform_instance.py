"""aws_instance in the order of calls of Terraform's AWS provider: create, refresh with no
difference, every change that is made in place or with a stop, refresh after each, destroy."""

import base64

import pytest

from tests.api.asking import described, filtered, refused, the_one
from tests.api.terraform_instance import METADATA, NAMED, Resource, create, differences
from tests.harness.waiting import wait_until


@pytest.fixture
def subnet(account) -> dict:
    return filtered(account.ec2.describe_subnets, "Subnets", "default-for-az", "true")[0]


@pytest.fixture
def groups(account, subnet) -> list[str]:
    return [
        account.ec2.create_security_group(
            GroupName=name, Description="Managed by Terraform", VpcId=subnet["VpcId"]
        )["GroupId"]
        for name in ("one", "two")
    ]


@pytest.fixture
def resource(cloud, account, subnet, groups) -> Resource:
    interface = {
        "DeviceIndex": 0,
        "SubnetId": subnet["SubnetId"],
        "Groups": [groups[0]],
        "AssociatePublicIpAddress": True,
    }
    return create(cloud, account, NetworkInterfaces=[interface], UserData="#!/bin/sh\n")


def test_created_and_refreshed(account, resource, subnet, groups):
    state = resource.read()
    assert resource.read() == state
    assert {
        name: state[name]
        for name in ("instance_type", "monitoring", "cpu_credits", "tags", "subnet_id", "user_data")
    } == {
        "instance_type": "t3.micro",
        "monitoring": "disabled",
        "cpu_credits": "standard",
        "tags": {"Name": "web"},
        "subnet_id": subnet["SubnetId"],
        "user_data": base64.b64encode(b"#!/bin/sh\n").decode(),
    }
    assert state["metadata_options"] == {**METADATA, "State": "applied"}
    assert state["vpc_security_group_ids"] == {groups[0]}
    assert (state["associate_public_ip_address"], state["source_dest_check"]) == (True, True)
    assert (state["disable_api_stop"], state["disable_api_termination"]) == (False, False)
    root = the_one(list(state["block_devices"].values()))
    assert (root["size"], root["type"], root["delete_on_termination"]) == (8, "gp2", True)

    resource.destroy()
    gone = described(account, resource.id)
    assert (gone["NetworkInterfaces"], gone["BlockDeviceMappings"]) == ([], [])
    for group in groups:
        account.ec2.delete_security_group(GroupId=group)


def test_attributes_are_changed_in_place(resource):
    ec2, state = resource.ec2, resource.read()
    behavior = "instance_initiated_shutdown_behavior"
    for attribute, changed in (
        ({"SourceDestCheck": {"Value": False}}, {"source_dest_check": False}),
        ({"DisableApiTermination": {"Value": True}}, {"disable_api_termination": True}),
        ({"DisableApiStop": {"Value": True}}, {"disable_api_stop": True}),
        ({"InstanceInitiatedShutdownBehavior": {"Value": "terminate"}}, {behavior: "terminate"}),
    ):
        resource.set(**attribute)
        before, state = state, resource.read()
        assert differences(before, state) == changed
        assert resource.read() == state
    asked = {"InstanceIds": [resource.id]}
    assert refused(ec2.terminate_instances, **asked) == "OperationNotPermitted"
    assert refused(ec2.stop_instances, **asked) == "OperationNotPermitted"
    assert resource.read() == state
    resource.destroy()


def test_tags_and_groups_are_changed_in_place(resource, groups):
    ec2, state = resource.ec2, resource.read()
    ec2.create_tags(Resources=[resource.id], Tags=[{"Key": "Stage", "Value": "test"}])
    ec2.delete_tags(Resources=[resource.id], Tags=[{"Key": "Name", "Value": "web"}])
    before, state = state, resource.read()
    assert differences(before, state) == {"tags": {"Stage": "test"}}

    nic = state["network_interface"][0][3]
    ec2.modify_network_interface_attribute(NetworkInterfaceId=nic, Groups=groups)
    before, state = state, resource.read()
    assert differences(before, state) == {"vpc_security_group_ids": set(groups)}
    shown = the_one(ec2.describe_network_interfaces(NetworkInterfaceIds=[nic])["NetworkInterfaces"])
    assert {each["GroupId"] for each in shown["Groups"]} == set(groups)
    resource.set(Groups=groups[1:])
    before, state = state, resource.read()
    assert differences(before, state) == {"vpc_security_group_ids": {groups[1]}}


def test_monitoring_metadata_and_credits_are_changed_in_place(resource):
    ec2, state = resource.ec2, resource.read()
    ec2.monitor_instances(InstanceIds=[resource.id])
    before, state = state, resource.read()
    assert differences(before, state) == {"monitoring": "enabled"}
    ec2.unmonitor_instances(InstanceIds=[resource.id])
    before, state = state, resource.read()
    assert differences(before, state) == {"monitoring": "disabled"}

    ec2.modify_instance_metadata_options(
        InstanceId=resource.id, HttpEndpoint="enabled", HttpTokens="optional"
    )
    wanted = {**METADATA, "HttpTokens": "optional", "State": "applied"}
    wait_until("applied", lambda: resource.read()["metadata_options"] == wanted)
    before, state = state, resource.read()
    assert differences(before, state) == {"metadata_options": wanted}

    ec2.modify_instance_credit_specification(
        InstanceCreditSpecifications=[{"InstanceId": resource.id, "CpuCredits": "unlimited"}]
    )
    before, state = state, resource.read()
    assert differences(before, state) == {"cpu_credits": "unlimited"}


def test_user_data_and_type_are_changed_with_a_stop(resource):
    state = resource.read()
    resource.set_stopped(UserData={"Value": b"#!/bin/sh\necho 2\n"})
    before, state = state, resource.read()
    encoded = base64.b64encode(b"#!/bin/sh\necho 2\n").decode()
    assert differences(before, state) == {"user_data": encoded}
    resource.set_stopped(InstanceType={"Value": "t3.small"})
    before, state = state, resource.read()
    assert differences(before, state) == {"instance_type": "t3.small"}
    resource.set_stopped(EbsOptimized={"Value": True})
    before, state = state, resource.read()
    assert differences(before, state) == {"ebs_optimized": True}
    assert resource.read() == state


def test_the_root_volume_is_changed_in_place(resource):
    ec2, state = resource.ec2, resource.read()
    (device,) = state["block_devices"]

    def changed(**expected) -> None:
        nonlocal state
        before, state = state, resource.read()
        difference = differences(before, state)
        wanted = {device: {**before["block_devices"][device], **expected}}
        assert difference == {"block_devices": wanted}

    volume_id = state["block_devices"][device]["volume_id"]
    faster = {"type": "gp3", "iops": 4000, "throughput": 250}
    for asked, expected in (
        ({"Size": 10}, {"size": 10}),
        ({"VolumeType": "gp3", "Iops": 4000, "Throughput": 250}, faster),
    ):
        ec2.modify_volume(VolumeId=volume_id, **asked)
        wait_until("modified", lambda: _modification(ec2, volume_id) == "completed")
        changed(**expected)
    deletion = {"DeviceName": device, "Ebs": {"DeleteOnTermination": False, "VolumeId": volume_id}}
    resource.set(BlockDeviceMappings=[deletion])
    changed(delete_on_termination=False)
    ec2.create_tags(Resources=[volume_id], Tags=[{"Key": "Name", "Value": "root"}])
    changed(tags=[{"Key": "Name", "Value": "root"}])

    resource.destroy()
    left = the_one(ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"])
    assert (left["State"], left["Attachments"]) == ("available", [])
    ec2.delete_volume(VolumeId=volume_id)


def _modification(ec2, volume_id: str) -> str:
    found = ec2.describe_volumes_modifications(VolumeIds=[volume_id])["VolumesModifications"]
    return the_one(found)["ModificationState"]


def test_ebs_and_ephemeral_block_devices(cloud, account):
    tags = [{"Key": "Name", "Value": "data"}]
    resource = create(
        cloud,
        account,
        BlockDeviceMappings=[
            {
                "DeviceName": "/dev/sdf",
                "Ebs": {
                    "VolumeSize": 2,
                    "VolumeType": "gp3",
                    "Iops": 3000,
                    "Throughput": 125,
                    "Encrypted": False,
                    "DeleteOnTermination": True,
                },
            },
            {
                "DeviceName": "/dev/sdg",
                "Ebs": {"VolumeSize": 4, "VolumeType": "io1", "Iops": 100}
                | {"DeleteOnTermination": False},
            },
            {"DeviceName": "/dev/sdh", "VirtualName": "ephemeral0"},
            {"DeviceName": "/dev/sdi", "NoDevice": ""},
        ],
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": NAMED},
            {"ResourceType": "volume", "Tags": tags},
        ],
    )
    state = resource.read()
    assert resource.read() == state
    devices = state["block_devices"]
    root = described(account, resource.id)["RootDeviceName"]
    assert set(devices) == {root, "/dev/sdf", "/dev/sdg"}
    shown = {name: (each["size"], each["type"], each["iops"]) for name, each in devices.items()}
    assert shown["/dev/sdf"] == (2, "gp3", 3000)
    assert shown["/dev/sdg"] == (4, "io1", 100)
    assert {each["delete_on_termination"] for each in devices.values()} == {True, False}
    assert all(each["tags"] == tags for each in devices.values())
    assert devices["/dev/sdf"]["attached"] == [("/dev/sdf", "attached")]
    resource.destroy()
    kept = devices["/dev/sdg"]["volume_id"]
    left = the_one(account.ec2.describe_volumes(VolumeIds=[kept])["Volumes"])
    assert left["State"] == "available"
    account.ec2.delete_volume(VolumeId=kept)


def test_network_interface_blocks(cloud, account, subnet):
    ec2 = account.ec2
    made = ec2.create_network_interface(SubnetId=subnet["SubnetId"])["NetworkInterface"]
    nic = made["NetworkInterfaceId"]
    block = {
        "DeviceIndex": 0,
        "NetworkInterfaceId": nic,
        "DeleteOnTermination": False,
        "NetworkCardIndex": 0,
    }
    resource = create(cloud, account, NetworkInterfaces=[block])
    state = resource.read()
    assert resource.read() == state
    assert state["network_interface"] == [(0, 0, False, nic)]
    assert (state["private_ip"], state["secondary_private_ips"]) == (made["PrivateIpAddress"], [])
    assigned = ec2.assign_private_ip_addresses(
        NetworkInterfaceId=nic, SecondaryPrivateIpAddressCount=1
    )
    address = the_one(assigned["AssignedPrivateIpAddresses"])["PrivateIpAddress"]
    before, state = state, resource.read()
    assert differences(before, state) == {"secondary_private_ips": [address]}
    resource.destroy()
    (left,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[nic])["NetworkInterfaces"]
    assert left["Status"] == "available"
    ec2.delete_network_interface(NetworkInterfaceId=nic)


def test_a_subnet_of_its_own_goes_right_after_its_instance(cloud, account):
    """Terraform deletes what an instance stood on the moment that it sees it terminated."""
    ec2 = account.ec2
    vpc = ec2.create_vpc(CidrBlock="10.3.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.3.1.0/24")["Subnet"]["SubnetId"]
    group = ec2.create_security_group(GroupName="g", Description="d", VpcId=vpc)["GroupId"]
    resource = create(cloud, account, SubnetId=subnet, SecurityGroupIds=[group])
    state = resource.read()
    assert (state["associate_public_ip_address"], resource.read()) == (False, state)
    resource.destroy()
    ec2.delete_subnet(SubnetId=subnet)
    ec2.delete_security_group(GroupId=group)
    ec2.delete_vpc(VpcId=vpc)
