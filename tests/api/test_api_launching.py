"""Launching, as docs/ec2.md's traps 21 to 29 and 35 have it, against the real controller."""

import base64
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.api.asking import described, launch, launch_one, refused, status_of


def ask(cloud, **more):
    return {"ImageId": cloud.image_id, "MinCount": 1, "MaxCount": 1, **more}


# -- 21: dry runs


def test_21_a_dry_run_does_nothing_and_uses_up_no_token(cloud, account):
    run = account.ec2.run_instances
    given = ask(cloud, ClientToken="token-1")
    assert status_of(run, **given, DryRun=True) == (412, "DryRunOperation")
    assert account.states() == {}
    other = ask(cloud, ClientToken="token-1", InstanceType="t2.nano")
    made = run(**other)  # the token is still to be had, for other parameters too
    assert len(made["Instances"]) == 1
    (instance_id,) = account.states()
    account.wait_for("running", instance_id)
    for call in (account.ec2.stop_instances, account.ec2.terminate_instances):
        assert status_of(call, InstanceIds=[instance_id], DryRun=True)[1] == "DryRunOperation"
    assert account.states() == {instance_id: "running"}


def test_21_a_dry_run_comes_after_validation(cloud, account):
    given = ask(cloud, ImageId="ami-00000000000000000", DryRun=True)
    assert refused(account.ec2.run_instances, **given) == "InvalidAMIID.NotFound"


@pytest.mark.parametrize(
    ("action", "given"),
    [
        ("create_key_pair", {"KeyName": "dry"}),
        ("create_security_group", {"GroupName": "dry", "Description": "d"}),
        ("allocate_address", {}),
        ("describe_instances", {}),
        ("describe_regions", {}),
    ],
)
def test_21_every_action_rehearses(account, action, given):
    assert status_of(getattr(account.ec2, action), **given, DryRun=True) == (412, "DryRunOperation")
    assert account.ec2.describe_key_pairs()["KeyPairs"] == []
    assert account.ec2.describe_addresses()["Addresses"] == []
    assert len(account.ec2.describe_security_groups()["SecurityGroups"]) == 1


# -- 22: client tokens


def test_22_one_token_one_answer(cloud, account):
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "k", "Value": "v"}]}]
    given = ask(cloud, ClientToken="same", TagSpecifications=tags)
    first, second = (account.ec2.run_instances(**given) for _ in range(2))
    assert first["ReservationId"] == second["ReservationId"]
    assert [each["InstanceId"] for each in first["Instances"]] == [
        each["InstanceId"] for each in second["Instances"]
    ]
    assert second["Instances"][0]["Tags"] == [{"Key": "k", "Value": "v"}]
    assert len(account.states()) == 1
    other = {**given, "InstanceType": "t2.nano"}
    assert refused(account.ec2.run_instances, **other) == "IdempotentParameterMismatch"


def test_22_eight_at_once_with_one_token_make_one_instance(cloud, account):
    given = ask(cloud, ClientToken="at-once")
    with ThreadPoolExecutor(8) as callers:
        answers = list(callers.map(lambda _: account.ec2.run_instances(**given), range(8)))
    assert len({answer["Instances"][0]["InstanceId"] for answer in answers}) == 1
    assert len(account.states()) == 1


def test_22_a_terminated_instances_token(cloud, account):
    given = ask(cloud, ClientToken="gone")
    instance_id = account.ec2.run_instances(**given)["Instances"][0]["InstanceId"]
    account.ec2.terminate_instances(InstanceIds=[instance_id])
    account.wait_for("terminated", instance_id)
    assert refused(account.ec2.run_instances, **given) == "IdempotentInstanceTerminated"


def test_22_two_accounts_may_use_the_same_token(cloud, account, other):
    given = ask(cloud, ClientToken="shared")
    account.ec2.run_instances(**given)
    other.ec2.run_instances(**given)
    assert len(account.states()) == len(other.states()) == 1


# -- 23: tags for what is made


