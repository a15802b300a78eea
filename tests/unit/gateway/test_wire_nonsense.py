"""Nonsense by the members that we do take: whatever is sent is answered, and never by a bug."""

import random
import re
import typing

import pytest

from gateway import coverage, ec2
from gateway.aws import model
from gateway.aws.parameters import keyword, supported_members
from tests.unit.gateway.world import World

VALUES = ["", "0", "1", "-1", "true", "false", "x", "i-1", "10.0.0.0/8", "tcp", "é🌩", "a" * 300]
VALUES += [
    "2026-01-31T12:00:00Z",
    "99999999999",
    "instance",
    "default",
    "YQ==",
    "%",
    "instanceType",
]
REQUESTS_PER_ACTION = 60
EC2 = model.load("ec2")


@pytest.fixture(scope="module")
def world():
    return World()


def members(operation: str, function) -> list[str]:
    """The wire names that an action takes, with N for a number: "Filter.N.Name"."""
    shape = EC2.operations[operation].input
    return [
        re.match("`([^`]+)`", told)[1] for told in coverage.members_of(EC2, shape, function, "")
    ]


@pytest.mark.parametrize("function", ec2.ACTIONS, ids=lambda function: function.__name__)
def test_nonsense_is_refused_or_passed_on(world, function):
    (operation,) = (name for name in EC2.operations if keyword(name) == function.__name__)
    names, chance = members(operation, function), random.Random(operation)
    enums = {
        value for shape in model.load("ec2").shapes.values() for value in shape.get("enum", ())[:1]
    }
    values = VALUES + sorted(enums)[:20]
    for _ in range(REQUESTS_PER_ACTION):
        chosen = chance.sample(names, chance.randint(0, min(6, len(names))))
        given = {
            re.sub(r"\bN\b", lambda _: str(chance.randint(0, 2)), name): chance.choice(values)
            for name in chosen
        }
        answer = world.call({"Action": operation, "Version": "2016-11-15", **given})
        assert answer.status_code in (200, 400), (operation, given, answer.data)


def lacking(shape_name: str, target, prefix: str = "") -> list[str]:
    """The wire names that an action does not take, also inside of structures that it does."""
    shape, accepted = EC2.shapes[shape_name], supported_members(target)
    found = []
    for member, definition in shape["members"].items():
        name = f"{prefix}{EC2.input_name(member, definition)}"
        kind = EC2.shapes[definition["shape"]]
        inner, suffix = (
            (kind["member"]["shape"], ".1") if kind["type"] == "list" else (definition["shape"], "")
        )
        is_structure = EC2.shapes[inner]["type"] == "structure"
        if keyword(member) not in accepted:
            if name == "DryRun":
                continue
            parts = EC2.shapes[inner]["members"].items() if is_structure else ()
            found += [f"{name}{suffix}.{EC2.input_name(*part)}" for part in parts] or [name]
        elif is_structure and (parts := structure_of(accepted[keyword(member)])):
            found += lacking(inner, parts, f"{name}{suffix}.")
    return found


def structure_of(annotation):
    """The dataclass inside of ``X``, ``X | None`` or ``Sequence[X]``; None where there is none."""
    if hasattr(annotation, "__dataclass_fields__"):
        return annotation
    return next(filter(None, map(structure_of, typing.get_args(annotation))), None)


@pytest.mark.parametrize("function", ec2.ACTIONS, ids=lambda function: function.__name__)
def test_empty_values_of_members_that_we_lack_are_no_values(world, function):
    (operation,) = (name for name in EC2.operations if keyword(name) == function.__name__)
    shape = EC2.operations[operation].input
    for name in lacking(shape, function) if shape else ():
        answer = world.call({"Action": operation, "Version": "2016-11-15", name: ""})
        assert b"is not supported by this cloud" not in answer.data, (name, answer.data)
        refused = world.call({"Action": operation, "Version": "2016-11-15", name: "x"})
        assert b"UnsupportedOperation" in refused.data, (name, refused.data)
