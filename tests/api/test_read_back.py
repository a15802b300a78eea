"""What is written is read back at once, in every describe that shows it and by every filter that
finds it. Tools compare each of these with what they wrote (terraform-provider-aws, amazon.aws)."""

import pytest

from tests.api.asking import described, filtered, found, launch_one, refused, the_one
from tests.harness.waiting import wait_until


def _of_instances(ec2, **asked) -> list[dict]:
    pages = ec2.describe_instances(**asked)["Reservations"]
    return [instance for each in pages for instance in each["Instances"]]


def _describes(ec2) -> dict:
    """Kind -> what describes all of it, with the member that has its id and that of its tags."""

    def of(call, key, name, tags="Tags"):
        return (lambda **asked: call(**asked)[key]), name, tags

    return {
        "instance": ((lambda **asked: _of_instances(ec2, **asked)), "InstanceId", "Tags"),
        "volume": of(ec2.describe_volumes, "Volumes", "VolumeId"),
        "snapshot": of(ec2.describe_snapshots, "Snapshots", "SnapshotId"),
        "image": of(ec2.describe_images, "Images", "ImageId"),
        "vpc": of(ec2.describe_vpcs, "Vpcs", "VpcId"),
        "subnet": of(ec2.describe_subnets, "Subnets", "SubnetId"),
        "route-table": of(ec2.describe_route_tables, "RouteTables", "RouteTableId"),
        "internet-gateway": of(
            ec2.describe_internet_gateways, "InternetGateways", "InternetGatewayId"
        ),
        "network-acl": of(ec2.describe_network_acls, "NetworkAcls", "NetworkAclId"),
        "dhcp-options": of(ec2.describe_dhcp_options, "DhcpOptions", "DhcpOptionsId"),
        "security-group": of(ec2.describe_security_groups, "SecurityGroups", "GroupId"),
        "security-group-rule": of(
            ec2.describe_security_group_rules, "SecurityGroupRules", "SecurityGroupRuleId"
        ),
        "network-interface": of(
            ec2.describe_network_interfaces, "NetworkInterfaces", "NetworkInterfaceId", "TagSet"
        ),
        "elastic-ip": of(ec2.describe_addresses, "Addresses", "AllocationId"),
        "key-pair": of(ec2.describe_key_pairs, "KeyPairs", "KeyPairId"),
    }


@pytest.fixture
def resources(cloud, account) -> dict[str, str]:
    """One of each kind, by kind; the network's are the account's own first ones."""
    ec2 = account.ec2
    instance = launch_one(cloud, account)
    volume = described(account, instance)["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    path = "/v1/image-uploads?disk_format=raw"
    headers = {"Content-Type": "application/octet-stream"}
    upload = account.send("POST", path, bytes(1 << 20), headers, service="pileus").json()
    made = {
        "instance": instance,
        "volume": volume,
        "snapshot": ec2.create_snapshot(VolumeId=volume)["SnapshotId"],
        "image": ec2.register_image(
            Name="tagged", ImageLocation=upload["image_location"], RootDeviceName="/dev/xvda"
        )["ImageId"],
        "elastic-ip": ec2.allocate_address(Domain="vpc")["AllocationId"],
        "key-pair": ec2.create_key_pair(KeyName="tagged")["KeyPairId"],
    }
    for kind, (describe, name, _) in _describes(ec2).items():
        if kind not in made:
            made[kind] = describe()[0][name]
    return made


# Those whose tag set is there though it is empty (EC2 API Reference, samples of each Describe).
SHOW_NO_TAGS = {
    "route-table",
    "internet-gateway",
    "network-acl",
    "dhcp-options",
    "security-group-rule",
    "network-interface",
    "key-pair",
}


def test_12_a_tag_set_of_no_tags_is_there_or_not_as_in_ec2(account, resources):
    for kind, (describe, id_name, tags_name) in _describes(account.ec2).items():
        (seen,) = (each for each in describe() if each[id_name] == resources[kind])
        assert seen.get(tags_name) == ([] if kind in SHOW_NO_TAGS else None), kind


def test_an_answer_to_create_shows_an_empty_tag_set(cloud, account, resources):
    ec2 = account.ec2
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]
    subnet = ec2.create_subnet(VpcId=vpc["VpcId"], CidrBlock="10.0.1.0/24")["Subnet"]
    volume = ec2.create_volume(AvailabilityZone=subnet["AvailabilityZone"], Size=1)
    snapshot = ec2.create_snapshot(VolumeId=resources["volume"])
    launched = ec2.run_instances(ImageId=cloud.image_id, MinCount=1, MaxCount=1)["Instances"]
    for made in (vpc, subnet, volume, snapshot, *launched):
        assert made["Tags"] == [], made


