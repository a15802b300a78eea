"""VPCs and what lives in them: subnets, network interfaces, route tables, gateways, ACLs."""

from collections.abc import Sequence

from gateway.call import Call
from gateway.ec2.parameters import Filter, filters_of, page
from gateway.ec2.views import networks as views
from gateway.ec2.views.network_interfaces import network_interface
from gateway.ec2.views.shared import token
from protos.cloud.v1 import networks_pb2


def describe_vpcs(
    call: Call,
    *,
    vpc_ids: Sequence[str] = (),
    filters: Sequence[Filter] = (),
    max_results: int | None = None,
    next_token: str = "",
) -> dict:
    request = networks_pb2.DescribeVpcsRequest(
        vpc_ids=vpc_ids, filters=filters_of(filters), page=page(max_results, next_token)
    )
    answer = call.clients.networks.DescribeVpcs(request, caller=call.caller)
    return {
        "Vpcs": [views.vpc(each) for each in answer.vpcs],
        "NextToken": token(answer.next_token),
    }


def describe_subnets(
    call: Call,
    *,
    subnet_ids: Sequence[str] = (),
    filters: Sequence[Filter] = (),
    max_results: int | None = None,
    next_token: str = "",
) -> dict:
    request = networks_pb2.DescribeSubnetsRequest(
        subnet_ids=subnet_ids, filters=filters_of(filters), page=page(max_results, next_token)
    )
    answer = call.clients.networks.DescribeSubnets(request, caller=call.caller)
    return {
        "Subnets": [views.subnet(each, call.region) for each in answer.subnets],
        "NextToken": token(answer.next_token),
    }


def describe_network_interfaces(
    call: Call,
    *,
    network_interface_ids: Sequence[str] = (),
    filters: Sequence[Filter] = (),
    max_results: int | None = None,
    next_token: str = "",
    include_managed_resources: bool = False,  # harmless: nobody else manages any here
) -> dict:
    request = networks_pb2.DescribeNetworkInterfacesRequest(
        network_interface_ids=network_interface_ids,
        filters=filters_of(filters),
        page=page(max_results, next_token, ids=network_interface_ids),
    )
    answer = call.clients.networks.DescribeNetworkInterfaces(request, caller=call.caller)
    return {
        "NetworkInterfaces": [network_interface(each) for each in answer.network_interfaces],
        "NextToken": token(answer.next_token),
    }


def describe_route_tables(
    call: Call,
    *,
    route_table_ids: Sequence[str] = (),
    filters: Sequence[Filter] = (),
    max_results: int | None = None,
    next_token: str = "",
) -> dict:
    request = networks_pb2.DescribeRouteTablesRequest(
        route_table_ids=route_table_ids,
        filters=filters_of(filters),
        page=page(max_results, next_token, high=100),
    )
    answer = call.clients.networks.DescribeRouteTables(request, caller=call.caller)
    return {
        "RouteTables": [views.route_table(each) for each in answer.route_tables],
        "NextToken": token(answer.next_token),
    }


def describe_internet_gateways(
    call: Call,
    *,
    internet_gateway_ids: Sequence[str] = (),
    filters: Sequence[Filter] = (),
    max_results: int | None = None,
    next_token: str = "",
) -> dict:
    request = networks_pb2.DescribeInternetGatewaysRequest(
        internet_gateway_ids=internet_gateway_ids,
        filters=filters_of(filters),
        page=page(max_results, next_token),
    )
    answer = call.clients.networks.DescribeInternetGateways(request, caller=call.caller)
    return {
        "InternetGateways": [views.internet_gateway(each) for each in answer.internet_gateways],
        "NextToken": token(answer.next_token),
    }


def describe_network_acls(
    call: Call,
    *,
    network_acl_ids: Sequence[str] = (),
    filters: Sequence[Filter] = (),
    max_results: int | None = None,
    next_token: str = "",
) -> dict:
    request = networks_pb2.DescribeNetworkAclsRequest(
        network_acl_ids=network_acl_ids,
        filters=filters_of(filters),
        page=page(max_results, next_token),
    )
    answer = call.clients.networks.DescribeNetworkAcls(request, caller=call.caller)
    return {
        "NetworkAcls": [views.network_acl(each) for each in answer.network_acls],
        "NextToken": token(answer.next_token),
    }
