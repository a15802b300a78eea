"""What every account starts with, as the Describes show it (trap 41; Terraform reads it so)."""

import pytest

from controller.config import Zone
from controller.kernel.call import system_call
from controller.network.default_vpc import add_missing_subnets
from controller.network.names import DnsNames
from protos.cloud.v1 import networks_pb2 as pb
from protos.errors import CloudError, Kind
from tests.unit.controller.resource_world import ANN, BOB, ZONES, World, filters


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def test_what_terraform_reads_of_a_vpc_is_there_exactly_once(world):
    (vpc,) = world.networks.DescribeVpcs(pb.DescribeVpcsRequest(), world.call()).vpcs
    assert (vpc.cidr_block, vpc.is_default, vpc.state) == ("172.31.0.0/16", True, "available")
    assert vpc.dhcp_options_id.startswith("dopt-")
    networks, call, vpc_id = world.networks, world.call(), vpc.vpc_id
    acls = networks.DescribeNetworkAcls(
        pb.DescribeNetworkAclsRequest(filters=filters(default="true", vpc_id=vpc_id)), call
    ).network_acls
    tables = networks.DescribeRouteTables(
        pb.DescribeRouteTablesRequest(filters=filters(association___main="true", vpc_id=vpc_id)),
        call,
    ).route_tables
    groups = world.groups.Describe(
        pb.DescribeSecurityGroupsRequest(filters=filters(group_name="default", vpc_id=vpc_id)),
        call,
    ).groups
    gateways = networks.DescribeInternetGateways(
        pb.DescribeInternetGatewaysRequest(filters=filters(attachment___vpc_id=vpc_id)), call
    ).internet_gateways
    assert [len(found) for found in (acls, tables, groups, gateways)] == [1, 1, 1, 1]
    assert [route.gateway_id for route in tables[0].routes] == [
        "local",
        gateways[0].internet_gateway_id,
    ]
    assert [(entry.egress, entry.rule_number, entry.rule_action) for entry in acls[0].entries] == [
        (True, 100, "allow"),
        (True, 32767, "deny"),
        (False, 100, "allow"),
        (False, 32767, "deny"),
    ]


def test_the_default_group_lets_its_members_in_and_everything_out(world):
    (group,) = world.groups.Describe(pb.DescribeSecurityGroupsRequest(), world.call()).groups
    ingress, egress = sorted(group.rules, key=lambda rule: rule.egress)
    assert ingress.peer_group.group_id == group.group_id
    assert (egress.cidr_ipv4, egress.protocol) == ("0.0.0.0/0", "-1")
    rules = world.groups.DescribeRules(pb.DescribeSecurityGroupRulesRequest(), world.call()).rules
    assert {rule.rule_id for rule in rules} == {ingress.rule_id, egress.rule_id}


def test_a_subnet_in_each_zone_knows_its_free_addresses(world):
    world.launch(3, zone="us-east-1b")
    subnets = world.networks.DescribeSubnets(pb.DescribeSubnetsRequest(), world.call()).subnets
    shown = {
        subnet.availability_zone: (
            subnet.cidr_block,
            subnet.availability_zone_id,
            subnet.available_ip_address_count,
            subnet.default_for_az,
            subnet.map_public_ip_on_launch,
        )
        for subnet in subnets
    }
    assert shown == {
        "us-east-1a": ("172.31.0.0/20", "use1-az1", 4091, True, True),
        "us-east-1b": ("172.31.16.0/20", "use1-az2", 4088, True, True),
    }


def test_accounts_do_not_see_each_other(world):
    mine, his = world.default_vpc(ANN), world.default_vpc(BOB)
    with pytest.raises(CloudError) as refusal:
        world.networks.DescribeVpcs(pb.DescribeVpcsRequest(vpc_ids=[his]), world.call(ANN))
    assert (refusal.value.kind, refusal.value.noun) == (Kind.NOT_FOUND, "vpc")
    (seen,) = world.networks.DescribeVpcs(
        pb.DescribeVpcsRequest(filters=filters(cidr="172.31.0.0/16")), world.call(ANN)
    ).vpcs
    assert seen.vpc_id == mine


def test_a_zone_that_the_configuration_gains_gets_its_subnets(world):
    more = (*ZONES, Zone("us-east-1c", "use1-az3"))
    for missing in (3, 0):
        with world.db.write(system_call(world.now_ms)) as tx:
            assert add_missing_subnets(tx, more, world.rng) == missing
    subnets = world.networks.DescribeSubnets(
        pb.DescribeSubnetsRequest(filters=filters(availability_zone="us-east-1c")), world.call()
    ).subnets
    assert [subnet.cidr_block for subnet in subnets] == ["172.31.32.0/20"]


SUBNET_FILTERS = {
    "available-ip-address-count": ("4091", 1),
    "availability-zone": ("us-east-1?", 2),
    "availabilityZone": ("us-east-1a", 1),
    "availability-zone-id": ("use1-az2", 1),
    "cidr-block": ("172.31.16.0/20", 1),
    "default-for-az": ("true", 2),
    "map-public-ip-on-launch": ("false", 0),
    "ipv6-native": ("false", 2),
    "outpost-arn": ("*", 0),
    "state": ("available", 2),
    "owner-id": (ANN, 2),
    "tag-key": ("*", 0),
}


