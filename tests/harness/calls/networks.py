"""Calls about VPCs and what is in them: subnets, gateways, route tables, routes."""

from protos.cloud.v1 import networks_pb2
from tests.harness.customers import Call, Customer
from tests.harness.draw import Draw

MOST_VPCS = 3  # that she has made; beyond, a customer deletes something instead
OUTSIDE = ("0.0.0.0/0", "198.51.100.0/24", "203.0.113.0/24")


def create_vpc(d: Draw, me: Customer) -> Call | None:
    if len(me.vpcs) >= MOST_VPCS:
        return delete_vpc(d, me)
    block = f"10.{d.between(0, 3)}.0.0/{d.one([16, 16, 16, 20, 20, 8])}"
    return Call("Networks", "CreateVpc", networks_pb2.CreateVpcRequest(cidr_block=block))


def delete_vpc(d: Draw, me: Customer) -> Call | None:
    known = d.others(me, "vpcs") if d.chance(0.05) else me.vpcs
    if not known:
        return None
    return Call("Networks", "DeleteVpc", networks_pb2.VpcSelector(vpc_id=d.one(known)))


def modify_vpc(d: Draw, me: Customer) -> Call | None:
    if not me.vpcs:
        return None
    request = networks_pb2.ModifyVpcAttributeRequest(vpc_id=d.one(me.vpcs))
    if d.chance(0.5):
        request.enable_dns_support = d.chance(0.5)
    else:
        request.enable_dns_hostnames = d.chance(0.5)
    return Call("Networks", "ModifyVpcAttribute", request)


def create_subnet(d: Draw, me: Customer) -> Call | None:
    """Small ones, so that their addresses end; some overlap, some are outside of their VPC."""
    if not me.vpcs:
        return create_vpc(d, me)
    vpc_id = d.one(me.vpcs)
    prefix = ".".join(me.vpcs[vpc_id].split(".")[:2])
    block = f"{prefix}.{d.between(0, 4)}.{16 * d.between(0, 3)}/28"
    request = networks_pb2.CreateSubnetRequest(vpc_id=vpc_id, cidr_block=block)
    return Call("Networks", "CreateSubnet", request)


def delete_subnet(d: Draw, me: Customer) -> Call | None:
    known = [name for name, at in me.subnets.items() if at or d.chance(0.01)]
    if not known:
        return None
    request = networks_pb2.SubnetSelector(subnet_id=d.one(known))
    return Call("Networks", "DeleteSubnet", request)


def modify_subnet(d: Draw, me: Customer) -> Call | None:
    if not me.subnets:
        return None
    request = networks_pb2.ModifySubnetAttributeRequest(
        subnet_id=d.one(me.subnets), map_public_ip_on_launch=d.chance(0.7)
    )
    return Call("Networks", "ModifySubnetAttribute", request)


def create_gateway(d: Draw, me: Customer) -> Call | None:
    if len(me.gateways) >= MOST_VPCS:
        return delete_gateway(d, me)
    request = networks_pb2.CreateInternetGatewayRequest()
    return Call("Networks", "CreateInternetGateway", request)


def attach_gateway(d: Draw, me: Customer) -> Call | None:
    known = [name for name, at in me.gateways.items() if not at or d.chance(0.1)]
    if not known:
        return create_gateway(d, me)
    vpcs = d.others(me, "vpcs") if d.chance(0.04) else me.vpcs
    if not vpcs:
        return None
    request = networks_pb2.InternetGatewayInVpc(
        internet_gateway_id=d.one(known), vpc_id=d.one(vpcs)
    )
    return Call("Networks", "AttachInternetGateway", request)


def detach_gateway(d: Draw, me: Customer) -> Call | None:
    known = [name for name, at in me.gateways.items() if at]
    if not known:
        return None
    name = d.one(known)
    request = networks_pb2.InternetGatewayInVpc(internet_gateway_id=name, vpc_id=me.gateways[name])
    return Call("Networks", "DetachInternetGateway", request)


def delete_gateway(d: Draw, me: Customer) -> Call | None:
    if not me.gateways:
        return None
    request = networks_pb2.InternetGatewaySelector(internet_gateway_id=d.one(me.gateways))
    return Call("Networks", "DeleteInternetGateway", request)


def create_table(d: Draw, me: Customer) -> Call | None:
    if not me.vpcs:
        return None
    request = networks_pb2.CreateRouteTableRequest(
        vpc_id=d.one(me.vpcs), client_token=d.fresh("table") if d.chance(0.7) else ""
    )
    return Call("Networks", "CreateRouteTable", request)


def delete_table(d: Draw, me: Customer) -> Call | None:
    if not me.tables:
        return None
    request = networks_pb2.RouteTableSelector(route_table_id=d.one(me.tables))
    return Call("Networks", "DeleteRouteTable", request)


def change_route(d: Draw, me: Customer) -> Call | None:
    """Made, led elsewhere or taken away; to a gateway or to an interface of hers."""
    if not me.tables:
        return create_table(d, me)
    request = networks_pb2.RouteRequest(
        route_table_id=d.one(me.tables), destination_cidr_block=d.one(OUTSIDE)
    )
    method = d.one(["CreateRoute", "CreateRoute", "CreateRoute", "ReplaceRoute", "DeleteRoute"])
    if method != "DeleteRoute":
        vpc_id = me.tables[request.route_table_id]
        gateways = [name for name, at in me.gateways.items() if at == vpc_id or d.chance(0.05)]
        if gateways and d.chance(0.6):
            request.gateway_id = d.one(gateways)
        elif me.interfaces:
            request.network_interface_id = d.one(me.interfaces)
        else:
            return None
    return Call("Networks", method, request)


def associate_table(d: Draw, me: Customer) -> Call | None:
    if not me.tables or not me.subnets:
        return None
    table_id = d.one(me.tables)
    fit = [name for name, at in me.subnets.items() if at == me.tables[table_id] or d.chance(0.05)]
    if not fit:
        return None
    request = networks_pb2.AssociateRouteTableRequest(route_table_id=table_id, subnet_id=d.one(fit))
    return Call("Networks", "AssociateRouteTable", request)


def end_association(d: Draw, me: Customer) -> Call | None:
    """Or have another table take its place."""
    if not me.table_uses:
        return None
    association_id = d.one(me.table_uses)
    if d.chance(0.5) and me.tables:
        request = networks_pb2.ReplaceRouteTableAssociationRequest(
            association_id=association_id, route_table_id=d.one(me.tables)
        )
        return Call("Networks", "ReplaceRouteTableAssociation", request)
    request = networks_pb2.DisassociateRouteTableRequest(association_id=association_id)
    return Call("Networks", "DisassociateRouteTable", request)


ACTIONS = (
    (create_vpc, 3),
    (delete_vpc, 3),
    (modify_vpc, 2),
    (create_subnet, 8),
    (delete_subnet, 3),
    (modify_subnet, 2),
    (create_gateway, 2),
    (attach_gateway, 8),
    (detach_gateway, 3),
    (delete_gateway, 2),
    (create_table, 3),
    (delete_table, 2),
    (change_route, 14),
    (associate_table, 8),
    (end_association, 4),
)
