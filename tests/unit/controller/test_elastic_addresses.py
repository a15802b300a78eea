"""Elastic addresses, as EC2's guide has them: what moves, is given back, is refused."""

import pytest

from controller.network.interfaces import rules as interfaces
from controller.tables.compute import Instance
from protos.cloud.v1 import networks_pb2 as pb
from protos.errors import Kind
from tests.unit.controller.refusals import refused
from tests.unit.controller.resource_world import ANN, BOB, World, tag_specification


@pytest.fixture
def world(tmp_path):
    world = World(tmp_path)
    world.add_host()
    return world


def allocate(world, account_id=ANN, **fields):
    return world.addresses.Allocate(pb.AllocateAddressRequest(**fields), world.call(account_id))


def associate(world, address, target, account_id=ANN, **fields):
    request = pb.AssociateAddressRequest(
        allocation_id=address.allocation_id,
        **{"network_interface_id": target.network_interface_id, **fields},
    )
    return world.addresses.Associate(request, world.call(account_id))


def disassociate(world, **fields):
    world.addresses.Disassociate(pb.DisassociateAddressRequest(**fields), world.call())


def release(world, account_id=ANN, **fields):
    world.addresses.Release(pb.ReleaseAddressRequest(**fields), world.call(account_id))


def describe(world, account_id=ANN, **fields):
    return list(
        world.addresses.Describe(
            pb.DescribeAddressesRequest(**fields), world.call(account_id)
        ).addresses
    )


def public_ip_of(world, target):
    request = pb.DescribeNetworkInterfacesRequest(
        network_interface_ids=[target.network_interface_id]
    )
    (nic,) = world.networks.DescribeNetworkInterfaces(request, world.call()).network_interfaces
    return nic.association.public_ip


def desire(world, instance_id, desired):
    with world.db.write(world.call()) as tx:
        tx.advance(Instance, {"desired": desired}, Instance.instance_id == instance_id)


def test_from_allocation_to_release(world):
    address = allocate(world, tag_specifications=tag_specification("elastic-ip", Name="front"))
    assert (address.association_id, address.instance_id) == ("", "")
    assert describe(world) == [address]
    assert [tag.key for tag in address.tags] == ["Name"]
    (made,) = world.launch(host_id="h-1")
    carried = associate(world, address, made)
    assert carried.instance_id == made.instance_id
    assert carried.private_ip_address == made.private_ip
    assert carried.network_interface_owner_id == ANN
    assert world.kicked == ["h-1"]
    with refused(Kind.WRONG_STATE, "elastic-ip", "in-use"):
        release(world, allocation_id=address.allocation_id)
    disassociate(world, association_id=carried.association_id)
    release(world, allocation_id=address.allocation_id)
    assert describe(world) == []
    assert world.used("addresses") == 0
    with refused(Kind.NOT_FOUND, "elastic-ip"):
        release(world, allocation_id=address.allocation_id)


def test_what_was_lent_at_launch_returns_and_another_comes_afterwards(world):
    (made,) = world.launch(host_id="h-1")
    address = allocate(world)
    carried = associate(world, address, made)
    assert public_ip_of(world, made) == address.public_ip
    assert allocate(world, address=made.public_ip)  # back in the pool
    disassociate(world, association_id=carried.association_id)
    assert public_ip_of(world, made) not in ("", address.public_ip, made.public_ip)


def test_a_stopped_instance_or_one_without_lent_addresses_gets_none(world):
    (stopped,) = world.launch(host_id="h-1")
    (private,) = world.launch(host_id="h-1", public=False)
    for made in (stopped, private):
        address = allocate(world)
        associate(world, address, made)
    with world.db.write(world.call()) as tx:
        interfaces.give_back_lent(tx, [stopped.instance_id])
    desire(world, stopped.instance_id, "stopped")
    assert public_ip_of(world, stopped)  # an elastic address stays through a stop
    for address in describe(world):
        disassociate(world, association_id=address.association_id)
    assert (public_ip_of(world, stopped), public_ip_of(world, private)) == ("", "")


def test_an_empty_pool_leaves_it_without(tmp_path):
    world = World(tmp_path, public_pool="100.64.0.0/29")
    (made,) = world.launch()
    address = allocate(world)
    carried = associate(world, address, made)
    for _ in range(4):
        allocate(world, BOB)
    with refused(Kind.NO_CAPACITY, "elastic-ip"):
        allocate(world)
    assert world.used("addresses") == 1
    disassociate(world, association_id=carried.association_id)
    assert public_ip_of(world, made) == ""


def test_it_moves_to_another_interface_unless_told_not_to(world):
    first, second = world.launch(2, host_id="h-1")
    address = allocate(world)
    once = associate(world, address, first)
    with refused(Kind.EXISTS, "elastic-ip-association"):
        associate(world, address, second, allow_reassociation=False)
    moved = associate(world, address, second)
    assert moved.association_id != once.association_id
    assert public_ip_of(world, second) == address.public_ip
    assert public_ip_of(world, first) not in ("", address.public_ip)
    with refused(Kind.NOT_FOUND, "elastic-ip-association"):
        disassociate(world, association_id=once.association_id)


def test_the_same_again_changes_nothing(world):
    (made,) = world.launch()
    address = allocate(world)
    once = associate(world, address, made)
    assert associate(world, address, made, allow_reassociation=False) == once


