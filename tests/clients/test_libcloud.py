"""Apache libcloud's EC2 driver, with both signatures, and its Eucalyptus driver."""

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from libcloud.common.exceptions import BaseHTTPError
from libcloud.compute.providers import get_driver
from libcloud.compute.types import (
    KeyPairDoesNotExistError,
    NodeState,
    Provider,
    StorageVolumeState,
    VolumeSnapshotState,
)

from tests.harness.installation import REGION
from tests.harness.waiting import wait_until

IN_MY_VPC = "10.9.0.0/16"


def driver_of(customer, provider=Provider.EC2, **more):
    account = customer.account
    host, port = account.endpoint.removeprefix("http://").split(":")
    where = {"secure": False, "host": host, "port": int(port)}
    return get_driver(provider)(account.access_key_id, account.secret_access_key, **where, **more)


@pytest.fixture(scope="module", params=["2", "4"])
def driver(customer, request):
    return driver_of(customer, region=REGION, signature_version=request.param)


@pytest.fixture
def node(customer, driver):
    """One that runs, of the name "node"; gone when the test is done."""
    (size,) = [size for size in driver.list_sizes() if size.id == "t3.micro"]
    image = driver.get_image(customer.image_id)
    key = driver.create_key_pair("libcloud")
    made = driver.create_node(
        "node", size=size, image=image, ex_keyname=key.name, ex_metadata={"role": "web"}
    )
    ((node, _),) = driver.wait_until_running([made], ssh_interface="private_ips", wait_period=0.2)
    yield node
    assert driver.destroy_node(node)
    assert driver.delete_key_pair(key)
    customer.account.wait_for("terminated", node.id)


def refusal(call, *given) -> str:
    with pytest.raises(BaseHTTPError) as failure:
        call(*given)
    return str(failure.value).partition(":")[0]


def only(things, thing):
    (found,) = [each for each in things if each.id == thing.id]
    return found


def test_key_pairs(driver, twice):
    made = driver.create_key_pair("made")
    assert "PRIVATE KEY" in made.private_key
    assert driver.get_key_pair("made").fingerprint == made.fingerprint
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = private.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    public += " its-owner"  # libcloud expects one
    driver.import_key_pair_from_string("given", public)
    found = driver.ex_find_or_import_keypair_by_key_material(public)
    assert found["keyName"] == "given", "by its fingerprint"
    assert {key.name for key in driver.list_key_pairs()} == {"made", "given"}
    for key in driver.list_key_pairs():
        assert driver.delete_key_pair(key)
    with pytest.raises(KeyPairDoesNotExistError):
        driver.get_key_pair("made")


def test_a_node_is_stopped_started_and_rebooted(customer, driver, node, twice):
    """One right after the other, and while the state still changes."""
    (seen,) = driver.list_nodes(ex_node_ids=[node.id])
    assert (seen.name, seen.state, seen.size) == ("node", NodeState.RUNNING, None)
    assert seen.extra["tags"] == {"Name": "node", "role": "web"}
    assert seen.extra["key_name"] == "libcloud"
    assert driver.start_node(node) is False, "it runs: nothing has been started"
    assert driver.reboot_node(node)
    assert driver.stop_node(node)
    driver.stop_node(node)  # it is stopping, or stopped by now
    customer.account.wait_for("stopped", node.id)
    assert refusal(driver.reboot_node, node) == "IncorrectInstanceState"
    assert driver.stop_node(node) is False, "it is stopped: nothing has been stopped"
    (small,) = [size for size in driver.list_sizes() if size.id == "t3.nano"]
    assert driver.ex_change_node_size(node, small)
    assert driver.start_node(node)
    assert driver.reboot_node(node), "as soon as it starts"
    customer.account.wait_for("running", node.id)
    now = {"instance-type": "t3.nano", "instance-state-name": "running"}
    assert [seen.id for seen in driver.list_nodes(ex_filters=now)] == [node.id]
    assert driver.ex_get_console_output(node)["instance_id"] == node.id


