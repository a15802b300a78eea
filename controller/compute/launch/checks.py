"""What a RunInstances request may say, and what it means with this image and type. Pure.

Called by compute/launch/launcher before anything is made (docs/ec2.md, traps 23 to 27). Raises
CloudError INVALID, UNSUPPORTED or MALFORMED_ID; what names something is looked up by launch itself.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from controller.compute.instances.settings import (
    check_shutdown_behavior,
    check_user_data,
    metadata_columns,
    shows_tags,
)
from controller.identity.tags.checks import check_keys_in_metadata, tags_of_specifications
from controller.kernel.client_tokens import check_token
from protos import ids
from protos.cloud.v1 import instances_pb2
from protos.errors import CloudError, Kind, invalid_parameter


@dataclass(frozen=True)
class Wanted:
    """A request that can be meant."""

    tags: Mapping[str, Mapping[str, str]]  # of "instance", "volume", "network-interface"
    metadata: Mapping[str, object]  # columns of the instance


def check_request(request: instances_pb2.RunInstancesRequest, max_per_call: int) -> Wanted:
    """What can be said of a request by itself."""
    _check_counts(request, max_per_call)
    if not ids.is_well_formed(request.image_id, "image"):
        raise CloudError(
            Kind.MALFORMED_ID,
            f'Invalid id: "{request.image_id}" (expecting "ami-...")',
            noun="image",
            id=request.image_id,
        )
    check_token(request.client_token)
    check_user_data(request.user_data)
    check_shutdown_behavior(request.instance_initiated_shutdown_behavior or "stop")
    if request.tenancy not in ("", "default"):
        raise CloudError(
            Kind.UNSUPPORTED, f"The tenancy '{request.tenancy}' is not supported.", noun="parameter"
        )
    metadata = metadata_columns(request.metadata_options)
    tags = tags_of_specifications(
        request.tag_specifications, "instance", "volume", "network-interface"
    )
    if shows_tags(metadata):
        check_keys_in_metadata(tags["instance"])
    return Wanted(tags, metadata)


def _check_counts(request: instances_pb2.RunInstancesRequest, max_per_call: int) -> None:
    if request.min_count < 1:
        raise invalid_parameter(
            "Value (" + str(request.min_count) + ") for parameter minCount is invalid."
        )
    if request.max_count < request.min_count:
        raise invalid_parameter(
            f"Value ({request.max_count}) for parameter maxCount is invalid. "
            "It must be at least minCount."
        )
    if request.max_count > max_per_call:
        raise CloudError(
            Kind.QUOTA,
            f"You have requested more instances ({request.max_count}) than one call may launch "
            f"({max_per_call}).",
            noun="instance",
        )
