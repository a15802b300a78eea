"""What old and unusual clients send: their own requests, byte for byte, and the aws CLI itself."""

import base64
import datetime
import hashlib
import hmac
import json
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest
from lxml import etree

from tests.api.asking import launch_one
from tests.harness.wired import WiredCloud


def post(who, **parameters):
    """A form, signed by SigV4: (status, root of the answer)."""
    answer = who.send("POST", body=urlencode(parameters))
    return answer.status, etree.fromstring(answer.data)


def get(who, **parameters):
    answer = who.send("GET", path=f"/?{urlencode(parameters)}")
    return answer.status, etree.fromstring(answer.data)


EUCA = "2014-06-15"  # the API's version that euca2ools asks for
LIBCLOUD = "2016-11-15"
SPACE = f"{{http://ec2.amazonaws.com/doc/{LIBCLOUD}/}}"


def test_libcloud_lists_nodes_by_get(cloud, account):
    one = launch_one(cloud, account)
    status, root = get(account, Action="DescribeInstances", Version=LIBCLOUD)
    assert status == 200
    instances = root.findall(f"{SPACE}reservationSet/{SPACE}item/{SPACE}instancesSet/{SPACE}item")
    assert [each.findtext(f"{SPACE}instanceId") for each in instances] == [one]
    assert instances[0].findtext(f"{SPACE}instanceState/{SPACE}name") == "running"


def test_libcloud_tags_and_filters_from_zero(cloud, account):
    one = launch_one(cloud, account)
    given = {"ResourceId.0": one, "Tag.0.Key": "Name", "Tag.0.Value": "node", "Version": LIBCLOUD}
    status, root = post(account, Action="CreateTags", **given)
    assert (status, root.findtext(f"{SPACE}return")) == (200, "true")
    filters = {"Filter.0.Name": "tag:Name", "Filter.0.Value.0": "node"}
    _, root = get(account, Action="DescribeInstances", Version=LIBCLOUD, **filters)
    assert root.findtext(f".//{SPACE}instanceId") == one


def test_libcloud_reads_return_true_of_an_address(account):
    _, root = post(account, Action="AllocateAddress", Domain="vpc", Version=LIBCLOUD)
    allocation = root.findtext(f"{SPACE}allocationId")
    given = {"Action": "ReleaseAddress", "AllocationId": allocation, "Version": LIBCLOUD}
    status, root = post(account, **given)
    assert (status, root.findtext(f"{SPACE}return")) == (200, "true")


def test_boto_2_reads_the_console_by_a_list_of_one(cloud, account):
    one = launch_one(cloud, account)
    given = {"Action": "GetConsoleOutput", "InstanceId.1": one, "Version": "2014-10-01"}
    status, root = post(account, **given)
    space = "{http://ec2.amazonaws.com/doc/2014-10-01/}"
    assert status == 200
    assert root.findtext(f"{space}instanceId") == one


def test_boto_2_and_euca2ools_authorize_by_names(account):
    version = {"Version": "2015-10-01"}
    made = {"GroupName": "web", "GroupDescription": "d"}
    status, root = post(account, Action="CreateSecurityGroup", **made, **version)
    assert status == 200
    assert root.findtext("{*}return") == "true"
    given = {
        "GroupName": "web",
        "IpPermissions.1.IpProtocol": "tcp",
        "IpPermissions.1.FromPort": "22",
        "IpPermissions.1.ToPort": "22",
        "IpPermissions.1.IpRanges.1.CidrIp": "0.0.0.0/0",
        "IpPermissions.1.Groups.1.GroupName": "web",
    }
    status, root = post(account, Action="AuthorizeSecurityGroupIngress", **given, **version)
    assert (status, root.findtext("{*}return")) == (200, "true")
    (group,) = account.ec2.describe_security_groups(GroupNames=["web"])["SecurityGroups"]
    (permission,) = group["IpPermissions"]
    assert permission["IpRanges"] == [{"CidrIp": "0.0.0.0/0"}]
    assert permission["UserIdGroupPairs"][0]["GroupId"] == group["GroupId"]


def test_euca2ools_modifies_an_attribute_by_name(cloud, account):
    one = launch_one(cloud, account)
    given = {"InstanceId": one, "Attribute": "disableApiTermination", "Value": "true"}
    assert post(account, Action="ModifyInstanceAttribute", Version="2015-10-01", **given)[0] == 200
    seen = account.ec2.describe_instance_attribute(
        InstanceId=one, Attribute="disableApiTermination"
    )
    assert seen["DisableApiTermination"] == {"Value": True}
    account.ec2.modify_instance_attribute(InstanceId=one, DisableApiTermination={"Value": False})


