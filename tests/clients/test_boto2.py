"""boto 2.49, the last of its line, with both signatures; its DescribeInstanceTypes is Eucalyptus'.

By an address instead of AWS's names, its SigV4 must be told the service and the region; SigV2 is
what its earlier releases spoke to EC2. It runs on Python 3.11 and older.
"""

import sys

import pytest

if sys.version_info >= (3, 12):
    pytest.skip("boto 2 imports imp, which Python 3.12 has no more", allow_module_level=True)

from boto.ec2.blockdevicemapping import BlockDeviceMapping, BlockDeviceType
from boto.ec2.networkinterface import NetworkInterfaceCollection, NetworkInterfaceSpecification
from boto.ec2.regioninfo import RegionInfo
from boto.exception import EC2ResponseError
from boto.vpc import VPCConnection

from tests.harness.installation import REGION
from tests.harness.waiting import wait_until

PUBLIC_KEY = b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDIhz2GK/XCUj4i6Q5yQJNL1MKMY0RxzPV2QrBqfHrDq a"


class Version2(VPCConnection):
    def _required_auth_capability(self):
        return ["ec2"]


@pytest.fixture(scope="module", params=[Version2, VPCConnection])
def ec2(customer, request):
    account = customer.account
    host, port = account.endpoint.removeprefix("http://").split(":")
    region = RegionInfo(name=REGION, endpoint=host)
    where = {"is_secure": False, "port": int(port), "region": region}
    made = request.param(account.access_key_id, account.secret_access_key, **where)
    if request.param is VPCConnection:
        made.auth_service_name, made.auth_region_name = "ec2", REGION
    return made


@pytest.fixture
def instance(customer, ec2):
    """One that runs, of the type that boto launches by itself; gone when the test is done."""
    (made,) = ec2.run_instances(customer.image_id).instances
    customer.account.wait_for("running", made.id)
    made.update()
    yield made
    made.terminate()
    customer.account.wait_for("terminated", made.id)


def refusal(call, *given) -> str:
    with pytest.raises(EC2ResponseError) as failure:
        call(*given)
    return failure.value.error_code


def test_what_there_is(ec2, customer, twice):
    assert [region.name for region in ec2.get_all_regions()] == [REGION]
    assert [zone.name for zone in ec2.get_all_zones()] == ["us-east-1a"]
    attributes = {one.attribute_name: one for one in ec2.describe_account_attributes()}
    assert attributes["supported-platforms"].attribute_values == ["VPC"]
    types = {one.name: one for one in ec2.get_all_instance_types()}
    small = types["t2.micro"]
    assert (small.cores, small.memory, small.disk) == ("1", "1024", "8")
    image = ec2.get_image(customer.image_id)
    assert (image.architecture, image.state, image.is_public) == ("x86_64", "available", True)
    assert refusal(ec2.get_all_instances, ["i-0123456789abcdef0"]) == "InvalidInstanceID.NotFound"


@pytest.mark.parametrize(
    "noun",
    [
        "bundle_tasks",
        "customer_gateways",
        "placement_groups",
        "reserved_instances",
        "reserved_instances_offerings",
        "spot_instance_requests",
        "vpc_peering_connections",
        "vpn_connections",
        "vpn_gateways",
    ],
)
def test_what_there_cannot_be(ec2, noun, twice):
    assert list(getattr(ec2, f"get_all_{noun}")()) == []


def test_keys_and_groups(ec2, twice):
    made = ec2.create_key_pair("made")
    ec2.import_key_pair("given", PUBLIC_KEY)
    assert {key.name for key in ec2.get_all_key_pairs()} == {"made", "given"}
    assert ec2.get_key_pair("made").fingerprint == made.fingerprint
    assert ec2.get_key_pair("absent") is None
    group = ec2.create_security_group("boto", "of boto")
    assert group.authorize("tcp", 22, 22, "0.0.0.0/0")
    assert group.authorize("tcp", 90, 91, src_group=group)
    old = {"ip_protocol": "tcp", "from_port": 33, "to_port": 33, "cidr_ip": "10.0.0.0/8"}
    assert ec2.authorize_security_group_deprecated("boto", **old)
    (seen,) = ec2.get_all_security_groups(["boto"])
    assert [(rule.ip_protocol, rule.from_port, rule.to_port) for rule in seen.rules] == [
        ("tcp", "22", "22"),
        ("tcp", "90", "91"),
        ("tcp", "33", "33"),
    ]
    assert group.revoke("tcp", 22, 22, "0.0.0.0/0")
    assert group.delete()
    assert ec2.delete_key_pair("made") and ec2.delete_key_pair("given")


def test_an_instance(ec2, customer, instance, twice):
    assert (instance.state, instance.instance_type) == ("running", "m1.small")
    assert [one.id for one in ec2.get_only_instances([instance.id])] == [instance.id]
    (status,) = ec2.get_all_instance_status([instance.id])
    assert (status.state_name, status.system_status.status) == ("running", "ok")
    assert b"login" in instance.get_console_output().output
    instance.add_tag("Name", "boto")
    assert {tag.name: tag.value for tag in ec2.get_all_tags({"resource-id": instance.id})} == {
        "Name": "boto"
    }
    assert instance.modify_attribute("disableApiTermination", True)
    assert instance.get_attribute("disableApiTermination") == {"disableApiTermination": True}
    assert refusal(instance.terminate) == "OperationNotPermitted"
    assert instance.modify_attribute("disableApiTermination", False)
    instance.stop(force=True)
    customer.account.wait_for("stopped", instance.id)
    instance.start()
    assert instance.reboot(), "as soon as it starts"
    customer.account.wait_for("running", instance.id)


