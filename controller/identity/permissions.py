"""Permissions: what the options of the rpcs say (protos/cloud/v1/options.proto), compiled once.
Pure.

A template names a field of the request, through messages by dots; a repeated field gives one value
each, a field that is empty none. ``compile_permission`` raises UnknownField for one that names
nothing, so that a controller with a mistake in its contract does not start.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from controller.identity.authorize import NOTHING, Context, Resource, arn
from protos import ids, services
from protos.cloud.v1 import common_pb2, options_pb2, tags_pb2

ANY = "*"  # of no resource level, or one that is made
REQUEST_TAGS = "aws:RequestTag"
_SPECIFICATIONS = common_pb2.TagSpecification.DESCRIPTOR
_TAGS = (common_pb2.Tag.DESCRIPTOR, tags_pb2.TagSelector.DESCRIPTOR)
Values = Callable[[Message], Sequence[str]]
Tags = Callable[[Message], Mapping[str, Context]]  # by resource type; "": of all


class UnknownField(Exception):
    """A permission names a field that the request does not have, or cannot be read so."""


class Template(NamedTuple):
    """noun/{field}. values: None where the request does not tell which ("noun" alone), and the
    rules ask once they know. noun: "" where each id tells its own."""

    noun: str
    values: Values | None


@dataclass(frozen=True)
class Permission:
    """Who may call an rpc: a peer that proves itself by its certificate, or whoever may do
    ``action`` to the resources."""

    action: str
    peer: str
    resources: tuple[Template, ...]
    context: tuple[tuple[str, tuple[str, Values]], ...]
    tags: Tags
    nouns: frozenset[str]  # the resource types that the action has; "": all

    def has(self, noun: str) -> bool:
        return noun in self.nouns or "" in self.nouns

    @cached_property
    def service(self) -> str:
        return self.action.partition(":")[0]

    def resources_of(self, request: Message, region: str, account_id: str) -> list[Resource]:
        """The resources that a request names."""
        tagged, found = self.tags(request), []
        for noun, values in self.resources:
            identifiers = values(request) if values else ()
            if noun == ANY:
                found.append(Resource(ANY))
            elif noun:
                name, tags = arn(self.service, region, account_id, noun, ""), tags_for(tagged, noun)
                found += [Resource(name + identifier, tags) for identifier in identifiers]
            else:
                found += self._of_any_noun(identifiers, region, account_id, tagged)
        return found

    def _of_any_noun(
        self,
        identifiers: Sequence[str],
        region: str,
        account_id: str,
        tagged: Mapping[str, Context],
    ) -> Iterator[Resource]:
        """What has no id's shape is left to the rules, which refuse it."""
        for identifier in identifiers:
            if noun := ids.noun_of(identifier):
                name = arn(self.service, region, account_id, noun, identifier)
                yield Resource(name, tags_for(tagged, noun))

    def context_of(self, request: Message, region: str, account_id: str) -> dict[str, list[str]]:
        """The condition keys that a request tells; a key of several templates has all values."""
        found: dict[str, list[str]] = {}
        for key, (noun, values_of) in self.context:
            if values := values_of(request):
                if noun:
                    name = arn(self.service, region, account_id, noun, "")
                    values = [name + value for value in values]
                found.setdefault(key, []).extend(values)
        return found


def permissions() -> dict[str, Permission]:
    """Every rpc's permission by its full name, "/pileus.cloud.v1.Instances/Run"."""
    return {
        services.full_name(method): compile_permission(
            services.permission_of(method), method.input_type
        )
        for service in services.SERVICES
        for method in service.methods
    }


def compile_permission(said: options_pb2.Permission, request: Descriptor) -> Permission:
    """Raises UnknownField."""
    context: list[tuple[str, tuple[str, Values]]] = []
    tags: Tags = _no_tags
    for one in said.context:
        if one.key == REQUEST_TAGS:
            tags = _tags(request, _field(one.value))
        else:
            noun, _, field = one.value.rpartition("/")
            context.append((one.key, (noun, _values(request, _field(field)))))
    resources = tuple(_template(request, text) for text in said.resources)
    return Permission(
        said.action,
        said.service,
        resources,
        tuple(context),
        tags,
        frozenset(template.noun for template in resources),
    )


def requested(tags: Iterable[tuple[str, str | None]]) -> Context:
    """The condition keys of tags that a request sets, or takes away whatever their values are."""
    pairs = list(tags)
    if not pairs:
        return NOTHING
    values = {f"{REQUEST_TAGS}/{key}": [value] for key, value in pairs if value is not None}
    return {**values, "aws:TagKeys": [key for key, _ in pairs]}


def tags_for(tagged: Mapping[str, Context], noun: str) -> Context:
    """The tags that a request has for new resources of a type, or for all."""
    return tagged.get(noun) or tagged.get("") or NOTHING


def _template(request: Descriptor, text: str) -> Template:
    noun, slash, rest = text.rpartition("/")
    if not slash and not rest.startswith("{"):
        return Template(text, _any if text == ANY else None)
    if rest == ANY:
        return Template(noun, _any)
    return Template(noun, _values(request, _field(rest)))


def _any(request: Message) -> Sequence[str]:
    return (ANY,)


def _field(text: str) -> str:
    if not (text.startswith("{") and text.endswith("}")):
        raise UnknownField(f"'{text}' is no field in braces")
    return text[1:-1]


def _values(message: Descriptor, path: str) -> Values:
    name, _, rest = path.partition(".")
    field = _find(message, name)
    if rest:
        if field.message_type is None:
            raise UnknownField(f"{field.full_name} is no message")
        inner = _values(field.message_type, rest)
        if field.is_repeated:
            return lambda given: [value for one in getattr(given, name) for value in inner(one)]
        return lambda given: inner(getattr(given, name))
    if field.message_type is not None or field.type == FieldDescriptor.TYPE_BYTES:
        raise UnknownField(f"{field.full_name} is no plain value")
    if field.is_repeated:
        return lambda given: [_text(value) for value in getattr(given, name) if value != ""]
    if field.has_presence:
        return lambda given: [_text(getattr(given, name))] if given.HasField(name) else ()
    return lambda given: [_text(value)] if (value := getattr(given, name)) else ()


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _find(message: Descriptor, name: str) -> FieldDescriptor:
    if name not in message.fields_by_name:
        raise UnknownField(f"{message.full_name} has no field {name}")
    return message.fields_by_name[name]


def _no_tags(request: Message) -> Mapping[str, Context]:
    return {}


def _tags(message: Descriptor, name: str) -> Tags:
    field = _find(message, name)
    if field.message_type == _SPECIFICATIONS:
        return lambda given: {
            one.resource_type: requested((tag.key, tag.value) for tag in one.tags)
            for one in getattr(given, name)
        }
    if field.message_type not in _TAGS:
        raise UnknownField(f"{field.full_name} has no tags")
    return lambda given: {"": requested(map(_pair, getattr(given, name)))}


def _pair(tag: common_pb2.Tag | tags_pb2.TagSelector) -> tuple[str, str | None]:
    if isinstance(tag, tags_pb2.TagSelector) and not tag.HasField("value"):
        return tag.key, None
    return tag.key, tag.value