def test_volumes_snapshots_and_images(customer, driver, node, twice):
    (zone,) = driver.list_locations()
    volume = driver.create_volume(1, "data", location=zone, ex_volume_type="gp3", ex_iops=3000)
    wait_until("a volume", lambda: is_free(driver, volume))
    assert driver.attach_volume(node, volume, "/dev/sdf")
    attached = only(driver.list_volumes(node), volume)
    assert (attached.extra["device"], attached.state) == ("/dev/sdf", StorageVolumeState.INUSE)
    snapshot = driver.create_volume_snapshot(volume, "before", ex_metadata={"of": "data"})
    wait_until("a snapshot", lambda: is_ready(driver, snapshot))
    assert only(driver.list_volume_snapshots(volume), snapshot).extra["tags"]["of"] == "data"
    everyone = {"CreateVolumePermission.Add.1.Group": "all"}
    assert driver.ex_modify_snapshot_attribute(snapshot, everyone)
    assert driver.ex_modify_volume(volume, {"Size": 2}).target_size == 2
    (change,) = driver.ex_describe_volumes_modifications(volume_ids=[volume.id])
    assert (change.original_size, change.target_size) == (1, 2)
    assert driver.detach_volume(volume, ex_force=True)
    wait_until("it is free", lambda: is_free(driver, volume))
    disk = {"DeviceName": "/dev/sda1", "Ebs": {"SnapshotId": snapshot.id}}
    image = driver.ex_register_image(
        "registered",
        architecture="x86_64",
        root_device_name="/dev/sda1",
        block_device_mapping=[disk],
    )
    assert driver.ex_modify_image_attribute(image, {"LaunchPermission.Add.1.Group": "all"})
    assert only(driver.list_images(ex_owner="self"), image).extra["is_public"] == "true"
    assert refusal(driver.destroy_volume_snapshot, snapshot) == "InvalidSnapshot.InUse"
    assert driver.delete_image(image)
    assert driver.destroy_volume_snapshot(snapshot)
    assert driver.destroy_volume(volume)


def is_free(driver, volume) -> bool:
    return only(driver.list_volumes(), volume).state == StorageVolumeState.AVAILABLE


def is_ready(driver, snapshot) -> bool:
    (seen,) = driver.list_snapshots(snapshot=snapshot)
    return seen.state == VolumeSnapshotState.AVAILABLE


def test_an_image_of_a_node(driver, node, twice):
    image = driver.create_image(node, "of-a-node", description="d")
    wait_until("an image", lambda: driver.get_image(image.id).extra["state"] == "available")
    assert only(driver.list_images(ex_owner="self"), image).name == "of-a-node"
    (disk,) = driver.get_image(image.id).extra["block_device_mapping"]
    assert driver.delete_image(image)
    (left,) = [each for each in driver.list_snapshots() if each.id == disk["ebs"]["snapshot_id"]]
    assert driver.destroy_volume_snapshot(left)


def test_security_groups(driver, twice):
    made = driver.ex_create_security_group("web", "of libcloud")["group_id"]
    assert "web" in driver.ex_list_security_groups()
    assert driver.ex_authorize_security_group("web", 22, 22, "0.0.0.0/0")
    assert len(driver.ex_authorize_security_group_permissive("web")) == 3
    assert driver.ex_authorize_security_group_permissive("web") == [], "all of it is there"
    networks = (made, 80, 81, ["10.0.0.0/8", "192.0.2.0/24"])
    members = (made, 90, 90, None, [{"group_id": made}])
    assert driver.ex_authorize_security_group_ingress(*networks)
    assert driver.ex_authorize_security_group_ingress(*members)
    (group,) = driver.ex_get_security_groups(group_ids=[made])
    rules = {rule["from_port"]: rule for rule in group.ingress_rules}
    assert rules["80"]["cidr_ips"] == ["10.0.0.0/8", "192.0.2.0/24"]
    assert [pair["group_id"] for pair in rules["90"]["group_pairs"]] == [made]
    assert driver.ex_revoke_security_group_ingress(*networks)
    assert driver.ex_revoke_security_group_ingress(*members)
    assert driver.ex_authorize_security_group_egress(made, 80, 81, ["10.0.0.0/8"])
    assert driver.ex_revoke_security_group_egress(made, 80, 81, ["10.0.0.0/8"])
    assert driver.ex_delete_security_group("web")


def test_addresses_and_tags(driver, node, twice):
    """Without domain="vpc" libcloud names an address as EC2-Classic did, which EC2 refuses."""
    address = driver.ex_allocate_address()
    assert driver.ex_associate_address_with_node(node, address, "vpc").startswith("eipassoc-")
    assert driver.ex_describe_addresses_for_node(node) == [address.ip]
    (held,) = driver.ex_describe_all_addresses(only_associated=True)
    assert refusal(driver.ex_disassociate_address, held) == "InvalidParameterValue"
    assert driver.ex_disassociate_address(held, "vpc")
    assert refusal(driver.ex_release_address, held) == "InvalidParameterValue"
    assert driver.ex_release_address(held, "vpc")
    assert driver.ex_describe_all_addresses() == []
    assert driver.ex_create_tags(node, {"a": "b", "empty": ""})
    assert driver.ex_delete_tags(node, {"a": "b", "role": None})
    assert driver.ex_describe_tags(node) == {"Name": "node", "empty": ""}


