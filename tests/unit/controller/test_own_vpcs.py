"""VPCs and what they have, made and unmade by their owners: ranges, refusals, quotas, defaults."""

import pytest

from controller.kernel.call import system_call
from controller.network.default_vpc import add_missing_subnets
from protos.cloud.v1 import networks_pb2 as pb
from protos.cloud.v1 import quotas_pb2
from protos.errors import Kind
from tests.unit.controller.network_calls import (
    ask,
    main_table,
    make_gateway,
    make_subnet,
    make_table,
    make_vpc,
    refusal,
    routes,
)
from tests.unit.controller.resource_world import ANN, BOB, OPERATOR, ZONES, World, filters


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


@pytest.mark.parametrize("block", ["10.0.0.0/15", "10.0.0.0/29", "127.0.0.0/16", "224.1.0.0/16"])
def test_what_cannot_be_a_vpcs_range(world, block):
    assert refusal(world, "CreateVpc", cidr_block=block) == (Kind.INVALID, "", "vpc-range")


@pytest.mark.parametrize(
    "block", ["10.0.0.0", "10.0.0/16", "fd00::/56", "10.0.0.0/16 ", "1٢.0.0.0/16"]
)
def test_what_is_no_range_at_all(world, block):
    assert refusal(world, "CreateVpc", cidr_block=block) == (Kind.INVALID, "parameter", "")


def test_ranges_are_kept_as_their_network(world):
    vpc = ask(world, "CreateVpc", cidr_block="100.68.0.18/18")
    assert vpc.cidr_block == "100.68.0.0/18"
    assert make_subnet(world, vpc.vpc_id, "100.68.1.77/24").cidr_block == "100.68.1.0/24"


def test_dedicated_hardware_is_not_pretended(world):
    asked = {"cidr_block": "10.0.0.0/16", "instance_tenancy": "dedicated"}
    assert refusal(world, "CreateVpc", **asked)[0] is Kind.UNSUPPORTED


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        ("10.0.0.0/29", (Kind.INVALID, "", "subnet-range")),
        ("10.1.0.0/24", (Kind.INVALID, "", "subnet-range")),
        ("10.0.0.0/15", (Kind.INVALID, "", "subnet-range")),
        ("10.0.1.128/25", (Kind.EXISTS, "subnet", "")),
        ("10.0.0.0/16", (Kind.EXISTS, "subnet", "")),
        ("", (Kind.INVALID, "parameter", "missing-parameter")),
    ],
)
def test_what_cannot_be_a_subnets_range(world, block, expected):
    vpc = make_vpc(world)
    make_subnet(world, vpc)
    assert refusal(world, "CreateSubnet", vpc_id=vpc, cidr_block=block) == expected


def test_a_subnet_is_where_it_was_asked_for_or_where_a_host_is(world):
    vpc = make_vpc(world)
    named = make_subnet(world, vpc, "10.0.1.0/24", availability_zone="us-east-1b")
    by_id = make_subnet(world, vpc, "10.0.2.0/24", availability_zone_id="use1-az2")
    assert {named.availability_zone, by_id.availability_zone} == {"us-east-1b"}
    assert make_subnet(world, vpc, "10.0.3.0/24").availability_zone == "us-east-1a"
    world.add_host(zone="us-east-1b")
    assert make_subnet(world, vpc, "10.0.4.0/24").availability_zone == "us-east-1b"
    asked = {"vpc_id": vpc, "cidr_block": "10.0.5.0/24"}
    unknown = refusal(world, "CreateSubnet", **asked, availability_zone="us-east-1z")
    assert unknown == (Kind.INVALID, "availability-zone", "")
    both = {"availability_zone": "us-east-1a", "availability_zone_id": "use1-az1"}
    assert refusal(world, "CreateSubnet", **asked, **both)[2] == "parameter-combination"


def test_what_another_account_has_is_not_there(world):
    vpc = make_vpc(world, account=BOB)
    missing = (Kind.NOT_FOUND, "vpc", "")
    for method in ("DeleteVpc", "DescribeVpcAttribute", "CreateRouteTable"):
        assert refusal(world, method, vpc_id=vpc) == missing
    assert refusal(world, "CreateSubnet", vpc_id=vpc, cidr_block="10.0.1.0/24") == missing
    gateway = make_gateway(world)
    into = {"internet_gateway_id": gateway, "vpc_id": vpc}
    assert refusal(world, "AttachInternetGateway", **into) == missing


