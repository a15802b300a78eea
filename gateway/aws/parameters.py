"""Requests of the query protocols: dotted keys to a tree, the tree through the model to values.

    InstanceId.1=i-1&Filter.1.Name=x&Filter.1.Value.1=y      ->  nest()
    {"InstanceId": {"1": "i-1"}, "Filter": {"1": {...}}}     ->  Parsers.of(operation, action)(tree)
    {"instance_ids": ["i-1"], "filters": [Filter(name="x", values=["y"])]}     the action's keywords

The target of a parser is a function or a frozen dataclass, and **its signature is the support
matrix**: a member that the model does not know is UnknownParameter; one that the model knows and
the target does not name is UnsupportedOperation, with its name; ``Literal`` annotations restrict
values in the same way. An empty value of a member that is refused so is no value. Structures go
into the dataclass that the annotation names, so this holds at every depth. Without a target, values
become plain dicts (the oracle test).

A parser is compiled once per target, as closures; no shape is looked at while a request is parsed.
Called by the endpoint. Raises CloudError(INVALID | UNSUPPORTED), nothing else, whatever was sent.
"""

import inspect
import re
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypeAlias, TypeVar

from botocore import xform_name

from gateway.aws import scalars
from gateway.aws.model import Service, Shape
from gateway.aws.renderers import NOT_XML
from gateway.aws.scalars import invalid
from protos.errors import CloudError, Kind, missing_parameter

MAX_DEPTH = 16  # deeper than any shape of EC2
_INDEX = re.compile(r"[0-9]{1,6}")

Node: TypeAlias = "str | Tree"
Tree: TypeAlias = dict[str, Node]  # by wire name
Parser: TypeAlias = Callable[[Node, str], object]  # (node, its path on the wire) -> value
Target: TypeAlias = Callable[..., Any]  # an action, or a dataclass for a structure in a request

_Made = TypeVar("_Made")


def keyword(member: str) -> str:
    """A model's member as a Python keyword: "InstanceIds" -> "instance_ids"."""
    return xform_name(member)


def unknown(path: str) -> CloudError:
    return CloudError(
        Kind.INVALID,
        f"The parameter {path[:200]} is not recognized",
        noun="parameter",
        id=path[:200],
        reason="unknown-parameter",
    )


def unsupported(what: str) -> CloudError:
    return CloudError(
        Kind.UNSUPPORTED, f"{what} is not supported by this cloud.", noun="parameter", id=what
    )


def nest(pairs: Iterable[tuple[str, str]]) -> Tree:
    """Dotted keys to a tree, once for the whole request.

    Control characters and doubled keys are refused here.
    """
    tree: Tree = {}
    for key, value in pairs:
        if NOT_XML.search(value) or NOT_XML.search(key):  # no answer could ever show it
            raise CloudError(
                Kind.INVALID,
                f"The parameter {NOT_XML.sub('?', key)[:200]} contains a character that XML cannot"
                " carry.",
                noun="parameter",
                reason="parameter-value",
            )
        *parents, last = key.split(".", MAX_DEPTH)
        node = tree
        for name in parents:
            child = node.setdefault(name, {})
            if not isinstance(child, dict):
                raise unknown(key)
            node = child
        if last in node:
            raise CloudError(
                Kind.INVALID,
                f"The parameter {key[:200]} was given more than once or in two shapes.",
                noun="parameter",
                reason="parameter-value",
            )
        node[last] = value
    return tree


def is_empty(node: str | Tree) -> bool:
    """Whether a value says nothing: an empty text, or a structure or list of nothing else.

    Clients send what their users left out as empty texts (the Terraform AWS provider:
    ``IamInstanceProfile.Name=``), so an empty value of a member that we lack asks for nothing.
    """
    if isinstance(node, dict):
        return all(is_empty(child) for child in node.values())
    return node == ""