@pytest.mark.parametrize(
    "name",
    ["image-type", "kernel-id", "product-code", "product-code.type", "state-reason-code", "tag:a"],
)
def test_euca2ools_filters_images_by_what_none_has(account, name):
    given = {"Filter.1.Name": name, "Filter.1.Value.1": "none"}
    status, root = post(account, Action="DescribeImages", Version=EUCA, **given)
    assert (status, len(root.find("{*}imagesSet"))) == (200, 0)


def test_euca2ools_launches_into_a_subnet_by_an_interface(cloud, account):
    (subnet,) = account.ec2.describe_subnets()["Subnets"]
    address = subnet["CidrBlock"].replace(".0.0/", ".0.77/").partition("/")[0]
    given = {
        "ImageId": cloud.image_id,
        "InstanceType": "t2.micro",
        "MinCount": "1",
        "MaxCount": "1",
        "NetworkInterface.1.DeviceIndex": "0",
        "NetworkInterface.1.SubnetId": subnet["SubnetId"],
        "NetworkInterface.1.AssociatePublicIpAddress": "true",
        "NetworkInterface.1.PrivateIpAddresses.1.PrivateIpAddress": address,
        "NetworkInterface.1.PrivateIpAddresses.1.Primary": "true",
    }
    status, root = post(account, Action="RunInstances", Version=EUCA, **given)
    assert status == 200
    (instance,) = root.findall("{*}instancesSet/{*}item")
    assert instance.findtext("{*}privateIpAddress") == address
    assert instance.findtext("{*}launchTime")


@pytest.mark.parametrize("number", ["6", "17", "1"])
def test_euca2ools_names_protocols_by_number(account, number):
    name = f"by number {number}"
    account.ec2.create_security_group(GroupName=name, Description="d")
    ports = {"1": ("-1", "-1")}.get(number, ("80", "80"))
    given = {
        "GroupName": name,
        "IpPermissions.1.IpProtocol": number,
        "IpPermissions.1.FromPort": ports[0],
        "IpPermissions.1.ToPort": ports[1],
        "IpPermissions.1.IpRanges.1.CidrIp": "0.0.0.0/0",
    }
    for action in ("AuthorizeSecurityGroupIngress", "RevokeSecurityGroupIngress"):
        status, root = post(account, Action=action, Version=EUCA, **given)
        assert (status, root.findtext("{*}return")) == (200, "true")


# -- DescribeInstanceTypes, which was Eucalyptus' before it was AWS's


def types_of(root) -> dict[str, tuple[str, ...]]:
    """name -> (CPUs, MiB, GiB), as euca-describe-instance-types reads them."""
    assert root.find("{*}instanceTypeSet") is None, "euca2ools and boto 2 take any item for theirs"
    return {
        item.findtext("{*}name"): tuple(item.findtext(f"{{*}}{each}") for each in FIELDS)
        for item in root.findall("{*}instanceTypeDetails/{*}item")
    }


FIELDS = ("cpu", "memory", "disk")


def test_euca2ools_describes_instance_types(account):
    """Its requests and its reading, replayed: it is Python 2's."""
    status, root = post(account, Action="DescribeInstanceTypes", Version=EUCA)
    assert status == 200
    types = types_of(root)
    assert types["t2.micro"] == ("1", "1024", "8")
    aws = account.ec2.get_paginator("describe_instance_types").paginate().build_full_result()
    assert set(types) == {each["InstanceType"] for each in aws["InstanceTypes"]}
    named = {"InstanceType.1": "t2.micro", "InstanceType.2": "t3.nano"}
    _, root = post(account, Action="DescribeInstanceTypes", Version=EUCA, **named)
    assert set(types_of(root)) == {"t2.micro", "t3.nano"}
    assert root.findall(".//{*}availability/{*}item") == []


@pytest.mark.parametrize("version", [EUCA, "2016-11-15"])
def test_how_many_fit_is_the_operators_to_know(cloud, account, version):
    given = {"Action": "DescribeInstanceTypes", "Version": version, "Availability": "true"}
    status, root = post(account, **given)
    assert (status, root.findtext(".//Code")) == (403, "UnauthorizedOperation")
    status, root = post(cloud.accounts.operator, **given, **{"InstanceType.1": "t2.micro"})
    assert status == 200
    (zone,) = root.findall("{*}instanceTypeDetails/{*}item/{*}availability/{*}item")
    assert zone.findtext("{*}zoneName") == "us-east-1a"
    assert 0 < int(zone.findtext("{*}available")) <= int(zone.findtext("{*}max"))


