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

import base64
import binascii
import inspect
import re
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime

from botocore import xform_name

from gateway.aws.model import Service
from gateway.aws.renderers import NOT_XML
from protos.errors import CloudError, Kind, missing_parameter

MAX_DEPTH = 16  # deeper than any shape of EC2
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")
_INDEX = re.compile(r"[0-9]{1,6}")

Tree = dict  # wire name -> str | Tree
Parser = Callable[[object, str], object]  # (node, its path on the wire) -> value


def keyword(member: str) -> str:
    """A model's member as a Python keyword: "InstanceIds" -> "instance_ids"."""
    return xform_name(member)


def invalid(path: str, value: object, why: str = "") -> CloudError:
    text = str(value) if len(str(value)) <= 100 else str(value)[:100] + "..."
    return CloudError(
        Kind.INVALID,
        f"Value ({text}) for parameter {path} is invalid. {why}".rstrip(),
        noun="parameter",
        id=path,
        reason="parameter-value",
    )


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
            node = node.setdefault(name, {})
            if not isinstance(node, dict):
                raise unknown(key)
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
        self._service, self._known = service, {}

    def of(self, operation: str, target: Callable | None = None) -> Callable[[Tree], dict]:
        """The parser of an operation's request: tree -> keywords for the action ``target``.

        Without a target: tree -> a dict with the model's names. The parameters of an action before
        its keyword-only ones (the call) are not members.
        """
        shape = self._service.operations[operation].input
        if shape is None:
            return _nothing
        parse = self._compile_structure(shape, target, dict)
        return lambda tree: parse(tree, "")

    def _structure(self, name: str, target: Callable | None) -> Parser:
        key = (name, target)
        if key not in self._known:
            # The model has shapes that contain themselves: promise first, compile after.
            self._known[key] = lambda node, path: self._known[key](node, path)
            self._known[key] = self._compile_structure(name, target, target or dict)
        return self._known[key]

    def _compile_structure(self, name: str, target: Callable | None, make: Callable) -> Parser:
        shape, service = self._service.shapes[name], self._service
        accepted = None if target is None else supported_members(target)
        if accepted is not None:
            strangers = accepted.keys() - {keyword(member) for member in shape["members"]}
            if strangers:
                raise TypeError(f"{target}: {name} has no members {sorted(strangers)}")
        members = {}
        for member, definition in shape["members"].items():
            wire_name, word = service.input_name(member, definition), keyword(member)
            if accepted is None:
                members[wire_name] = (member, self._parser(definition["shape"], None), False)
            elif word in accepted:
                annotation = accepted[word]
                parser = self._parser(definition["shape"], annotation)
                members[wire_name] = (word, parser, bool(_reading(annotation)[1]))
            else:
                members[wire_name] = (None, None, True)
        required = [
            (
                member if target is None else keyword(member),
                service.input_name(member, shape["members"][member]),
            )
            for member in shape.get("required", ())
        ]

        def parse(node, path):
            if not isinstance(node, dict):
                raise invalid(path, node, "It has members.")
            prefix = f"{path}." if path else ""
            values = {}
            for wire_name, child in node.items():
                if wire_name not in members:
                    raise unknown(prefix + wire_name)
                word, parse_member, lacks_values = members[wire_name]
                if lacks_values and is_empty(child):
                    continue
                if word is None:
                    raise unsupported(f"The parameter {prefix}{wire_name}")
                values[word] = parse_member(child, prefix + wire_name)
            for word, wire_name in required:
                if word not in values:
                    raise missing_parameter(prefix + wire_name)
            return make(**values)

        return parse

    def _parser(self, name: str, annotation) -> Parser:
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
            case "string":
                parse = _string(shape)
            case "integer" | "long":
                parse = _integer(shape)
            case "float" | "double":
                parse = _number
            case scalar:
                parse = _SCALARS[scalar]
        return _restricted(_scalar(parse), literals)


