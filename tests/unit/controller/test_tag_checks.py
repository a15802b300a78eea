"""What a tag may be, and what a TagSpecification may name (traps 13 and 23 of the EC2 notes)."""

import pytest

from controller.identity.tags.checks import check_tags, tags_of_specifications
from protos.cloud.v1.common_pb2 import Tag, TagSpecification
from protos.errors import CloudError, Kind


def test_markup_and_other_letters_are_kept():
    asked = {
        "a&b": '<x> "y"',
        "Größe": "日本語 😀",
        "lines\t": "a\tb\nc\r\nd\x85",
        "empty": "",
        "awsome": "no prefix",
    }
    assert check_tags([Tag(key=key, value=value) for key, value in asked.items()]) == asked


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("", "x"),
        ("k" * 129, "x"),
        ("k", "v" * 257),
        ("aws:reserved", "x"),
        ("AWS:reserved", "x"),
        ("k\0", "x"),
        ("k", "a\x01b"),
        ("k", "a\x1fb"),
        ("k", "\uffff"),
    ],
)
def test_what_no_tag_may_be(key, value):
    with pytest.raises(CloudError) as refusal:
        check_tags([Tag(key=key, value=value)])
    assert refusal.value.kind is Kind.INVALID


def test_the_longest_that_fit():
    assert check_tags([Tag(key="😀" * 128, value="😀" * 256)])


def test_one_key_twice_is_refused():
    with pytest.raises(CloudError, match="Duplicate tag key"):
        check_tags([Tag(key="a", value="1"), Tag(key="a", value="1")])


def test_fifty_tags_and_no_more():
    tags = [Tag(key=str(number)) for number in range(51)]
    assert len(check_tags(tags[:50])) == 50
    with pytest.raises(CloudError) as refusal:
        check_tags(tags)
    assert (refusal.value.kind, refusal.value.noun) == (Kind.QUOTA, "tag")


def specification(resource_type, *keys):
    return TagSpecification(resource_type=resource_type, tags=[Tag(key=key) for key in keys])


def test_specifications_are_sorted_by_what_they_are_for():
    found = tags_of_specifications(
        [specification("volume", "v"), specification("instance", "a", "b")],
        "instance",
        "volume",
        "network-interface",
    )
    assert found == {
        "instance": {"a": "", "b": ""},
        "volume": {"v": ""},
        "network-interface": {},
    }


@pytest.mark.parametrize(
    "specifications",
    [
        [specification("subnet", "a")],
        [specification("", "a")],
        [specification("instance")],
        [specification("instance", "a"), specification("instance", "b")],
    ],
)
def test_specifications_that_are_refused(specifications):
    with pytest.raises(CloudError) as refusal:
        tags_of_specifications(specifications, "instance")
    assert refusal.value.kind is Kind.INVALID
