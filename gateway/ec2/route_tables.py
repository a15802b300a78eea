"""Route tables: their routes, and the subnets that have them."""

from collections.abc import Sequence

from gateway.aws.renderers import View
from gateway.call import Call
from gateway.ec2.parameters import (
    Filter,
    TagSpecification,
    filters_of,
    page,
    tag_specifications_of,
)
from gateway.ec2.views import networks as views
from gateway.ec2.views.shared import token
from protos.cloud.v1 import networks_pb2

_ASSOCIATED = {"State": "associated"}


def create_route_table(
    call: Call,
    *,
    vpc_id: str,
    client_token: str = "",
    tag_specifications: Sequence[TagSpecification] = (),
) -> View:
    request = networks_pb2.CreateRouteTableRequest(
        vpc_id=vpc_id,
        client_token=client_token,
        tag_specifications=tag_specifications_of(tag_specifications, "route-table"),
    )
    made = call.clients.networks.CreateRouteTable(request, caller=call.caller)
    return {"RouteTable": views.route_table(made), "ClientToken": client_token or None}


def delete_route_table(call: Call, *, route_table_id: str) -> None:
    request = networks_pb2.RouteTableSelector(route_table_id=route_table_id)
    call.clients.networks.DeleteRouteTable(request, caller=call.caller)


def describe_route_tables(
    call: Call,
    *,
    route_table_ids: Sequence[str] = (),
    filters: Sequence[Filter] = (),
    max_results: int | None = None,
    next_token: str = "",
) -> View:
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


def create_route(
    call: Call,
    *,
    route_table_id: str,
    destination_cidr_block: str = "",
    gateway_id: str = "",
    network_interface_id: str = "",
    instance_id: str = "",
) -> View:
    request = networks_pb2.RouteRequest(
        route_table_id=route_table_id,
        destination_cidr_block=destination_cidr_block,
        gateway_id=gateway_id,
        network_interface_id=network_interface_id,
        instance_id=instance_id,
    )
    call.clients.networks.CreateRoute(request, caller=call.caller)
    return {"Return": True}


def replace_route(
    call: Call,
    *,
    route_table_id: str,
    destination_cidr_block: str = "",
    gateway_id: str = "",
    network_interface_id: str = "",
    instance_id: str = "",
) -> None:
    request = networks_pb2.RouteRequest(
        route_table_id=route_table_id,
        destination_cidr_block=destination_cidr_block,
        gateway_id=gateway_id,
        network_interface_id=network_interface_id,
        instance_id=instance_id,
    )
    call.clients.networks.ReplaceRoute(request, caller=call.caller)


def delete_route(call: Call, *, route_table_id: str, destination_cidr_block: str = "") -> None:
    request = networks_pb2.RouteRequest(
        route_table_id=route_table_id, destination_cidr_block=destination_cidr_block
    )
    call.clients.networks.DeleteRoute(request, caller=call.caller)


def associate_route_table(call: Call, *, route_table_id: str, subnet_id: str = "") -> View:
    request = networks_pb2.AssociateRouteTableRequest(
        route_table_id=route_table_id, subnet_id=subnet_id
    )
    made = call.clients.networks.AssociateRouteTable(request, caller=call.caller)
    return {"AssociationId": made.association_id, "AssociationState": _ASSOCIATED}


def disassociate_route_table(call: Call, *, association_id: str) -> None:
    request = networks_pb2.DisassociateRouteTableRequest(association_id=association_id)
    call.clients.networks.DisassociateRouteTable(request, caller=call.caller)


def replace_route_table_association(
    call: Call, *, association_id: str, route_table_id: str
) -> View:
    request = networks_pb2.ReplaceRouteTableAssociationRequest(
        association_id=association_id, route_table_id=route_table_id
    )
    made = call.clients.networks.ReplaceRouteTableAssociation(request, caller=call.caller)
    return {"NewAssociationId": made.association_id, "AssociationState": _ASSOCIATED}
