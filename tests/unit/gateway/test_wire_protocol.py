"""Which requests on the wire are answered, which refused: docs/ec2.md's traps 7 and 8."""

from urllib.parse import quote

import pytest
from lxml import etree

from gateway.aws import model
from tests.unit.gateway.wire import XML, ask, error

# -- 7: GET and POST


def test_7_get_works_as_post_does(world):
    answer = world.send(
        "GET", "http://localhost/?Action=DescribeVpcs&Version=2016-11-15&VpcId.1=vpc-1"
    )
    assert answer.status_code == 200
    assert world.clients.networks.calls[-1].request.vpc_ids == ["vpc-1"]


def test_7_parameters_are_in_one_place(world):
    answer = world.send(
        "POST",
        "http://localhost/?Action=DescribeVpcs",
        body=b"Version=2016-11-15&VpcId.1=vpc-1",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert error(answer) == (400, "MalformedQueryString")


def test_7_a_post_may_have_all_in_its_query(world):
    answer = world.send("POST", "http://localhost/?Action=DescribeVpcs&Version=2016-11-15")
    assert answer.status_code == 200


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH"])
def test_7_other_methods_are_refused_in_xml(world, method):
    answer = world.send(method, "http://localhost/?Action=DescribeVpcs")
    assert (error(answer), answer.content_type) == ((405, "InvalidRequest"), XML)


@pytest.mark.parametrize("path", ["/nowhere", "/double//x", "/a/../b", "/services/Eucalyptus"])
def test_7_any_path_will_do_and_nothing_is_html(world, path):
    assert ask(world, "DescribeVpcs").content_type == XML
    answer = world.send("GET", f"http://localhost{path}?Action=Nonsense")
    assert (answer.status_code, answer.content_type) == (400, XML)
    unsigned = world.http.options(path)
    assert (unsigned.status_code, unsigned.content_type) == (401, XML)


def test_7_a_bug_is_xml_without_details(world):
    world.clients.networks.answers["DescribeVpcs"] = RuntimeError("secret detail")
    answer = ask(world, "DescribeVpcs")
    assert (error(answer), answer.content_type) == ((500, "InternalError"), XML)
    assert b"secret" not in answer.data


def test_7_a_body_too_large_is_refused_in_xml(world):
    answer = ask(world, "DescribeVpcs", Padding="x" * 2_000_000)
    assert error(answer) == (413, "RequestEntityTooLarge")


def test_7_a_form_that_is_not_utf_8_is_refused(world):
    answer = world.send(
        "POST",
        "http://localhost/",
        body=b"Action=DescribeVpcs&VpcId.1=%ff",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    )
    assert error(answer) == (400, "MalformedQueryString")


# -- 8: what we do not do


def test_8_unknown_and_unsupported_differ(world):
    assert error(ask(world, "MakeCoffee")) == (400, "InvalidAction")
    assert error(ask(world, "CreateNatGateway")) == (400, "UnsupportedOperation")
    assert error(world.call({"Version": "2016-11-15"})) == (400, "MissingAction")


def test_8_every_operation_is_known_and_none_lies(world):
    for operation in model.load("ec2").operations:
        if operation not in world.built.parts.endpoints["ec2"].functions:
            answer = ask(world, operation)
            assert error(answer) == (400, "UnsupportedOperation"), operation
            told = etree.fromstring(answer.data).findtext("Errors/Error/Message")
            assert told == "The functionality you requested is not available in this region."


def test_8_an_unsupported_member_is_named(world):
    answer = ask(
        world,
        "RunInstances",
        **{"ImageId": "a", "MinCount": "1", "MaxCount": "1", "Placement.HostId": "h-1"},
    )
    assert error(answer) == (400, "UnsupportedOperation")
    assert b"Placement.HostId" in answer.data
    assert not world.clients.instances.calls


def test_8_an_unsupported_value_is_named(world):
    answer = ask(
        world,
        "RunInstances",
        **{
            "ImageId": "a",
            "MinCount": "1",
            "MaxCount": "1",
            "HibernationOptions.Configured": "true",
        },
    )
    assert error(answer) == (400, "UnsupportedOperation")
    assert b"HibernationOptions.Configured" in answer.data


def test_a_signature_that_does_not_fit_the_model_stops_the_gateway():
    from gateway.aws.endpoint import Endpoint

    def describe_vpcs(call, *, vpc_names=()):
        return {}

    def make_coffee(call):
        return {}

    service = model.load("ec2")
    with pytest.raises(TypeError, match="vpc_names"):
        Endpoint(service, [describe_vpcs]).compile_all()
    with pytest.raises(TypeError, match="make_coffee"):
        Endpoint(service, [make_coffee])


def test_the_callers_account_and_request_go_on(world):
    answer = ask(world, "DescribeVpcs")
    caller = world.clients.networks.calls[-1].caller
    assert caller.account_id == "123456789012"
    assert caller.request_id == answer.headers["x-amzn-RequestId"]
    assert not caller.dry_run
    assert quote(caller.principal_arn)