class Parsers:
    """Compiles and keeps the parsers of one service."""

    def __init__(self, service: Service):
        self._service = service
        self._known: dict[tuple[str, Target | None], Parser] = {}

    def of(self, operation: str, target: Target | None = None) -> Callable[[Tree], dict[str, Any]]:
        """The parser of an operation's request: tree -> keywords for the action ``target``.

        Without a target: tree -> a dict with the model's names. The parameters of an action before
        its keyword-only ones (the call) are not members.
        """
        shape = self._service.operations[operation].input
        if shape is None:
            return _nothing
        parse = self._compile_structure(shape, target, _keywords)
        return lambda tree: parse(tree, "")

    def _structure(self, name: str, target: Target | None) -> Parser:
        key = (name, target)
        if key not in self._known:
            # The model has shapes that contain themselves: promise first, compile after.
            self._known[key] = lambda node, path: self._known[key](node, path)
            self._known[key] = self._compile_structure(name, target, target or dict)
        return self._known[key]

    def _compile_structure(
        self, name: str, target: Target | None, make: Callable[..., _Made]
    ) -> Callable[[Node, str], _Made]:
        shape, service = self._service.shapes[name], self._service
        accepted = None if target is None else supported_members(target)
        if accepted is not None:
            foreign = accepted.keys() - {keyword(member) for member in shape["members"]}
            if foreign:
                raise TypeError(f"{target}: {name} has no members {sorted(foreign)}")
        # wire name -> (keyword, parser or None where it is not supported, is no value no value)
        members: dict[str, tuple[str, Parser | None, bool]] = {}
        for member, definition in service.members(name).items():
            wire_name, word = service.input_name(member, definition), keyword(member)
            if accepted is None:
                members[wire_name] = (member, self._parser(definition["shape"], None), False)
            elif word in accepted:
                annotation = accepted[word]
                parser = self._parser(definition["shape"], annotation)
                members[wire_name] = (word, parser, bool(_reading(annotation)[1]))
            else:
                members[wire_name] = (word, None, True)
        required = [
            (
                member if target is None else keyword(member),
                service.input_name(member, shape["members"][member]),
            )
            for member in shape.get("required", ())
        ]

        def parse(node: Node, path: str) -> _Made:
            if not isinstance(node, dict):
                raise invalid(path, node, "It has members.")
            prefix = f"{path}." if path else ""
            values: dict[str, object] = {}
            for wire_name, child in node.items():
                if wire_name not in members:
                    raise unknown(prefix + wire_name)
                word, parse_member, lacks_values = members[wire_name]
                if lacks_values and is_empty(child):
                    continue
                if parse_member is None:
                    raise unsupported(f"The parameter {prefix}{wire_name}")
                values[word] = parse_member(child, prefix + wire_name)
            for word, wire_name in required:
                if word not in values:
                    raise missing_parameter(prefix + wire_name)
            return make(**values)

        return parse

    def _parser(self, name: str, annotation: object) -> Parser:
        """A member's parser.

        ``annotation``: what the target says it takes; None outside of targets.
        """
        shape = self._service.shapes[name]
        target, literals = _reading(annotation)
        match shape["type"]:
            case "structure":
                return self._structure(name, target)
            case "list":
                return _list_of(
                    self._parser(shape["member"]["shape"], _item_annotation(annotation)),
                    None
                    if self._service.dialect == "ec2" or shape.get("flattened")
                    else shape["member"].get("locationName", "member"),
                )
            case "map":
                return _map_of(
                    self._parser(shape["key"]["shape"], None),
                    self._parser(shape["value"]["shape"], None),
                    shape,
                )
        return _restricted(_scalar(scalars.parser(shape)), literals)


