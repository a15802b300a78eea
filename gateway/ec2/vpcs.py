"""VPCs, and what each says of DNS."""

from collections.abc import Sequence
from typing import Literal

from gateway.aws.renderers import View
from gateway.call import Call
from gateway.ec2.parameters import (
    BooleanValue,
    Filter,
    TagSpecification,
    filters_of,
    page,
    tag_specifications_of,
)
from gateway.ec2.views import networks as views
from gateway.ec2.views.shared import as_created, token
from protos.cloud.v1 import common_pb2, networks_pb2


def create_vpc(
    call: Call,
    *,
    cidr_block: str = "",
    instance_tenancy: Literal["default"] = "default",
    amazon_provided_ipv6_cidr_block: Literal[False] = False,  # harmless: only "no" is taken
    tag_specifications: Sequence[TagSpecification] = (),
) -> View:
    request = networks_pb2.CreateVpcRequest(
        cidr_block=cidr_block,
        instance_tenancy=instance_tenancy,
        tag_specifications=tag_specifications_of(tag_specifications, "vpc"),
    )
    made = call.clients.networks.CreateVpc(request, caller=call.caller)
    return {"Vpc": as_created(views.vpc(made), made.tags)}


def create_default_vpc(call: Call) -> View:
    made = call.clients.networks.CreateDefaultVpc(common_pb2.Empty(), caller=call.caller)
    return {"Vpc": as_created(views.vpc(made), made.tags)}


def delete_vpc(call: Call, *, vpc_id: str) -> None:
    call.clients.networks.DeleteVpc(networks_pb2.VpcSelector(vpc_id=vpc_id), caller=call.caller)


def describe_vpcs(
    call: Call,
    *,
    vpc_ids: Sequence[str] = (),
    filters: Sequence[Filter] = (),
    max_results: int | None = None,
    next_token: str = "",
) -> View:
    request = networks_pb2.DescribeVpcsRequest(
        vpc_ids=vpc_ids, filters=filters_of(filters), page=page(max_results, next_token)
    )
    answer = call.clients.networks.DescribeVpcs(request, caller=call.caller)
    return {
        "Vpcs": [views.vpc(each) for each in answer.vpcs],
        "NextToken": token(answer.next_token),
    }


# Its name on the wire -> the answer's member, and the proto's field.
_ATTRIBUTES = {
    "enableDnsSupport": ("EnableDnsSupport", "enable_dns_support"),
    "enableDnsHostnames": ("EnableDnsHostnames", "enable_dns_hostnames"),
    "enableNetworkAddressUsageMetrics": (
        "EnableNetworkAddressUsageMetrics",
        "enable_network_address_usage_metrics",
    ),
}


def describe_vpc_attribute(call: Call, *, vpc_id: str, attribute: str) -> View:
    member, field = _ATTRIBUTES[attribute]  # the model names these three only
    request = networks_pb2.VpcSelector(vpc_id=vpc_id)
    answer = call.clients.networks.DescribeVpcAttribute(request, caller=call.caller)
    return {"VpcId": answer.vpc_id, member: {"Value": getattr(answer, field)}}


def modify_vpc_attribute(
    call: Call,
    *,
    vpc_id: str,
    enable_dns_support: BooleanValue | None = None,
    enable_dns_hostnames: BooleanValue | None = None,
    enable_network_address_usage_metrics: BooleanValue | None = None,
) -> None:
    def value(given: BooleanValue | None) -> bool | None:
        return None if given is None else given.value

    request = networks_pb2.ModifyVpcAttributeRequest(
        vpc_id=vpc_id,
        enable_dns_support=value(enable_dns_support),
        enable_dns_hostnames=value(enable_dns_hostnames),
        enable_network_address_usage_metrics=value(enable_network_address_usage_metrics),
    )
    call.clients.networks.ModifyVpcAttribute(request, caller=call.caller)