def test_23_tags_go_to_the_children(cloud, account):
    (instance,) = launch(
        cloud,
        account,
        TagSpecifications=[
            {"ResourceType": "instance", "Tags": [{"Key": "a", "Value": "1"}]},
            {"ResourceType": "volume", "Tags": [{"Key": "b", "Value": "2"}]},
            {"ResourceType": "network-interface", "Tags": [{"Key": "c", "Value": ""}]},
        ],
    )
    seen = described(account, instance["InstanceId"])
    volume = seen["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    interface = seen["NetworkInterfaces"][0]["NetworkInterfaceId"]
    tags = account.ec2.describe_tags()["Tags"]
    assert {(tag["ResourceId"], tag["ResourceType"], tag["Key"], tag["Value"]) for tag in tags} == {
        (instance["InstanceId"], "instance", "a", "1"),
        (volume, "volume", "b", "2"),
        (interface, "network-interface", "c", ""),
    }
    assert account.ec2.describe_volumes(VolumeIds=[volume])["Volumes"][0]["Tags"] == [
        {"Key": "b", "Value": "2"}
    ]


@pytest.mark.parametrize(
    ("action", "given", "kind", "read"),
    [
        (
            "create_security_group",
            {"GroupName": "g", "Description": "d"},
            "security-group",
            "describe_security_groups",
        ),
        ("create_key_pair", {"KeyName": "k"}, "key-pair", "describe_key_pairs"),
        ("allocate_address", {}, "elastic-ip", "describe_addresses"),
    ],
)
def test_23_other_nouns_take_tags_too(account, action, given, kind, read):
    tags = [{"Key": "made", "Value": "here"}]
    specification = [{"ResourceType": kind, "Tags": tags}]
    getattr(account.ec2, action)(**given, TagSpecifications=specification)
    described = getattr(account.ec2, read)(Filters=[{"Name": "tag:made", "Values": ["here"]}])
    (shown,) = next(value for value in described.values() if isinstance(value, list))
    assert shown["Tags"] == tags
    if kind == "elastic-ip":
        account.ec2.release_address(AllocationId=shown["AllocationId"])


def test_23_aws_tags_are_reserved(cloud, account):
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "aws:x", "Value": "1"}]}]
    given = ask(cloud, TagSpecifications=tags)
    assert refused(account.ec2.run_instances, **given) == "InvalidParameterValue"
    assert account.states() == {}


# -- 24: how many


def test_24_one_reservation_a_call(cloud, account):
    made = launch(cloud, account, count=3)
    (reservation,) = account.ec2.describe_instances()["Reservations"]
    assert reservation["OwnerId"] == account.account_id
    assert len(reservation["Instances"]) == 3
    assert sorted(each["AmiLaunchIndex"] for each in made) == [0, 1, 2]
    account.ec2.terminate_instances(InstanceIds=[made[0]["InstanceId"]])
    account.wait_for("terminated", made[0]["InstanceId"])
    (later,) = account.ec2.describe_instances()["Reservations"]
    assert later["ReservationId"] == reservation["ReservationId"]


def test_24_all_or_nothing_below_the_minimum(cloud, account):
    given = ask(cloud, InstanceType="t2.nano", MinCount=500, MaxCount=500)
    code = refused(account.ec2.run_instances, **given)
    assert code in ("InsufficientInstanceCapacity", "InstanceLimitExceeded", "VcpuLimitExceeded")
    assert account.states() == {}


@pytest.mark.parametrize("counts", [(0, 1), (2, 1), (-1, 1), (0, 0)])
def test_24_counts_that_are_none(cloud, account, counts):
    given = ask(cloud, MinCount=counts[0], MaxCount=counts[1])
    assert refused(account.ec2.run_instances, **given) == "InvalidParameterValue"


# -- 25: user data


def test_25_user_data_comes_back_as_it_was_given(cloud, account):
    data = b"#!/bin/sh\n\xff\x00binary"
    instance_id = launch_one(cloud, account, UserData=data)
    seen = account.ec2.describe_instance_attribute(InstanceId=instance_id, Attribute="userData")
    assert base64.b64decode(seen["UserData"]["Value"]) == data
    bare = launch_one(cloud, account)
    seen = account.ec2.describe_instance_attribute(InstanceId=bare, Attribute="userData")
    assert seen["UserData"] == {}


# -- 27: everything is checked before anything is made


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"InstanceType": "t2.imaginary"}, "InvalidParameterValue"),
        ({"KeyName": "nobodys"}, "InvalidKeyPair.NotFound"),
        ({"SecurityGroupIds": ["sg-00000000000000000"]}, "InvalidGroup.NotFound"),
        ({"SecurityGroups": ["nobodys"]}, "InvalidGroup.NotFound"),
        ({"SubnetId": "subnet-00000000000000000"}, "InvalidSubnetID.NotFound"),
        ({"ImageId": "ami-00000000000000000"}, "InvalidAMIID.NotFound"),
        ({"ImageId": "ami-nonsense"}, "InvalidAMIID.Malformed"),
        ({"ImageId": "i-00000000000000000"}, "InvalidAMIID.Malformed"),
        ({"Placement": {"AvailabilityZone": "mars-1a"}}, "InvalidParameterValue"),
        ({"PrivateIpAddress": "10.99.0.1"}, "InvalidParameterValue"),
        (
            {"BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 0}}]},
            "InvalidBlockDeviceMapping",
        ),
        ({"MetadataOptions": {"HttpPutResponseHopLimit": 65}}, "InvalidParameterValue"),
    ],
)
def test_27_nothing_is_made_of_what_is_wrong(cloud, account, given, code):
    assert refused(account.ec2.run_instances, **ask(cloud, **given)) == code
    assert account.states() == {}
    assert account.ec2.describe_volumes()["Volumes"] == []
    assert account.ec2.describe_network_interfaces()["NetworkInterfaces"] == []


