"""Requests that mean harm, or were put together by a program gone wrong: refused, never failed.

Each was once an internal error, a "try again" that would never succeed, or a silent success.
"""

import json
from urllib.parse import urlencode

import pytest

from tests.api.asking import launch_one, refused

VERSION = [("Version", "2016-11-15")]


def asked(account, action, *pairs) -> tuple[int, str]:
    """Status and text of a request whose parameters boto3 would not send."""
    answer = account.send("POST", body=urlencode([("Action", action), *VERSION, *pairs]))
    return answer.status, answer.data.decode()


def native(account, verb, path, body="") -> tuple[int, dict]:
    headers = {"Content-Type": "application/json"}
    answer = account.send(verb, path, body, headers, service="pileus")
    return answer.status, answer.json()


@pytest.mark.parametrize(
    ("action", "pairs", "code"),
    [
        (
            "DescribeInstances",
            [("InstanceId.1", "x" * 20_000)],
            "InvalidInstanceID.Malformed",
        ),
        ("DescribeKeyPairs", [("KeyName.1", "ü" * 5000)], "InvalidKeyPair.NotFound"),
        ("DescribeInstances", [("Filter.1.Name", "x" * 20_000)], "InvalidParameterValue"),
        (
            "DescribeInstanceTypes",
            [(f"InstanceType.{n}", f"t{n}") for n in range(10_000)],
            "InvalidInstanceType",
        ),
    ],
    ids=["id", "not ascii", "filter", "many"],
)
def test_what_is_repeated_in_an_error_may_be_long(account, action, pairs, code):
    """It travels in gRPC's trailers, which have 8 KiB."""
    status, text = asked(account, action, *pairs)
    assert status == 400
    assert f"<Code>{code}</Code>" in text


def test_two_hundred_wild_cards_are_a_filter(cloud, account):
    instance_id = launch_one(cloud, account)
    values = [*(f"*{n}*" for n in range(199)), "i-*"]
    filters = [{"Name": "instance-id", "Values": values}]
    found = account.ec2.describe_instances(Filters=filters)["Reservations"]
    assert [one["Instances"][0]["InstanceId"] for one in found] == [instance_id]


def test_a_pattern_longer_than_anything_is_refused(account):
    filters = [{"Name": "key-name", "Values": ["*" + "a" * 60_000]}]
    assert refused(account.ec2.describe_instances, Filters=filters) == "FilterLimitExceeded"


def test_many_tags_are_deleted_at_once(cloud, account):
    instance_id = launch_one(cloud, account)
    account.ec2.create_tags(
        Resources=[instance_id], Tags=[{"Key": "k7", "Value": "v"}, {"Key": "kept", "Value": ""}]
    )
    tags = [{"Key": f"k{n}"} for n in range(1000)]
    account.ec2.delete_tags(Resources=[instance_id], Tags=tags)
    left = account.ec2.describe_tags(Filters=[{"Name": "resource-id", "Values": [instance_id]}])
    assert [tag["Key"] for tag in left["Tags"]] == ["kept"]

    tags.append({"Key": "k1000"})
    code = refused(account.ec2.delete_tags, Resources=[instance_id], Tags=tags)
    assert code == "InvalidParameterValue"


@pytest.mark.parametrize(
    ("ebs", "code"),
    [
        ({"Iops": -5, "VolumeType": "gp3"}, "InvalidParameterValue"),
        ({"Iops": 3000}, "InvalidParameterCombination"),  # gp2 has none
        ({"Iops": 3000, "VolumeType": "gp3", "Throughput": -1}, "InvalidParameterValue"),
        (
            {"VolumeSize": 4, "Iops": 100, "Throughput": 125, "VolumeType": "io1"},
            "InvalidParameterCombination",
        ),
    ],
)
def test_the_rates_of_a_disk_fit_its_type(cloud, account, ebs, code):
    mapping = {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1, **ebs}}
    given = {"ImageId": cloud.image_id, "MinCount": 1, "MaxCount": 1}
    assert refused(account.ec2.run_instances, BlockDeviceMappings=[mapping], **given) == code