def test_a_vpc_goes_when_nothing_lives_in_it_and_all_that_came_with_it_goes_too(world):
    vpc = make_vpc(world)
    in_use = (Kind.WRONG_STATE, "vpc", "in-use")
    subnet, gateway, table = (
        make_subnet(world, vpc),
        make_gateway(world, vpc),
        make_table(world, vpc),
    )
    group = world.groups.Create(
        pb.CreateSecurityGroupRequest(group_name="g", description="d", vpc_id=vpc), world.call()
    )
    undo = [
        lambda: ask(world, "DeleteSubnet", subnet_id=subnet.subnet_id),
        lambda: ask(world, "DetachInternetGateway", internet_gateway_id=gateway, vpc_id=vpc),
        lambda: ask(world, "DeleteRouteTable", route_table_id=table),
        lambda: world.groups.Delete(
            pb.SecurityGroupSelector(group_id=group.group_id), world.call()
        ),
    ]
    for step in undo:
        assert refusal(world, "DeleteVpc", vpc_id=vpc) == in_use
        step()
    ask(world, "DeleteVpc", vpc_id=vpc)
    for method in ("DescribeRouteTables", "DescribeNetworkAcls", "DescribeSubnets"):
        answer = ask(world, method, filters=filters(vpc_id=vpc))
        assert answer == type(answer)()
    assert used(world, "vpcs") == 1


def used(world, name: str) -> int:
    listed = world.quotas.List(
        quotas_pb2.ListQuotasRequest(account_id=ANN), world.call(OPERATOR)
    ).quotas
    return next(quota.used for quota in listed if quota.name == name)


def test_quotas(world):
    def limit(name: str, maximum: int) -> None:
        request = quotas_pb2.SetQuotaRequest(account_id=ANN, name=name, limit=maximum)
        world.quotas.Set(request, world.call(OPERATOR))

    vpc = make_vpc(world)
    make_subnet(world, vpc)
    for name, maximum in {
        "vpcs": 2,
        "internet_gateways": 1,
        "subnets_per_vpc": 1,
        "route_tables_per_vpc": 1,
    }.items():
        limit(name, maximum)
    assert refusal(world, "CreateVpc", cidr_block="10.1.0.0/16")[:2] == (Kind.QUOTA, "vpc")
    asked = {"vpc_id": vpc, "cidr_block": "10.0.2.0/24"}
    assert refusal(world, "CreateSubnet", **asked)[:2] == (Kind.QUOTA, "subnet")
    assert refusal(world, "CreateInternetGateway")[:2] == (Kind.QUOTA, "internet-gateway")
    assert refusal(world, "CreateRouteTable", vpc_id=vpc)[:2] == (Kind.QUOTA, "route-table")
    limit("internet_gateways", 2)
    gateway, main = make_gateway(world, vpc), main_table(world, vpc)
    limit("routes_per_table", 1)
    to = {"route_table_id": main, "gateway_id": gateway}
    ask(world, "CreateRoute", destination_cidr_block="0.0.0.0/0", **to)
    full = refusal(world, "CreateRoute", destination_cidr_block="192.0.2.0/24", **to)
    assert full[:2] == (Kind.QUOTA, "route")


# --- attributes -----------------------------------------------------------------------------------


def test_attributes_are_changed_one_at_a_time(world):
    vpc = make_vpc(world)
    ask(world, "ModifyVpcAttribute", vpc_id=vpc, enable_dns_support=False)
    seen = ask(world, "DescribeVpcAttribute", vpc_id=vpc)
    assert (seen.enable_dns_support, seen.enable_dns_hostnames) == (False, False)
    two = {"enable_dns_support": True, "enable_dns_hostnames": True}
    assert refusal(world, "ModifyVpcAttribute", vpc_id=vpc, **two)[2] == "parameter-combination"
    assert refusal(world, "ModifyVpcAttribute", vpc_id=vpc)[2] == "missing-parameter"
    assert refusal(world, "ModifySubnetAttribute", subnet_id="")[2] == "missing-parameter"