@pytest.mark.parametrize(
    ("action", "given", "code"),
    [
        ("start_instances", {"InstanceIds": ["i-00000000000000000"]}, "InvalidInstanceID.NotFound"),
        ("start_instances", {"InstanceIds": ["nonsense"]}, "InvalidInstanceID.Malformed"),
        ("describe_volumes", {"VolumeIds": ["vol-00000000000000000"]}, "InvalidVolume.NotFound"),
        ("describe_vpcs", {"VpcIds": ["vpc-00000000000000000"]}, "InvalidVpcID.NotFound"),
        (
            "describe_subnets",
            {"SubnetIds": ["subnet-00000000000000000"]},
            "InvalidSubnetID.NotFound",
        ),
        (
            "describe_network_interfaces",
            {"NetworkInterfaceIds": ["eni-00000000000000000"]},
            "InvalidNetworkInterfaceID.NotFound",
        ),
        (
            "describe_security_groups",
            {"GroupIds": ["sg-00000000000000000"]},
            "InvalidGroup.NotFound",
        ),
        ("describe_security_groups", {"GroupNames": ["nobodys"]}, "InvalidGroup.NotFound"),
        ("describe_security_groups", {"GroupIds": ["sg-!"]}, "InvalidGroupId.Malformed"),
        (
            "describe_security_group_rules",
            {"SecurityGroupRuleIds": ["sgr-00000000000000000"]},
            "InvalidSecurityGroupRuleId.NotFound",
        ),
        ("describe_key_pairs", {"KeyNames": ["nobodys"]}, "InvalidKeyPair.NotFound"),
        (
            "describe_addresses",
            {"AllocationIds": ["eipalloc-00000000000000000"]},
            "InvalidAllocationID.NotFound",
        ),
        ("describe_addresses", {"PublicIps": ["192.0.2.9"]}, "InvalidAddress.NotFound"),
        (
            "release_address",
            {"AllocationId": "eipalloc-00000000000000000"},
            "InvalidAllocationID.NotFound",
        ),
        (
            "disassociate_address",
            {"AssociationId": "eipassoc-00000000000000000"},
            "InvalidAssociationID.NotFound",
        ),
        (
            "describe_route_tables",
            {"RouteTableIds": ["rtb-00000000000000000"]},
            "InvalidRouteTableID.NotFound",
        ),
        (
            "describe_internet_gateways",
            {"InternetGatewayIds": ["igw-00000000000000000"]},
            "InvalidInternetGatewayID.NotFound",
        ),
        (
            "describe_network_acls",
            {"NetworkAclIds": ["acl-00000000000000000"]},
            "InvalidNetworkAclID.NotFound",
        ),
        ("describe_images", {"ImageIds": ["ami-00000000000000000"]}, "InvalidAMIID.NotFound"),
        ("deregister_image", {"ImageId": "ami-00000000000000000"}, "InvalidAMIID.NotFound"),
        ("describe_instance_types", {"InstanceTypes": ["x.y"]}, "InvalidInstanceType"),
        ("describe_regions", {"RegionNames": ["mars-1"]}, "InvalidParameterValue"),
        ("describe_availability_zones", {"ZoneNames": ["mars-1a"]}, "InvalidParameterValue"),
        (
            "create_tags",
            {"Resources": ["i-00000000000000000"], "Tags": [{"Key": "k", "Value": "v"}]},
            "InvalidInstanceID.NotFound",
        ),
        (
            "create_tags",
            {"Resources": ["nonsense"], "Tags": [{"Key": "k", "Value": "v"}]},
            "InvalidID",
        ),
    ],
)
def test_28_codes_are_irregular_and_exact(account, action, given, code):
    assert refused(getattr(account.ec2, action), **given) == code


# -- states


