"""Volumes: so far the instances' root disks, to look at."""

from collections.abc import Sequence

from gateway.call import Call
from gateway.ec2.parameters import Filter, filters_of, page
from gateway.ec2.views.shared import token
from gateway.ec2.views.volumes import volume
from protos.cloud.v1 import volumes_pb2


def describe_volumes(
    call: Call,
    *,
    volume_ids: Sequence[str] = (),
    filters: Sequence[Filter] = (),
    max_results: int | None = None,
    next_token: str = "",
    include_managed_resources: bool = False,  # harmless: nobody else manages any here
) -> dict:
    request = volumes_pb2.DescribeVolumesRequest(
        volume_ids=volume_ids,
        filters=filters_of(filters),
        page=page(max_results, next_token, ids=volume_ids),
    )
    answer = call.clients.volumes.Describe(request, caller=call.caller)
    return {
        "Volumes": [volume(each) for each in answer.volumes],
        "NextToken": token(answer.next_token),
    }
