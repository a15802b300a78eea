"""Instance types: what there is, and where."""

from collections.abc import Sequence

from gateway.call import Call
from gateway.ec2.parameters import Filter, filters_of, page
from gateway.ec2.views.instance_types import instance_type
from gateway.ec2.views.shared import token
from protos.cloud.v1 import instances_pb2


def describe_instance_types(
    call: Call,
    *,
    instance_types: Sequence[str] = (),
    filters: Sequence[Filter] = (),
    max_results: int | None = None,
    next_token: str = "",
    include_unsupported_in_region: bool = False,  # harmless: there is one region
) -> dict:
    request = instances_pb2.DescribeInstanceTypesRequest(
        names=instance_types,
        filters=filters_of(filters),
        page=page(max_results, next_token, high=100),
    )
    answer = call.clients.instances.DescribeTypes(request, caller=call.caller)
    return {
        "InstanceTypes": [instance_type(each) for each in answer.types],
        "NextToken": token(answer.next_token),
    }


def describe_instance_type_offerings(
    call: Call,
    *,
    location_type: str = "",
    filters: Sequence[Filter] = (),
    max_results: int | None = None,
    next_token: str = "",
) -> dict:
    request = instances_pb2.DescribeInstanceTypeOfferingsRequest(
        location_type=location_type,
        filters=filters_of(filters),
        page=page(max_results, next_token),
    )
    answer = call.clients.instances.DescribeTypeOfferings(request, caller=call.caller)
    return {
        "InstanceTypeOfferings": [
            {
                "InstanceType": each.instance_type,
                "LocationType": each.location_type,
                "Location": each.location,
            }
            for each in answer.offerings
        ],
        "NextToken": token(answer.next_token),
    }