def test_29_states_and_protections(cloud, account):
    ec2 = account.ec2
    one = launch_one(cloud, account, DisableApiTermination=True)
    assert refused(ec2.terminate_instances, InstanceIds=[one]) == "OperationNotPermitted"
    ec2.modify_instance_attribute(InstanceId=one, DisableApiTermination={"Value": False})
    assert (
        refused(ec2.modify_instance_attribute, InstanceId=one, InstanceType={"Value": "t2.small"})
        == "IncorrectInstanceState"
    )
    ec2.modify_instance_attribute(InstanceId=one, DisableApiStop={"Value": True})
    assert refused(ec2.stop_instances, InstanceIds=[one]) == "OperationNotPermitted"
    ec2.modify_instance_attribute(InstanceId=one, DisableApiStop={"Value": False})
    ec2.stop_instances(InstanceIds=[one])
    account.wait_for("stopped", one)
    ec2.modify_instance_attribute(InstanceId=one, InstanceType={"Value": "t2.small"})
    ec2.modify_instance_attribute(InstanceId=one, UserData={"Value": b"new"})
    assert described(account, one)["InstanceType"] == "t2.small"
    ec2.start_instances(InstanceIds=[one])
    account.wait_for("running", one)
    ec2.terminate_instances(InstanceIds=[one])
    assert refused(ec2.start_instances, InstanceIds=[one]) == "IncorrectInstanceState"
    account.wait_for("terminated", one)
    assert refused(ec2.start_instances, InstanceIds=[one]) == "IncorrectInstanceState"
    changes = ec2.terminate_instances(InstanceIds=[one])["TerminatingInstances"]
    assert changes[0]["CurrentState"]["Name"] == "terminated"


def test_29_one_wrong_id_changes_none(cloud, account):
    one = launch_one(cloud, account)
    ids = [one, "i-00000000000000000"]
    assert refused(account.ec2.stop_instances, InstanceIds=ids) == "InvalidInstanceID.NotFound"
    assert account.states(one) == {one: "running"}


def test_35_attributes_have_their_defaults(cloud, account):
    one = launch_one(cloud, account)

    def attribute(name):
        seen = account.ec2.describe_instance_attribute(InstanceId=one, Attribute=name)
        del seen["ResponseMetadata"], seen["InstanceId"]
        return next(iter(seen.values()))

    assert attribute("instanceInitiatedShutdownBehavior") == {"Value": "stop"}
    assert attribute("disableApiStop") == attribute("disableApiTermination") == {"Value": False}
    assert attribute("sourceDestCheck") == {"Value": True}
    assert len(attribute("groupSet")) == 1
    account.ec2.modify_instance_attribute(
        InstanceId=one, InstanceInitiatedShutdownBehavior={"Value": "terminate"}
    )
    assert attribute("instanceInitiatedShutdownBehavior") == {"Value": "terminate"}


def test_a_root_disk_of_the_asked_size(cloud, account):
    size = [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 11, "DeleteOnTermination": True}}]
    one = launch_one(cloud, account, BlockDeviceMappings=size)
    (volume,) = account.ec2.describe_volumes(
        Filters=[{"Name": "attachment.instance-id", "Values": [one]}]
    )["Volumes"]
    assert (volume["Size"], volume["State"]) == (11, "in-use")
    assert volume["Attachments"][0]["Device"] == "/dev/xvda"
    account.ec2.get_waiter("volume_in_use").wait(VolumeIds=[volume["VolumeId"]])


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ({}, (3000, 125)),
        ({"Iops": 4000, "VolumeSize": 20}, (4000, 125)),
        ({"Throughput": 250}, (3000, 250)),
    ],
)
def test_a_gp3_volume_shows_the_rates_that_nobody_asked_for(cloud, account, asked, shown):
    device = {"DeviceName": "/dev/xvda", "Ebs": {"VolumeType": "gp3", **asked}}
    instance_id = launch_one(cloud, account, BlockDeviceMappings=[device])
    mine = [{"Name": "attachment.instance-id", "Values": [instance_id]}]
    (volume,) = account.ec2.describe_volumes(Filters=mine)["Volumes"]
    assert (volume["VolumeType"], volume["Iops"], volume["Throughput"]) == ("gp3", *shown)


@pytest.mark.parametrize(
    "empty",
    [
        {"IamInstanceProfile": {"Name": ""}},  # Terraform's AWS provider 3.39, with every instance
        {"IamInstanceProfile": {"Name": "", "Arn": ""}, "KernelId": "", "RamdiskId": ""},
        {"Placement": {"HostId": "", "Affinity": "", "Tenancy": "default"}},
    ],
)
def test_an_empty_value_of_a_member_that_we_lack_is_no_value(cloud, account, empty):
    given = {"ImageId": cloud.image_id, "MinCount": 1, "MaxCount": 1}
    assert account.ec2.run_instances(**given, **empty)["Instances"]
    profile = {"IamInstanceProfile": {"Name": "x", "Arn": ""}}
    assert refused(account.ec2.run_instances, **given, **profile) == "UnsupportedOperation"
