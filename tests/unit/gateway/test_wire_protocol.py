"""The query protocol on the wire: docs/ec2.md's traps 1 to 15, byte by byte where bytes matter."""

import re
from urllib.parse import quote

import pytest
from lxml import etree

from gateway.aws import model
from gateway.aws.parameters import Parsers, keyword, nest, supported_members
from gateway.aws.renderers import Renderers, timestamp
from gateway.ec2 import ACTIONS
from protos.cloud.v1 import common_pb2, instances_pb2, networks_pb2, tags_pb2
from protos.errors import CloudError, Kind

XML = "text/xml;charset=UTF-8"


def ask(world, action, service="ec2", **parameters):
    version = model.API_VERSIONS[service]
    return world.call({"Action": action, "Version": version, **parameters}, service=service)


def error(answer):
    """(status, code) of an EC2 error."""
    root = etree.fromstring(answer.data)
    return answer.status_code, root.findtext("Errors/Error/Code")


# -- 1, 2: the two dialects


def test_1_an_ec2_error_has_its_root_and_a_capital_d(world):
    root = etree.fromstring(ask(world, "Nonsense").data)
    assert root.tag == "Response"
    assert [child.tag for child in root] == ["Errors", "RequestID"]
    assert [child.tag for child in root.find("Errors/Error")] == ["Code", "Message"]
    assert root.findtext("RequestID")


def test_1_success_names_the_request_inside_of_the_response(world):
    answer = ask(world, "DescribeVpcs")
    root = etree.fromstring(answer.data)
    space = "{http://ec2.amazonaws.com/doc/2016-11-15/}"
    assert root.tag == f"{space}DescribeVpcsResponse"
    assert root.findtext(f"{space}requestId") == answer.headers["x-amzn-RequestId"]


def test_2_sts_wraps_its_result(world):
    root = etree.fromstring(ask(world, "GetCallerIdentity", "sts").data)
    space = "{https://sts.amazonaws.com/doc/2011-06-15/}"
    assert root.tag == f"{space}GetCallerIdentityResponse"
    assert root.findtext(f"{space}GetCallerIdentityResult/{space}Account") == "123456789012"
    assert root.findtext(f"{space}ResponseMetadata/{space}RequestId")


def test_2_iam_refuses_in_its_own_dialect(world):
    answer = ask(world, "ListUsers", "iam")
    space = "{https://iam.amazonaws.com/doc/2010-05-08/}"
    root = etree.fromstring(answer.data)
    assert (answer.status_code, root.tag) == (400, f"{space}ErrorResponse")
    assert root.findtext(f"{space}Error/{space}Type") == "Sender"
    assert root.findtext(f"{space}Error/{space}Code") == "UnsupportedOperation"


def test_2_iam_lists_are_members():
    service = model.load("iam")
    tree = nest([("PolicyInputList.member.2", "b"), ("PolicyInputList.member.1", "a")])
    parsed = Parsers(service).of("GetContextKeysForCustomPolicy")(tree)
    assert parsed == {"PolicyInputList": ["a", "b"]}
    users = Renderers(service).of("ListAccountAliases")({"AccountAliases": ["a"]})
    assert users == "<AccountAliases><member>a</member></AccountAliases>"


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


def test_3_lists_come_back_in_items(world):
    vpcs = networks_pb2.DescribeVpcsResponse(vpcs=[networks_pb2.Vpc(vpc_id="vpc-1")])
    world.clients.networks.answers["DescribeVpcs"] = vpcs
    assert b"<vpcSet><item><vpcId>vpc-1</vpcId>" in ask(world, "DescribeVpcs").data


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


# -- 6: namespaces


@pytest.mark.parametrize("version", ["2010-08-31", "2013-10-15", "2015-10-01", "2016-11-15"])
def test_6_the_namespace_is_of_the_version_asked_for(world, version):
    answer = world.call({"Action": "DescribeVpcs", "Version": version})
    assert f'xmlns="http://ec2.amazonaws.com/doc/{version}/"'.encode() in answer.data


def test_6_a_version_that_is_none_is_refused(world):
    answer = world.call({"Action": "DescribeVpcs", "Version": '1"><x'})
    assert error(answer) == (400, "NoSuchVersion")


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


# -- 9: statuses are in test_wire_errors.py. 10 to 13: values