def test_a_network_of_ones_own(customer, driver, twice):
    (zone,) = driver.list_locations()
    network = driver.ex_create_network(IN_MY_VPC, name="net")
    subnet = driver.ex_create_subnet(network.id, "10.9.1.0/24", zone.availability_zone.name, "s")
    assert driver.ex_modify_subnet_attribute(subnet, "auto_public_ip", True)
    gateway = driver.ex_create_internet_gateway(name="gateway")
    assert driver.ex_attach_internet_gateway(gateway, network)
    assert [each.name for each in driver.ex_list_networks([network.id])] == ["net"]
    (seen,) = driver.ex_list_subnets(filters={"vpc-id": network.id})
    assert (seen.name, seen.extra["cidr_block"]) == ("s", "10.9.1.0/24")
    (seen,) = driver.ex_list_internet_gateways([gateway.id])
    assert (seen.vpc_id, seen.state) == (network.id, "available")
    table, other = (driver.ex_create_route_table(network, name) for name in ("one", "other"))
    assert driver.ex_create_route(table, "0.0.0.0/0", internet_gateway=gateway)
    joined = driver.ex_associate_route_table(table, subnet)
    seen = only(driver.ex_list_route_tables(filters={"vpc-id": network.id}), table)
    assert [(route.cidr, route.gateway_id) for route in seen.routes] == [
        (IN_MY_VPC, "local"),
        ("0.0.0.0/0", gateway.id),
    ]
    assert [each.subnet_id for each in seen.subnet_associations] == [subnet.id]
    joined = driver.ex_replace_route_table_association(joined, other)
    nic = driver.ex_create_network_interface(subnet, "nic", "d", private_ip_address="10.9.1.20")
    assert driver.ex_replace_route(table, "0.0.0.0/0", network_interface=nic)
    (size,) = [size for size in driver.list_sizes() if size.id == "t3.nano"]
    inside = driver.create_node(
        "inside",
        size=size,
        image=driver.get_image(customer.image_id),
        ex_subnet=subnet,
        ex_assign_public_ip=True,
        ex_terminate_on_shutdown=True,
    )
    customer.account.wait_for("running", inside.id)
    attachment = driver.ex_attach_network_interface_to_node(nic, inside, 1)
    assert only(driver.ex_list_network_interfaces(), nic).extra["attachment"]["device_index"] == 1
    assert driver.ex_detach_network_interface(attachment, force=True)
    assert driver.destroy_node(inside)
    assert driver.reboot_node(inside), "of one that goes, it is ignored"
    customer.account.wait_for("terminated", inside.id)
    assert driver.ex_delete_network_interface(nic)
    assert driver.ex_dissociate_route_table(joined)
    assert driver.ex_delete_route(table, "0.0.0.0/0")
    assert all(driver.ex_delete_route_table(each) for each in (table, other))
    assert driver.ex_detach_internet_gateway(gateway, network)
    assert driver.ex_delete_internet_gateway(gateway)
    assert driver.ex_delete_subnet(subnet)
    assert driver.ex_delete_network(network)


def test_the_eucalyptus_driver(customer, node, twice):
    """At its own path, with SigV2, and with sizes that it asks for."""
    eucalyptus = driver_of(customer, Provider.EUCALYPTUS)
    sizes = {size.id: size for size in eucalyptus.list_sizes()}
    assert (sizes["t2.micro"].ram, sizes["t2.micro"].extra["cpu"]) == (1024, 1)
    assert node.id in [each.id for each in eucalyptus.list_nodes()]
    assert [image.id for image in eucalyptus.list_images()] == [customer.image_id]


def test_what_an_account_may_have(driver, twice):
    limits = driver.ex_get_limits()["resource"]
    assert set(limits) == {"max-instances", "max-elastic-ips", "vpc-max-elastic-ips"}
    assert all(limit > 0 for limit in limits.values())
    assert driver.ex_list_reserved_nodes() == driver.ex_list_placement_groups() == []