@pytest.mark.parametrize("name", sorted(SUBNET_FILTERS))
def test_subnet_filters(world, name):
    value, count = SUBNET_FILTERS[name]
    world.launch(1, zone="us-east-1b")
    asked = pb.DescribeSubnetsRequest()
    asked.filters.add(name=name, values=[value])
    assert len(world.networks.DescribeSubnets(asked, world.call()).subnets) == count


@pytest.mark.parametrize(
    ("method", "request_type"),
    [
        ("DescribeVpcs", pb.DescribeVpcsRequest),
        ("DescribeSubnets", pb.DescribeSubnetsRequest),
        ("DescribeNetworkInterfaces", pb.DescribeNetworkInterfacesRequest),
        ("DescribeRouteTables", pb.DescribeRouteTablesRequest),
        ("DescribeInternetGateways", pb.DescribeInternetGatewaysRequest),
        ("DescribeNetworkAcls", pb.DescribeNetworkAclsRequest),
    ],
)
def test_an_unknown_filter_is_refused_and_one_without_values_finds_nothing(
    world, method, request_type
):
    ask = getattr(world.networks, method)
    asked = request_type()
    asked.filters.add(name="no-such-filter", values=["x"])
    with pytest.raises(CloudError) as refusal:
        ask(asked, world.call())
    assert refusal.value.kind is Kind.INVALID
    nothing = request_type()
    nothing.filters.add(name="vpc-id" if "Gateways" not in method else "owner-id")
    assert ask(nothing, world.call()) == type(ask(request_type(), world.call()))()


ROUTING_FILTERS = [
    ("RouteTables", "route-table-id", "rtb-*", "rtb"),
    ("RouteTables", "vpc-id", "vpc-*", "i-*"),
    ("RouteTables", "owner-id", ANN, BOB),
    ("RouteTables", "association.main", "true", "false"),
    ("RouteTables", "association.route-table-association-id", "rtbassoc-*", ""),
    ("RouteTables", "association.route-table-id", "rtb-*", ""),
    ("RouteTables", "route.destination-cidr-block", "0.0.0.0/0", "::/0"),
    ("RouteTables", "route.gateway-id", "igw-*", "nat-*"),
    ("RouteTables", "route.gateway-id", "local", "remote"),
    ("RouteTables", "route.origin", "CreateRoute", "Create"),
    ("RouteTables", "route.state", "active", "blackhole"),
    ("InternetGateways", "internet-gateway-id", "igw-*", ""),
    ("InternetGateways", "attachment.vpc-id", "vpc-*", ""),
    ("InternetGateways", "attachment.state", "available", "attaching"),
    ("InternetGateways", "owner-id", ANN, BOB),
    ("NetworkAcls", "network-acl-id", "acl-*", ""),
    ("NetworkAcls", "vpc-id", "vpc-*", ""),
    ("NetworkAcls", "default", "true", "false"),
    ("NetworkAcls", "association.subnet-id", "subnet-*", ""),
    ("NetworkAcls", "association.association-id", "aclassoc-*", ""),
    ("NetworkAcls", "association.network-acl-id", "acl-*", ""),
    ("NetworkAcls", "entry.cidr", "0.0.0.0/0", "::/0"),
    ("NetworkAcls", "entry.egress", "false", "no"),
    ("NetworkAcls", "entry.protocol", "-1", "6"),
    ("NetworkAcls", "entry.rule-action", "deny", "drop"),
    ("NetworkAcls", "entry.rule-number", "32767", "7"),
    ("Vpcs", "cidr", "172.31.0.0/16", "10.0.0.0/8"),
    ("Vpcs", "cidr-block-association.association-id", "vpc-cidr-assoc-*", ""),
    ("Vpcs", "cidr-block-association.state", "associated", "associating"),
    ("Vpcs", "dhcp-options-id", "dopt-*", ""),
    ("Vpcs", "is-default", "true", "false"),
    ("Vpcs", "state", "available", "pending"),
]


@pytest.mark.parametrize(("noun", "name", "matching", "other"), ROUTING_FILTERS)
def test_filters_of_what_a_vpc_has(world, noun, name, matching, other):
    ask = getattr(world.networks, f"Describe{noun}")
    request = getattr(pb, f"Describe{noun}Request")()
    everything = ask(request, world.call())
    request.filters.add(name=name, values=[matching])
    assert ask(request, world.call()) == everything
    request.filters[0].values[:] = [other]
    assert ask(request, world.call()) == type(everything)()


def test_public_names_are_names_only_where_somebody_answers_them():
    assert DnsNames().public("100.64.0.5") == "100.64.0.5"
    named = DnsNames("cloud.internal", "cloud.example")
    assert named.public("100.64.0.5") == "ec2-100-64-0-5.cloud.example"
    assert named.private("172.31.0.5") == "ip-172-31-0-5.cloud.internal"
    assert (named.public(""), named.private("")) == ("", "")
