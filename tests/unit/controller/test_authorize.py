"""Permissions: what each rpc says of itself, and that the guard asks ``authorize`` for each."""

import re
from pathlib import Path

import pytest
from google.protobuf.message_factory import GetMessageClass

from controller.identity.authorize import authorize
from controller.identity.guard import Guard
from controller.identity.permissions import UnknownField, compile_permission
from protos import services
from protos.cloud.v1 import (
    common_pb2,
    instances_pb2,
    options_pb2,
    tags_pb2,
)
from protos.errors import CloudError, Kind
from protos.rpc import Caller

ASKED = [
    method
    for service in services.SERVICES
    for method in service.methods
    if services.permission_of(method).action
]
CALLER = Caller(
    account_id="123456789012",
    principal_id="AIDA0",
    principal_arn="arn:aws:iam::123456789012:user/ann",
    operator=True,
)
ID = "i-0123456789abcdef0"  # also where another noun's is meant: the shape does not matter
DOCUMENTED = {
    name: rest.strip()
    for line in Path(__file__).with_name("ec2_permissions.txt").read_text().splitlines()
    if not line.startswith("#")
    for name, rest in [re.split(r":(?= |$)", line, maxsplit=1)]
}
named = pytest.mark.parametrize("method", ASKED, ids=lambda method: method.full_name)


class Policy:
    """An authorize that consents to all but one action to one resource, and notes what it was
    asked."""

    def __init__(self, action="", arn=""):
        self.denied, self.asked = (action, arn), []

    def __call__(self, principal, action, resources, context):
        self.asked.append((principal, action, resources, context))
        return self.denied not in [(action, one.arn) for one in resources]


# --- what the contract says -----------------------------------------------------------------------


@named
def test_every_action_has_the_resources_and_keys_that_ec2_documents(method):
    said = services.permission_of(method)
    assert said.resources
    if not said.action.startswith("ec2:"):
        return
    types, _, sets = DOCUMENTED[said.action].partition("|")
    has = {text.rpartition("/")[0] or text for text in said.resources}
    if has == {"{resource_ids}"}:
        has = {one.rstrip("*") for one in types.split()}
    elif not types.strip():
        assert has == {"*"}
        has = set()
    assert has <= {one.rstrip("*") for one in types.split()}
    assert has >= {one.rstrip("*") for one in types.split() if one.endswith("*")}
    keys = {
        one.key.partition("/")[0] if "Attribute/" in one.key else one.key for one in said.context
    }
    assert keys <= {*sets.split(), *(key for one in has for key in DOCUMENTED[one].split())}
    fields = {field.name for field in method.input_type.fields}
    assert ("aws:RequestTag" in keys) == bool(fields & {"tags", "tag_specifications"})
    if "ec2:Attribute" in sets and said.action.startswith("ec2:Modify"):
        assert keys, "an attribute that a request sets is a condition key"


@pytest.mark.parametrize(
    ("resource", "value"),
    [
        ("instance/{instance_typo}", ""),
        ("instance/{instance_id.more}", ""),
        ("instance/{options}", ""),
        ("instance/i-1", ""),
        ("*", "{options.typo}"),
        ("*", "options"),
    ],
)
def test_a_template_that_fits_no_field_stops_the_start(resource, value):
    said = options_pb2.Permission(action="ec2:X", resources=[resource])
    if value:
        said.context.add(key="ec2:Attribute/X", value=value)
    with pytest.raises(UnknownField):
        compile_permission(said, instances_pb2.ModifyMetadataOptionsRequest.DESCRIPTOR)


# --- in the guard ---------------------------------------------------------------------------------


def filled(descriptor, path: str):
    """A request that says one field, and what it says."""
    message = GetMessageClass(descriptor)()
    name, _, rest = path.partition(".")
    field = descriptor.fields_by_name[name]
    if rest:
        inner, value = filled(field.message_type, rest)
    elif field.message_type is not None:
        tag = common_pb2.Tag(key="env", value="prod")
        inner, value = tag, "prod"
        if field.message_type.name == "TagSpecification":
            inner = common_pb2.TagSpecification(resource_type="instance", tags=[tag])
        elif field.message_type.name == "TagSelector":
            inner = tags_pb2.TagSelector(key="env", value="prod")
    else:
        inner = {field.CPPTYPE_STRING: ID, field.CPPTYPE_BOOL: True}.get(field.cpp_type, 7)
        value = {True: "true"}.get(inner, str(inner)) if inner is True else str(inner)
    if field.is_repeated:
        getattr(message, name).append(inner)
    elif field.message_type is not None:
        getattr(message, name).CopyFrom(inner)
    else:
        setattr(message, name, inner)
    return message, value


def ask(policy, method, request) -> bool:
    try:
        Guard(policy, "us-east-1")(services.full_name(method), request, "gateway", CALLER)
    except CloudError as refusal:
        assert refusal.kind is Kind.DENIED
        return False
    return True


@named
def test_the_guard_asks_for_each_resource_that_a_request_names(method):
    said = services.permission_of(method)
    for template in said.resources:
        noun, slash, path = template.rpartition("/")
        if not slash and not path.startswith("{") and path != "*":
            continue  # known once it is read: below
        request, identifier = GetMessageClass(method.input_type)(), path
        if path != "*":
            request, identifier = filled(method.input_type, path.strip("{}"))
        wanted = "*" if template == "*" else f":{noun or 'instance'}/{identifier}"
        policy = Policy()
        assert ask(policy, method, request)
        ((principal, action, resources, _),) = policy.asked
        assert (principal.id, principal.account_id) == ("AIDA0", CALLER.account_id)
        (denied,) = [one.arn for one in resources if one.arn.endswith(wanted)]
        assert action == said.action and not any(one.read for one in resources)
        assert not ask(Policy(said.action, denied), method, request), template


@named
def test_the_guard_tells_the_condition_keys_of_a_request(method):
    for one in services.permission_of(method).context:
        noun, _, path = one.value.rpartition("/")
        request, value = filled(method.input_type, path.strip("{}"))
        policy = Policy()
        ask(policy, method, request)
        ((_, _, resources, context),) = policy.asked
        if one.key != "aws:RequestTag":
            told = [f"arn:aws:ec2:us-east-1::{noun}/{value}" if noun == "snapshot" else value]
            if noun not in ("", "snapshot"):
                told = [f"arn:aws:ec2:us-east-1:{CALLER.account_id}:{noun}/{value}"]
            assert dict(context) == {one.key: told}
            continue
        for resource in resources:
            if ":instance/" in resource.arn or path.strip("{}") == "tags":
                assert resource.context["aws:RequestTag/env"] == ["prod"]
                assert resource.context["aws:TagKeys"] == ["env"]
            else:
                assert not resource.context, "the tags are another type's"


def test_all_actions_are_asked_of_one_function():
    for method in ASKED:
        request = GetMessageClass(method.input_type)()
        assert not ask(lambda *question: False, method, request)
        assert ask(authorize, method, request)
