"""Reads of what there is none of here, by boto3: empty lists, and refusals of what is named."""

import pytest

from gateway.aws import errors
from gateway.aws.parameters import keyword
from gateway.ec2.empty_nouns import EMPTY
from protos.errors import Kind
from tests.unit.gateway.asking import code

REQUIRED = {"DescribeByoipCidrs": {"MaxResults": 5}}


@pytest.fixture(params=EMPTY, ids=lambda empty: empty.operation)
def read(served, request):
    """(a line of the table, what asks for it, the members that it takes)."""
    _, ec2 = served
    operation = request.param.operation
    names = {api: python for python, api in ec2.meta.method_to_api_mapping.items()}
    members = ec2.meta.service_model.operation_model(operation).input_shape.members
    return request.param, getattr(ec2, names[operation]), members


def test_nothing_is_there(read):
    empty, call, members = read
    asked = REQUIRED.get(empty.operation, {})
    assert call(**asked)[empty.answer] == []
    for name in members.keys() & {"Filters", "Filter"}:
        assert call(**asked, **{name: [{"Name": "tag:a", "Values": ["b"]}]})[empty.answer] == []
    if "NextToken" in members:
        assert code(call, **asked, NextToken="x") == "InvalidNextToken"
    if "DryRun" in members:
        assert code(call, **asked, DryRun=True) == "DryRunOperation"


def test_what_is_named_is_not_found(read):
    empty, call, members = read
    named = {name: empty.named[keyword(name)] for name in members if keyword(name) in empty.named}
    assert len(named) == len(empty.named)
    for name, noun in named.items():
        asked = ["x-1", "x-2"] if members[name].type_name == "list" else "x-1"
        assert code(call, **{name: asked}) == errors.row(Kind.NOT_FOUND, noun, "").code