def test_tags_are_shown_wherever_their_resource_is(account, resources):
    ec2, describes = account.ec2, _describes(account.ec2)
    assert set(resources) == set(describes)
    ec2.create_tags(Resources=list(resources.values()), Tags=[{"Key": "Stage", "Value": "a & b"}])
    listed = {each["ResourceId"]: each for each in ec2.describe_tags()["Tags"]}
    for kind, resource_id in resources.items():
        describe, name, tags = describes[kind]
        shown = the_one([each for each in describe() if each[name] == resource_id])
        assert shown[tags] == [{"Key": "Stage", "Value": "a & b"}], kind
        assert listed[resource_id]["ResourceType"] == kind
        for wanted in (("tag:Stage", ["a & b"]), ("tag-key", ["Stage"])):
            by_tag = describe(Filters=[{"Name": wanted[0], "Values": wanted[1]}])
            assert [each[name] for each in by_tag] == [resource_id], (kind, wanted)
    ec2.delete_tags(Resources=list(resources.values()), Tags=[{"Key": "Stage"}])
    assert ec2.describe_tags()["Tags"] == []
    for kind, (describe, name, tags) in describes.items():
        shown = the_one([each for each in describe() if each[name] == resources[kind]])
        assert shown.get(tags, []) == [], kind


def test_a_deleted_snapshot_cannot_be_tagged(account, resources):
    ec2, snapshot = account.ec2, resources["snapshot"]
    wait_until(
        "completed",
        lambda: (
            ec2.describe_snapshots(SnapshotIds=[snapshot])["Snapshots"][0]["State"] == "completed"
        ),
    )
    ec2.delete_snapshot(SnapshotId=snapshot)
    tags = [{"Key": "a", "Value": "b"}]
    assert refused(ec2.create_tags, Resources=[snapshot], Tags=tags) == "InvalidSnapshot.NotFound"


def test_a_volume_is_shown_from_both_sides(cloud, account):
    ec2 = account.ec2
    instance = launch_one(cloud, account)
    zone = described(account, instance)["Placement"]["AvailabilityZone"]
    volume = ec2.create_volume(AvailabilityZone=zone, Size=1)["VolumeId"]

    def state() -> str:
        return the_one(ec2.describe_volumes(VolumeIds=[volume])["Volumes"])["State"]

    def devices() -> dict:
        attribute = ec2.describe_instance_attribute(
            InstanceId=instance, Attribute="blockDeviceMapping"
        )
        of_both = [
            {each["DeviceName"]: each["Ebs"]["VolumeId"] for each in shown["BlockDeviceMappings"]}
            for shown in (attribute, described(account, instance))
        ]
        assert of_both[0] == of_both[1]
        return of_both[0]

    wait_until("available", lambda: state() == "available")
    kept = ec2.describe_volume_attribute(VolumeId=volume, Attribute="autoEnableIO")
    assert (kept["VolumeId"], kept["AutoEnableIO"]) == (volume, {"Value": False})
    status = ec2.describe_volume_status(VolumeIds=[volume])["VolumeStatuses"]
    assert the_one(status)["AvailabilityZone"] == zone
    ec2.attach_volume(VolumeId=volume, InstanceId=instance, Device="/dev/sdp")
    assert (state(), devices()["/dev/sdp"]) == ("in-use", volume)
    assert found(account, **{"block_device_mapping.volume_id": [volume]}) == {instance}
    assert found(account, **{"block_device_mapping.device_name": ["/dev/sdp"]}) == {instance}
    by_instance = filtered(ec2.describe_volumes, "Volumes", "attachment.instance-id", instance)
    assert {each["VolumeId"] for each in by_instance} == set(devices().values())

    wait_until("attached", lambda: _attachments(ec2, volume) == ["attached"])
    ec2.detach_volume(VolumeId=volume)
    wait_until("detached", lambda: state() == "available")
    assert "/dev/sdp" not in devices()
    assert found(account, **{"block_device_mapping.volume_id": [volume]}) == set()
    ec2.delete_volume(VolumeId=volume)


def _attachments(ec2, volume: str) -> list[str]:
    shown = the_one(ec2.describe_volumes(VolumeIds=[volume])["Volumes"])
    return [each["State"] for each in shown["Attachments"]]


