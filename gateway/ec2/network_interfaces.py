"""Network interfaces."""

from collections.abc import Sequence

from gateway.call import Call
from gateway.ec2.parameters import Filter, filters_of, page
from gateway.ec2.views.network_interfaces import network_interface
from gateway.ec2.views.shared import token
from protos.cloud.v1 import networks_pb2


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