def test_10_booleans_and_nones(world):
    vpc = networks_pb2.Vpc(vpc_id="vpc-1", is_default=False)
    world.clients.networks.answers["DescribeVpcs"] = networks_pb2.DescribeVpcsResponse(vpcs=[vpc])
    text = ask(world, "DescribeVpcs").data
    assert b"<isDefault>false</isDefault>" in text
    assert not re.search(b"None|none|True|False", text)


def test_11_times_have_one_form(world):
    assert timestamp(1_769_860_800_000) == "2026-01-31T12:00:00.000Z"
    reservation = instances_pb2.Reservation(
        instances=[
            instances_pb2.Instance(state="pending", launch_time_ms=1_769_860_800_123),
            instances_pb2.Instance(state="pending"),
        ]
    )
    answer = instances_pb2.DescribeInstancesResponse(reservations=[reservation])
    world.clients.instances.answers["Describe"] = answer
    text = ask(world, "DescribeInstances").data.decode()
    assert re.findall("<launchTime.*?>(.*?)<", text) == ["2026-01-31T12:00:00.123Z"]


def test_12_empty_lists_are_there_and_empty_scalars_are_not(world):
    assert b"<reservationSet/>" in ask(world, "DescribeInstances").data
    vpc = networks_pb2.DescribeVpcsResponse(vpcs=[networks_pb2.Vpc()])
    world.clients.networks.answers["DescribeVpcs"] = vpc
    text = ask(world, "DescribeVpcs").data
    assert b"<ipv6CidrBlockAssociationSet/>" in text
    assert b"<vpcId" not in text
    assert b"nextToken" not in text


AWKWARD = "a & b < c > d \"q\" 'q' é 日本 🌩 ]]> \r\n\t"


def test_13_awkward_text_survives_both_ways(world):
    ask(world, "CreateTags", **{"ResourceId.1": "i-1", "Tag.1.Key": "k", "Tag.1.Value": AWKWARD})
    sent = world.clients.tags.calls[-1].request.tags[0].value
    assert sent == AWKWARD
    described = tags_pb2.TagDescription(resource_id="i-1", key="k", value=sent)
    world.clients.tags.answers["Describe"] = tags_pb2.DescribeTagsResponse(tags=[described])
    root = etree.fromstring(ask(world, "DescribeTags").data)
    assert root.findtext(".//{*}value") == AWKWARD


def test_13_an_empty_tag_value_is_written(world):
    described = tags_pb2.TagDescription(resource_id="i-1", key="k", value="")
    world.clients.tags.answers["Describe"] = tags_pb2.DescribeTagsResponse(tags=[described])
    assert b"<value/>" in ask(world, "DescribeTags").data


@pytest.mark.parametrize("bad", ["\x00", "\x08", "\x0b", "\x1f", "\ufffe", "\uffff"])
def test_13_what_xml_cannot_carry_is_rejected(world, bad):
    given = {"ResourceId.1": "i-1", "Tag.1.Key": "k", "Tag.1.Value": f"x{bad}"}
    assert error(ask(world, "CreateTags", **given)) == (400, "InvalidParameterValue")
    assert error(ask(world, f"Describe{bad}")) == (400, "InvalidParameterValue")
    assert not world.clients.tags.calls


def test_14_a_regions_endpoint_is_no_url(world):
    from protos.cloud.v1 import regions_pb2

    regions = [regions_pb2.Region(region_name="us-east-1")]
    world.clients.regions.answers["Describe"] = regions_pb2.DescribeRegionsResponse(regions=regions)
    answer = world.send(
        "GET", "http://cloud.example.com:8773/?Action=DescribeRegions&Version=2016-11-15"
    )
    assert b"<regionEndpoint>cloud.example.com:8773</regionEndpoint>" in answer.data


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


def test_a_typing_mistake_in_a_view_is_seen():
    render = Renderers(model.load("ec2")).of("DescribeVpcs")
    with pytest.raises(KeyError):
        render({"Vpcs": [{"VpcID": "vpc-1"}]})


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


def test_errors_of_the_controller_are_told_in_ec2s_words(world):
    world.clients.networks.answers["DescribeVpcs"] = CloudError(
        Kind.NOT_FOUND, "The vpc ID 'vpc-1' does not exist", noun="vpc", id="vpc-1"
    )
    answer = ask(world, "DescribeVpcs", **{"VpcId.1": "vpc-1"})
    assert error(answer) == (400, "InvalidVpcID.NotFound")