def test_groups_are_shown_on_instance_interface_and_attributes(cloud, account):
    ec2 = account.ec2
    instance = launch_one(cloud, account)
    vpc = described(account, instance)["VpcId"]
    group = ec2.create_security_group(GroupName="back", Description="d", VpcId=vpc)["GroupId"]
    ec2.modify_instance_attribute(InstanceId=instance, Groups=[group])
    seen = described(account, instance)
    nic = the_one(seen["NetworkInterfaces"])
    nic_id = nic["NetworkInterfaceId"]
    interface = the_one(
        ec2.describe_network_interfaces(NetworkInterfaceIds=[nic_id])["NetworkInterfaces"]
    )
    of_nic = ec2.describe_network_interface_attribute(
        NetworkInterfaceId=nic_id, Attribute="groupSet"
    )
    of_instance = ec2.describe_instance_attribute(InstanceId=instance, Attribute="groupSet")
    expected = [{"GroupId": group, "GroupName": "back"}]
    for shown in (
        seen["SecurityGroups"],
        nic["Groups"],
        interface["Groups"],
        of_nic["Groups"],
        of_instance["Groups"],
    ):
        assert shown == expected
    assert found(account, **{"instance.group_id": [group]}) == {instance}
    assert found(account, **{"network_interface.group_id": [group]}) == {instance}
    ec2.create_tags(Resources=[nic_id], Tags=[{"Key": "Of", "Value": "the interface"}])
    assert found(account, **{"network_interface.tag_value": ["the interface"]}) == {instance}
    by_group = filtered(ec2.describe_network_interfaces, "NetworkInterfaces", "group-id", group)
    assert [each["NetworkInterfaceId"] for each in by_group] == [nic_id]
    assert refused(ec2.delete_security_group, GroupId=group) == "DependencyViolation"


def test_an_interface_takes_an_address_of_its_subnet_and_gives_it_back(cloud, account):
    ec2 = account.ec2
    subnet = filtered(ec2.describe_subnets, "Subnets", "default-for-az", "true")[0]

    def free() -> int:
        shown = the_one(ec2.describe_subnets(SubnetIds=[subnet["SubnetId"]])["Subnets"])
        return shown["AvailableIpAddressCount"]

    before = free()
    nic = ec2.create_network_interface(
        SubnetId=subnet["SubnetId"], SecondaryPrivateIpAddressCount=2
    )["NetworkInterface"]["NetworkInterfaceId"]
    assert free() == before - 3
    (shown,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[nic])["NetworkInterfaces"]
    secondary = shown["PrivateIpAddresses"][1]["PrivateIpAddress"]
    address = ec2.allocate_address(Domain="vpc")
    ec2.associate_address(
        AllocationId=address["AllocationId"], NetworkInterfaceId=nic, PrivateIpAddress=secondary
    )
    (shown,) = ec2.describe_network_interfaces(NetworkInterfaceIds=[nic])["NetworkInterfaces"]
    ips = {
        each["PrivateIpAddress"]: each.get("Association", {}).get("PublicIp")
        for each in shown["PrivateIpAddresses"]
    }
    assert ips[secondary] == address["PublicIp"]
    by_private = filtered(ec2.describe_addresses, "Addresses", "private-ip-address", secondary)
    assert the_one(by_private)["NetworkInterfaceId"] == nic
    ec2.delete_network_interface(NetworkInterfaceId=nic)
    assert free() == before
    left = the_one(ec2.describe_addresses(AllocationIds=[address["AllocationId"]])["Addresses"])
    assert "AssociationId" not in left
    ec2.release_address(AllocationId=address["AllocationId"])


def test_a_stop_and_a_start_are_shown_by_both_describes(cloud, account):
    ec2, instance = account.ec2, launch_one(cloud, account)

    def status(**more) -> list:
        answer = ec2.describe_instance_status(InstanceIds=[instance], **more)
        return [each["InstanceState"]["Name"] for each in answer["InstanceStatuses"]]

    assert status() == ["running"]
    answer = the_one(ec2.stop_instances(InstanceIds=[instance])["StoppingInstances"])
    assert (answer["PreviousState"]["Name"], answer["CurrentState"]["Code"]) == ("running", 64)
    account.wait_for("stopped", instance)
    assert (status(), status(IncludeAllInstances=True)) == ([], ["stopped"])
    stopped = described(account, instance)
    assert stopped["StateReason"] == {
        "Code": "Client.UserInitiatedShutdown",
        "Message": "Client.UserInitiatedShutdown: User initiated shutdown",
    }
    assert stopped["StateTransitionReason"].startswith("User initiated (")
    assert found(account, state_reason_code=["Client.UserInitiatedShutdown"]) == {instance}
    ec2.start_instances(InstanceIds=[instance])
    account.wait_for("running", instance)
    assert "StateReason" not in described(account, instance)
    assert described(account, instance)["LaunchTime"] > stopped["LaunchTime"]
