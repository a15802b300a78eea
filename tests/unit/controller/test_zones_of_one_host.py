"""A zone that another zone's hosts stand for (``hosts_of``): its things are placed on them."""

import pytest
from msgspec.structs import replace

from controller.config import Config, RegionConfig, Zone
from controller.kernel.call import system_call
from protos.cloud.v1 import hosts_pb2, networks_pb2, regions_pb2
from protos.errors import Kind
from protos.rpc import Caller
from tests.unit.controller.cloud import Cloud
from tests.unit.controller.volume_calls import attach, call, created, row, states, why

ZONES = (Zone("us-east-1a", "use1-az1"), Zone("us-east-1b", "use1-az2", hosts_of="us-east-1a"))
OPERATOR = Caller(account_id="1", operator=True)


@pytest.fixture
def cloud(tmp_path):
    return Cloud(tmp_path, config=Config(state_dir=tmp_path, region=RegionConfig(zones=ZONES)))


def zone_states(cloud) -> dict[str, str]:
    answer = cloud.client("Regions").DescribeAvailabilityZones(
        regions_pb2.DescribeAvailabilityZonesRequest(), caller=cloud.alice.caller()
    )
    return {zone.zone_name: zone.state for zone in answer.zones}


def test_both_zones_are_available_with_a_default_subnet_each(cloud):
    assert zone_states(cloud) == {"us-east-1a": "available", "us-east-1b": "available"}
    answer = cloud.client("Networks").DescribeSubnets(
        networks_pb2.DescribeSubnetsRequest(), caller=cloud.alice.caller()
    )
    found = {subnet.availability_zone: subnet for subnet in answer.subnets}
    assert set(found) == set(zone_states(cloud))
    assert found["us-east-1b"].availability_zone_id == "use1-az2"
    assert all(subnet.default_for_az for subnet in found.values())


@pytest.mark.parametrize("zone", ["us-east-1a", "us-east-1b"])
def test_an_instance_in_either_is_on_the_one_host_and_says_its_own_zone(cloud, zone):
    (instance,) = cloud.run_ids(availability_zone=zone)
    (seen,) = cloud.describe(instance)
    assert (seen.state, seen.availability_zone) == ("running", zone)
    assert cloud.host.specs[instance].metadata.availability_zone == zone
    assert cloud.discrepancies() == []


def test_capacity_is_the_hosts_whichever_zone_asks(tmp_path):
    config = Config(state_dir=tmp_path, region=RegionConfig(zones=ZONES))
    cloud = Cloud(tmp_path, config=config, disk_gib=3)
    cloud.run_ids(2, availability_zone="us-east-1b")
    cloud.run_ids(1, availability_zone="us-east-1a")
    for zone in ("us-east-1a", "us-east-1b"):
        assert why(cloud.run, availability_zone=zone)[0] is Kind.NO_CAPACITY
    assert cloud.discrepancies() == []


def test_a_volume_is_attached_in_its_own_zone_only(cloud):
    volume_id = created(cloud, availability_zone="us-east-1b")
    assert row(cloud, volume_id).host_id == cloud.host.host_id
    (there,) = cloud.run_ids(availability_zone="us-east-1b")
    (elsewhere,) = cloud.run_ids(availability_zone="us-east-1a")
    assert why(attach, cloud, volume_id, elsewhere) == (Kind.INVALID, "volume", "zone-mismatch")
    attach(cloud, volume_id, there)
    cloud.converge()
    assert states(cloud, volume_id) == ("in-use", ["attached"])


def test_a_host_of_the_zones_own_takes_nothing_for_the_other(cloud):
    own = cloud.add_host(7, zone="us-east-1b", disk_gib=900)
    assert row(cloud, created(cloud, availability_zone="us-east-1b")).host_id == own.host_id
    assert row(cloud, created(cloud, availability_zone="us-east-1a")).host_id != own.host_id
    hosts = cloud.client("Hosts").List(hosts_pb2.ListHostsRequest(), caller=OPERATOR).hosts
    assert {host.host_id: list(host.availability_zones) for host in hosts} == {
        cloud.host.host_id: ["us-east-1a", "us-east-1b"],
        own.host_id: ["us-east-1b"],
    }


def test_a_zone_that_is_added_later_is_stood_for_too(tmp_path):
    cloud = Cloud(tmp_path)
    cloud.config = replace(cloud.config, region=RegionConfig(zones=ZONES))
    cloud.rebuild().app.prepare(system_call(cloud.now_ms))
    cloud.run_ids(availability_zone="us-east-1b")
    assert call(cloud, "Create", availability_zone="us-east-1b", size_gib=1).volume_id