def test_libclouds_eucalyptus_driver_looks_at_its_own_path_and_namespace(account):
    query = urlencode({"Action": "DescribeInstanceTypes", "Version": LIBCLOUD})
    answer = account.send("GET", path=f"/services/Eucalyptus?{query}")
    root, space = etree.fromstring(answer.data), "{http://msgs.eucalyptus.com/3.3.0}"
    names = root.findall(f"{space}instanceTypeDetails/{space}item/{space}name")
    assert "t2.micro" in {name.text for name in names}


# -- SigV2, where the operator has switched it on


@pytest.fixture(scope="module")
def old_cloud(tmp_path_factory):
    added = 'sigv2 = true\nsigning_region = "any"\n'
    with WiredCloud(tmp_path_factory.mktemp("old"), gateway=added) as cloud:
        yield cloud


@pytest.mark.parametrize("algorithm", ["HmacSHA1", "HmacSHA256"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_version_2_signatures(old_cloud, algorithm, method):
    who = old_cloud.account("old")
    host = who.endpoint.removeprefix("http://")
    now = datetime.datetime.now(datetime.UTC)
    given = {
        "Action": "DescribeVpcs",
        "Version": "2010-08-31",
        "AWSAccessKeyId": who.access_key_id,
        "SignatureVersion": "2",
        "SignatureMethod": algorithm,
        "Timestamp": now.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }

    def ask(secret):
        query = "&".join(f"{name}={quote(given[name], safe='-_.~')}" for name in sorted(given))
        digest = {"HmacSHA1": hashlib.sha1, "HmacSHA256": hashlib.sha256}[algorithm]
        text = f"{method}\n{host}\n/\n{query}".encode()
        signature = base64.b64encode(hmac.new(secret.encode(), text, digest).digest())
        signed = f"{query}&Signature={quote(signature, safe='')}"
        if method == "GET":
            return who.http.request("GET", f"{who.endpoint}/?{signed}")
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        return who.http.request("POST", f"{who.endpoint}/", body=signed, headers=form)

    right = ask(who.secret_access_key)
    assert right.status == 200
    assert b"doc/2010-08-31/" in right.data
    assert ask("guessed").status == 401


def test_euca2ools_signs_for_a_made_up_region(old_cloud):
    import boto3

    who = old_cloud.account("old")
    ec2 = boto3.client(
        "ec2",
        endpoint_url=who.endpoint,
        region_name="eucalyptus",
        aws_access_key_id=who.access_key_id,
        aws_secret_access_key=who.secret_access_key,
    )
    assert len(ec2.describe_vpcs()["Vpcs"]) == 1


# -- the aws CLI, version 1


def aws(who, *words):
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": "/nonexistent",
        "AWS_ENDPOINT_URL": who.endpoint,
        "AWS_ACCESS_KEY_ID": who.access_key_id,
        "AWS_SECRET_ACCESS_KEY": who.secret_access_key,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",
    }
    ended = subprocess.run(
        [Path(sys.executable).with_name("aws"), *words, "--output", "json"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return ended.returncode, ended.stdout, ended.stderr


def test_the_aws_cli_runs_a_guest(cloud, account):
    def ec2(*words):
        code, out, error = aws(account, "ec2", *words)
        assert code == 0, error
        return json.loads(out) if out.strip() else None

    assert json.loads(aws(account, "sts", "get-caller-identity")[1])["Account"] == (
        account.account_id
    )
    group = ec2("create-security-group", "--group-name", "cli", "--description", "d")["GroupId"]
    ec2(
        *("authorize-security-group-ingress", "--group-id", group),
        *("--protocol", "tcp", "--port", "22", "--cidr", "0.0.0.0/0"),
    )
    made = ec2(
        *("run-instances", "--image-id", cloud.image_id, "--instance-type", "t2.nano"),
        *("--security-group-ids", group, "--user-data", "hello", "--count", "2"),
        *("--tag-specifications", "ResourceType=instance,Tags=[{Key=Name,Value=cli}]"),
    )
    ids = [each["InstanceId"] for each in made["Instances"]]
    ec2("wait", "instance-running", "--instance-ids", *ids)
    seen = ec2("describe-instances", "--filters", "Name=tag:Name,Values=cli")
    assert {i["InstanceId"] for r in seen["Reservations"] for i in r["Instances"]} == set(ids)
    ec2("terminate-instances", "--instance-ids", *ids)
    code, _, error = aws(account, "ec2", "describe-vpcs", "--dry-run")
    assert code != 0 and "DryRunOperation" in error
    code, _, error = aws(account, "ec2", "create-nat-gateway", "--subnet-id", "subnet-1")
    assert code != 0 and "UnsupportedOperation" in error
    code, _, error = aws(account, "iam", "list-users")
    assert code != 0 and "UnsupportedOperation" in error