def supported_members(target: Target) -> dict[str, object]:
    """keyword -> annotation of what a function or dataclass takes.

    Its keyword-only parameters, or its fields.
    """
    kinds = (
        (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        if inspect.isclass(target)
        else (inspect.Parameter.KEYWORD_ONLY,)
    )
    return {
        name: str if parameter.annotation is parameter.empty else parameter.annotation
        for name, parameter in inspect.signature(target).parameters.items()
        if parameter.kind in kinds
    }


def _reading(annotation: object) -> tuple[Target | None, tuple[object, ...]]:
    """(dataclass or None, allowed values or ()) of an annotation like ``Literal["a"] | None``."""
    options = (
        typing.get_args(annotation)
        if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union
        else (annotation,)
    )
    target: Target | None = None
    literals: tuple[object, ...] = ()
    for option in options:
        if typing.get_origin(option) is typing.Literal:
            literals += typing.get_args(option)
        elif inspect.isclass(option) and hasattr(option, "__dataclass_fields__"):
            target = option
    return target, literals


def _item_annotation(annotation: object) -> object:
    """``Sequence[X] | None`` -> X."""
    for option in (annotation, *typing.get_args(annotation)):
        if typing.get_origin(option) in (list, tuple, Sequence):
            return typing.get_args(option)[0]
    return None


def _keywords(**values: Any) -> dict[str, Any]:
    return values


def _nothing(tree: Tree) -> dict[str, Any]:
    for name in tree:
        raise unknown(name)
    return {}


def _list_of(
    parse: Callable[[Node, str], _Made], wrapper: str | None
) -> Callable[[Node, str], list[_Made]]:
    """``.1`` ``.2`` ...

    IAM and STS put "member" before the number. From 0 is fine, gaps are, numbers sort as numbers.
    A value without a number is a list of one: members that are lists today took a single value in
    old API versions, and clients still send them so (libcloud's DescribeKeyPairs: KeyName=).
    """

    def parse_list(node: Node, path: str) -> list[_Made]:
        if wrapper is not None and isinstance(node, dict):
            if node.keys() != {wrapper}:
                raise unknown(f"{path}.{next(iter(node.keys() - {wrapper}))}")
            node, path = node[wrapper], f"{path}.{wrapper}"
        if node == "":
            return []  # how botocore says an empty list in IAM's dialect
        if not isinstance(node, dict):
            return [parse(node, path)]
        for index in node:
            if not _INDEX.fullmatch(index):
                raise unknown(f"{path}.{index}")
        return [parse(node[index], f"{path}.{index}") for index in sorted(node, key=int)]

    return parse_list


def _map_of(parse_key: Parser, parse_value: Parser, shape: Shape) -> Parser:
    key_name = shape["key"].get("locationName", "key")
    value_name = shape["value"].get("locationName", "value")

    def parse_entry(node: Node, path: str) -> tuple[object, object]:
        if not isinstance(node, dict) or node.keys() != {key_name, value_name}:
            raise invalid(path, "...", f"An entry has {key_name} and {value_name}.")
        return (
            parse_key(node[key_name], f"{path}.{key_name}"),
            parse_value(node[value_name], f"{path}.{value_name}"),
        )

    parse_entries = _list_of(parse_entry, None if shape.get("flattened") else "entry")
    return lambda node, path: dict(parse_entries(node, path))


def _scalar(parse: scalars.Parser) -> Parser:
    def parse_scalar(node: Node, path: str) -> object:
        if isinstance(node, dict):
            # boto 2 sends GetConsoleOutput's InstanceId as a list of one.
            if len(node) != 1 or not _INDEX.fullmatch(next(iter(node))):
                raise unknown(f"{path}.{next(iter(node))}")
            (node,) = node.values()
            if isinstance(node, dict):
                raise unknown(f"{path}.{next(iter(node))}")
        return parse(node, path)

    return parse_scalar


def _restricted(parse: Parser, literals: tuple[object, ...]) -> Parser:
    if not literals:
        return parse

    def parse_restricted(node: Node, path: str) -> object:
        value = parse(node, path)
        if value not in literals:
            raise unsupported(f"The value {value!r} of the parameter {path}")
        return value

    return parse_restricted
