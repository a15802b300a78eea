"""Interfaces: where a launch may go, addresses, groups, their end (traps 27, 34, 42)."""

import ipaddress

import pytest

from controller.network.interfaces import rules as interfaces
from controller.network.interfaces.launch import find_launch_network
from controller.network.interfaces.private_addresses import draw_free
from protos.cloud.v1 import networks_pb2 as pb
from protos.errors import Kind
from tests.unit.controller.group_calls import create
from tests.unit.controller.refusals import refused
from tests.unit.controller.resource_world import ANN, BOB, World


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def shown(world, account_id=ANN, **asked):
    return world.networks.DescribeNetworkInterfaces(
        pb.DescribeNetworkInterfacesRequest(**asked), world.call(account_id)
    ).network_interfaces


def find(world, account_id=ANN, **asked):
    with world.db.read() as session:
        return find_launch_network(session, account_id, **asked)


def test_an_interface_shows_all_that_tools_read(world):
    (made,) = world.launch(description="eth0 of it")
    (nic,) = shown(world)
    assert nic.network_interface_id == made.network_interface_id
    assert nic.status == "in-use"
    assert nic.attachment.instance_id == made.instance_id
    assert (nic.attachment.device_index, nic.attachment.delete_on_termination) == (0, True)
    assert nic.attachment.status == "attached"
    assert nic.association.public_ip == nic.association.public_dns_name == made.public_ip
    assert (nic.association.ip_owner_id, nic.association.allocation_id) == ("amazon", "")
    assert [group.group_name for group in nic.groups] == ["default"]
    dashed = made.private_ip.replace(".", "-")
    assert nic.private_dns_name == f"ip-{dashed}.ec2.internal"
    assert nic.mac_address.startswith("02:")
    assert (nic.source_dest_check, nic.description) == (True, "eth0 of it")


def test_fifty_interfaces_cost_the_statements_of_one(tmp_path):
    world = World(tmp_path, public_pool="100.64.0.0/24")
    counts = []
    for number in (1, 50):
        before = len(world.statements)
        made = world.launch(number)
        counts.append(len(world.statements) - before)
        assert len({one.private_ip for one in made}) == number
        assert len({one.public_ip for one in made}) == number
    # One to find the network, one for the quota, four for interfaces, one each for the instances
    # and the attachments.
    assert counts == [8, 8]


def test_addresses_are_never_the_reserved_ones_and_never_doubled(world):
    subnet_id = find(world).subnets[0].subnet_id
    with world.db.write(world.call()) as tx:
        free = draw_free(tx, world.rng, subnet_id, "172.31.0.0/28", 11)
        assert {int(ipaddress.ip_address(address)) & 15 for address in free} == set(range(4, 15))
        with refused(Kind.NO_CAPACITY, "subnet"):
            draw_free(tx, world.rng, subnet_id, "172.31.0.0/28", 12)


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("172.31.0.3", Kind.INVALID),
        ("172.31.15.255", Kind.INVALID),
        ("172.31.16.9", Kind.INVALID),
        ("10.0.0.1", Kind.INVALID),
        ("x", Kind.INVALID),
        ("172.31.0.77", Kind.EXISTS),
    ],
)
def test_a_private_address_that_cannot_be_had(world, address, kind):
    (made,) = world.launch(private_ip="172.31.0.77")
    assert made.private_ip == "172.31.0.77"
    with refused(kind):
        world.launch(private_ip=address)
    assert len(shown(world)) == 1


def test_two_accounts_may_have_the_same_private_address(world):
    (mine,) = world.launch(private_ip="172.31.0.77")
    (his,) = world.launch(account_id=BOB, private_ip="172.31.0.77")
    assert mine.public_ip != his.public_ip
    assert [nic.network_interface_id for nic in shown(world, BOB)] == [his.network_interface_id]


def test_public_addresses_run_out_and_say_so(world):
    assert all(
        made.public_ip for made in world.launch(13)
    )  # of /28: the first two and the last are not lent
    with refused(Kind.NO_CAPACITY, "elastic-ip"):
        world.launch()
    (made,) = world.launch(public=False)
    assert made.public_ip == ""


def test_where_a_launch_may_go(world):
    network = find(world)
    assert [subnet.availability_zone for subnet in network.subnets] == ["us-east-1a", "us-east-1b"]
    assert list(network.groups.values()) == ["default"]
    second = network.subnets[1]
    assert find(world, subnet_id=second.subnet_id).subnets == (second,)
    assert find(world, availability_zone="us-east-1b").subnets == (second,)
    for asked, kind, noun in (
        ({"subnet_id": "subnet-x"}, Kind.NOT_FOUND, "subnet"),
        ({"subnet_id": "subnet-01234567"}, Kind.NOT_FOUND, "subnet"),
        ({"availability_zone": "us-east-1z"}, Kind.INVALID, "availability-zone"),
        (
            {"subnet_id": second.subnet_id, "availability_zone": "us-east-1a"},
            Kind.INVALID,
            "availability-zone",
        ),
        ({"group_ids": ["sg-x"]}, Kind.MALFORMED_ID, "security-group"),
        ({"group_ids": ["sg-01234567"]}, Kind.NOT_FOUND, "security-group"),
        ({"group_names": ["nobody"]}, Kind.NOT_FOUND, "security-group"),
    ):
        with refused(kind, noun):
            find(world, **asked)
    with refused(Kind.NOT_FOUND, "subnet"):
        find(world, BOB, subnet_id=second.subnet_id)


