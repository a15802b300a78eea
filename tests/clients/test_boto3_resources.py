"""boto3's resource layer: each noun and what hangs on it, its waiters and its batch actions."""

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.harness.installation import REGION
from tests.harness.waiting import wait_until

BY_STATE = "instance-state-name"
OFTEN = {"WaiterConfig": {"Delay": 1, "MaxAttempts": 60}}  # boto3 looks each 15 s by itself


@pytest.fixture(scope="module")
def ec2(customer):
    account = customer.account
    keys = (account.access_key_id, account.secret_access_key)
    return boto3.resource(
        "ec2",
        endpoint_url=account.endpoint,
        region_name=REGION,
        aws_access_key_id=keys[0],
        aws_secret_access_key=keys[1],
    )


@pytest.fixture
def instance(customer, ec2):
    """One that runs; gone when the test is done."""
    launch = {"ImageId": customer.image_id, "InstanceType": "t3.micro"}
    (made,) = ec2.create_instances(MinCount=1, MaxCount=1, **launch)
    made.wait_until_exists(**OFTEN)
    made.wait_until_running(**OFTEN)
    made.reload()
    yield made
    made.terminate()
    made.wait_until_terminated(**OFTEN)


def explored(resource) -> dict[str, list[str]]:
    """All that boto3 makes of a resource read once: its data, what it refers to, what it holds.
    Answers its collections, as ids of their items."""
    model = resource.meta.resource_model
    if model.load:
        resource.load()
        resource.reload()
    if resource.meta.data is not None:  # some are nothing but their ids
        for reference in model.references:
            getattr(resource, reference.name)
    held = {}
    for collection in model.collections:
        items = list(getattr(resource, collection.name).all())
        held[collection.name] = [getattr(item, model_id(item)) for item in items]
    return held


def model_id(resource) -> str:
    return resource.meta.identifiers[0]


def test_every_noun_has_a_collection(ec2, customer, twice):
    held = explored(ec2)
    assert held["images"] == [customer.image_id]
    assert held["placement_groups"] == held["vpc_peering_connections"] == []
    assert [len(held[name]) for name in ("vpcs", "subnets", "security_groups")] == [1, 1, 1]


def test_instances(ec2, customer, instance, twice):
    held = explored(instance)
    assert instance.tags is None
    assert instance.image.id == customer.image_id
    assert instance.image.tags is None
    assert instance.key_pair is None
    assert instance.state_reason is None
    assert instance.subnet.vpc == instance.vpc
    assert instance.network_interfaces[0].private_ip_address == instance.private_ip_address
    assert held["volumes"] == [instance.block_device_mappings[0]["Ebs"]["VolumeId"]]
    instance.create_tags(Tags=[{"Key": "Name", "Value": "one"}, {"Key": "empty", "Value": ""}])
    instance.reload()
    assert {tag["Key"]: tag["Value"] for tag in instance.tags} == {"Name": "one", "empty": ""}
    ec2.Tag(instance.id, "empty", "").delete()
    instance.delete_tags(Tags=[{"Key": "Name"}])
    instance.reload()
    assert instance.tags is None
    assert instance.console_output()["InstanceId"] == instance.id
    assert instance.password_data()["PasswordData"] == ""
    instance.modify_attribute(DisableApiTermination={"Value": True})
    seen = instance.describe_attribute(Attribute="disableApiTermination")
    assert seen["DisableApiTermination"] == {"Value": True}
    with pytest.raises(ClientError, match="OperationNotPermitted"):
        instance.terminate()
    instance.modify_attribute(DisableApiTermination={"Value": False})


def test_batch_actions(ec2, instance, twice):
    running = ec2.instances.filter(Filters=[{"Name": BY_STATE, "Values": ["running"]}])
    assert [each.id for each in running.limit(1)] == [instance.id]
    assert [[each.id for each in page] for page in running.page_size(5).pages()] == [[instance.id]]
    (changed,) = running.stop()
    assert changed["StoppingInstances"][0]["CurrentState"]["Name"] == "stopping"
    instance.wait_until_stopped(**OFTEN)
    mine = ec2.instances.filter(InstanceIds=[instance.id])
    mine.start()
    mine.reboot()
    instance.wait_until_running(**OFTEN)
    (watched,) = mine.monitor()
    assert watched["InstanceMonitorings"][0]["Monitoring"]["State"] in ("pending", "enabled")
    mine.unmonitor()
    mine.create_tags(Tags=[{"Key": "batch", "Value": "1"}])
    instance.reload()
    assert instance.tags == [{"Key": "batch", "Value": "1"}]
    (ended,) = mine.terminate()
    assert ended["TerminatingInstances"][0]["CurrentState"]["Name"] == "shutting-down"
    instance.wait_until_terminated(**OFTEN)
    assert explored(instance)["volumes"] == []
    assert (instance.vpc, instance.subnet, instance.network_interfaces) == (None, None, [])


