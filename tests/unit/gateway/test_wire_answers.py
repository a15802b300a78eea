"""How answers on the wire are written: docs/ec2.md's traps 1 to 3, 6 and 10 to 14."""

import re

import pytest
from lxml import etree

from gateway.aws import model
from gateway.aws.parameters import Parsers, nest
from gateway.aws.renderers import Renderers, timestamp
from protos.cloud.v1 import instances_pb2, networks_pb2, tags_pb2
from protos.errors import CloudError, Kind
from tests.unit.gateway.wire import ask, error

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


def test_3_lists_come_back_in_items(world):
    vpcs = networks_pb2.DescribeVpcsResponse(vpcs=[networks_pb2.Vpc(vpc_id="vpc-1")])
    world.clients.networks.answers["DescribeVpcs"] = vpcs
    assert b"<vpcSet><item><vpcId>vpc-1</vpcId>" in ask(world, "DescribeVpcs").data


# -- 6: namespaces


@pytest.mark.parametrize("version", ["2010-08-31", "2013-10-15", "2015-10-01", "2016-11-15"])
def test_6_the_namespace_is_of_the_version_asked_for(world, version):
    answer = world.call({"Action": "DescribeVpcs", "Version": version})
    assert f'xmlns="http://ec2.amazonaws.com/doc/{version}/"'.encode() in answer.data


def test_6_a_version_that_is_none_is_refused(world):
    answer = world.call({"Action": "DescribeVpcs", "Version": '1"><x'})
    assert error(answer) == (400, "NoSuchVersion")


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


def test_14_a_regions_endpoint_is_no_url(world):
    from protos.cloud.v1 import regions_pb2

    regions = [regions_pb2.Region(region_name="us-east-1")]
    world.clients.regions.answers["Describe"] = regions_pb2.DescribeRegionsResponse(regions=regions)
    answer = world.send(
        "GET", "http://cloud.example.com:8773/?Action=DescribeRegions&Version=2016-11-15"
    )
    assert b"<regionEndpoint>cloud.example.com:8773</regionEndpoint>" in answer.data


def test_a_typing_mistake_in_a_view_is_seen():
    render = Renderers(model.load("ec2")).of("DescribeVpcs")
    with pytest.raises(KeyError):
        render({"Vpcs": [{"VpcID": "vpc-1"}]})


def test_errors_of_the_controller_are_told_in_ec2s_words(world):
    world.clients.networks.answers["DescribeVpcs"] = CloudError(
        Kind.NOT_FOUND, "The vpc ID 'vpc-1' does not exist", noun="vpc", id="vpc-1"
    )
    answer = ask(world, "DescribeVpcs", **{"VpcId.1": "vpc-1"})
    assert error(answer) == (400, "InvalidVpcID.NotFound")
