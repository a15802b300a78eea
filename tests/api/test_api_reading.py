"""Reading, as docs/ec2.md's traps 30 to 40 have it, against the real controller."""

import pytest
from botocore.exceptions import WaiterError

from tests.api.asking import described, filtered, found, launch, launch_one, refused


def test_31_terminated_instances_stay_to_be_seen_with_nothing_left(cloud, account):
    one = launch_one(cloud, account)
    account.ec2.terminate_instances(InstanceIds=[one])
    account.wait_for("terminated", one)
    seen = described(account, one)
    assert seen["State"] == {"Code": 48, "Name": "terminated"}
    assert seen["NetworkInterfaces"] == seen["BlockDeviceMappings"] == seen["SecurityGroups"] == []
    assert "PrivateIpAddress" not in seen
    assert seen["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    assert account.ec2.describe_volumes()["Volumes"] == []
    assert account.ec2.describe_network_interfaces()["NetworkInterfaces"] == []


def test_30_the_waiter_for_running_fails_at_once_on_what_was_terminated(cloud, account):
    one = launch_one(cloud, account)
    account.ec2.terminate_instances(InstanceIds=[one])
    with pytest.raises(WaiterError, match="terminal failure state"):
        account.ec2.get_waiter("instance_running").wait(InstanceIds=[one])


def test_32_what_was_just_made_is_found(cloud, account):
    given = {"ImageId": cloud.image_id, "MinCount": 1, "MaxCount": 1}
    for _ in range(5):
        one = account.ec2.run_instances(**given)["Instances"][0]["InstanceId"]
        assert described(account, one)["InstanceId"] == one
    for number in range(5):
        name = f"group-{number}"
        group = account.ec2.create_security_group(GroupName=name, Description="d")["GroupId"]
        assert account.ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]


def test_33_no_empty_reservations(cloud, account):
    made = launch(cloud, account, count=2)
    launch_one(cloud, account)
    one = made[0]["InstanceId"]
    seen = account.ec2.describe_instances(Filters=[{"Name": "instance-id", "Values": [one]}])
    assert [len(each["Instances"]) for each in seen["Reservations"]] == [1]
    assert len(account.ec2.describe_instances()["Reservations"]) == 2


def test_34_what_terraform_reads_after_a_launch(cloud, account):
    one = launch_one(cloud, account)
    ec2, seen = account.ec2, described(account, one)
    kind = ec2.describe_instance_types(InstanceTypes=[seen["InstanceType"]])["InstanceTypes"]
    assert kind[0]["VCpuInfo"]["DefaultVCpus"] == seen["CpuOptions"]["CoreCount"]
    template = [
        {"Name": "resource-id", "Values": [one]},
        {"Name": "key", "Values": ["aws:ec2launchtemplate:id"]},
    ]
    assert ec2.describe_tags(Filters=template)["Tags"] == []
    (vpc,) = ec2.describe_vpcs(VpcIds=[seen["VpcId"]])["Vpcs"]
    assert vpc["IsDefault"]
    volumes = [each["Ebs"]["VolumeId"] for each in seen["BlockDeviceMappings"]]
    assert len(ec2.describe_volumes(VolumeIds=volumes)["Volumes"]) == 1
    (interface,) = seen["NetworkInterfaces"]
    assert interface["Attachment"]["DeviceIndex"] == 0
    assert interface["Association"]["PublicIp"] == seen["PublicIpAddress"]
    assert interface["Groups"] == seen["SecurityGroups"]
    (alone,) = ec2.describe_network_interfaces(
        NetworkInterfaceIds=[interface["NetworkInterfaceId"]]
    )["NetworkInterfaces"]
    assert alone["Attachment"]["InstanceId"] == one


