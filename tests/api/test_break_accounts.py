"""A second account asks for the first one's things in every way that the API has.

Each answer must be the one that an id that never was would get: same status, same code, same words.
"""

import itertools

import pytest
from botocore.exceptions import ClientError

from tests.api.asking import described, launch_one, public_key, refused, status_of
from tests.api.attempts import ATTEMPTS, WITHOUT_REHEARSAL
from tests.harness.waiting import wait_until

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def owner(cloud):
    made = cloud.account(f"owner-{next(_numbers)}")
    yield made
    made.terminate_all()


@pytest.fixture(scope="module")
def thief(cloud):
    made = cloud.account(f"thief-{next(_numbers)}")
    yield made
    made.terminate_all()


@pytest.fixture(scope="module")
def things(cloud, owner) -> dict:
    """One of everything that an account can have, by what the tests below call it."""
    ec2 = owner.ec2
    key = ec2.import_key_pair(KeyName="owners", PublicKeyMaterial=public_key())
    group = ec2.create_security_group(GroupName="owners", Description="d")["GroupId"]
    rule = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [group]}])
    instance_id = launch_one(
        cloud, owner, SecurityGroupIds=[group], KeyName="owners", UserData="secret"
    )
    address = ec2.allocate_address()
    association = ec2.associate_address(
        AllocationId=address["AllocationId"], InstanceId=instance_id
    )
    instance = described(owner, instance_id)
    interface = instance["NetworkInterfaces"][0]
    image_id = ec2.create_image(InstanceId=instance_id, Name="owners", NoReboot=True)["ImageId"]
    wait_until("the image", lambda: _of_image(owner, image_id)["State"] == "available")
    main_table = ec2.describe_route_tables()["RouteTables"][0]
    return {
        "instance": instance_id,
        "volume": instance["BlockDeviceMappings"][0]["Ebs"]["VolumeId"],
        "image": image_id,
        "snapshot": _of_image(owner, image_id)["BlockDeviceMappings"][0]["Ebs"]["SnapshotId"],
        "interface": interface["NetworkInterfaceId"],
        "attachment": interface["Attachment"]["AttachmentId"],
        "subnet": instance["SubnetId"],
        "vpc": instance["VpcId"],
        "group": group,
        "rule": rule["SecurityGroupRules"][0]["SecurityGroupRuleId"],
        "key": key["KeyPairId"],
        "allocation": address["AllocationId"],
        "association": association["AssociationId"],
        "table": main_table["RouteTableId"],
        "table association": main_table["Associations"][0]["RouteTableAssociationId"],
        "dhcp options": ec2.describe_dhcp_options()["DhcpOptions"][0]["DhcpOptionsId"],
        "gateway": ec2.describe_internet_gateways()["InternetGateways"][0]["InternetGatewayId"],
        "acl": ec2.describe_network_acls()["NetworkAcls"][0]["NetworkAclId"],
    }


@pytest.fixture(scope="module")
def own(cloud, thief) -> dict:
    """What the thief rightly has, to put the other's things to."""
    ec2 = thief.ec2
    instance_id = launch_one(cloud, thief)
    instance = described(thief, instance_id)
    zone = instance["Placement"]["AvailabilityZone"]
    interface = ec2.create_network_interface(SubnetId=instance["SubnetId"])["NetworkInterface"]
    main_table = ec2.describe_route_tables()["RouteTables"][0]
    return {
        "instance": instance_id,
        "group": instance["SecurityGroups"][0]["GroupId"],
        "allocation": ec2.allocate_address()["AllocationId"],
        "volume": ec2.create_volume(AvailabilityZone=zone, Size=1)["VolumeId"],
        "zone": zone,
        "vpc": instance["VpcId"],
        "subnet": instance["SubnetId"],
        "interface": interface["NetworkInterfaceId"],
        "table": main_table["RouteTableId"],
        "table association": main_table["Associations"][0]["RouteTableAssociationId"],
        "gateway": ec2.describe_internet_gateways()["InternetGateways"][0]["InternetGatewayId"],
    }


def _of_image(who, image_id) -> dict:
    return who.ec2.describe_images(ImageIds=[image_id])["Images"][0]


@pytest.mark.parametrize("dry_run", [False, True])
@pytest.mark.parametrize(
    ("noun", "call", "parameters"), ATTEMPTS, ids=[f"{call}-{noun}" for noun, call, _ in ATTEMPTS]
)
def test_anothers_thing_is_not_there(thief, things, own, noun, call, parameters, dry_run):
    identifier = things[noun]
    never_was = identifier[:-17] + "0123456789abcdef0"
    told = _refusal(thief, call, parameters(identifier, own), dry_run)
    expected = _refusal(thief, call, parameters(never_was, own), dry_run)
    assert told["Code"].endswith(".NotFound")
    assert told["Message"] == expected["Message"].replace(never_was, identifier)
    assert told["Code"] == expected["Code"]