def test_volumes_snapshots_and_images(ec2, instance, twice):
    volume = ec2.create_volume(1, "us-east-1a", volume_type="gp2")
    wait_until("a volume", lambda: volume.update() == "available")
    assert volume.attach(instance.id, "/dev/sdh")
    wait_until("it is there", lambda: volume.update() and volume.attachment_state() == "attached")
    assert volume.attach_data.device == "/dev/sdh"
    snapshot = volume.create_snapshot("of boto")
    wait_until("a snapshot", lambda: snapshot.update() == "100%")
    assert snapshot.share(groups=["all"])
    assert snapshot.get_permissions() == {"groups": ["all"]}
    assert snapshot.unshare(groups=["all"])
    assert ec2.get_volume_attribute(volume.id).attrs == {"autoEnableIO": False}
    assert volume.detach(force=True)
    wait_until("it is free", lambda: volume.update() == "available")
    devices = BlockDeviceMapping()
    devices["/dev/sda1"] = BlockDeviceType(snapshot_id=snapshot.id, delete_on_termination=True)
    registered = ec2.register_image(
        "registered", architecture="x86_64", root_device_name="/dev/sda1", block_device_map=devices
    )
    made = instance.create_image("of an instance", no_reboot=True)
    wait_until("an image", lambda: ec2.get_image(made).state == "available")
    assert ec2.get_image(made).set_launch_permissions(group_names=["all"])
    assert ec2.get_image(made).get_launch_permissions() == {"groups": ["all"]}
    (disk,) = ec2.get_image(made).block_device_mapping.values()
    assert ec2.deregister_image(made) and ec2.deregister_image(registered)
    assert ec2.delete_snapshot(disk.snapshot_id)
    assert snapshot.delete() and volume.delete()
    assert ec2.get_all_snapshots(owner="self") == []


def test_addresses(ec2, instance, twice):
    address = ec2.allocate_address()
    assert address.associate(instance.id)
    (seen,) = ec2.get_all_addresses()
    assert (seen.public_ip, seen.instance_id) == (address.public_ip, instance.id)
    assert refusal(ec2.disassociate_address, seen.public_ip) == "InvalidParameterValue"
    assert seen.disassociate()
    assert seen.release()
    assert ec2.get_all_addresses() == []


def test_a_network_of_ones_own(ec2, customer, twice):
    vpc = ec2.create_vpc("10.7.0.0/16")
    assert ec2.modify_vpc_attribute(vpc.id, enable_dns_hostnames=True)
    assert ec2.describe_vpc_attribute(vpc.id, "enableDnsHostnames").enable_dns_hostnames is True
    subnet = ec2.create_subnet(vpc.id, "10.7.1.0/24")
    gateway = ec2.create_internet_gateway()
    assert ec2.attach_internet_gateway(gateway.id, vpc.id)
    table = ec2.create_route_table(vpc.id)
    assert ec2.create_route(table.id, "0.0.0.0/0", gateway_id=gateway.id)
    joined = ec2.associate_route_table(table.id, subnet.id)
    (seen,) = ec2.get_all_route_tables([table.id])
    assert [route.gateway_id for route in seen.routes] == ["local", gateway.id]
    options = ec2.create_dhcp_options(domain_name="a.example")
    assert ec2.associate_dhcp_options(options.id, vpc.id)
    nic = ec2.create_network_interface(subnet.id, "10.7.1.9", "d")
    first = NetworkInterfaceSpecification(
        device_index=0, subnet_id=subnet.id, associate_public_ip_address=True
    )
    (inside,) = ec2.run_instances(
        customer.image_id,
        instance_type="t3.nano",
        network_interfaces=NetworkInterfaceCollection(first),
    ).instances
    customer.account.wait_for("running", inside.id)
    ec2.attach_network_interface(nic.id, inside.id, 1)
    (seen,) = ec2.get_all_network_interfaces([nic.id])
    assert (seen.attachment.instance_id, seen.attachment.device_index) == (inside.id, 1)
    assert ec2.detach_network_interface(seen.attachment.id, force=True)
    inside.terminate()
    customer.account.wait_for("terminated", inside.id)
    assert ec2.delete_network_interface(nic.id)
    assert ec2.disassociate_route_table(joined)
    assert ec2.delete_route_table(table.id)
    assert ec2.detach_internet_gateway(gateway.id, vpc.id)
    assert ec2.delete_internet_gateway(gateway.id)
    assert ec2.associate_dhcp_options("default", vpc.id)
    assert ec2.delete_dhcp_options(options.id)
    assert ec2.delete_subnet(subnet.id) and ec2.delete_vpc(vpc.id)
