"""Private addresses of network interfaces, and elastic ones on them."""

import pytest

from protos.cloud.v1 import common_pb2
from protos.cloud.v1 import networks_pb2 as pb
from protos.errors import Kind
from tests.unit.controller.cloud import Cloud
from tests.unit.controller.interface_calls import (
    ask,
    assign,
    attach,
    detach,
    found,
    make,
    shown,
    unassign,
)
from tests.unit.controller.refusals import refused


@pytest.fixture
def cloud(tmp_path):
    made = Cloud(tmp_path)
    yield made
    assert made.discrepancies() == []


def addresses_of(cloud, nic):
    seen = shown(cloud, nic.network_interface_id)
    return [one.private_ip_address for one in seen.private_ip_addresses]


def test_secondary_addresses_come_and_go(cloud):
    nic, other = make(cloud, private_ip_address="172.31.0.9"), make(cloud)
    assert assign(cloud, nic, "172.31.0.10", "172.31.0.11") == ["172.31.0.10", "172.31.0.11"]
    (drawn,) = assign(cloud, nic, count=1)
    assert addresses_of(cloud, nic) == ["172.31.0.9", "172.31.0.10", "172.31.0.11", drawn]
    for its_own in ("172.31.0.9", "172.31.0.10"):
        assert assign(cloud, nic, its_own) == []
    for name, value in (
        ("addresses.private-ip-address", "172.31.0.11"),
        ("private-ip-address", drawn),
        ("addresses.primary", "false"),
    ):
        assert found(cloud, name, value) == {nic.network_interface_id}, name
    with refused(Kind.EXISTS, "network-interface"):
        assign(cloud, other, "172.31.0.10")
    assert assign(cloud, other, "172.31.0.10", "172.31.0.12", again=True) == [
        "172.31.0.10",
        "172.31.0.12",
    ]
    assert addresses_of(cloud, nic) == ["172.31.0.9", "172.31.0.11", drawn]
    with refused(Kind.EXISTS, "network-interface"):  # a primary one never moves
        assign(cloud, other, "172.31.0.9", again=True)
    unassign(cloud, nic, "172.31.0.11")
    assert addresses_of(cloud, nic) == ["172.31.0.9", drawn]
    for wrong in (["172.31.0.9"], ["172.31.0.12"], []):
        with refused(Kind.INVALID):
            unassign(cloud, nic, *wrong)
    with refused(Kind.INVALID):
        assign(cloud, nic)


def test_hosts_know_of_secondary_addresses(cloud):
    (instance_id,) = cloud.run_ids()
    nic = cloud.describe(instance_id)[0].network_interfaces[0]
    group_id = nic.groups[0].group_id
    assign(cloud, nic, "172.31.0.10")
    cloud.converge()
    (spec,) = cloud.host.specs[instance_id].nics
    assert list(spec.secondary_private_ip_addresses) == ["172.31.0.10"]
    (vpc,) = cloud.host.vpcs.values()
    (group,) = [one for one in vpc.security_groups if one.group_id == group_id]
    assert list(group.member_addresses) == sorted([nic.private_ip_address, "172.31.0.10"])
    address = ask(cloud, "Allocate", pb.AllocateAddressRequest(), "Addresses")
    associate(cloud, address, nic, "172.31.0.10")
    cloud.converge()
    (vpc,) = cloud.host.vpcs.values()
    public = {one.public_ip: one.private_ip for one in vpc.public_addresses}
    assert public[address.public_ip] == "172.31.0.10"
    assert public[nic.association.public_ip] == nic.private_ip_address
    unassign(cloud, nic, "172.31.0.10")
    cloud.converge()
    (vpc,) = cloud.host.vpcs.values()
    assert [one.public_ip for one in vpc.public_addresses] == [nic.association.public_ip]


def associate(cloud, address, nic, private_ip="", **more):
    request = pb.AssociateAddressRequest(
        allocation_id=address.allocation_id,
        network_interface_id=nic.network_interface_id,
        private_ip_address=private_ip,
        **more,
    )
    return ask(cloud, "Associate", request, "Addresses")


