"""Network ACLs: the default one of each VPC, which lets all pass."""

from collections.abc import Sequence

from gateway.aws.renderers import View
from gateway.call import Call
from gateway.ec2.parameters import Filter, filters_of, page
from gateway.ec2.views import networks as views
from gateway.ec2.views.shared import token
from protos.cloud.v1 import networks_pb2


def describe_network_acls(
    call: Call,
    *,
    network_acl_ids: Sequence[str] = (),
    filters: Sequence[Filter] = (),
    max_results: int | None = None,
    next_token: str = "",
) -> View:
    request = networks_pb2.DescribeNetworkAclsRequest(
        network_acl_ids=network_acl_ids,
        filters=filters_of(filters),
        page=page(max_results, next_token),
    )
    answer = call.clients.networks.DescribeNetworkAcls(request, caller=call.caller)
    return {
        "NetworkAcls": [views.network_acl(each) for each in answer.network_acls],
        "NextToken": token(answer.next_token),
    }