def test_public_names_are_given_where_the_vpc_says_so(world):
    (nic,) = world.launch(1)
    vpc = world.default_vpc()

    def public_name() -> str:
        asked = pb.DescribeNetworkInterfacesRequest(
            network_interface_ids=[nic.network_interface_id]
        )
        (seen,) = world.networks.DescribeNetworkInterfaces(asked, world.call()).network_interfaces
        return seen.association.public_dns_name

    assert public_name() == world.dns.public(nic.public_ip) != ""
    for change in ({"enable_dns_hostnames": False}, {"enable_dns_support": False}):
        ask(world, "ModifyVpcAttribute", vpc_id=vpc, **change)
        assert public_name() == ""
        by_name = pb.DescribeNetworkInterfacesRequest()
        by_name.filters.add(name="association.public-dns-name", values=["*"])
        found = world.networks.DescribeNetworkInterfaces(by_name, world.call())
        assert not found.network_interfaces
        ask(world, "ModifyVpcAttribute", vpc_id=vpc, **{name: True for name in change})


# --- DHCP options, defaults -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("domain-name", ["a\nserver=192.0.2.66"]),
        ("domain-name", ["one.example", "two.example"]),
        ("domain-name-servers", ["resolver.example"]),
        ("ntp-servers", ["192.0.2.1"] * 5),
        ("netbios-node-type", ["3"]),
        ("no-such-option", ["x"]),
        ("ntp-servers", []),
    ],
)
def test_what_is_no_dhcp_option(world, key, values):
    option = pb.DhcpOption(key=key, values=values)
    assert refusal(world, "CreateDhcpOptions", options=[option]) == (Kind.INVALID, "parameter", "")


@pytest.mark.parametrize(
    ("name", "matching", "other"),
    [
        ("dhcp-options-id", "dopt-*", "x"),
        ("key", "domain-name", "domain"),
        ("value", "AmazonProvidedDNS", "192.0.2.1"),
        ("owner-id", ANN, BOB),
    ],
)
def test_filters_of_dhcp_options(world, name, matching, other):
    for value, count in ((matching, 1), (other, 0)):
        asked = pb.DescribeDhcpOptionsRequest()
        asked.filters.add(name=name, values=[value])
        assert len(world.networks.DescribeDhcpOptions(asked, world.call()).dhcp_options) == count


def test_a_default_vpc_can_go_and_come_back(world):
    vpc = world.default_vpc()
    assert refusal(world, "CreateDefaultVpc", request=pb.VpcSelector()) == (
        Kind.EXISTS,
        "vpc",
        "default",
    )
    found = ask(world, "DescribeSubnets", filters=filters(vpc_id=vpc)).subnets
    for subnet in found:
        ask(world, "DeleteSubnet", subnet_id=subnet.subnet_id)
    with world.db.write(system_call(world.now_ms)) as tx:
        assert add_missing_subnets(tx, ZONES, world.rng) == 0  # deleted ones stay so
    zone = {"availability_zone": found[0].availability_zone}
    made = ask(world, "CreateDefaultSubnet", **zone)
    assert (made.default_for_az, made.map_public_ip_on_launch) == (True, True)
    again = refusal(world, "CreateDefaultSubnet", **zone)
    assert again == (Kind.EXISTS, "subnet", "default")
    ask(world, "DeleteSubnet", subnet_id=made.subnet_id)
    (gateway,) = ask(
        world, "DescribeInternetGateways", filters=filters(attachment___vpc_id=vpc)
    ).internet_gateways
    attached = {"internet_gateway_id": gateway.internet_gateway_id, "vpc_id": vpc}
    ask(world, "DetachInternetGateway", **attached)
    ask(world, "DeleteVpc", vpc_id=vpc)
    assert refusal(world, "CreateDefaultSubnet", **zone) == (Kind.NOT_FOUND, "vpc", "default")
    new = ask(world, "CreateDefaultVpc", request=pb.VpcSelector())
    assert (new.is_default, new.cidr_block) == (True, "172.31.0.0/16")
    subnets = ask(world, "DescribeSubnets", filters=filters(vpc_id=new.vpc_id)).subnets
    assert len(subnets) == len(ZONES)
    seen = routes(world, main_table(world, new.vpc_id))
    assert seen["0.0.0.0/0"].state == "active"
