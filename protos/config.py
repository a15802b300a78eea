"""A service's configuration: one TOML file, read as what its room declares.

    class Config(Section, frozen=True):           a table and its keys; Sections may be nested
        state_dir: Path                           no default: the file must have it
        threads: Positive = 8                     a constraint is part of the type

    config = load(path, Config)                   raises ConfigError, one sentence for the operator
    config = parse(table, Config, "host.toml")    the same, of a table that was read before

Nothing is guessed: a key that is not declared refuses to start, and so does a value of another type
(but an integer is a number, too). ``__post_init__`` raises ValueError where values do not fit each
other. Used by the controller, the gateway, the host agent and the CLI. docs/decisions/0309.
"""

import math
import re
import tomllib
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

Positive = Annotated[int, msgspec.Meta(ge=1)]
NotNegative = Annotated[int, msgspec.Meta(ge=0)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]  # a time limit
Ratio = Annotated[float, msgspec.Meta(gt=0)]
Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]

# msgspec's messages: Expected `int`, got `str` - at `$.region.zones[1].id`
_MESSAGE = re.compile(r"(?P<what>.*?)(?: - at `\$\.?(?P<key>.*)`)?", re.DOTALL)
_STEP = re.compile(r"(?P<name>\w+)|\[(?P<index>\d+)\]")
_UNKNOWN, _MISSING = "Object contains unknown field ", "Object missing required field "
_WORDS = {
    "array": "a list",
    "bool": "true or false",
    "dict": "a table",
    "float": "a number",
    "int": "an integer",
    "list": "a list",
    "object": "a table",
    "str": "a string",
}


class ConfigError(ValueError):
    """The file cannot be what was meant; the message says where and why."""


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of a configuration."""


S = TypeVar("S", bound=Section)


def load(path: Path, kind: type[S], folder: Path = Path()) -> S:
    """A file as ``kind``. Raises ConfigError. ``folder``: what relative paths in it begin at."""
    return parse(read(path), kind, str(path), folder)


def read(path: Path) -> dict[str, Any]:
    """A file's keys, of whatever type. Raises ConfigError."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as failure:
        raise ConfigError(f"{path}: {failure.strerror}") from failure
    except ValueError as mistake:  # no TOML, or no UTF-8
        raise ConfigError(f"{path}: {mistake}") from mistake


def parse(table: dict[str, Any], kind: type[S], where: str, folder: Path = Path()) -> S:
    """A table as TOML gives it as ``kind``. Raises ConfigError, which begins with ``where``."""

    def as_path(wanted: type, value: object) -> Path:
        if wanted is Path and isinstance(value, str):
            return folder / value
        raise TypeError(f"Expected `str`, got `{type(value).__name__}`")

    for key, value in _numbers(table):
        if not math.isfinite(value):  # TOML has these; no time, ratio or multiplier is one
            raise ConfigError(f"{where}: {key}: expected a number, got {value}")
    try:
        return msgspec.convert(table, kind, dec_hook=as_path)
    except msgspec.ValidationError as mistake:
        said = _MESSAGE.fullmatch(str(mistake))
        assert said
        key = (said["key"] or "").removesuffix("[...]")  # some value of a table of numbers
        told = _sentence(said["what"], *_at(kind, table, key))
        raise ConfigError(": ".join(filter(None, (where, key, told)))) from mistake


def _numbers(value: object, key: str = "") -> Iterator[tuple[str, float]]:
    """All numbers with a point, by key, as ``region.zones[1].id``."""
    if isinstance(value, float):
        yield key, value
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from _numbers(one, f"{key}.{name}" if key else name)
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from _numbers(one, f"{key}[{index}]")


def _at(kind: Any, value: Any, key: str) -> tuple[Any, Any]:
    """What is declared and what is given at a key such as ``region.zones[1].id``."""
    for step in _STEP.finditer(key):
        if step["index"]:
            kind, value = typing.get_args(kind)[0], value[int(step["index"])]
        else:
            kind, value = typing.get_type_hints(kind)[step["name"]], value[step["name"]]
    return kind, value


def _sentence(what: str, kind: Any, value: Any) -> str:
    """msgspec's message in an operator's words, with what else the declaration knows."""
    if what.startswith(_UNKNOWN):
        known = kind.__struct_fields__
        unknown = [key for key in value if key not in known]
        return f"unknown: {', '.join(unknown)}; known: {', '.join(known)}"
    if what.startswith(_MISSING):
        return f"missing: {', '.join(_missing(kind, value))}"
    if typing.get_origin(kind) is typing.Literal and isinstance(value, str):
        return f"{value!r} is none of {', '.join(typing.get_args(kind))}"
    if not what.startswith("Expected"):
        return what  # a __post_init__'s own
    given = f" in {value}" if isinstance(value, dict) and "`object`" not in what else ""
    words = re.sub("`(.*?)`", lambda quoted: _in_words(quoted[1]), what)
    return words.replace("Expected", "expected", 1) + given


def _missing(kind: type[Section], table: dict[str, Any]) -> Iterator[str]:
    return (
        field.name
        for field in msgspec.structs.fields(kind)
        if field.required and field.name not in table
    )


def _in_words(types: str) -> str:
    """ "int | null" -> "an integer": TOML has no null."""
    return " or ".join(_WORDS.get(name, name) for name in types.split(" | ") if name != "null")
