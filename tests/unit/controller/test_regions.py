"""The region, its zones, and account attributes."""

import pytest

from protos.cloud.v1 import regions_pb2 as pb
from protos.errors import Kind
from tests.unit.controller.refusals import refused
from tests.unit.controller.resource_world import World, filters


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def zones(world, **asked):
    request = pb.DescribeAvailabilityZonesRequest(**asked)
    return [
        zone.zone_name
        for zone in world.regions.DescribeAvailabilityZones(request, world.call()).zones
    ]


def attributes(world, *names):
    request = pb.DescribeAccountAttributesRequest(names=names)
    answer = world.regions.DescribeAccountAttributes(request, world.call())
    return {attribute.name: list(attribute.values) for attribute in answer.attributes}


def test_one_region(world):
    def ask(**asked):
        return world.regions.Describe(pb.DescribeRegionsRequest(**asked), world.call()).regions

    (region,) = ask()
    assert (region.region_name, region.opt_in_status) == ("us-east-1", "opt-in-not-required")
    assert ask(region_names=["us-east-1"], filters=filters(region_name="us-*"))
    assert not ask(filters=filters(region_name="eu-*"))
    assert ask(endpoint="cloud.example", filters=filters(endpoint="cloud.*"))
    assert not ask(endpoint="cloud.example", filters=filters(endpoint="ec2.*"))
    for asked in ({"region_names": ["eu-west-1"]}, {"filters": filters(nonsense="x")}):
        with refused(Kind.INVALID):
            ask(**asked)


def test_a_zone_is_available_while_a_host_of_it_is_up(world):
    world.add_host(zone="us-east-1b")
    answer = world.regions.DescribeAvailabilityZones(
        pb.DescribeAvailabilityZonesRequest(), world.call()
    )
    assert [(zone.zone_name, zone.zone_id, zone.state) for zone in answer.zones] == [
        ("us-east-1a", "use1-az1", "unavailable"),
        ("us-east-1b", "use1-az2", "available"),
    ]
    assert zones(world, filters=filters(state="available")) == ["us-east-1b"]


def test_zones_by_name_id_and_filters(world):
    assert zones(world, zone_names=["us-east-1a"]) == ["us-east-1a"]
    assert zones(world, zone_ids=["use1-az2"]) == ["us-east-1b"]
    assert zones(world, zone_ids=["use1-az2"], zone_names=["us-east-1a"]) == []
    for wanted in (
        {"region_name": "us-east-1", "zone_type": "availability-zone"},
        {"opt_in_status": "opt-in-not-required", "message": "No host*"},
    ):
        assert len(zones(world, filters=filters(**wanted))) == 2
    for wanted in ({"parent_zone_id": "*"}, {"zone_name": []}):
        assert zones(world, filters=filters(**wanted)) == []
    for asked in (
        {"zone_names": ["us-east-1z"]},
        {"zone_ids": ["use1-az9"]},
        {"filters": filters(nonsense="x")},
    ):
        with refused(Kind.INVALID):
            zones(world, **asked)


def test_what_an_account_is_told_about_itself(world):
    assert attributes(world) == {
        "supported-platforms": ["VPC"],
        "default-vpc": [world.default_vpc()],
        "max-instances": ["100"],
        "vpc-max-security-groups-per-interface": ["5"],
        "max-elastic-ips": ["5"],
        "vpc-max-elastic-ips": ["5"],
    }
    assert list(attributes(world, "default-vpc")) == ["default-vpc"]
    with refused(Kind.INVALID):
        attributes(world, "nonsense")
