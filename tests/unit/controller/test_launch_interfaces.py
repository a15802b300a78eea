"""RunInstances with several network interfaces, new ones and those that are there."""

import pytest

from controller.config import Config, RegionConfig, Zone
from protos.cloud.v1 import common_pb2, instances_pb2
from protos.errors import Kind
from tests.unit.controller.cloud import Cloud
from tests.unit.controller.interface_calls import (
    attach,
    make,
    shown,
    subnet_of,
    used,
)
from tests.unit.controller.refusals import refused

ZONES = Zone("us-east-1a", "use1-az1"), Zone("us-east-1b", "use1-az2")
One = instances_pb2.LaunchInterface


@pytest.fixture
def cloud(tmp_path):
    config = Config(state_dir=tmp_path, region=RegionConfig(zones=ZONES))
    made = Cloud(tmp_path, config=config)
    yield made
    assert made.discrepancies() == []


def launch(cloud, *interfaces, **more):
    return cloud.run(network_interfaces=interfaces, **more).instances


def nics_of(instance):
    return [
        (one.attachment.device_index, one.network_interface_id)
        for one in instance.network_interfaces
    ]


def test_new_ones_and_one_that_is_there(cloud):
    there = make(cloud, description="there")
    tags = [common_pb2.Tag(key="a", value="b")]
    (launched,) = launch(
        cloud,
        One(device_index=1, network_interface_id=there.network_interface_id),
        One(device_index=0, description="first", secondary_private_ip_address_count=1),
        tag_specifications=[
            common_pb2.TagSpecification(resource_type="network-interface", tags=tags)
        ],
    )
    assert [index for index, _ in nics_of(launched)] == [0, 1]
    first, second = launched.network_interfaces
    assert (first.description, second.description) == ("first", "there")
    assert len(first.private_ip_addresses) == 2
    assert first.attachment.delete_on_termination
    assert not second.attachment.delete_on_termination
    assert not first.HasField("association")  # of several, none is lent a public address
    assert used(cloud) == 2
    cloud.converge()
    (instance,) = cloud.describe(launched.instance_id)
    assert instance.state == "running"
    assert nics_of(instance) == nics_of(launched)
    assert instance.private_ip_address == first.private_ip_address
    assert shown(cloud, first.network_interface_id).tags == tags
    assert not shown(cloud, there.network_interface_id).tags
    spec = cloud.host.specs[launched.instance_id]
    assert [nic.device_index for nic in spec.nics] == [0, 1]
    assert len(spec.nics[0].secondary_private_ip_addresses) == 1
    assert shown(cloud, there.network_interface_id).attachment.status == "attached"


def test_one_interface_as_the_longer_way_to_say_it(cloud):
    (launched,) = launch(
        cloud,
        One(
            device_index=0,
            subnet_id=subnet_of(cloud).subnet_id,
            private_ip_address="172.31.0.9",
            secondary_private_ip_addresses=["172.31.0.10"],
            associate_public_ip_address=True,
        ),
    )
    (nic,) = launched.network_interfaces
    assert [one.private_ip_address for one in nic.private_ip_addresses] == [
        "172.31.0.9",
        "172.31.0.10",
    ]
    assert nic.association.public_ip
    assert nic.private_ip_addresses[0].association == nic.association
    (bare,) = launch(cloud, One(device_index=0, associate_public_ip_address=False))
    assert not bare.public_ip_address


def test_many_instances_with_two_interfaces_each(cloud):
    launched = launch(cloud, One(device_index=0), One(device_index=1), min_count=3, max_count=3)
    nics = [nic for instance in launched for nic in instance.network_interfaces]
    assert len({nic.network_interface_id for nic in nics}) == 6
    assert len({nic.private_ip_address for nic in nics}) == 6
    assert used(cloud) == 6
    cloud.on("Terminate", [instance.instance_id for instance in launched])
    cloud.converge()
    assert used(cloud) == 0


def test_all_of_a_launch_are_in_the_zone_of_the_one_that_is_there(cloud):
    cloud.add_host(5, zone="us-east-1b")
    there = make(cloud, subnet_id=subnet_of(cloud, "us-east-1b").subnet_id)
    (launched,) = launch(
        cloud,
        One(device_index=0, network_interface_id=there.network_interface_id),
        One(device_index=1),
    )
    assert launched.availability_zone == "us-east-1b"
    assert {nic.availability_zone for nic in launched.network_interfaces} == {"us-east-1b"}


ENI = "eni-0123456789abcdef0"


@pytest.mark.parametrize(
    ("interfaces", "more", "kind", "noun", "reason"),
    [
        ([One()], {"subnet_id": "subnet-01234567"}, Kind.INVALID, None, "parameter-combination"),
        ([One()], {"security_group_ids": ["sg-1"]}, Kind.INVALID, None, "parameter-combination"),
        ([One()], {"private_ip_address": "1"}, Kind.INVALID, None, "parameter-combination"),
        ([One(), One()], {}, Kind.INVALID, None, "parameter-combination"),
        ([One(device_index=1)], {}, Kind.INVALID, "parameter", ""),
        (
            [One(associate_public_ip_address=True), One(device_index=1)],
            {},
            Kind.INVALID,
            None,
            "parameter-combination",
        ),
        (
            [One(private_ip_address="172.31.0.9")],
            {"max_count": 2},
            Kind.INVALID,
            None,
            "parameter-combination",
        ),
        ([One(network_interface_id="eni-1")], {}, Kind.MALFORMED_ID, "network-interface", ""),
        ([One(network_interface_id=ENI)], {}, Kind.NOT_FOUND, "network-interface", ""),
        (
            [One(network_interface_id=ENI, subnet_id="subnet-01234567")],
            {},
            Kind.INVALID,
            None,
            "parameter-combination",
        ),
        (
            [One(network_interface_id=ENI, delete_on_termination=True)],
            {},
            Kind.INVALID,
            None,
            "parameter-combination",
        ),
        (
            [One(network_interface_id=ENI)],
            {"max_count": 2},
            Kind.INVALID,
            None,
            "parameter-combination",
        ),
        (
            [One(), One(device_index=1), One(device_index=2)],
            {},
            Kind.QUOTA,
            "network-interface-attachment",
            "",
        ),
        ([One(secondary_private_ip_address_count=2)], {}, Kind.QUOTA, "private-address", ""),
    ],
)
def test_what_cannot_be_launched(cloud, interfaces, more, kind, noun, reason):
    with refused(kind, noun, reason):
        launch(cloud, *interfaces, **more)
    assert cloud.describe() == []
    assert used(cloud) == 0


def test_zones_that_do_not_meet(cloud):
    one, other = (subnet_of(cloud, zone.name).subnet_id for zone in ZONES)
    with refused(Kind.INVALID, None, "parameter-combination"):
        launch(cloud, One(subnet_id=one), One(device_index=1, subnet_id=other))


def test_one_that_another_instance_has(cloud):
    (instance_id,) = cloud.run_ids()
    nic = make(cloud)
    attach(cloud, nic, instance_id)
    with refused(Kind.WRONG_STATE, "network-interface", "in-use"):
        launch(cloud, One(network_interface_id=nic.network_interface_id))


def test_a_failed_launch_lets_go_of_what_was_there(cloud):
    there = make(cloud)
    cloud.host.fails.add("*")
    (launched,) = launch(cloud, One(network_interface_id=there.network_interface_id))
    cloud.converge()
    assert cloud.states(launched.instance_id) == ["terminated"]
    assert shown(cloud, there.network_interface_id).status == "available"
