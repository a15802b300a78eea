"""Internet gateways, routes and route tables, made and unmade by the owners of a VPC."""

import pytest

from protos.errors import Kind
from tests.unit.controller.network_calls import (
    ask,
    make_gateway,
    make_subnet,
    make_table,
    make_vpc,
    refusal,
    routes,
)
from tests.unit.controller.resource_world import ANN, World, filters


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def test_a_vpc_has_one_gateway(world):
    vpc = make_vpc(world)
    first, second = make_gateway(world, vpc), make_gateway(world)
    into = {"internet_gateway_id": second, "vpc_id": vpc}
    assert refusal(world, "AttachInternetGateway", **into) == (Kind.INVALID, "parameter", "")
    assert refusal(world, "DetachInternetGateway", **into)[2] == "not-attached"
    again = {"internet_gateway_id": first, "vpc_id": make_vpc(world)}
    assert refusal(world, "AttachInternetGateway", **again) == (Kind.EXISTS, "internet-gateway", "")


def test_routes_are_made_replaced_and_deleted(world):
    vpc = make_vpc(world)
    table, gateway = make_table(world, vpc), make_gateway(world, vpc)
    here = {"route_table_id": table, "destination_cidr_block": "0.0.0.0/0"}
    ask(world, "CreateRoute", **here, gateway_id=gateway)
    route = routes(world, table)["0.0.0.0/0"]
    assert (route.gateway_id, route.state, route.origin) == (gateway, "active", "CreateRoute")
    subnet = make_subnet(world, vpc)
    (nic,) = world.launch(1, subnet_id=subnet.subnet_id)
    ask(world, "ReplaceRoute", **here, instance_id=nic.instance_id)
    route = routes(world, table)["0.0.0.0/0"]
    assert (route.gateway_id, route.network_interface_id) == ("", nic.network_interface_id)
    assert (route.instance_id, route.instance_owner_id) == (nic.instance_id, ANN)
    assert route.state == "active"
    ask(world, "DeleteRoute", **here)
    assert set(routes(world, table)) == {"10.0.0.0/16"}
    assert refusal(world, "DeleteRoute", **here) == (Kind.NOT_FOUND, "route", "")
    gone = refusal(world, "ReplaceRoute", **here, gateway_id=gateway)
    assert gone == (Kind.NOT_FOUND, "route", "")


def test_what_is_no_route(world):
    vpc, other = make_vpc(world), make_vpc(world)
    table, gateway, foreign = make_table(world, vpc), make_gateway(world, vpc), make_gateway(world)
    ask(world, "AttachInternetGateway", internet_gateway_id=foreign, vpc_id=other)
    (away,) = world.launch(1)
    invalid, unsupported = (Kind.INVALID, "parameter", ""), Kind.UNSUPPORTED
    outside = {"route_table_id": table, "destination_cidr_block": "192.0.2.0/24"}
    cases = [
        ({**outside, "gateway_id": foreign}, invalid),
        ({**outside, "gateway_id": "local"}, invalid),
        ({**outside, "network_interface_id": away.network_interface_id}, invalid),
        ({**outside, "gateway_id": "igw-" + "0" * 17}, (Kind.NOT_FOUND, "gateway", "")),
        ({**outside, "instance_id": "i-" + "0" * 17}, (Kind.NOT_FOUND, "instance", "")),
        (outside, (Kind.INVALID, "parameter", "missing-parameter")),
        (
            {**outside, "gateway_id": gateway, "instance_id": away.instance_id},
            (Kind.INVALID, "", "parameter-combination"),
        ),
        (
            {"route_table_id": table, "destination_cidr_block": "10.0.1.0/24"}
            | {"gateway_id": gateway},
            invalid,
        ),
        (
            {"route_table_id": table, "destination_cidr_block": "10.0.0.0/16"}
            | {"gateway_id": gateway},
            (Kind.EXISTS, "route", ""),
        ),
        ({**outside, "destination_cidr_block": "everywhere", "gateway_id": gateway}, invalid),
    ]
    for fields, expected in cases:
        assert refusal(world, "CreateRoute", **fields) == expected, fields
    within = {"route_table_id": table, "destination_cidr_block": "10.0.1.0/24"}
    nic = {"network_interface_id": away.network_interface_id}
    assert refusal(world, "CreateRoute", **within, **nic)[0] is unsupported
    assert refusal(world, "CreateRoute", **outside, gateway_id="vgw-1")[0] is unsupported
    local = {"route_table_id": table, "destination_cidr_block": "10.0.0.0/16"}
    assert refusal(world, "DeleteRoute", **local) == invalid
    assert refusal(world, "ReplaceRoute", **local, gateway_id=gateway) == invalid


def test_a_route_whose_target_is_gone_leads_nowhere(world):
    vpc = make_vpc(world)
    table, gateway, subnet = (
        make_table(world, vpc),
        make_gateway(world, vpc),
        make_subnet(world, vpc),
    )
    (stopped,) = world.launch(1, subnet_id=subnet.subnet_id, desired="stopped")
    to = {"route_table_id": table}
    ask(world, "CreateRoute", **to, destination_cidr_block="0.0.0.0/0", gateway_id=gateway)
    by_nic = {"network_interface_id": stopped.network_interface_id}
    ask(world, "CreateRoute", **to, destination_cidr_block="192.0.2.0/24", **by_nic)
    ask(world, "DetachInternetGateway", internet_gateway_id=gateway, vpc_id=vpc)
    states = {key: route.state for key, route in routes(world, table).items()}
    assert states == {
        "0.0.0.0/0": "blackhole",
        "192.0.2.0/24": "blackhole",
        "10.0.0.0/16": "active",
    }
    found = ask(world, "DescribeRouteTables", filters=filters(route___state="blackhole"))
    assert [one.route_table_id for one in found.route_tables] == [table]
    found = ask(
        world, "DescribeRouteTables", filters=filters(route___instance_id=stopped.instance_id)
    )
    assert [one.route_table_id for one in found.route_tables] == [table]
    ask(world, "DeleteInternetGateway", internet_gateway_id=gateway)
    assert routes(world, table)["0.0.0.0/0"].state == "blackhole"


def test_a_token_makes_one_table(world):
    vpc, other = make_vpc(world), make_vpc(world)
    made = {
        ask(world, "CreateRouteTable", vpc_id=vpc, client_token="t").route_table_id for _ in "ab"
    }
    assert len(made) == 1
    again = refusal(world, "CreateRouteTable", vpc_id=other, client_token="t")
    assert again == (Kind.EXISTS, "client-token", "")


def test_tables_and_subnets_of_two_vpcs_do_not_mix(world):
    vpc, other = make_vpc(world), make_vpc(world)
    table, subnet = make_table(world, vpc), make_subnet(world, other)
    asked = {"route_table_id": table, "subnet_id": subnet.subnet_id}
    assert refusal(world, "AssociateRouteTable", **asked) == (Kind.INVALID, "parameter", "")
    own = make_table(world, other)
    asked = {"route_table_id": own, "subnet_id": subnet.subnet_id}
    first, again = (ask(world, "AssociateRouteTable", **asked) for _ in "ab")
    assert first == again
    moved = {"association_id": first.association_id, "route_table_id": table}
    assert refusal(world, "ReplaceRouteTableAssociation", **moved)[0] is Kind.INVALID
