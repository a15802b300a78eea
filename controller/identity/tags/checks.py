"""What a tag may be, and what a TagSpecification may name. Pure.

Called by controller/identity/tags/rules and by every rule that makes a resource (instances, groups,
keys, images, addresses).

    key      1..128 characters, not beginning with "aws:" in any case
    value    0..256 characters
    both     Unicode characters that XML 1.0 can carry back, tab and line ends among them
    tags     at most 50 on a resource
    in the metadata of an instance, a key is a part of a path: letters, digits and -_+=,.@: only
    (EC2 User Guide, "Tag restrictions", "View tags using instance metadata"; the API's type Tag)
"""

import re
from collections.abc import Iterable

from protos.cloud.v1 import common_pb2
from protos.errors import CloudError, Kind

KEY_CHARS_MAX = 128
VALUE_CHARS_MAX = 256
TAGS_PER_RESOURCE_MAX = 50
RESERVED_PREFIX = "aws:"
_IN_METADATA = re.compile(r"[0-9a-zA-Z\-_+=,.@:]{1,255}")
_NOT_IN_METADATA = (".", "..", "_index")
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # its production 2


def check_tags(tags: Iterable[common_pb2.Tag]) -> dict[str, str]:
    """The tags as key → value.

    Raises INVALID for a bad key or value, a reserved key, the same key twice.
    """
    checked: dict[str, str] = {}
    for tag in tags:
        check_key(tag.key)
        if len(tag.value) > VALUE_CHARS_MAX:
            raise _invalid(f"Tag value exceeds the maximum length of {VALUE_CHARS_MAX} characters")
        _check_characters("value", tag.value)
        if tag.key in checked:
            raise _invalid(f"Duplicate tag key '{tag.key}' specified.")
        checked[tag.key] = tag.value
    if len(checked) > TAGS_PER_RESOURCE_MAX:
        raise too_many_tags()
    return checked


def check_key(key: str) -> None:
    if not key:
        raise _invalid("Tag key cannot be empty.")
    if len(key) > KEY_CHARS_MAX:
        raise _invalid(f"Tag key exceeds the maximum length of {KEY_CHARS_MAX} characters")
    if key.lower().startswith(RESERVED_PREFIX):
        raise _invalid("Tag keys starting with 'aws:' are reserved for internal use")
    _check_characters("key", key)


def check_keys_in_metadata(keys: Iterable[str]) -> None:
    """Of an instance whose metadata shows its tags. Raises INVALID."""
    for key in keys:
        if key in _NOT_IN_METADATA or not _IN_METADATA.fullmatch(key):
            raise _invalid(
                f"'{key}' is not a valid tag key. Tag keys must match pattern "
                "([0-9a-zA-Z\\-_+=,.@:]{1,255}), and must not be a reserved name "
                "('.', '..', '_index')"
            )


def tags_of_specifications(
    specifications: Iterable[common_pb2.TagSpecification], *resource_types: str
) -> dict[str, dict[str, str]]:
    """resource type → tags, for each of ``resource_types``, which are those that the call creates.

    Raises INVALID for another resource type, for one named twice and for one without tags.
    """
    found: dict[str, dict[str, str]] = {resource_type: {} for resource_type in resource_types}
    named = set()
    for specification in specifications:
        resource_type = specification.resource_type
        if not resource_type:
            raise _invalid("Tag specification resource type must have a value")
        if resource_type not in found:
            raise _invalid(
                f"'{resource_type}' is not a valid taggable resource type for this operation."
            )
        if resource_type in named:
            raise _invalid(
                f"Found multiple tag specifications with the resource type '{resource_type}'."
            )
        if not specification.tags:
            raise _invalid("Tag specification must have at least one tag")
        named.add(resource_type)
        found[resource_type] = check_tags(specification.tags)
    return found


def too_many_tags() -> CloudError:
    return CloudError(
        Kind.QUOTA,
        f"The maximum number of tags per resource is {TAGS_PER_RESOURCE_MAX}",
        noun="tag",
    )


def _check_characters(what: str, text: str) -> None:
    if _NOT_XML.search(text):
        raise _invalid(f"Tag {what} contains characters that cannot be sent back in XML")


def _invalid(message: str) -> CloudError:
    return CloudError(Kind.INVALID, message, noun="tag")