def test_what_terraform_reads_of_the_default_vpc(account):
    ec2 = account.ec2
    (vpc,) = filtered(ec2.describe_vpcs, "Vpcs", "is-default", "true")
    in_vpc = {"Name": "vpc-id", "Values": [vpc["VpcId"]]}
    for read, key, name, value in (
        (ec2.describe_network_acls, "NetworkAcls", "default", "true"),
        (ec2.describe_route_tables, "RouteTables", "association.main", "true"),
        (ec2.describe_security_groups, "SecurityGroups", "group-name", "default"),
    ):
        found = read(Filters=[in_vpc, {"Name": name, "Values": [value]}])[key]
        assert len(found) == 1, key
    (gateway,) = filtered(
        ec2.describe_internet_gateways,
        "InternetGateways",
        "attachment.vpc-id",
        vpc["VpcId"],
    )
    assert gateway["Attachments"][0]["State"] == "available"
    (subnet,) = filtered(ec2.describe_subnets, "Subnets", "vpc-id", vpc["VpcId"])
    assert subnet["DefaultForAz"] and subnet["MapPublicIpOnLaunch"]
    default = ec2.describe_account_attributes(AttributeNames=["default-vpc"])
    assert default["AccountAttributes"][0]["AttributeValues"] == [{"AttributeValue": vpc["VpcId"]}]


# -- 36, 37: pages


def test_37_pages_neither_skip_nor_repeat_when_things_change(cloud, account):
    made = launch(cloud, account, count=12, InstanceType="t2.nano")
    ids = {each["InstanceId"] for each in made}
    seen, token, pages = [], {}, 0
    while True:
        page = account.ec2.describe_instances(MaxResults=5, **token)
        seen += [i["InstanceId"] for r in page["Reservations"] for i in r["Instances"]]
        pages += 1
        if pages == 1:
            account.ec2.terminate_instances(InstanceIds=[seen[0]])
            launch_one(cloud, account)
        if "NextToken" not in page:
            break
        token = {"NextToken": page["NextToken"]}
    assert ids <= set(seen)
    assert len(seen) == len(set(seen))


@pytest.mark.parametrize(
    ("operation", "key"),
    [
        ("describe_instances", "Reservations"),
        ("describe_instance_types", "InstanceTypes"),
        ("describe_instance_type_offerings", "InstanceTypeOfferings"),
        ("describe_images", "Images"),
        ("describe_security_groups", "SecurityGroups"),
        ("describe_security_group_rules", "SecurityGroupRules"),
        ("describe_tags", "Tags"),
        ("describe_volumes", "Volumes"),
        ("describe_network_interfaces", "NetworkInterfaces"),
        ("describe_subnets", "Subnets"),
        ("describe_vpcs", "Vpcs"),
        ("describe_route_tables", "RouteTables"),
        ("describe_internet_gateways", "InternetGateways"),
        ("describe_network_acls", "NetworkAcls"),
    ],
)
def test_36_paginators_end_and_see_all(account, operation, key):
    for number in range(11):
        account.ec2.create_security_group(GroupName=f"g-{number}", Description="d")
    whole = getattr(account.ec2, operation)()[key]
    pages = account.ec2.get_paginator(operation).paginate(PaginationConfig={"PageSize": 5})
    assert [item for page in pages for item in page[key]] == whole


def test_36_a_token_that_is_none_is_refused(account):
    code = refused(account.ec2.describe_instances, MaxResults=5, NextToken="made up")
    assert code in ("InvalidNextToken", "InvalidParameterValue")


# -- 38, 39: filters


