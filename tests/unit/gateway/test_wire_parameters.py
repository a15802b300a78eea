"""How parameters on the wire are read: docs/ec2.md's traps 3 to 5, and what has no value."""

import pytest

from gateway.aws import model
from gateway.aws.parameters import Parsers, keyword, nest, supported_members
from gateway.ec2 import ACTIONS
from protos.cloud.v1 import common_pb2
from tests.unit.gateway.wire import ask, error

# -- 3, 4, 5: lists


@pytest.mark.parametrize(
    ("operation", "parameters", "parsed"),
    [
        (
            "RunInstances",
            {
                "MinCount": "1",
                "MaxCount": "1",
                "ClientToken": "t",
                "NetworkInterface.1.DeviceIndex": "0",
            },
            {
                "MinCount": 1,
                "MaxCount": 1,
                "ClientToken": "t",
                "NetworkInterfaces": [{"DeviceIndex": 0}],
            },
        ),
        (
            "DescribeSnapshots",
            {"Owner.1": "self", "RestorableBy.1": "all"},
            {"OwnerIds": ["self"], "RestorableByUserIds": ["all"]},
        ),
        (
            "ModifyInstanceAttribute",
            {"InstanceId": "i-1", "GroupId.1": "sg-1"},
            {"InstanceId": "i-1", "Groups": ["sg-1"]},
        ),
        (
            "DeleteTags",
            {"ResourceId.1": "i-1", "Tag.1.Key": "k"},
            {"Resources": ["i-1"], "Tags": [{"Key": "k"}]},
        ),
    ],
)
def test_3_names_on_the_wire_are_the_models(operation, parameters, parsed):
    assert Parsers(model.load("ec2")).of(operation)(nest(parameters.items())) == parsed


def test_4_index_10_comes_after_2(world):
    ids = {f"InstanceId.{n}": f"i-{n}" for n in (10, 2, 1, 9, 11)}
    ask(world, "DescribeInstances", **ids)
    asked = world.clients.instances.calls[-1].request
    assert asked.instance_ids == ["i-1", "i-2", "i-9", "i-10", "i-11"]


def test_5_old_clients_count_from_zero(world):
    answer = ask(
        world,
        "DescribeInstances",
        **{"Filter.0.Name": "image-id", "Filter.0.Value.0": "ami-1", "InstanceId.0": "i-0"},
    )
    asked = world.clients.instances.calls[-1].request
    assert answer.status_code == 200
    assert asked.instance_ids == ["i-0"]
    assert asked.filters == [common_pb2.Filter(name="image-id", values=["ami-1"])]


def _lists_of_strings():
    """(action, operation, a list member, what else is required) of all that our actions take."""
    service = model.load("ec2")
    for action in ACTIONS:
        operation = next(name for name in service.operations if keyword(name) == action.__name__)
        shape = service.shapes[service.operations[operation].input]
        taken = supported_members(action)
        kinds = {name: service.shapes[at["shape"]] for name, at in shape["members"].items()}
        wire = {name: service.input_name(name, at) for name, at in shape["members"].items()}
        required = {
            wire[name]: {} if kinds[name]["type"] == "list" else "1"
            for name in shape.get("required", ())
        }
        for name, kind in kinds.items():
            if kind["type"] == "list" and keyword(name) in taken:
                item = service.shapes[kind["member"]["shape"]]
                if item["type"] == "string":
                    yield action, operation, wire[name], item.get("enum", ["x"])[0], required


def test_5_a_list_without_a_number_is_a_list_of_one():
    """As old API versions have them, and as libcloud still asks for a key pair by its name."""
    parsers, seen = Parsers(model.load("ec2")), set()
    for action, operation, name, value, required in _lists_of_strings():
        parse = parsers.of(operation, action)
        numbered = parse({**required, name: {"1": value}})
        assert parse({**required, name: value}) == numbered, (operation, name)
        seen.add(f"{operation} {name}")
    assert {"DescribeKeyPairs KeyName", "StopInstances InstanceId"} <= seen
    filtered = {"Filter": {"1": {"Name": "state", "Value": "available"}}}
    wanted = {"Filters": [{"Name": "state", "Values": ["available"]}]}
    assert parsers.of("DescribeVpcs")(filtered) == wanted


@pytest.mark.parametrize(("text", "value"), [("1", True), ("True", True), ("0", False)])
def test_libcloud_says_true_by_a_number(text, value):
    parse = Parsers(model.load("ec2")).of("DetachVolume")
    assert parse({"VolumeId": "vol-1", "Force": text})["Force"] is value


def test_a_dry_run_is_asked_for_as_any_boolean(world):
    assert error(ask(world, "DescribeVpcs", DryRun="1")) == (412, "DryRunOperation")
    assert ask(world, "DescribeVpcs", DryRun="0").status_code == 200
    assert error(ask(world, "DescribeVpcs", DryRun="yes")) == (400, "InvalidParameterValue")


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("InstanceId.x", "UnknownParameter"),
        ("InstanceId.1.Name", "UnknownParameter"),
        ("Filter", "InvalidParameterValue"),
        ("Nonsense", "UnknownParameter"),
        ("Filter.1.Nonsense", "UnknownParameter"),
        ("Filter.1", "InvalidParameterValue"),
        (".", "UnknownParameter"),
        ("", "UnknownParameter"),
        ("A." * 1000, "UnknownParameter"),
    ],
)
def test_5_what_is_not_understood_is_refused_never_500(world, name, code):
    assert error(ask(world, "DescribeInstances", **{name: "1"})) == (400, code)


def test_a_name_of_two_shapes_is_refused(world):
    given = {"InstanceId.1": "i-1", "InstanceId.1.Name": "x"}
    assert error(ask(world, "DescribeInstances", **given)) == (400, "UnknownParameter")


@pytest.mark.parametrize("bad", ["\x00", "\x08", "\x0b", "\x1f", "\ufffe", "\uffff"])
def test_13_what_xml_cannot_carry_is_rejected(world, bad):
    given = {"ResourceId.1": "i-1", "Tag.1.Key": "k", "Tag.1.Value": f"x{bad}"}
    assert error(ask(world, "CreateTags", **given)) == (400, "InvalidParameterValue")
    assert error(ask(world, f"Describe{bad}")) == (400, "InvalidParameterValue")
    assert not world.clients.tags.calls


# -- values that are none


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MaxResults", "many"),
        ("MaxResults", ""),
        ("MaxResults", "1.5"),
        ("MaxResults", "9" * 30),
        ("MaxResults", str(2**31)),
        ("IncludeManagedResources", "maybe"),
        ("DryRun", "maybe"),
        ("DryRun", ""),
    ],
)
def test_values_of_another_type_are_refused(world, name, value):
    answer = ask(world, "DescribeInstances", **{name: value})
    assert error(answer) == (400, "InvalidParameterValue")


def test_enumerations_are_the_models(world):
    given = {"KeyName": "k", "KeyType": "dsa"}
    assert error(ask(world, "CreateKeyPair", **given)) == (400, "InvalidParameterValue")


def test_instance_types_are_the_catalogues(world):
    given = {"ImageId": "a", "InstanceType": "own.huge", "MinCount": "1", "MaxCount": "1"}
    assert ask(world, "RunInstances", **given).status_code == 200
    assert world.clients.instances.calls[-1].request.instance_type == "own.huge"


def test_what_is_required_is_missed(world):
    answer = ask(world, "StartInstances")
    assert error(answer) == (400, "MissingParameter")
    assert b"InstanceId" in answer.data
