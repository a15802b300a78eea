"""Subnets."""

from collections.abc import Sequence
from dataclasses import dataclass
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
from protos.cloud.v1 import networks_pb2
from protos.errors import missing_parameter


@dataclass(frozen=True)
class No:
    """The value of what Pileus does not have: only "no" is taken, which changes nothing."""

    value: Literal[False] = False


def create_subnet(
    call: Call,
    *,
    vpc_id: str,
    cidr_block: str = "",
    availability_zone: str = "",
    availability_zone_id: str = "",
    ipv6_native: Literal[False] = False,  # harmless: only "no" is taken
    tag_specifications: Sequence[TagSpecification] = (),
) -> View:
    request = networks_pb2.CreateSubnetRequest(
        vpc_id=vpc_id,
        cidr_block=cidr_block,
        availability_zone=availability_zone,
        availability_zone_id=availability_zone_id,
        tag_specifications=tag_specifications_of(tag_specifications, "subnet"),
    )
    made = call.clients.networks.CreateSubnet(request, caller=call.caller)
    return {"Subnet": as_created(views.subnet(made, call.region), made.tags)}


def create_default_subnet(
    call: Call,
    *,
    availability_zone: str = "",
    availability_zone_id: str = "",
    ipv6_native: Literal[False] = False,  # harmless: only "no" is taken
) -> View:
    if not availability_zone and not availability_zone_id:
        raise missing_parameter("AvailabilityZone")
    request = networks_pb2.CreateDefaultSubnetRequest(
        availability_zone=availability_zone, availability_zone_id=availability_zone_id
    )
    made = call.clients.networks.CreateDefaultSubnet(request, caller=call.caller)
    return {"Subnet": as_created(views.subnet(made, call.region), made.tags)}


def delete_subnet(call: Call, *, subnet_id: str) -> None:
    request = networks_pb2.SubnetSelector(subnet_id=subnet_id)
    call.clients.networks.DeleteSubnet(request, caller=call.caller)


def describe_subnets(
    call: Call,
    *,
    subnet_ids: Sequence[str] = (),
    filters: Sequence[Filter] = (),
    max_results: int | None = None,
    next_token: str = "",
) -> View:
    request = networks_pb2.DescribeSubnetsRequest(
        subnet_ids=subnet_ids, filters=filters_of(filters), page=page(max_results, next_token)
    )
    answer = call.clients.networks.DescribeSubnets(request, caller=call.caller)
    return {
        "Subnets": [views.subnet(each, call.region) for each in answer.subnets],
        "NextToken": token(answer.next_token),
    }


def modify_subnet_attribute(
    call: Call,
    *,
    subnet_id: str,
    map_public_ip_on_launch: BooleanValue | None = None,
    assign_ipv6_address_on_creation: No | None = None,
    enable_dns64: No | None = None,
    enable_resource_name_dns_a_record_on_launch: No | None = None,
    enable_resource_name_dns_aaaa_record_on_launch: No | None = None,
    map_customer_owned_ip_on_launch: No | None = None,
    private_dns_hostname_type_on_launch: Literal["ip-name"] | None = None,
) -> None:
    asked = (
        assign_ipv6_address_on_creation,
        enable_dns64,
        enable_resource_name_dns_a_record_on_launch,
        enable_resource_name_dns_aaaa_record_on_launch,
        map_customer_owned_ip_on_launch,
        private_dns_hostname_type_on_launch,
    )
    request = networks_pb2.ModifySubnetAttributeRequest(
        subnet_id=subnet_id,
        map_public_ip_on_launch=None
        if map_public_ip_on_launch is None
        else map_public_ip_on_launch.value,
        as_it_is=any(one is not None for one in asked),
    )
    call.clients.networks.ModifySubnetAttribute(request, caller=call.caller)
