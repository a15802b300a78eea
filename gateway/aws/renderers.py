"""Answers of the query protocols: dicts with the model's member names to XML.

    render = renderers.of("DescribeVpcs");  render({"Vpcs": [{"VpcId": "vpc-1", "IsDefault":
    True}]})
        -> <vpcSet><item><vpcId>vpc-1</vpcId><isDefault>true</isDefault></item></vpcSet>

Values: str; bool; int; float; bytes (written as base64); lists; dicts; times as milliseconds since
the epoch. A None, an empty string and a time of 0 are left out, an empty list is an empty element.
A member that the model does not know is a KeyError: a typing mistake in a view never goes unseen.

Why not an element tree: docs/decisions/0101-xml-by-strings.md. Compiled once per shape, as
closures; called by the endpoint.
"""

import base64
import re
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from time import gmtime
from typing import Any, TypeAlias

from gateway.aws.model import Service, Shape

# What an action's answer is made of, and the answer itself: values by the model's member names.
Shown: TypeAlias = "str | float | bytes | Sequence[Shown] | Mapping[str, Shown] | None"
View: TypeAlias = dict[str, Shown]
# A value to its element, or to "" where nothing is written. Of which type it is, the model says.
Render: TypeAlias = Callable[[Any], str]

# What XML 1.0 cannot carry at all (production 2): one such letter, and no client could read the
# rest.
NOT_XML = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_SPECIAL = re.compile("[&<>\r\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "\r": "&#13;"}  # a bare CR is read back as LF


def escape(text: str) -> str:
    if _SPECIAL.search(text) is None:
        return text
    return _SPECIAL.sub(lambda match: _ENTITIES.get(match[0], "\ufffd"), text)


@lru_cache(maxsize=4096)
def timestamp(milliseconds: int) -> str:
    """1769860800123 -> "2026-01-31T12:00:00.123Z", the one form that every client reads."""
    seconds, rest = divmod(milliseconds, 1000)
    t = gmtime(seconds)
    return (
        f"{t.tm_year:04d}-{t.tm_mon:02d}-{t.tm_mday:02d}"
        f"T{t.tm_hour:02d}:{t.tm_min:02d}:{t.tm_sec:02d}.{rest:03d}Z"
    )


class Renderers:
    """Compiles and keeps the renderers of one service."""

    def __init__(self, service: Service):
        self._service = service
        self._members: dict[str, dict[str, Render]] = {}

    def of(self, operation: str) -> Render:
        """A result (dict) to the text of its members' elements, without any wrapper around them."""
        shape = self._service.operations[operation].output
        return self._content(shape) if shape else lambda result: ""

    def _content(self, name: str) -> Render:
        """What stands between a value's tags."""
        shape = self._service.shapes[name]
        match shape["type"]:
            case "structure":
                members = self._structure(name)
                # The one hot line: an instance has some 100 elements.
                return lambda value: "".join(
                    [members[key](item) for key, item in value.items() if item is not None]
                )
            case "list":
                return self._items(shape)
            case "map":
                return self._entries(shape)
            case scalar:
                return _SCALARS[scalar]

    def _structure(self, name: str) -> dict[str, Render]:
        if name not in self._members:
            # Known before its members are: some shapes contain themselves.
            members = self._members[name] = {}
            for member, definition in self._service.shapes[name]["members"].items():
                members[member] = self._element(name, member, definition)
        return self._members[name]

    def _element(self, owner: str, member: str, definition: Shape) -> Render:
        shape = self._service.shapes[definition["shape"]]
        tag = self._service.output_name(member, definition)
        if shape.get("flattened"):
            tag = shape.get("member", {}).get("locationName", tag)
            content = self._content_later(shape["member"]["shape"])
            return lambda values: "".join([f"<{tag}>{content(value)}</{tag}>" for value in values])
        if shape["type"] == "string":
            return _string_element(tag, (owner, member) in self._service.written_empty)
        if shape["type"] == "boolean":
            true, false = f"<{tag}>true</{tag}>", f"<{tag}>false</{tag}>"
            return lambda value: true if value else false
        if shape["type"] == "timestamp":
            return lambda value: f"<{tag}>{timestamp(value)}</{tag}>" if value else ""
        content = self._content_later(definition["shape"])
        if shape["type"] in ("list", "map"):
            namespace = shape.get("xmlNamespace")
            opened = f'{tag} xmlns="{namespace["uri"]}"' if namespace else tag
            return lambda value: f"<{opened}>{content(value)}</{tag}>" if value else f"<{opened}/>"
        return lambda value: f"<{tag}>{content(value)}</{tag}>"

    def _content_later(self, name: str) -> Render:
        """The content's renderer, compiled when first used where compiling it now would not end."""
        if self._service.shapes[name]["type"] != "structure" or name not in self._members:
            return self._content(name)
        members = self._members[name]
        return lambda value: "".join(
            [members[key](item) for key, item in value.items() if item is not None]
        )

    def _items(self, shape: Shape) -> Render:
        tag = shape["member"].get(
            "locationName", "member" if self._service.dialect == "query" else "item"
        )
        content = self._content_later(shape["member"]["shape"])
        return lambda values: "".join([f"<{tag}>{content(value)}</{tag}>" for value in values])

    def _entries(self, shape: Shape) -> Render:
        key_tag = shape["key"].get("locationName", "key")
        value_tag = shape["value"].get("locationName", "value")
        write_key = self._content_later(shape["key"]["shape"])
        write_value = self._content_later(shape["value"]["shape"])
        return lambda entries: "".join(
            f"<entry><{key_tag}>{write_key(key)}</{key_tag}>"
            f"<{value_tag}>{write_value(value)}</{value_tag}></entry>"
            for key, value in entries.items()
        )


def _string_element(tag: str, written_empty: bool) -> Render:
    before, after = f"<{tag}>", f"</{tag}>"
    empty = f"<{tag}/>" if written_empty else ""
    search = _SPECIAL.search

    def render(value: str) -> str:
        if not value:
            return empty
        return before + (value if search(value) is None else escape(value)) + after

    return render


_SCALARS: dict[str, Render] = {
    "string": escape,
    "integer": str,
    "long": str,
    "float": repr,
    "double": repr,
    "boolean": lambda value: "true" if value else "false",
    "timestamp": timestamp,
    "blob": lambda value: base64.b64encode(value).decode(),
}