def test_volumes_snapshots_and_images(ec2, instance, twice):
    zone = instance.placement["AvailabilityZone"]
    volume = ec2.create_volume(AvailabilityZone=zone, Size=1)
    wait_until("a volume", lambda: volume.reload() or volume.state == "available")
    assert explored(volume) == {"snapshots": []}
    assert (volume.tags, volume.attachments) == (None, [])
    assert volume.describe_attribute(Attribute="autoEnableIO")["AutoEnableIO"] == {"Value": False}
    assert volume.describe_attribute(Attribute="productCodes")["ProductCodes"] == []
    assert volume.describe_status()["VolumeStatuses"][0]["VolumeStatus"]["Status"] == "ok"
    volume.attach_to_instance(InstanceId=instance.id, Device="/dev/sdf")
    wait_until("it is there", lambda: volume.reload() or volume.state == "in-use")
    snapshot = volume.create_snapshot(Description="of boto3")
    snapshot.wait_until_completed(**OFTEN)
    explored(snapshot)
    assert (snapshot.volume, snapshot.description, snapshot.tags) == (volume, "of boto3", None)
    assert [each.id for each in volume.snapshots.all()] == [snapshot.id]
    volume.detach_from_instance()
    image = instance.create_image(Name="of boto3", NoReboot=True)
    ready = [{"Name": "state", "Values": ["available"]}]
    image.wait_until_exists(Filters=ready, **OFTEN)
    image.reload()
    assert (image.state, image.tags) == ("available", None)
    everyone = {"Add": [{"Group": "all"}]}
    image.modify_attribute(LaunchPermission=everyone)
    seen = image.describe_attribute(Attribute="launchPermission")
    assert seen["LaunchPermissions"] == [{"Group": "all"}]
    image.reset_attribute(Attribute="launchPermission")
    image.deregister(DeleteAssociatedSnapshots=True)
    snapshot.modify_attribute(
        Attribute="createVolumePermission", OperationType="add", GroupNames=["all"]
    )
    seen = snapshot.describe_attribute(Attribute="createVolumePermission")
    assert seen["CreateVolumePermissions"] == [{"Group": "all"}]
    snapshot.reset_attribute(Attribute="createVolumePermission")
    snapshot.delete()
    wait_until("it is free", lambda: volume.reload() or volume.state == "available")
    volume.delete()
    assert list(ec2.snapshots.filter(OwnerIds=["self"])) == []


def test_key_pairs_and_addresses(ec2, instance, twice):
    key = ec2.create_key_pair(KeyName="resource")
    assert "PRIVATE KEY" in key.key_material
    info = ec2.KeyPair("resource")
    info.load()
    assert (info.key_fingerprint, info.tags) == (key.key_fingerprint, [])
    info.delete()
    address = ec2.VpcAddress(ec2.meta.client.allocate_address(Domain="vpc")["AllocationId"])
    explored(address)
    assert (address.association, address.tags) == (None, None)
    address.associate(InstanceId=instance.id)
    address.reload()
    explored(address.association)
    assert address.association.address == address
    assert [each.allocation_id for each in instance.vpc_addresses.all()] == [address.allocation_id]
    old = ec2.ClassicAddress(address.public_ip)
    explored(old)
    assert old.instance_id == instance.id
    address.association.delete()
    address.release()


def test_a_vpc_and_what_is_in_it(ec2, customer, twice):
    vpc = ec2.create_vpc(CidrBlock="10.5.0.0/16")
    vpc.wait_until_exists(**OFTEN)
    vpc.wait_until_available(**OFTEN)
    vpc.modify_attribute(EnableDnsHostnames={"Value": True})
    subnet = vpc.create_subnet(CidrBlock="10.5.1.0/24")
    group = vpc.create_security_group(GroupName="g", Description="d")
    group.authorize_ingress(IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="0.0.0.0/0")
    gateway = ec2.create_internet_gateway()
    gateway.attach_to_vpc(VpcId=vpc.id)
    table = vpc.create_route_table()
    route = table.create_route(DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway.id)
    joined = table.associate_with_subnet(SubnetId=subnet.id)
    nic = subnet.create_network_interface(Groups=[group.id])
    (inside,) = subnet.create_instances(
        MinCount=1, MaxCount=1, ImageId=customer.image_id, InstanceType="t3.nano"
    )
    inside.wait_until_running(**OFTEN)
    held = explored(vpc)
    assert held["subnets"] == [subnet.id]
    assert held["instances"] == [inside.id]
    assert held["internet_gateways"] == [gateway.id]
    assert {group.id} < set(held["security_groups"])
    assert {table.id} < set(held["route_tables"])
    assert {nic.id} < set(held["network_interfaces"])
    assert len(held["network_acls"]) == 1
    assert held["accepted_vpc_peering_connections"] == []
    assert explored(subnet)["instances"] == [inside.id]
    for each in (group, gateway, table, nic, *vpc.network_acls.all()):
        explored(each)
    table.reload()
    assert [each.gateway_id for each in table.routes] == ["local", gateway.id]
    assert [each.id for each in table.associations] == [joined.id]
    assert (vpc.tags, subnet.tags, group.tags) == (None, None, None)
    assert (table.tags, gateway.tags, nic.tag_set) == ([], [], [])
    attached = nic.attach(InstanceId=inside.id, DeviceIndex=1)["AttachmentId"]
    nic.reload()
    assert nic.attachment["AttachmentId"] == attached
    nic.detach(Force=True)
    inside.terminate()
    inside.wait_until_terminated(**OFTEN)
    group.revoke_ingress(IpPermissions=group.ip_permissions)
    options = ec2.create_dhcp_options(
        DhcpConfigurations=[{"Key": "domain-name", "Values": ["a.example"]}]
    )
    explored(options)
    options.associate_with_vpc(VpcId=vpc.id)
    vpc.reload()
    assert vpc.dhcp_options == options
    vpc.associate_dhcp_options(DhcpOptionsId="default")
    gateway.detach_from_vpc(VpcId=vpc.id)
    for each in (route, joined, table, nic, group, gateway, options, subnet, vpc):
        each.delete()