@pytest.mark.parametrize(
    ("given", "code"),
    [
        (
            {"NetworkInterfaces": [{"DeviceIndex": 0, "Description": "x" * 256}]},
            "InvalidParameterValue",
        ),
        (
            {"BlockDeviceMappings": [{"DeviceName": "/dev/sdf", "VirtualName": "floppy0"}]},
            "InvalidBlockDeviceMapping",
        ),
    ],
    ids=["description", "virtual name"],
)
def test_words_of_a_launch_have_their_form(cloud, account, given, code):
    given |= {"ImageId": cloud.image_id, "MinCount": 1, "MaxCount": 1}
    assert refused(account.ec2.run_instances, **given) == code


def test_no_hop_is_no_limit(cloud, account):
    given = {"ImageId": cloud.image_id, "MinCount": 1, "MaxCount": 1}
    options = {"HttpPutResponseHopLimit": 0}
    code = refused(account.ec2.run_instances, MetadataOptions=options, **given)
    assert code == "InvalidParameterValue"


@pytest.mark.parametrize(
    "left_over", [("FromPort", "22"), ("ToPort", "22"), ("SourceSecurityGroupOwnerId", "1" * 12)]
)
def test_no_parameter_of_a_rule_is_ignored(account, left_over):
    group_id = account.ec2.create_security_group(GroupName="g", Description="d")["GroupId"]
    permission = [("IpProtocol", "tcp"), ("FromPort", "1"), ("ToPort", "1")]
    pairs = [(f"IpPermissions.1.{name}", value) for name, value in permission]
    pairs.append(("IpPermissions.1.IpRanges.1.CidrIp", "192.0.2.0/24"))
    status, text = asked(
        account, "AuthorizeSecurityGroupIngress", ("GroupId", group_id), *pairs, left_over
    )
    assert (status, "InvalidParameterCombination" in text) == (400, True)


def test_a_token_of_another_list_is_none_of_this_one(account):
    token = account.ec2.describe_instance_types(MaxResults=5)["NextToken"]
    for call in (
        account.ec2.describe_instances,
        account.ec2.describe_instance_status,
        account.ec2.describe_vpcs,
        account.ec2.describe_security_group_rules,
        account.ec2.describe_tags,
    ):
        assert refused(call, MaxResults=5, NextToken=token) == "InvalidNextToken"


@pytest.mark.parametrize(
    "body",
    ['{"a":' * 40_000, "[" * 50_000, '{"tag_specifications":' * 900 + "1" + "}" * 900],
    ids=["objects", "lists", "closed"],
)
def test_json_that_is_nested_too_deeply(account, body):
    status, answer = native(account, "POST", "/v1/key-pairs", body)
    assert (status, answer["error"]["kind"]) == (400, "INVALID")


@pytest.mark.parametrize(
    "query", ["filters." + "1" * 5000 + ".name=a", "filters.%D9%A1.name=vpc-id", "dry_run=TRUE"]
)
def test_a_query_that_is_not_what_it_seems(account, query):
    status, answer = native(account, "GET", f"/v1/instances?{query}")
    assert (status, answer["error"]["kind"]) == (400, "INVALID")


@pytest.mark.parametrize("letter", ["\x07", "\x00", "\uffff"])
def test_what_xml_cannot_carry_does_not_come_in_by_json(cloud, account, letter):
    """DescribeInstances could not be read by any EC2 client any more."""
    fields = {"image_id": cloud.image_id, "min_count": 1, "max_count": 1}
    body = json.dumps(fields | {"client_token": f"a{letter}"})
    status, answer = native(account, "POST", "/v1/instances", body)
    assert (status, answer["error"]["kind"]) == (400, "INVALID")


def test_a_chunked_body_that_does_not_end_is_too_large(account):
    """It was cut off in silence, and its signature found to be wrong."""
    answer = account.http.request(
        "POST", account.endpoint, body=iter([b"a" * 65_536] * 8), chunked=True
    )
    assert (answer.status, b"RequestEntityTooLarge" in answer.data) == (413, True)


@pytest.mark.parametrize("rehearsal", ["True", "1", "yes", ""])
def test_what_was_meant_as_a_rehearsal_never_happens(account, rehearsal):
    """?dry_run=True was once read as "not dry_run=true"."""
    status, _ = native(account, "POST", f"/v1/addresses?dry_run={rehearsal}")
    assert status == 400
    assert account.ec2.describe_addresses()["Addresses"] == []
