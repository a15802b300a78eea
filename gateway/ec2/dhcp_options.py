"""Sets of DHCP options: what a VPC's guests are told."""

from collections.abc import Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True)
class DhcpConfiguration:
    key: str = ""
    values: Sequence[str] = ()


def create_dhcp_options(
    call: Call,
    *,
    dhcp_configurations: Sequence[DhcpConfiguration],
    tag_specifications: Sequence[TagSpecification] = (),
) -> View:
    request = networks_pb2.CreateDhcpOptionsRequest(
        options=[
            networks_pb2.DhcpOption(key=given.key, values=given.values)
            for given in dhcp_configurations
        ],
        tag_specifications=tag_specifications_of(tag_specifications, "dhcp-options"),
    )
    made = call.clients.networks.CreateDhcpOptions(request, caller=call.caller)
    return {"DhcpOptions": views.dhcp_options(made)}


def delete_dhcp_options(call: Call, *, dhcp_options_id: str) -> None:
    request = networks_pb2.DhcpOptionsSelector(dhcp_options_id=dhcp_options_id)
    call.clients.networks.DeleteDhcpOptions(request, caller=call.caller)


def associate_dhcp_options(call: Call, *, dhcp_options_id: str, vpc_id: str) -> None:
    request = networks_pb2.AssociateDhcpOptionsRequest(
        dhcp_options_id=dhcp_options_id, vpc_id=vpc_id
    )
    call.clients.networks.AssociateDhcpOptions(request, caller=call.caller)


def describe_dhcp_options(
    call: Call,
    *,
    dhcp_options_ids: Sequence[str] = (),
    filters: Sequence[Filter] = (),
    max_results: int | None = None,
    next_token: str = "",
) -> View:
    request = networks_pb2.DescribeDhcpOptionsRequest(
        dhcp_options_ids=dhcp_options_ids,
        filters=filters_of(filters),
        page=page(max_results, next_token),
    )
    answer = call.clients.networks.DescribeDhcpOptions(request, caller=call.caller)
    return {
        "DhcpOptions": [views.dhcp_options(each) for each in answer.dhcp_options],
        "NextToken": token(answer.next_token),
    }
