"""Internet gateways."""

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


def create_internet_gateway(
    call: Call, *, tag_specifications: Sequence[TagSpecification] = ()
) -> View:
    request = networks_pb2.CreateInternetGatewayRequest(
        tag_specifications=tag_specifications_of(tag_specifications, "internet-gateway")
    )
    made = call.clients.networks.CreateInternetGateway(request, caller=call.caller)
    return {"InternetGateway": views.internet_gateway(made)}


def attach_internet_gateway(call: Call, *, internet_gateway_id: str, vpc_id: str) -> None:
    request = networks_pb2.InternetGatewayInVpc(
        internet_gateway_id=internet_gateway_id, vpc_id=vpc_id
    )
    call.clients.networks.AttachInternetGateway(request, caller=call.caller)


def detach_internet_gateway(call: Call, *, internet_gateway_id: str, vpc_id: str) -> None:
    request = networks_pb2.InternetGatewayInVpc(
        internet_gateway_id=internet_gateway_id, vpc_id=vpc_id
    )
    call.clients.networks.DetachInternetGateway(request, caller=call.caller)


def delete_internet_gateway(call: Call, *, internet_gateway_id: str) -> None:
    request = networks_pb2.InternetGatewaySelector(internet_gateway_id=internet_gateway_id)
    call.clients.networks.DeleteInternetGateway(request, caller=call.caller)


def describe_internet_gateways(
    call: Call,
    *,
    internet_gateway_ids: Sequence[str] = (),
    filters: Sequence[Filter] = (),
    max_results: int | None = None,
    next_token: str = "",
) -> View:
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
