"""Scalars of a request: the text of a member to its value, as the model's type and bounds say.

    parse = parser({"type": "integer", "max": 1000});  parse("5", "MaxResults") -> 5

Called by gateway/aws/parameters. Raises CloudError INVALID with the member's path.
"""

import base64
import binascii
import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TypeAlias

from gateway.aws.model import Shape
from protos.errors import CloudError, Kind

Parser: TypeAlias = Callable[[str, str], object]  # (text, its path on the wire) -> value
_INTEGER = re.compile(r"[+-]?[0-9]{1,19}")


def parser(shape: Shape) -> Parser:
    match shape["type"]:
        case "string":
            return _string(shape)
        case "integer" | "long":
            return _integer(shape)
        case kind:
            return _PARSERS[kind]


def invalid(path: str, value: object, why: str = "") -> CloudError:
    text = str(value) if len(str(value)) <= 100 else str(value)[:100] + "..."
    return CloudError(
        Kind.INVALID,
        f"Value ({text}) for parameter {path} is invalid. {why}".rstrip(),
        noun="parameter",
        id=path,
        reason="parameter-value",
    )


def _string(shape: Shape) -> Parser:
    allowed = frozenset(shape.get("enum", ()))

    def parse(text: str, path: str) -> str:
        if allowed and text not in allowed:
            raise invalid(path, text)
        return text

    return parse


def _integer(shape: Shape) -> Parser:
    bits = 31 if shape["type"] == "integer" else 63
    low, high = shape.get("min", -(2**bits)), shape.get("max", 2**bits - 1)

    def parse(text: str, path: str) -> int:
        if not _INTEGER.fullmatch(text):
            raise invalid(path, text, "It is an integer.")
        value = int(text)
        if value < low:
            raise invalid(path, text, f"Expecting a value greater than or equal to {low}.")
        if value > high:
            raise invalid(path, text, f"Expecting a value less than or equal to {high}.")
        return value

    return parse


def _number(text: str, path: str) -> float:
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


def _timestamp(text: str, path: str) -> int:
    """ISO 8601 to milliseconds since the epoch. Without a zone it is UTC."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise invalid(path, text, "It is a time such as 2026-01-31T12:00:00Z.") from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return round(moment.timestamp() * 1000)


def _blob(text: str, path: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        raise invalid(path, text, "It is base64.") from None


_PARSERS: dict[str, Parser] = {
    "float": _number,
    "double": _number,
    "boolean": boolean,
    "timestamp": _timestamp,
    "blob": _blob,
}
