"""Instance types: what there is, and where."""

from collections.abc import Sequence

from gateway.aws.renderers import View
from gateway.call import Call
from gateway.ec2.parameters import Filter, filters_of, page
from gateway.ec2.views.instance_types import eucalyptus_type, instance_type
from gateway.ec2.views.shared import token
from protos.cloud.v1 import hosts_pb2, instances_pb2

# AWS has had DescribeInstanceTypes since 2019, in this version of its API alone. In an older one,
# or at Eucalyptus' path, it is Eucalyptus' action of that name that is meant.
AWS_HAS_TYPES_SINCE = "2016-11-15"
EUCALYPTUS_PATH = "/services/"


def describe_instance_types(
    call: Call,
    *,
    instance_types: Sequence[str] = (),
    filters: Sequence[Filter] = (),
    max_results: int | None = None,
    next_token: str = "",
    include_unsupported_in_region: bool = False,  # harmless: there is one region
    availability: bool | None = None,  # Eucalyptus' alone
) -> View:
    """AWS's answer, or Eucalyptus': nothing of the one is in the other, so that both are read."""
    if (
        availability is not None
        or call.version < AWS_HAS_TYPES_SINCE
        or call.path.startswith(EUCALYPTUS_PATH)
    ):
        return _as_eucalyptus_shows_them(call, instance_types, filters, availability or False)
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


def _as_eucalyptus_shows_them(
    call: Call, names: Sequence[str], filters: Sequence[Filter], with_room: bool
) -> View:
    """All in one answer, as Eucalyptus has no pages. How many fit is the operator's to know."""
    request = instances_pb2.DescribeInstanceTypesRequest(names=names, filters=filters_of(filters))
    types = call.clients.instances.DescribeTypes(request, caller=call.caller).types
    rooms: Sequence[hosts_pb2.Room] = ()
    if with_room:
        asked = hosts_pb2.RoomRequest(instance_types=[each.name for each in types])
        rooms = call.clients.hosts.Room(asked, caller=call.caller).rooms
    return {"Details": [eucalyptus_type(each, rooms) for each in types]}


def describe_instance_type_offerings(
    call: Call,
    *,
    location_type: str = "",
    filters: Sequence[Filter] = (),
    max_results: int | None = None,
    next_token: str = "",
) -> View:
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