def supported_members(target: Callable) -> dict[str, object]:
    """keyword -> annotation of what a function or dataclass takes.

    Its keyword-only parameters, or its fields.
    """
    hints = typing.get_type_hints(target.__init__ if inspect.isclass(target) else target)
    kinds = (
        (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        if inspect.isclass(target)
        else (inspect.Parameter.KEYWORD_ONLY,)
    )
    return {
        name: hints.get(name, str)
        for name, parameter in inspect.signature(target).parameters.items()
        if parameter.kind in kinds
    }


def _reading(annotation) -> tuple[Callable | None, tuple]:
    """(dataclass or None, allowed values or ()) of an annotation like ``Literal["a"] | None``."""
    options = (
        typing.get_args(annotation)
        if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union
        else (annotation,)
    )
    target, literals = None, ()
    for option in options:
        if typing.get_origin(option) is typing.Literal:
            literals += typing.get_args(option)
        elif inspect.isclass(option) and hasattr(option, "__dataclass_fields__"):
            target = option
    return target, literals


def _item_annotation(annotation):
    """``Sequence[X] | None`` -> X."""
    for option in (annotation, *typing.get_args(annotation)):
        if typing.get_origin(option) in (list, tuple, Sequence):
            return typing.get_args(option)[0]
    return None


def _nothing(tree: Tree) -> dict:
    for name in tree:
        raise unknown(name)
    return {}


def _list_of(parse: Parser, wrapper: str | None) -> Parser:
    """``.1`` ``.2`` ...

    IAM and STS put "member" before the number. From 0 is fine, gaps are, numbers sort as numbers.
    A value without a number is a list of one: members that are lists today took a single value in
    old API versions, and clients still send them so (libcloud's DescribeKeyPairs: KeyName=).
    """

    def parse_list(node, path):
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


def _map_of(parse_key: Parser, parse_value: Parser, shape: dict) -> Parser:
    key_name = shape["key"].get("locationName", "key")
    value_name = shape["value"].get("locationName", "value")

    def parse_entry(node, path):
        if not isinstance(node, dict) or node.keys() != {key_name, value_name}:
            raise invalid(path, "...", f"An entry has {key_name} and {value_name}.")
        return (
            parse_key(node[key_name], f"{path}.{key_name}"),
            parse_value(node[value_name], f"{path}.{value_name}"),
        )

    parse_entries = _list_of(parse_entry, None if shape.get("flattened") else "entry")
    return lambda node, path: dict(parse_entries(node, path))


def _scalar(parse: Parser) -> Parser:
    def parse_scalar(node, path):
        if isinstance(node, dict):
            # boto 2 sends GetConsoleOutput's InstanceId as a list of one.
            if len(node) != 1 or not _INDEX.fullmatch(next(iter(node))):
                raise unknown(f"{path}.{next(iter(node))}")
            (node,) = node.values()
            if isinstance(node, dict):
                raise unknown(f"{path}.{next(iter(node))}")
        return parse(node, path)

    return parse_scalar


def _restricted(parse: Parser, literals: tuple) -> Parser:
    if not literals:
        return parse

    def parse_restricted(node, path):
        value = parse(node, path)
        if value not in literals:
            raise unsupported(f"The value {value!r} of the parameter {path}")
        return value

    return parse_restricted


def _string(shape: dict) -> Parser:
    allowed = frozenset(shape.get("enum", ()))

    def parse(text, path):
        if allowed and text not in allowed:
            raise invalid(path, text)
        return text

    return parse


def _integer(shape: dict) -> Parser:
    bits = 31 if shape["type"] == "integer" else 63
    low, high = shape.get("min", -(2**bits)), shape.get("max", 2**bits - 1)

    def parse(text, path):
        if not _INTEGER.fullmatch(text):
            raise invalid(path, text, "It is an integer.")
        value = int(text)
        if value < low:
            raise invalid(path, text, f"Expecting a value greater than or equal to {low}.")
        if value > high:
            raise invalid(path, text, f"Expecting a value less than or equal to {high}.")
        return value

    return parse


def _number(text, path):
    try:
        return float(text)
    except ValueError:
        raise invalid(path, text, "It is a number.") from None


def boolean(text: str, path: str) -> bool:
    # XML Schema's booleans, in any case: libcloud sends True for NoReboot, and 1 for Force.
    value = {"true": True, "1": True, "false": False, "0": False}.get(text.lower())
    if value is None:
        raise invalid(path, text, "It is true or false.")
    return value


def _timestamp(text, path) -> int:
    """ISO 8601 to milliseconds since the epoch. Without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise invalid(path, text, "It is a time such as 2026-01-31T12:00:00Z.") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def _blob(text, path) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise invalid(path, text, "It is base64.") from None


_SCALARS: dict[str, Parser] = {"boolean": boolean, "timestamp": _timestamp, "blob": _blob}
