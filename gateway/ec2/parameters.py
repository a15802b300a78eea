"""Parameters that many actions take: filters, tags, pages. Shapes of requests in, protos out.

A dataclass here (and in the nouns' files) names the members of a structure that we support; a
member that it does not name is refused by the engine (gateway/aws/parameters).
"""

import binascii
from base64 import b64decode
from collections.abc import Sequence
from dataclasses import dataclass

from protos.cloud.v1 import common_pb2
from protos.errors import CloudError, Kind


@dataclass(frozen=True)
class Filter:
    name: str = ""
    values: Sequence[str] = ()


@dataclass(frozen=True)
class Tag:
    key: str = ""
    value: str | None = None


@dataclass(frozen=True)
class TagSpecification:
    resource_type: str = ""
    tags: Sequence[Tag] = ()


@dataclass(frozen=True)
class BooleanValue:
    value: bool | None = None


def invalid(message: str, reason: str = "parameter-value") -> CloudError:
    return CloudError(Kind.INVALID, message, noun="parameter", reason=reason)


def combination(message: str) -> CloudError:
    return invalid(message, "parameter-combination")


def unsupported(what: str) -> CloudError:
    return CloudError(Kind.UNSUPPORTED, f"{what} is not supported by this cloud.", noun="parameter")


def filters_of(filters: Sequence[Filter]) -> list[common_pb2.Filter]:
    """Converts filters to protos; the controller checks their names and values."""
    return [common_pb2.Filter(name=given.name, values=given.values) for given in filters]


def tags_of(tags: Sequence[Tag]) -> list[common_pb2.Tag]:
    return [common_pb2.Tag(key=tag.key, value=tag.value or "") for tag in tags]


def tag_specifications_of(
    specifications: Sequence[TagSpecification], *resource_types: str
) -> list[common_pb2.TagSpecification]:
    """Tags for what the call makes; ``resource_types`` are those that it makes.

    Raises INVALID for another type, a type named twice, and none (EC2 says the same of each).
    """
    seen = set()
    for given in specifications:
        if given.resource_type not in resource_types:
            raise invalid(
                f"'{given.resource_type}' is not a valid taggable resource type for this operation."
            )
        if given.resource_type in seen:
            raise invalid(f"Tag specification resource type '{given.resource_type}' is duplicated.")
        seen.add(given.resource_type)
    return [
        common_pb2.TagSpecification(resource_type=given.resource_type, tags=tags_of(given.tags))
        for given in specifications
    ]


def page(
    max_results: int | None,
    next_token: str,
    *,
    ids: Sequence[str] = (),
    low: int = 5,
    high: int = 1000,
) -> common_pb2.Page:
    """A page's limits.

    An empty token is no token; ``ids`` given, there is nothing to page through.
    """
    if max_results is None:
        return common_pb2.Page(next_token=next_token)
    if ids:
        raise combination("The parameters for ids and maxResults cannot be used together")
    if not low <= max_results <= high:
        bound = (
            f"Expecting a value greater than or equal to {low}"
            if max_results < low
            else f"Expecting a value less than or equal to {high}"
        )
        raise invalid(f"Value ( {max_results} ) for parameter maxResults is invalid. {bound}.")
    return common_pb2.Page(max_results=max_results, next_token=next_token)


USER_DATA_LIMIT = 16 * 1024


def user_data_of(encoded: str) -> bytes:
    """User data as sent in RunInstances: base64 in one line or many. Raises INVALID."""
    try:
        data = b64decode("".join(encoded.split()), validate=True)
    except (binascii.Error, ValueError):
        raise invalid("Invalid BASE64 encoding of user data.") from None
    return checked_user_data(data)


def checked_user_data(data: bytes) -> bytes:
    if len(data) > USER_DATA_LIMIT:
        raise invalid(f"User data is limited to {USER_DATA_LIMIT} bytes")
    return data