def test_a_second_address_on_one_interface_takes_the_firsts_place(world):
    (made,) = world.launch()
    first, second = allocate(world), allocate(world)
    associate(world, first, made)
    with refused(Kind.EXISTS, "elastic-ip-association"):
        associate(world, second, made, allow_reassociation=False)
    associate(world, second, made)
    by_id = {address.allocation_id: address for address in describe(world)}
    assert by_id[first.allocation_id].association_id == ""
    assert by_id[second.allocation_id].instance_id == made.instance_id


def test_by_instance_and_by_address(world):
    """A VPC's address is associated by its name, too, but neither taken off nor released by it."""
    (made,) = world.launch()
    address = allocate(world)
    by_instance = pb.AssociateAddressRequest(
        public_ip=address.public_ip, instance_id=made.instance_id
    )
    association_id = world.addresses.Associate(by_instance, world.call()).association_id
    for act in (disassociate, release):
        with refused(Kind.INVALID, "parameter"):
            act(world, public_ip=address.public_ip)
    disassociate(world, association_id=association_id)
    release(world, allocation_id=address.allocation_id)


def test_what_cannot_be_associated(world):
    (made,) = world.launch()
    address, nowhere = allocate(world), {"network_interface_id": ""}
    for fields, kind, noun in (
        (nowhere, Kind.INVALID, None),
        (nowhere | {"instance_id": "i-x"}, Kind.MALFORMED_ID, "instance"),
        (nowhere | {"instance_id": "i-01234567"}, Kind.NOT_FOUND, "instance"),
        ({"network_interface_id": "eni-01234567"}, Kind.NOT_FOUND, "network-interface"),
        ({"private_ip_address": "172.31.0.9"}, Kind.INVALID, "parameter"),
        ({"public_ip": address.public_ip}, Kind.INVALID, None),
    ):
        with refused(kind, noun):
            associate(world, address, made, **fields)
    desire(world, made.instance_id, "terminated")
    with refused(Kind.WRONG_STATE, "instance"):
        associate(world, address, made)
    with world.db.write(world.call()) as tx:
        interfaces.release_interfaces(tx, [made.instance_id])
    with refused(Kind.WRONG_STATE, "instance"):
        associate(world, address, made, network_interface_id="", instance_id=made.instance_id)


def test_the_end_of_its_instance_leaves_it_to_its_account(world):
    (made,) = world.launch()
    address = allocate(world)
    associate(world, address, made)
    with world.db.write(world.call()) as tx:
        interfaces.release_interfaces(tx, [made.instance_id])
    assert describe(world) == [address]


def test_other_accounts_addresses_are_not_there(world):
    his = allocate(world, BOB)
    (made,) = world.launch()
    for act in (
        lambda: associate(world, his, made),
        lambda: release(world, allocation_id=his.allocation_id),
        lambda: release(world, public_ip=his.public_ip),
        lambda: describe(world, allocation_ids=[his.allocation_id]),
        lambda: describe(world, public_ips=[his.public_ip]),
        lambda: allocate(world, address=his.public_ip),
        lambda: disassociate(world, public_ip=his.public_ip),
    ):
        with refused(Kind.NOT_FOUND, "elastic-ip"):
            act()
    with refused(Kind.NOT_FOUND, "elastic-ip"):
        associate(world, allocate(world), made, account_id=BOB)


def test_a_lent_address_is_not_an_elastic_one(world):
    (made,) = world.launch()
    assert describe(world) == []
    with refused(Kind.NOT_FOUND, "elastic-ip", "public-ip"):
        release(world, public_ip=made.public_ip)
    with refused(Kind.EXISTS, "elastic-ip"):
        allocate(world, address=made.public_ip)


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({"domain": "moon"}, Kind.INVALID),
        ({"address": "8.8.8.8"}, Kind.NOT_FOUND),
        ({"tag_specifications": tag_specification("instance", a="b")}, Kind.INVALID),
    ],
)
def test_what_cannot_be_allocated(world, fields, kind):
    with refused(kind):
        allocate(world, **fields)
    assert world.used("addresses") == 0


def test_the_quota(world):
    for domain in ("vpc", "standard", "", "vpc", "vpc"):  # EC2-Classic's word too
        allocate(world, domain=domain)
    with refused(Kind.QUOTA, "elastic-ip"):
        allocate(world)


FOUND_BY = {
    "allocation-id": lambda a: a.allocation_id,
    "association-id": lambda a: a.association_id,
    "domain": lambda a: "vpc",
    "instance-id": lambda a: a.instance_id,
    "network-interface-id": lambda a: a.network_interface_id,
    "network-interface-owner-id": lambda a: ANN,
    "private-ip-address": lambda a: a.private_ip_address,
    "public-ip": lambda a: a.public_ip,
    "tag:Name": lambda a: "fr*",
    "tag-key": lambda a: "Name",
}


@pytest.mark.parametrize("name", sorted(FOUND_BY))
def test_filters_find_it(world, name):
    (made,) = world.launch()
    plain = allocate(world)
    address = allocate(world, tag_specifications=tag_specification("elastic-ip", Name="front"))
    address = associate(world, address, made)
    request = pb.DescribeAddressesRequest()
    request.filters.add(name=name, values=[FOUND_BY[name](address)])
    found = list(world.addresses.Describe(request, world.call()).addresses)
    assert address in found
    assert (plain in found) == (name == "domain")
    with refused(Kind.NOT_FOUND, "elastic-ip"):
        request.allocation_ids.append("eipalloc-01234567")
        world.addresses.Describe(request, world.call())
