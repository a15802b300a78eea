"""Calls about VPCs and what they have, as an account's: for tests of their rules."""

import pytest

from protos.cloud.v1 import networks_pb2 as pb
from protos.errors import CloudError
from tests.unit.controller.resource_world import ANN, filters


def ask(world, method, request=None, account=ANN, **fields):
    made = request or getattr(pb, REQUESTS.get(method, f"{method}Request"))(**fields)
    return getattr(world.networks, method)(made, world.call(account))


REQUESTS = {
    "DeleteVpc": "VpcSelector",
    "DescribeVpcAttribute": "VpcSelector",
    "DeleteSubnet": "SubnetSelector",
    "AttachInternetGateway": "InternetGatewayInVpc",
    "DetachInternetGateway": "InternetGatewayInVpc",
    "DeleteInternetGateway": "InternetGatewaySelector",
    "DeleteRouteTable": "RouteTableSelector",
    "CreateRoute": "RouteRequest",
    "ReplaceRoute": "RouteRequest",
    "DeleteRoute": "RouteRequest",
    "DeleteDhcpOptions": "DhcpOptionsSelector",
}


def refusal(world, method, **fields) -> tuple:
    with pytest.raises(CloudError) as refused:
        ask(world, method, **fields)
    return refused.value.kind, refused.value.noun, refused.value.reason


def make_vpc(world, block="10.0.0.0/16", account=ANN) -> str:
    return ask(world, "CreateVpc", cidr_block=block, account=account).vpc_id


def make_subnet(world, vpc_id, block="10.0.1.0/24", **more) -> pb.Subnet:
    return ask(world, "CreateSubnet", vpc_id=vpc_id, cidr_block=block, **more)


def make_gateway(world, vpc_id="") -> str:
    gateway_id = ask(world, "CreateInternetGateway").internet_gateway_id
    if vpc_id:
        ask(world, "AttachInternetGateway", internet_gateway_id=gateway_id, vpc_id=vpc_id)
    return gateway_id


def make_table(world, vpc_id) -> str:
    return ask(world, "CreateRouteTable", vpc_id=vpc_id).route_table_id


def routes(world, table_id) -> dict:
    (table,) = ask(world, "DescribeRouteTables", route_table_ids=[table_id]).route_tables
    return {route.destination_cidr_block: route for route in table.routes}


def main_table(world, vpc_id) -> str:
    found = ask(
        world, "DescribeRouteTables", filters=filters(vpc_id=vpc_id, association___main="true")
    )
    return found.route_tables[0].route_table_id