def _refusal(who, call, parameters, dry_run) -> dict:
    if dry_run and call not in WITHOUT_REHEARSAL:
        parameters = {**parameters, "DryRun": True}
    with pytest.raises(ClientError) as failure:
        getattr(who.ec2, call)(**parameters)
    return failure.value.response["Error"]


@pytest.mark.parametrize("call", ["create_tags", "delete_tags"])
def test_nothing_of_anothers_is_tagged(thief, things, own, call):
    for noun, identifier in things.items():
        if "association" in noun or noun == "attachment":
            continue  # has no tags
        resources = [own["instance"], identifier]
        tags = [{"Key": "mine", "Value": "now"}]
        code = refused(getattr(thief.ec2, call), Resources=resources, Tags=tags)
        assert code.endswith(".NotFound"), noun
    found = thief.ec2.describe_tags(Filters=[{"Name": "key", "Values": ["mine"]}])["Tags"]
    assert found == []


def test_no_filter_finds_anothers_things(thief, things):
    for call, key, name in (
        ("describe_instances", "Reservations", "instance-id"),
        ("describe_volumes", "Volumes", "attachment.instance-id"),
        ("describe_network_interfaces", "NetworkInterfaces", "attachment.instance-id"),
        ("describe_addresses", "Addresses", "instance-id"),
        ("describe_tags", "Tags", "resource-id"),
    ):
        asked = [{"Name": name, "Values": [things["instance"]]}]
        assert getattr(thief.ec2, call)(Filters=asked)[key] == []


def test_a_launch_names_nothing_of_anothers(cloud, thief, things):
    for given, code in (
        ({"KeyName": "owners"}, "InvalidKeyPair.NotFound"),
        ({"SecurityGroupIds": [things["group"]]}, "InvalidGroup.NotFound"),
        ({"SecurityGroups": ["owners"]}, "InvalidGroup.NotFound"),
        ({"SubnetId": things["subnet"]}, "InvalidSubnetID.NotFound"),
    ):
        given |= {"ImageId": cloud.image_id, "MinCount": 1, "MaxCount": 1}
        assert refused(thief.ec2.run_instances, **given) == code


def test_a_public_images_tags_are_its_owners(cloud, thief):
    operator = cloud.operator
    operator.ec2.create_tags(
        Resources=[cloud.image_id], Tags=[{"Key": "cost-centre", "Value": "secret"}]
    )
    (mine,) = operator.ec2.describe_images(ImageIds=[cloud.image_id])["Images"]
    (seen,) = thief.ec2.describe_images(ImageIds=[cloud.image_id])["Images"]
    assert mine["Tags"] == [{"Key": "cost-centre", "Value": "secret"}]
    assert "Tags" not in seen
    for name, value in (
        ("tag:cost-centre", "secret"),
        ("tag:cost-centre", "s*"),
        ("tag-key", "cost-centre"),
        ("tag-value", "secret"),
    ):
        asked = {"Filters": [{"Name": name, "Values": [value]}]}
        assert thief.ec2.describe_images(**asked)["Images"] == [], name
        assert len(operator.ec2.describe_images(**asked)["Images"]) == 1, name


@pytest.mark.parametrize(
    ("verb", "path"),
    [
        ("POST", "/v1/accounts"),
        ("GET", "/v1/accounts"),
        ("GET", "/v1/hosts"),
        ("GET", "/v1/readiness"),
        ("POST", "/v1/join-tokens"),
        ("POST", "/v1/accounts/{operator}/access-keys"),
        ("GET", "/v1/accounts/{operator}/access-keys"),
        ("DELETE", "/v1/access-keys/{key}"),
        ("POST", "/v1/access-keys/{key}:setStatus"),
        ("PUT", "/v1/accounts/{operator}/quotas/instances"),
    ],
)
def test_the_operators_calls_are_the_operators(cloud, thief, verb, path):
    operator = cloud.operator
    path = path.format(operator=operator.account_id, key=operator.access_key_id)
    body = b"" if verb in ("GET", "DELETE") else b"{}"
    headers = {"Content-Type": "application/json"}
    answer = thief.send(verb, path, body, headers, service="pileus")
    assert (answer.status, answer.json()["error"]["kind"]) == (403, "DENIED")
    assert operator.api("GET", "/v1/accounts")["accounts"]


def test_a_rehearsal_is_no_way_around_it(thief, things):
    given = {"InstanceIds": [things["instance"]], "DryRun": True}
    assert status_of(thief.ec2.terminate_instances, **given) == (
        400,
        "InvalidInstanceID.NotFound",
    )
