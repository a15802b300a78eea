"""A second account asks for the first one's things in every way that the API has.

Each answer must be the one that an id that never was would get: same status, same code, same words.
"""

import itertools

import pytest

from tests.api.asking import launch_one, public_key, refused, status_of

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
    instance = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]
    return {
        "instance": instance_id,
        "volume": instance["BlockDeviceMappings"][0]["Ebs"]["VolumeId"],
        "interface": instance["NetworkInterfaces"][0]["NetworkInterfaceId"],
        "subnet": instance["SubnetId"],
        "vpc": instance["VpcId"],
        "group": group,
        "rule": rule["SecurityGroupRules"][0]["SecurityGroupRuleId"],
        "key": key["KeyPairId"],
        "allocation": address["AllocationId"],
        "association": association["AssociationId"],
        "table": ec2.describe_route_tables()["RouteTables"][0]["RouteTableId"],
        "gateway": ec2.describe_internet_gateways()["InternetGateways"][0]["InternetGatewayId"],
        "acl": ec2.describe_network_acls()["NetworkAcls"][0]["NetworkAclId"],
    }


@pytest.fixture(scope="module")
def own(cloud, thief) -> dict:
    """What the thief rightly has, to put the other's things to."""
    groups = thief.ec2.describe_security_groups()["SecurityGroups"]
    return {
        "instance": launch_one(cloud, thief),
        "group": groups[0]["GroupId"],
        "allocation": thief.ec2.allocate_address()["AllocationId"],
    }


RULE = {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 1}
OPEN = [{**RULE, "IpRanges": [{"CidrIp": "0.0.0.0/0"}]}]

# What is asked for, the call, and its parameters made of the id and of what the thief has.
ATTEMPTS = [
    ("instance", "describe_instances", lambda id, own: {"InstanceIds": [id]}),
    ("instance", "describe_instances", lambda id, own: {"InstanceIds": [own["instance"], id]}),
    ("instance", "describe_instance_status", lambda id, own: {"InstanceIds": [id]}),
    ("instance", "start_instances", lambda id, own: {"InstanceIds": [id]}),
    ("instance", "stop_instances", lambda id, own: {"InstanceIds": [own["instance"], id]}),
    ("instance", "reboot_instances", lambda id, own: {"InstanceIds": [id]}),
    ("instance", "terminate_instances", lambda id, own: {"InstanceIds": [own["instance"], id]}),
    ("instance", "get_console_output", lambda id, own: {"InstanceId": id}),
    (
        "instance",
        "describe_instance_attribute",
        lambda id, own: {"InstanceId": id, "Attribute": "userData"},
    ),
    (
        "instance",
        "modify_instance_attribute",
        lambda id, own: {"InstanceId": id, "DisableApiTermination": {"Value": True}},
    ),
    (
        "group",
        "modify_instance_attribute",
        lambda id, own: {"InstanceId": own["instance"], "Groups": [id]},
    ),
    (
        "instance",
        "associate_address",
        lambda id, own: {"AllocationId": own["allocation"], "InstanceId": id},
    ),
    (
        "interface",
        "associate_address",
        lambda id, own: {"AllocationId": own["allocation"], "NetworkInterfaceId": id},
    ),
    (
        "allocation",
        "associate_address",
        lambda id, own: {"AllocationId": id, "InstanceId": own["instance"]},
    ),
    ("association", "disassociate_address", lambda id, own: {"AssociationId": id}),
    ("allocation", "release_address", lambda id, own: {"AllocationId": id}),
    ("group", "delete_security_group", lambda id, own: {"GroupId": id}),
    (
        "group",
        "authorize_security_group_ingress",
        lambda id, own: {"GroupId": id, "IpPermissions": OPEN},
    ),
    (
        "group",
        "authorize_security_group_ingress",
        lambda id, own: {
            "GroupId": own["group"],
            "IpPermissions": [{**RULE, "UserIdGroupPairs": [{"GroupId": id}]}],
        },
    ),
    (
        "rule",
        "revoke_security_group_egress",
        lambda id, own: {"GroupId": own["group"], "SecurityGroupRuleIds": [id]},
    ),
    (
        "vpc",
        "create_security_group",
        lambda id, own: {"GroupName": "g", "Description": "d", "VpcId": id},
    ),
    ("key", "describe_key_pairs", lambda id, own: {"KeyPairIds": [id]}),
    ("group", "describe_security_groups", lambda id, own: {"GroupIds": [id]}),
    ("rule", "describe_security_group_rules", lambda id, own: {"SecurityGroupRuleIds": [id]}),
    ("vpc", "describe_vpcs", lambda id, own: {"VpcIds": [id]}),
    ("subnet", "describe_subnets", lambda id, own: {"SubnetIds": [id]}),
    ("interface", "describe_network_interfaces", lambda id, own: {"NetworkInterfaceIds": [id]}),
    ("table", "describe_route_tables", lambda id, own: {"RouteTableIds": [id]}),
    ("gateway", "describe_internet_gateways", lambda id, own: {"InternetGatewayIds": [id]}),
    ("acl", "describe_network_acls", lambda id, own: {"NetworkAclIds": [id]}),
    ("volume", "describe_volumes", lambda id, own: {"VolumeIds": [id]}),
    ("allocation", "describe_addresses", lambda id, own: {"AllocationIds": [id]}),
]


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
    from botocore.exceptions import ClientError

    with pytest.raises(ClientError) as failure:
        getattr(who.ec2, call)(**parameters, DryRun=dry_run)
    return failure.value.response["Error"]


@pytest.mark.parametrize("call", ["create_tags", "delete_tags"])
def test_nothing_of_anothers_is_tagged(thief, things, own, call):
    for noun, identifier in things.items():
        if noun == "association":
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
    assert seen["Tags"] == []
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