def test_an_elastic_address_on_a_particular_private_one(cloud):
    nic = make(
        cloud, private_ip_address="172.31.0.9", secondary_private_ip_addresses=["172.31.0.8"]
    )
    first, second = (
        ask(cloud, "Allocate", pb.AllocateAddressRequest(), "Addresses") for _ in range(2)
    )
    one = associate(cloud, first, nic, "172.31.0.8")
    two = associate(cloud, second, nic)
    assert (one.private_ip_address, two.private_ip_address) == ("172.31.0.8", "172.31.0.9")
    assert one.network_interface_id == two.network_interface_id == nic.network_interface_id
    seen = shown(cloud, nic.network_interface_id)
    assert [each.association.public_ip for each in seen.private_ip_addresses] == [
        second.public_ip,
        first.public_ip,
    ]
    assert seen.association.public_ip == second.public_ip
    for name, value in (
        ("association.allocation-id", first.allocation_id),
        ("association.association-id", one.association_id),
        ("association.public-ip", first.public_ip),
        ("addresses.association.public-ip", first.public_ip),
        ("association.ip-owner-id", cloud.alice.account_id),
    ):
        assert found(cloud, name, value) == {nic.network_interface_id}, name
    request = pb.DescribeAddressesRequest(
        filters=[common_pb2.Filter(name="private-ip-address", values=["172.31.0.8"])]
    )
    (listed,) = ask(cloud, "Describe", request, "Addresses").addresses
    assert listed == one
    with refused(Kind.EXISTS):
        associate(cloud, second, nic, "172.31.0.8", allow_reassociation=False)
    with refused(Kind.INVALID):
        associate(cloud, second, nic, "172.31.0.7")
    moved = associate(cloud, second, nic, "172.31.0.8")
    assert moved.private_ip_address == "172.31.0.8"
    assert not shown(cloud, nic.network_interface_id).HasField("association")
    request = pb.DisassociateAddressRequest(association_id=moved.association_id)
    ask(cloud, "Disassociate", request, "Addresses")
    assert not found(cloud, "association.public-ip", "*")


def test_an_instance_of_several_names_its_interface(cloud):
    (instance_id,) = cloud.run_ids()
    attach(cloud, make(cloud), instance_id)
    address = ask(cloud, "Allocate", pb.AllocateAddressRequest(), "Addresses")
    request = pb.AssociateAddressRequest(
        allocation_id=address.allocation_id, instance_id=instance_id
    )
    with refused(Kind.INVALID, "instance", "several-interfaces"):
        ask(cloud, "Associate", request, "Addresses")


def test_with_several_interfaces_no_new_address_is_lent(cloud):
    """EC2's rule: only an instance's single interface gets a public address at its start."""
    (instance_id,) = cloud.run_ids()
    assert cloud.describe(instance_id)[0].public_ip_address
    attachment_id = attach(cloud, make(cloud), instance_id)
    for expected in (False, True):
        cloud.converge()
        cloud.on("Stop", [instance_id])
        cloud.converge()
        cloud.on("Start", [instance_id])
        cloud.converge()
        assert bool(cloud.describe(instance_id)[0].public_ip_address) is expected
        if not expected:
            detach(cloud, attachment_id)


def test_of_an_instance_and_an_interface_the_instance_counts(cloud):
    (instance_id,) = cloud.run_ids()
    of_another = make(cloud)
    address = ask(cloud, "Allocate", pb.AllocateAddressRequest(), "Addresses")
    associated = associate(cloud, address, of_another, instance_id=instance_id)
    assert associated.instance_id == instance_id
    assert associated.network_interface_id != of_another.network_interface_id
    attach(cloud, of_another, instance_id)
    with refused(Kind.INVALID, reason="several-interfaces"):
        associate(cloud, address, of_another, instance_id=instance_id)
