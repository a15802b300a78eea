"""What a caller may set on an instance, at its launch and later. Pure.

Called by compute/launch/request, attributes and metadata_options.
"""

from collections.abc import Mapping

from protos.cloud.v1 import instances_pb2
from protos.errors import CloudError, Kind, invalid_parameter

USER_DATA_BYTES_MAX = 16 * 1024
_METADATA_CHOICES = {
    "http_endpoint": ("enabled", "disabled"),
    "http_tokens": ("optional", "required"),
    "instance_metadata_tags": ("enabled", "disabled"),
    "http_protocol_ipv6": ("enabled", "disabled"),
}
_METADATA_NAMES = {
    "http_endpoint": "MetadataOptions.HttpEndpoint",
    "http_tokens": "MetadataOptions.HttpTokens",
    "instance_metadata_tags": "MetadataOptions.InstanceMetadataTags",
    "http_protocol_ipv6": "MetadataOptions.HttpProtocolIpv6",
}


def check_user_data(user_data: bytes) -> None:
    if len(user_data) > USER_DATA_BYTES_MAX:
        raise invalid_parameter(f"User data is limited to {USER_DATA_BYTES_MAX} bytes")


def check_shutdown_behavior(behavior: str) -> None:
    if behavior not in ("stop", "terminate"):
        raise invalid_parameter(
            f"Value ({behavior}) for parameter instanceInitiatedShutdownBehavior is invalid."
        )


def metadata_columns(options: instances_pb2.MetadataOptions) -> dict[str, object]:
    """The instance's columns for what was asked; what was not said keeps the schema's (EC2's)
    default."""
    for field, choices in _METADATA_CHOICES.items():
        if (value := getattr(options, field)) and value not in choices:
            raise invalid_parameter(
                f"Value ({value}) for parameter {_METADATA_NAMES[field]} is invalid."
            )
    if options.http_protocol_ipv6 == "enabled":
        raise CloudError(
            Kind.UNSUPPORTED,
            "The metadata service is not to be had by IPv6 in this cloud.",
            noun="parameter",
            id=_METADATA_NAMES["http_protocol_ipv6"],
        )
    limit = options.http_put_response_hop_limit
    if limit and not 1 <= limit <= 64:
        raise invalid_parameter(
            f"Value ({limit}) for parameter MetadataOptions.HttpPutResponseHopLimit is invalid."
        )
    columns = {
        "metadata_http_endpoint": options.http_endpoint,
        "metadata_http_tokens": options.http_tokens,
        "metadata_hop_limit": limit,
        "metadata_tags": options.instance_metadata_tags,
        "metadata_ipv6": options.http_protocol_ipv6,
    }
    return {name: value for name, value in columns.items() if value}


def shows_tags(metadata: Mapping[str, object]) -> bool:
    """Whether these columns let a guest read its tags from its metadata."""
    return metadata.get("metadata_tags") == "enabled"
