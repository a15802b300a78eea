"""aws_instance in the order of calls of Terraform's AWS provider: create, refresh with no
difference, every change that is made in place or with a stop, refresh after each, destroy.

From terraform-provider-aws, internal/service/ec2/ec2_instance.go. ``read`` is resourceInstanceRead:
what the provider would hold in its state, by the names that a configuration has for it.
"""

import base64

import pytest

from tests.api.asking import described, filtered, refused, the_one
from tests.harness.waiting import wait_until

NAMED = [{"Key": "Name", "Value": "web"}]
METADATA = {
    "HttpEndpoint": "enabled",
    "HttpProtocolIpv6": "disabled",
    "HttpPutResponseHopLimit": 2,
    "HttpTokens": "required",
    "InstanceMetadataTags": "disabled",
}


class Resource:
    """One aws_instance."""

    def __init__(self, account, instance_id: str):
        self.account, self.ec2, self.id = account, account.ec2, instance_id

    def read(self) -> dict:
        """Every call of a refresh, in order."""
        instance = described(self.account, self.id)
        kinds = self.ec2.describe_instance_types(InstanceTypes=[instance["InstanceType"]])
        kind = the_one(kinds["InstanceTypes"])
        template = [
            {"Name": "resource-id", "Values": [self.id]},
            {"Name": "key", "Values": ["aws:ec2launchtemplate:id"]},
        ]
        assert self.ec2.describe_tags(Filters=template)["Tags"] == []
        the_one(self.ec2.describe_vpcs(VpcIds=[instance["VpcId"]])["Vpcs"])
        state = _of_instance(instance)
        state["instance_initiated_shutdown_behavior"] = self.attribute(
            "instanceInitiatedShutdownBehavior"
        )
        state["block_devices"] = self._block_devices(instance)
        for name, attribute in (
            ("disable_api_stop", "disableApiStop"),
            ("disable_api_termination", "disableApiTermination"),
            ("user_data", "userData"),
        ):
            state[name] = self.attribute(attribute)
        if kind["BurstablePerformanceSupported"]:
            credits = self.ec2.describe_instance_credit_specifications(InstanceIds=[self.id])
            (credited,) = credits["InstanceCreditSpecifications"]
            state["cpu_credits"] = credited["CpuCredits"]
        return state

    def attribute(self, name: str):
        answer = self.ec2.describe_instance_attribute(InstanceId=self.id, Attribute=name)
        return answer[name[0].upper() + name[1:]].get("Value")

    def _block_devices(self, instance) -> dict:
        """readBlockDevicesFromInstance: the mapping, and every volume of it."""
        mapped = {each["Ebs"]["VolumeId"]: each for each in instance["BlockDeviceMappings"]}
        volumes = self.ec2.describe_volumes(VolumeIds=list(mapped))["Volumes"]
        assert {each["VolumeId"] for each in volumes} == set(mapped)
        return {
            mapped[each["VolumeId"]]["DeviceName"]: {
                "volume_id": each["VolumeId"],
                "size": each["Size"],
                "type": each["VolumeType"],
                "iops": each.get("Iops"),
                "throughput": each.get("Throughput"),
                "encrypted": each["Encrypted"],
                "snapshot_id": each.get("SnapshotId", ""),
                "tags": each.get("Tags"),
                "delete_on_termination": mapped[each["VolumeId"]]["Ebs"]["DeleteOnTermination"],
                "attached": [(one["Device"], one["State"]) for one in each["Attachments"]],
            }
            for each in volumes
        }

    def set(self, **attribute) -> None:
        self.ec2.modify_instance_attribute(InstanceId=self.id, **attribute)

    def set_stopped(self, **attribute) -> None:
        """modifyInstanceAttributeWithStopStart."""
        self.ec2.stop_instances(InstanceIds=[self.id])
        self.account.wait_for("stopped", self.id)
        self.set(**attribute)
        self.ec2.start_instances(InstanceIds=[self.id])
        self.account.wait_for("running", self.id)

    def destroy(self) -> None:
        self.set(DisableApiTermination={"Value": False})
        self.ec2.terminate_instances(InstanceIds=[self.id])
        self.account.wait_for("terminated", self.id)


def _of_instance(instance: dict) -> dict:
    """What resourceInstanceRead takes of DescribeInstances alone."""
    interfaces = instance["NetworkInterfaces"]
    primary = the_one([each for each in interfaces if each["Attachment"]["DeviceIndex"] == 0])
    addresses = primary["PrivateIpAddresses"]
    return {
        "ami": instance["ImageId"],
        "state": instance["State"]["Name"],
        "availability_zone": instance["Placement"]["AvailabilityZone"],
        "placement_group": instance["Placement"]["GroupName"],
        "tenancy": instance["Placement"]["Tenancy"],
        "capacity_reservation": instance["CapacityReservationSpecification"],
        "cpu_options": instance["CpuOptions"],
        "ebs_optimized": instance["EbsOptimized"],
        "enclave_options": instance["EnclaveOptions"],
        "hibernation": instance["HibernationOptions"],
        "instance_type": instance["InstanceType"],
        "key_name": instance.get("KeyName"),
        "maintenance_options": instance["MaintenanceOptions"],
        "metadata_options": instance["MetadataOptions"],
        "monitoring": instance["Monitoring"]["State"],
        "private_dns_name_options": instance["PrivateDnsNameOptions"],
        "private_ip": instance["PrivateIpAddress"],
        "secondary_private_ips": [
            each["PrivateIpAddress"] for each in addresses if not each["Primary"]
        ],
        "associate_public_ip_address": "Association" in primary,
        "ipv6_addresses": primary["Ipv6Addresses"],
        "source_dest_check": instance["SourceDestCheck"],
        "subnet_id": instance["SubnetId"],
        "tags": {each["Key"]: each["Value"] for each in instance.get("Tags", ())},
        "vpc_security_group_ids": {each["GroupId"] for each in instance["SecurityGroups"]},
        "network_interface": [
            (
                each["Attachment"]["DeviceIndex"],
                each["Attachment"]["NetworkCardIndex"],
                each["Attachment"]["DeleteOnTermination"],
                each["NetworkInterfaceId"],
            )
            for each in interfaces
        ],
    }


def differences(before: dict, after: dict) -> dict:
    """What a plan would show between two refreshes."""
    assert before.keys() == after.keys()
    return {name: after[name] for name in after if after[name] != before[name]}


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


def create(cloud, account, **more) -> Resource:
    """resourceInstanceCreate with what buildInstanceOpts sends of its own."""
    image = the_one(account.ec2.describe_images(ImageIds=[cloud.image_id])["Images"])
    root = {"DeviceName": image["RootDeviceName"], "Ebs": {"VolumeSize": 8, "VolumeType": "gp2"}}
    asked = {
        "InstanceType": "t3.micro",
        "BlockDeviceMappings": [root],
        "CreditSpecification": {"CpuCredits": "standard"},
        "DisableApiStop": False,
        "DisableApiTermination": False,
        "EbsOptimized": False,
        "EnclaveOptions": {"Enabled": False},
        "HibernationOptions": {"Configured": False},
        "MaintenanceOptions": {"AutoRecovery": "default"},
        "MetadataOptions": METADATA,
        "Monitoring": {"Enabled": False},
        "TagSpecifications": [{"ResourceType": "instance", "Tags": NAMED}],
        **more,
    }
    made = account.ec2.run_instances(ImageId=cloud.image_id, MinCount=1, MaxCount=1, **asked)
    resource = Resource(account, the_one(made["Instances"])["InstanceId"])
    account.wait_for("running", resource.id)
    return resource


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
