"""Writes docs/coverage.md: the actions there are, and the members of each.

``python -m gateway.coverage``. The page is read off the actions' signatures, which are the support
matrix; a test asks that it is up to date.
"""

import sys
import types
import typing
from collections.abc import Iterator, Sequence
from dataclasses import is_dataclass
from pathlib import Path

from gateway import ec2, iam, sts
from gateway.aws import model
from gateway.aws.endpoint import Function
from gateway.aws.model import Service
from gateway.aws.parameters import Target, keyword, supported_members
from protos.errors import Kind
from protos.nouns import NOUNS

PAGE = Path(__file__).resolve().parent.parent / "docs" / "coverage.md"
SERVICES = (("ec2", "EC2", ec2.ACTIONS), ("sts", "STS", sts.ACTIONS), ("iam", "IAM", iam.ACTIONS))

HEAD = """# What is covered

Generated from the actions' signatures by `python -m gateway.coverage`; do not edit. An action that
is not here is refused with `UnsupportedOperation`, and so is a member that is not here, by its
name. A value after a member is the only one that is taken. Every action takes `DryRun` where EC2's
does. Under "nothing there" are reads of what cannot be made here: an empty list is the true answer.
To clients of AWS's other services it is said that they are not here.
"""
# Files of gateway/ec2 that are about another's noun.
SAME_NOUN = {
    "empty_nouns": "nothing there",
    "launch": "instances",
    "instance_attributes": "instances",
    "security_group_rules": "security_groups",
}


def page() -> str:
    tables = [_table(*each) for each in SERVICES if each[2]]
    return "\n".join([HEAD, *tables, *(_service(*each) for each in SERVICES), _nouns()])


def _nouns() -> str:
    """What has ids: how they begin, whether it can be tagged, which quotas count it."""
    lines = [
        "## Nouns",
        "",
        "| noun | ids | tags | quotas | one that is not there |",
        "| --- | --- | --- | --- | --- |",
    ]
    for noun in sorted(NOUNS.values(), key=lambda noun: noun.name):
        if noun.prefix and noun.named:
            tags = "yes" if noun.tagged else "no"
            quotas = ", ".join(f"`{quota.name}`" for quota in noun.quotas)
            absent = noun.code(Kind.NOT_FOUND)
            lines.append(f"| {noun.name} | `{noun.prefix}-…` | {tags} | {quotas} | `{absent}` |")
    return "\n".join([*lines, ""])


def _table(name: str, title: str, actions: Sequence[Function]) -> str:
    """One row a noun, with the names of its actions."""
    lines = [f"| {title} | actions |", "| --- | --- |"]
    for noun, operations in _by_noun(model.load(name), actions).items():
        anchor = f"{title}-{noun}".lower().replace(" ", "-")
        lines.append(f"| [{noun}](#{anchor}) | {', '.join(sorted(operations))} |")
    return "\n".join([*lines, ""])


def _service(name: str, title: str, actions: Sequence[Function]) -> str:
    service = model.load(name)
    lines = [f"## {title}: {len(actions) or 'no'} actions", ""]
    for noun, operations in _by_noun(service, actions).items():
        lines += [f"### {title} {noun}", ""]
        for operation, function in sorted(operations.items()):
            shape = service.operations[operation].input
            members = list(members_of(service, shape, function, "")) if shape else []
            lines.append(f"- **{operation}**: {', '.join(members) if members else '*no members*'}")
        lines.append("")
    return "\n".join(lines)


def _by_noun(service: Service, actions: Sequence[Function]) -> dict[str, dict[str, Function]]:
    """noun -> operation -> its function. An action's noun is the file that it is in."""
    by_keyword = {keyword(operation): operation for operation in service.operations}
    found: dict[str, dict[str, Function]] = {}
    for function in actions:
        file = function.__module__.rpartition(".")[2]
        noun = SAME_NOUN.get(file, file).replace("_", " ")
        found.setdefault(noun, {})[by_keyword[function.__name__]] = function
    return dict(sorted(found.items()))


def members_of(service: Service, shape: str, target: Target, prefix: str) -> Iterator[str]:
    """A target's members by their names on the wire, those of structures behind a dot."""
    accepted = supported_members(target)
    for member, definition in service.members(shape).items():
        if keyword(member) not in accepted:
            continue
        annotation = accepted[keyword(member)]
        name = prefix + service.input_name(member, definition)
        inner = service.shapes[definition["shape"]]
        while inner["type"] == "list":
            name, definition = f"{name}.N", inner["member"]
            inner = service.shapes[definition["shape"]]
        structure = _dataclass_in(annotation)
        if structure is not None and inner["type"] == "structure":
            yield from members_of(service, definition["shape"], structure, f"{name}.")
        else:
            values = _literals_in(annotation)
            yield f"`{name}`" + (f" ({' | '.join(values)})" if values else "")


def _parts(annotation: object) -> Iterator[object]:
    """An annotation and all that it is made of."""
    yield annotation
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) in (
        typing.Union,
        Sequence,
    ):
        for part in typing.get_args(annotation):
            yield from _parts(part)


def _dataclass_in(annotation: object) -> Target | None:
    return next(
        (part for part in _parts(annotation) if isinstance(part, type) and is_dataclass(part)), None
    )


def _literals_in(annotation: object) -> list[str]:
    return [
        str(value).lower() if isinstance(value, bool) else str(value) or "(empty)"
        for part in _parts(annotation)
        if typing.get_origin(part) is typing.Literal
        for value in typing.get_args(part)
    ]


if __name__ == "__main__":
    PAGE.write_text(page())
    print(f"wrote {PAGE.name}", file=sys.stderr)