def test_38_filters_of_instances(cloud, account):
    tags = [
        {
            "ResourceType": "instance",
            "Tags": [{"Key": "Name", "Value": "web-1"}, {"Key": "other", "Value": "web-2"}],
        }
    ]
    one = launch_one(cloud, account, TagSpecifications=tags)
    two = launch_one(cloud, account, InstanceType="t2.nano")
    account.ec2.create_tags(
        Resources=[two], Tags=[{"Key": "Name", "Value": "a*b[c]"}, {"Key": "empty", "Value": ""}]
    )

    def by(name, *values):
        return {
            instance["InstanceId"]
            for reservation in filtered(
                account.ec2.describe_instances, "Reservations", name, *values
            )
            for instance in reservation["Instances"]
        }

    assert by("tag:Name", "web-*") == {one}
    assert by("tag:Name", "web-?") == {one}
    assert by("tag:Name", "WEB-1") == set()
    assert by("tag:Name", "web-2") == set()  # that is the other tag's value
    assert by("tag:Name", "a\\*b[c]") == {two}
    assert by("tag:Name", "a*b[c]") == {two}
    assert by("tag:Name", "a*b[cd]") == set()  # a bracket is a bracket
    assert by("tag:empty", "") == {two}
    assert by("tag-key", "Name") == {one, two}
    assert by("tag-value", "web-1") == {one}
    assert by("instance-type", "t2.nano", "t2.imaginary") == {two}
    assert by("instance-state-name", "running") == {one, two}
    assert by("instance-state-code", "16") == {one, two}
    assert by("image-id", cloud.image_id) == {one, two}
    assert by("private-ip-address", described(account, one)["PrivateIpAddress"]) == {one}
    both = account.ec2.describe_instances(
        Filters=[
            {"Name": "tag:Name", "Values": ["web-1", "a\\*b[c]"]},
            {"Name": "instance-type", "Values": ["t2.nano"]},
        ]
    )
    assert [i["InstanceId"] for r in both["Reservations"] for i in r["Instances"]] == [two]
    assert found(account, instance_id=[one]) == {one}


def test_39_no_values_nothing_found_and_unknown_names_are_refused(cloud, account):
    launch_one(cloud, account)
    nothing = account.ec2.describe_instances(Filters=[{"Name": "image-id", "Values": []}])
    assert nothing["Reservations"] == []
    for operation in [
        "describe_instances",
        "describe_instance_status",
        "describe_instance_types",
        "describe_images",
        "describe_key_pairs",
        "describe_security_groups",
        "describe_security_group_rules",
        "describe_tags",
        "describe_vpcs",
        "describe_subnets",
        "describe_network_interfaces",
        "describe_route_tables",
        "describe_internet_gateways",
        "describe_network_acls",
        "describe_volumes",
        "describe_regions",
        "describe_availability_zones",
        "describe_addresses",
        "describe_instance_type_offerings",
    ]:
        wrong = [{"Name": "no-such-filter", "Values": ["x"]}]
        code = refused(getattr(account.ec2, operation), Filters=wrong)
        assert code == "InvalidParameterValue", operation


# -- 40: owners


def test_40_owner_aliases_of_images(cloud, account):
    def ids(who, **given):
        return {image["ImageId"] for image in who.ec2.describe_images(**given)["Images"]}

    assert cloud.image_id in ids(account)
    assert ids(account, Owners=["self"]) == set()
    assert cloud.image_id in ids(cloud.operator, Owners=["self"])
    assert cloud.image_id in ids(account, Owners=[cloud.operator.account_id])
    assert ids(account, Owners=["aws-marketplace"]) == set()
    assert cloud.image_id in ids(account, ExecutableUsers=["all"])


def test_a_just_launched_guest_has_its_types_and_zones(account):
    zones = account.ec2.describe_availability_zones()["AvailabilityZones"]
    assert [zone["ZoneName"] for zone in zones] == ["us-east-1a"]
    assert zones[0]["State"] == "available"
    regions = account.ec2.describe_regions()["Regions"]
    assert [region["RegionName"] for region in regions] == ["us-east-1"]
    assert f"http://{regions[0]['Endpoint']}" == account.endpoint, "a host with its port, no URL"
    offers = account.ec2.describe_instance_type_offerings(LocationType="availability-zone")
    assert {offer["Location"] for offer in offers["InstanceTypeOfferings"]} == {"us-east-1a"}
    names = {
        kind["InstanceType"] for kind in account.ec2.describe_instance_types()["InstanceTypes"]
    }
    assert {"t2.nano", "t2.micro", "t2.small"} <= names


def test_a_region_is_found_by_its_endpoint(account):
    def found(endpoint):
        by_endpoint = [{"Name": "endpoint", "Values": [endpoint]}]
        return account.ec2.describe_regions(Filters=by_endpoint)["Regions"]

    (region,) = found("127.0.0.*")
    assert found(region["Endpoint"]) == [region]
    assert found("ec2.us-east-1.amazonaws.com") == []
