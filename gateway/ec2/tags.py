"""Tags on anything."""

from collections.abc import Sequence

from gateway.aws.renderers import View
from gateway.call import Call
from gateway.ec2.parameters import Filter, Tag, filters_of, page, tags_of
from gateway.ec2.views.shared import token
from protos.cloud.v1 import tags_pb2
from protos.errors import missing_parameter


def create_tags(call: Call, *, resources: Sequence[str], tags: Sequence[Tag] = ()) -> None:
    if not tags:
        raise missing_parameter("Tag")
    request = tags_pb2.CreateTagsRequest(resource_ids=resources, tags=tags_of(tags))
    call.clients.tags.Create(request, caller=call.caller)


def delete_tags(call: Call, *, resources: Sequence[str], tags: Sequence[Tag] = ()) -> None:
    """Deletes tags; one that is named without a value goes whatever its value is.

    With one, also the empty one, if it is that.
    """
    request = tags_pb2.DeleteTagsRequest(
        resource_ids=resources,
        tags=[tags_pb2.TagSelector(key=tag.key, value=tag.value) for tag in tags],
    )
    call.clients.tags.Delete(request, caller=call.caller)


def describe_tags(
    call: Call,
    *,
    filters: Sequence[Filter] = (),
    max_results: int | None = None,
    next_token: str = "",
) -> View:
    request = tags_pb2.DescribeTagsRequest(
        filters=filters_of(filters), page=page(max_results, next_token)
    )
    answer = call.clients.tags.Describe(request, caller=call.caller)
    return {
        "Tags": [
            {
                "ResourceId": each.resource_id,
                "ResourceType": each.resource_type,
                "Key": each.key,
                "Value": each.value,
            }
            for each in answer.tags
        ],
        "NextToken": token(answer.next_token),
    }