def test_groups_come_in_the_order_asked_for_and_at_most_five(world):
    made = [create(world, f"g{number}").group_id for number in range(6)]
    asked = list(reversed(made))[:5]
    assert list(find(world, group_ids=asked).groups) == asked
    world.launch(group_ids=asked)
    assert [group.group_id for group in shown(world)[0].groups] == asked
    with refused(Kind.QUOTA, "groups-per-interface"):
        find(world, group_ids=made)
    assert list(find(world, group_names=["g1"], group_ids=[made[0]]).groups) == made[:2]


def test_other_groups_for_an_instance_that_runs(world):
    world.add_host()
    web = create(world)
    (made,) = world.launch(host_id="h-1")
    with world.db.write(world.call()) as tx:
        interfaces.set_groups(tx, world.feed, made.instance_id, [web.group_id])
        interfaces.set_source_dest_check(tx, world.feed, made.instance_id, False)
    assert world.kicked == ["h-1", "h-1"]
    (nic,) = shown(world)
    assert [group.group_name for group in nic.groups] == ["web"]
    assert not nic.source_dest_check
    with world.db.write(world.call()) as tx, refused(Kind.INVALID):
        interfaces.set_groups(tx, world.feed, made.instance_id, [])


def test_stop_start_and_the_end(world):
    (made,) = world.launch()
    with world.db.write(world.call()) as tx:
        interfaces.give_back_lent(tx, [made.instance_id])
    (nic,) = shown(world)
    assert not nic.HasField("association")
    assert nic.private_ip_address == made.private_ip
    with world.db.write(world.call()) as tx:
        interfaces.lend_again(tx, ANN, [made.instance_id])
        interfaces.lend_again(tx, ANN, [made.instance_id])
    again = shown(world)[0].association.public_ip
    assert again not in ("", made.public_ip)  # the longest free is lent first
    vpc_id = world.default_vpc()
    with world.db.write(world.call()) as tx:
        released = interfaces.release_interfaces(tx, [made.instance_id])
        assert (released.vpc_ids, released.gone) == ([vpc_id], {ANN: 1})
        assert interfaces.release_interfaces(tx, [made.instance_id]).vpc_ids == []
    assert not shown(world)
    assert all(one.public_ip for one in world.launch(13))  # all of the pool is free again


def test_one_that_wanted_no_public_address_gets_none_at_start(world):
    (made,) = world.launch(public=False)
    with world.db.write(world.call()) as tx:
        interfaces.lend_again(tx, ANN, [made.instance_id])
    assert not shown(world)[0].HasField("association")


FOUND_BY = {
    "network-interface-id": lambda nic: nic.network_interface_id,
    "vpc-id": lambda nic: nic.vpc_id,
    "subnet-id": lambda nic: nic.subnet_id,
    "availability-zone-id": lambda nic: "use1-az1",
    "description": lambda nic: "its*",
    "mac-address": lambda nic: nic.mac_address,
    "private-ip-address": lambda nic: nic.private_ip_address,
    "private-dns-name": lambda nic: nic.private_dns_name,
    "addresses.private-ip-address": lambda nic: nic.private_ip_address,
    "addresses.association.owner-id": lambda nic: "amazon",
    "association.public-ip": lambda nic: nic.association.public_ip,
    "association.public-dns-name": lambda nic: nic.association.public_dns_name,
    "association.ip-owner-id": lambda nic: "am*",
    "attachment.instance-id": lambda nic: nic.attachment.instance_id,
    "attachment.attachment-id": lambda nic: nic.attachment.attachment_id,
    "attachment.device-index": lambda nic: "0",
    "attachment.delete-on-termination": lambda nic: "true",
    "attachment.status": lambda nic: "attached",
    "group-id": lambda nic: nic.groups[0].group_id,
    "group-name": lambda nic: "default",
    "source-dest-check": lambda nic: "true",
    "status": lambda nic: "in-use",
    "interface-type": lambda nic: "interface",
}
FINDS_NOTHING = (
    "association.allocation-id",
    "association.association-id",
    "ipv6-addresses.ipv6-address",
    "requester-id",
)


@pytest.mark.parametrize("name", sorted(FOUND_BY))
def test_filters_find_it(world, name):
    world.launch(description="its own")
    (nic,) = shown(world)
    request = pb.DescribeNetworkInterfacesRequest()
    request.filters.add(name=name, values=[FOUND_BY[name](nic)])
    assert world.networks.DescribeNetworkInterfaces(request, world.call()).network_interfaces == [
        nic
    ]
    request.filters[0].values[:] = ["no\\*thing"]
    assert not world.networks.DescribeNetworkInterfaces(request, world.call()).network_interfaces


@pytest.mark.parametrize("name", FINDS_NOTHING)
def test_filters_on_what_it_has_not_find_nothing(world, name):
    world.launch()
    for value in ("*", ""):
        request = pb.DescribeNetworkInterfacesRequest()
        request.filters.add(name=name, values=[value])
        answer = world.networks.DescribeNetworkInterfaces(request, world.call())
        assert not answer.network_interfaces
