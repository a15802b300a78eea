"""Images, keys, groups, addresses, tags and networks by boto3, against a pretended controller."""

import pytest
from botocore.exceptions import ClientError

from protos.cloud.v1 import (
    common_pb2,
    images_pb2,
    instances_pb2,
    keys_pb2,
    networks_pb2,
    regions_pb2,
    tags_pb2,
    volumes_pb2,
)
from protos.errors import CloudError, Kind
from tests.unit.gateway.world import ACCOUNT

TAG = common_pb2.Tag(key="k", value="v")
MADE = 1_769_860_800_123


def code(call, **parameters):
    with pytest.raises(ClientError) as failure:
        call(**parameters)
    return failure.value.response["Error"]["Code"]


def plain(answer):
    answer.pop("ResponseMetadata")
    return answer


# -- security groups


def rule(**more):
    return networks_pb2.SecurityGroupRule(**more)


GROUP = networks_pb2.SecurityGroup(
    group_id="sg-1",
    group_name="web",
    description="d",
    vpc_id="vpc-1",
    owner_id=ACCOUNT,
    rules=[
        rule(
            rule_id="sgr-1",
            group_id="sg-1",
            protocol="tcp",
            from_port=22,
            to_port=22,
            cidr_ipv4="0.0.0.0/0",
            description="all",
        ),
        rule(protocol="tcp", from_port=22, to_port=22, cidr_ipv6="::/0"),
        rule(
            protocol="tcp",
            from_port=22,
            to_port=22,
            peer_group=networks_pb2.SecurityGroupPeer(group_id="sg-2", owner_id=ACCOUNT),
        ),
        rule(protocol="icmp", from_port=-1, to_port=-1, cidr_ipv4="10.0.0.0/8"),
        rule(egress=True, protocol="-1", from_port=-1, to_port=-1, cidr_ipv4="0.0.0.0/0"),
    ],
    tags=[TAG],
)


def test_rules_are_folded_into_permissions(served):
    world, ec2 = served
    world.clients.security_groups.answers["Describe"] = networks_pb2.DescribeSecurityGroupsResponse(
        groups=[GROUP]
    )
    (group,) = ec2.describe_security_groups(GroupNames=["web"])["SecurityGroups"]
    assert world.clients.security_groups.asked[-1].request.group_names == ["web"]
    assert group["IpPermissions"] == [
        {
            "IpProtocol": "tcp",
            "FromPort": 22,
            "ToPort": 22,
            "UserIdGroupPairs": [{"GroupId": "sg-2", "UserId": ACCOUNT}],
            "IpRanges": [{"CidrIp": "0.0.0.0/0", "Description": "all"}],
            "Ipv6Ranges": [{"CidrIpv6": "::/0"}],
            "PrefixListIds": [],
        },
        {
            "IpProtocol": "icmp",
            "FromPort": -1,
            "ToPort": -1,
            "UserIdGroupPairs": [],
            "IpRanges": [{"CidrIp": "10.0.0.0/8"}],
            "Ipv6Ranges": [],
            "PrefixListIds": [],
        },
    ]
    assert group["IpPermissionsEgress"] == [
        {
            "IpProtocol": "-1",
            "UserIdGroupPairs": [],
            "IpRanges": [{"CidrIp": "0.0.0.0/0"}],
            "Ipv6Ranges": [],
            "PrefixListIds": [],
        }
    ]
    assert group["SecurityGroupArn"] == f"arn:aws:ec2:us-east-1:{ACCOUNT}:security-group/sg-1"


PERMISSION = {
    "IpProtocol": "TCP",
    "FromPort": 80,
    "ToPort": 81,
    "IpRanges": [{"CidrIp": "10.0.0.0/8", "Description": "a"}, {"CidrIp": "192.0.2.0/24"}],
    "Ipv6Ranges": [{"CidrIpv6": "2001:db8::/32"}],
    "UserIdGroupPairs": [{"GroupId": "sg-2", "UserId": ACCOUNT, "Description": "peers"}],
}


@pytest.mark.parametrize("egress", [False, True])
def test_permissions_are_unfolded_into_rules(served, egress):
    world, ec2 = served
    way = "egress" if egress else "ingress"
    method = "AuthorizeEgress" if egress else "AuthorizeIngress"
    world.clients.security_groups.answers[method] = networks_pb2.SecurityGroupRules(
        rules=[rule(rule_id="sgr-9", group_id="sg-1", group_owner_id=ACCOUNT, protocol="tcp")]
    )
    made = getattr(ec2, f"authorize_security_group_{way}")(
        GroupId="sg-1",
        IpPermissions=[PERMISSION],
        TagSpecifications=[{"ResourceType": "security-group-rule", "Tags": [{"Key": "k"}]}],
    )
    assert made["Return"] is True
    assert made["SecurityGroupRules"][0]["SecurityGroupRuleId"] == "sgr-9"
    request = world.clients.security_groups.asked[-1].request
    assert request.group.group_id == "sg-1"
    common = {"egress": egress, "protocol": "tcp", "from_port": 80, "to_port": 81}
    assert request.rules == [
        rule(**common, cidr_ipv4="10.0.0.0/8", description="a"),
        rule(**common, cidr_ipv4="192.0.2.0/24"),
        rule(**common, cidr_ipv6="2001:db8::/32"),
        rule(
            **common,
            peer_group=networks_pb2.SecurityGroupPeer(group_id="sg-2", owner_id=ACCOUNT),
            description="peers",
        ),
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 2, "CidrIp": "10.0.0.0/8"},
            rule(protocol="tcp", from_port=1, to_port=2, cidr_ipv4="10.0.0.0/8"),
        ),
        (
            {"IpProtocol": "17", "FromPort": 53, "ToPort": 53, "CidrIp": "0.0.0.0/0"},
            rule(protocol="udp", from_port=53, to_port=53, cidr_ipv4="0.0.0.0/0"),
        ),
        (
            {"SourceSecurityGroupName": "peers", "SourceSecurityGroupOwnerId": ACCOUNT},
            rule(
                protocol="-1",
                from_port=-1,
                to_port=-1,
                peer_group=networks_pb2.SecurityGroupPeer(group_name="peers", owner_id=ACCOUNT),
            ),
        ),
    ],
)
def test_the_oldest_way_to_say_a_rule(served, given, expected):
    world, ec2 = served
    ec2.authorize_security_group_ingress(GroupName="web", **given)
    request = world.clients.security_groups.asked[-1].request
    assert (request.group.group_name, list(request.rules)) == ("web", [expected])


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"GroupId": "sg-1"}, "MissingParameter"),
        ({"IpPermissions": [PERMISSION]}, "MissingParameter"),
        ({"GroupId": "sg-1", "IpPermissions": [{"IpProtocol": "tcp"}]}, "MissingParameter"),
        ({"GroupId": "sg-1", "IpPermissions": [{"IpRanges": [{}]}]}, "MissingParameter"),
        (
            {"GroupId": "sg-1", "IpPermissions": [PERMISSION], "CidrIp": "10.0.0.0/8"},
            "InvalidParameterCombination",
        ),
        (
            {
                "GroupId": "sg-1",
                "IpPermissions": [{**PERMISSION, "PrefixListIds": [{"PrefixListId": "pl-1"}]}],
            },
            "UnsupportedOperation",
        ),
    ],
)
def test_rules_that_are_none(served, given, expected):
    world, ec2 = served
    assert code(ec2.authorize_security_group_ingress, **given) == expected
    assert not world.clients.security_groups.asked


def test_rules_are_revoked_by_id_or_by_permission(served):
    world, ec2 = served
    world.clients.security_groups.answers["RevokeIngress"] = networks_pb2.RevokeResponse(
        revoked=[
            rule(
                rule_id="sgr-1",
                protocol="tcp",
                from_port=1,
                to_port=1,
                peer_group=networks_pb2.SecurityGroupPeer(group_id="sg-2"),
            )
        ],
        unknown=[rule(protocol="udp", from_port=1, to_port=1, cidr_ipv4="10.0.0.0/8")],
    )
    seen = ec2.revoke_security_group_ingress(GroupId="sg-1", SecurityGroupRuleIds=["sgr-1"])
    assert world.clients.security_groups.asked[-1].request.rule_ids == ["sgr-1"]
    assert seen["RevokedSecurityGroupRules"][0]["ReferencedGroupId"] == "sg-2"
    assert seen["UnknownIpPermissions"][0]["IpRanges"] == [{"CidrIp": "10.0.0.0/8"}]
    ec2.revoke_security_group_egress(GroupId="sg-1", IpPermissions=[PERMISSION])
    assert len(world.clients.security_groups.asked[-1].request.rules) == 4
    both = {"SecurityGroupRuleIds": ["sgr-1"], "IpPermissions": [PERMISSION]}
    assert (
        code(ec2.revoke_security_group_ingress, GroupId="sg-1", **both)
        == "InvalidParameterCombination"
    )


def test_41_rules_one_by_one(served):
    world, ec2 = served
    world.clients.security_groups.answers["DescribeRules"] = networks_pb2.SecurityGroupRules(
        rules=[
            rule(
                rule_id="sgr-1",
                group_id="sg-1",
                group_owner_id=ACCOUNT,
                egress=True,
                protocol="-1",
                from_port=-1,
                to_port=-1,
                cidr_ipv4="0.0.0.0/0",
            )
        ]
    )
    (shown,) = ec2.describe_security_group_rules()["SecurityGroupRules"]
    assert shown == {
        "SecurityGroupRuleId": "sgr-1",
        "GroupId": "sg-1",
        "GroupOwnerId": ACCOUNT,
        "IsEgress": True,
        "IpProtocol": "-1",
        "FromPort": -1,
        "ToPort": -1,
        "CidrIpv4": "0.0.0.0/0",
        "Tags": [],
        "SecurityGroupRuleArn": f"arn:aws:ec2:us-east-1:{ACCOUNT}:security-group-rule/sgr-1",
    }


def test_groups_are_made_and_deleted(served, world):
    pretended, ec2 = served
    pretended.clients.security_groups.answers["Create"] = GROUP
    made = ec2.create_security_group(GroupName="web", Description="d", VpcId="vpc-1")
    assert made["GroupId"] == "sg-1"
    assert code(ec2.create_security_group, GroupName="web") == "MissingParameter"
    pretended.clients.security_groups.answers["Delete"] = networks_pb2.SecurityGroupSelector(
        group_id="sg-1"
    )
    assert plain(ec2.delete_security_group(GroupName="web")) == {"Return": True, "GroupId": "sg-1"}
    assert code(ec2.delete_security_group) == "MissingParameter"
    raw = {"GroupName": "web", "GroupDescription": "d"}
    assert b"<return>true</return>" in world.call({"Action": "CreateSecurityGroup", **raw}).data


# -- addresses


ADDRESS = networks_pb2.Address(
    allocation_id="eipalloc-1",
    public_ip="100.64.0.9",
    association_id="eipassoc-1",
    instance_id="i-1",
    network_interface_id="eni-1",
    network_interface_owner_id=ACCOUNT,
    private_ip_address="172.31.0.4",
    tags=[TAG],
)


def test_addresses(served):
    world, ec2 = served
    addresses = world.clients.addresses
    addresses.answers.update(
        Allocate=ADDRESS,
        Associate=ADDRESS,
        Describe=networks_pb2.DescribeAddressesResponse(addresses=[ADDRESS]),
    )
    made = ec2.allocate_address(Domain="vpc")
    assert (made["AllocationId"], made["PublicIp"], made["Domain"]) == (
        "eipalloc-1",
        "100.64.0.9",
        "vpc",
    )
    (seen,) = ec2.describe_addresses(AllocationIds=["eipalloc-1"])["Addresses"]
    same = {name: seen[name] for name in ("PublicIpv4Pool", "NetworkBorderGroup")}
    assert ec2.allocate_address(**same)["NetworkBorderGroup"] == same["NetworkBorderGroup"]
    assert code(ec2.allocate_address, NetworkBorderGroup="moon") == "InvalidParameterValue"
    assert code(ec2.allocate_address, PublicIpv4Pool="ipv4pool-1") == "UnsupportedOperation"
    assert seen["AssociationId"] == "eipassoc-1"
    assert seen["NetworkInterfaceOwnerId"] == ACCOUNT
    given = {"AllocationId": "eipalloc-1", "InstanceId": "i-1"}
    assert ec2.associate_address(**given)["AssociationId"] == "eipassoc-1"
    assert not addresses.asked[-1].request.HasField("allow_reassociation")
    ec2.associate_address(**given, AllowReassociation=False)
    assert addresses.asked[-1].request.HasField("allow_reassociation")
    ec2.disassociate_address(AssociationId="eipassoc-1")
    ec2.release_address(AllocationId="eipalloc-1")
    assert addresses.asked[-1].request.allocation_id == "eipalloc-1"


def test_addresses_need_to_be_named(served):
    _, ec2 = served
    assert code(ec2.associate_address, InstanceId="i-1") == "MissingParameter"
    assert code(ec2.associate_address, AllocationId="e") == "MissingParameter"
    assert code(ec2.disassociate_address) == "MissingParameter"
    assert code(ec2.release_address) == "MissingParameter"
    assert code(ec2.allocate_address, Domain="moon") == "InvalidParameterValue"


@pytest.mark.parametrize(
    "parameters",
    [
        {"Action": "ReleaseAddress", "AllocationId": "eipalloc-1"},
        {"Action": "DisassociateAddress", "AssociationId": "eipassoc-1"},
        {"Action": "AssociateAddress", "AllocationId": "eipalloc-1", "InstanceId": "i-1"},
        {"Action": "DeleteSecurityGroup", "GroupId": "sg-1"},
        {"Action": "DeleteKeyPair", "KeyName": "k"},
        {"Action": "DeregisterImage", "ImageId": "ami-1"},
        {"Action": "CreateTags", "ResourceId.0": "i-1", "Tag.0.Key": "k", "Tag.0.Value": "v"},
        {"Action": "DeleteTags", "ResourceId.0": "i-1", "Tag.0.Key": "k"},
        {"Action": "ModifyInstanceAttribute", "InstanceId": "i-1", "EbsOptimized.Value": "true"},
    ],
)
def test_libcloud_reads_return_true(world, parameters):
    answer = world.call({"Version": "2016-11-15", **parameters})
    assert b"<return>true</return>" in answer.data


# -- images


IMAGE = images_pb2.Image(
    image_id="ami-1",
    name="debian",
    owner_id=ACCOUNT,
    state="available",
    public=True,
    architecture="x86_64",
    image_location="upload:00",
    root_device_name="/dev/vda",
    creation_date_ms=MADE,
    block_devices=[
        images_pb2.ImageBlockDevice(
            device_name="/dev/vda", snapshot_id="snap-1", volume_size_gib=2, volume_type="gp3"
        )
    ],
    tags=[TAG],
)


def test_40_images(served):
    world, ec2 = served
    world.clients.images.answers["Describe"] = images_pb2.DescribeImagesResponse(images=[IMAGE])
    (seen,) = ec2.describe_images(Owners=["self", "amazon"], ExecutableUsers=["all"])["Images"]
    request = world.clients.images.asked[-1].request
    assert (request.owners, request.executable_users) == (["self", "amazon"], ["all"])
    assert seen["CreationDate"] == "2026-01-31T12:00:00.123Z"
    assert seen["RootDeviceName"] == seen["BlockDeviceMappings"][0]["DeviceName"] == "/dev/vda"
    assert seen["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"] == 2
    assert seen["State"] == "available"
    assert "EnaSupport" not in seen


def test_images_are_registered(served):
    world, ec2 = served
    world.clients.images.answers["Register"] = IMAGE
    made = ec2.register_image(
        Name="debian",
        ImageLocation="https://images.example/debian.qcow2",
        Architecture="x86_64",
        RootDeviceName="/dev/vda",
        VirtualizationType="hvm",
        EnaSupport=True,
        BlockDeviceMappings=[{"DeviceName": "/dev/vda", "Ebs": {"VolumeSize": 4}}],
    )
    assert plain(made) == {"ImageId": "ami-1"}
    request = world.clients.images.asked[-1].request
    assert request.image_location == "https://images.example/debian.qcow2"
    assert request.block_devices[0].volume_size_gib == 4
    snapshot = {"DeviceName": "/dev/vda", "Ebs": {"SnapshotId": "snap-1"}}
    ec2.register_image(Name="x", BlockDeviceMappings=[snapshot])
    request = world.clients.images.asked[-1].request
    assert (request.image_location, request.ena_support) == ("", False)
    assert request.block_devices[0].snapshot_id == "snap-1"
    assert (
        code(ec2.register_image, Name="x", ImageLocation="x", VirtualizationType="paravirtual")
        == "UnsupportedOperation"
    )
    world.clients.images.answers["Deregister"] = images_pb2.DeregisterImageResponse(
        snapshots=[images_pb2.DeletedSnapshot(snapshot_id="snap-1", result="skipped")]
    )
    gone = ec2.deregister_image(ImageId="ami-1", DeleteAssociatedSnapshots=True)
    assert world.clients.images.asked[-1].request.delete_associated_snapshots
    assert gone["DeleteSnapshotResults"] == [{"SnapshotId": "snap-1", "ReturnCode": "skipped"}]


def test_images_are_made_of_instances(served):
    world, ec2 = served
    world.clients.images.answers["Create"] = IMAGE
    made = ec2.create_image(
        InstanceId="i-1",
        Name="mine",
        NoReboot=True,
        BlockDeviceMappings=[
            {"DeviceName": "/dev/sdf", "NoDevice": ""},
            {"DeviceName": "/dev/sdg", "VirtualName": "ephemeral0"},
        ],
    )
    assert plain(made) == {"ImageId": "ami-1"}
    request = world.clients.images.asked[-1].request
    assert (request.instance_id, request.name, request.no_reboot) == ("i-1", "mine", True)
    assert [each.no_device for each in request.block_devices] == [True, False]
    assert request.block_devices[1].virtual_name == "ephemeral0"


SHARING = images_pb2.ImageSharing(
    image_id="ami-1",
    public=True,
    account_ids=[ACCOUNT],
    description="what it is",
    block_devices=IMAGE.block_devices,
    imds_support="v2.0",
)


@pytest.mark.parametrize(
    ("attribute", "member", "shown"),
    [
        ("description", "Description", {"Value": "what it is"}),
        ("launchPermission", "LaunchPermissions", [{"Group": "all"}, {"UserId": ACCOUNT}]),
        ("imdsSupport", "ImdsSupport", {"Value": "v2.0"}),
        ("sriovNetSupport", "SriovNetSupport", {}),
        ("productCodes", "ProductCodes", []),
    ],
)
def test_an_images_attribute(served, attribute, member, shown):
    world, ec2 = served
    world.clients.images.answers["DescribeAttribute"] = SHARING
    seen = ec2.describe_image_attribute(ImageId="ami-1", Attribute=attribute)
    assert seen["ImageId"] == "ami-1" and seen[member] == shown


def test_an_images_attributes_that_are_not_there(served):
    _, ec2 = served
    assert (
        code(ec2.describe_image_attribute, ImageId="ami-1", Attribute="uefiData")
        == "UnsupportedOperation"
    )
    assert (
        code(ec2.describe_image_attribute, ImageId="ami-1", Attribute="colour")
        == "InvalidParameterValue"
    )


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ({"Description": {"Value": "new"}}, {"description": "new"}),
        ({"Attribute": "description", "Value": "new"}, {"description": "new"}),
        ({"ImdsSupport": {"Value": "v2.0"}}, {"imds_support": "v2.0"}),
        (
            {"LaunchPermission": {"Add": [{"UserId": ACCOUNT}], "Remove": [{"Group": "all"}]}},
            {"add_account_ids": [ACCOUNT], "public": False},
        ),
        (
            {
                "Attribute": "launchPermission",
                "OperationType": "remove",
                "UserIds": [ACCOUNT],
                "UserGroups": ["all"],
            },
            {"remove_account_ids": [ACCOUNT], "public": False},
        ),
    ],
)
def test_an_image_is_changed(served, said, asked):
    world, ec2 = served
    ec2.modify_image_attribute(ImageId="ami-1", **said)
    expected = images_pb2.ModifyImageAttributeRequest(image_id="ami-1", **asked)
    assert world.clients.images.asked[-1].request == expected


@pytest.mark.parametrize(
    ("said", "refusal"),
    [
        ({}, "MissingParameter"),
        ({"Attribute": "productCodes"}, "UnsupportedOperation"),
        (
            {"Description": {"Value": "a"}, "ImdsSupport": {"Value": "v2.0"}},
            "InvalidParameterCombination",
        ),
        (
            {"Attribute": "launchPermission", "Description": {"Value": "a"}},
            "InvalidParameterCombination",
        ),
        ({"LaunchPermission": {"Add": [{"Group": "some"}]}}, "InvalidParameterValue"),
    ],
)
def test_changes_of_an_image_that_are_none(served, said, refusal):
    _, ec2 = served
    assert code(ec2.modify_image_attribute, ImageId="ami-1", **said) == refusal


def test_an_image_is_its_owners_alone_again(served):
    world, ec2 = served
    ec2.reset_image_attribute(ImageId="ami-1", Attribute="launchPermission")
    assert world.clients.images.asked[-1].request.image_id == "ami-1"


# -- keys


def test_keys(served):
    world, ec2 = served
    keys = world.clients.key_pairs
    pair = keys_pb2.KeyPair(
        key_pair_id="key-1",
        key_name="k",
        key_type="ed25519",
        fingerprint="fp",
        public_key="ssh-ed25519 AAAA",
        private_key="-----BEGIN",
        create_time_ms=MADE,
    )
    keys.answers.update(
        Create=pair,
        Import=pair,
        Describe=keys_pb2.DescribeKeyPairsResponse(key_pairs=[pair]),
        Delete=keys_pb2.DeleteKeyPairResponse(key_pair_id="key-1"),
    )
    made = ec2.create_key_pair(KeyName="k", KeyType="ed25519", KeyFormat="ppk")
    assert made["KeyMaterial"] == "-----BEGIN"
    assert keys.asked[-1].request.key_format == "ppk"
    imported = ec2.import_key_pair(KeyName="k", PublicKeyMaterial=b"ssh-rsa AAAA me\n")
    assert keys.asked[-1].request.public_key_material == b"ssh-rsa AAAA me\n"
    assert "KeyMaterial" not in imported
    (seen,) = ec2.describe_key_pairs(KeyNames=["k"], IncludePublicKey=True)["KeyPairs"]
    assert (seen["KeyType"], seen["PublicKey"]) == ("ed25519", "ssh-ed25519 AAAA")
    assert plain(ec2.delete_key_pair(KeyName="k")) == {"Return": True, "KeyPairId": "key-1"}
    assert code(ec2.delete_key_pair) == "MissingParameter"


def test_a_key_that_is_no_base64_is_refused(world):
    raw = {"Action": "ImportKeyPair", "KeyName": "k", "PublicKeyMaterial": "%%%"}
    assert b"<Code>InvalidParameterValue</Code>" in world.call(raw).data


# -- tags


def test_tags_without_a_value_and_with_an_empty_one_differ(served):
    world, ec2 = served
    ec2.delete_tags(Resources=["i-1"], Tags=[{"Key": "a"}, {"Key": "b", "Value": ""}])
    first, second = world.clients.tags.asked[-1].request.tags
    assert not first.HasField("value")
    assert second.HasField("value") and second.value == ""
    ec2.create_tags(Resources=["i-1", "vol-1"], Tags=[{"Key": "a", "Value": "1"}])
    assert world.clients.tags.asked[-1].request == tags_pb2.CreateTagsRequest(
        resource_ids=["i-1", "vol-1"], tags=[common_pb2.Tag(key="a", value="1")]
    )
    assert code(ec2.create_tags, Resources=["i-1"]) == "MissingParameter"


@pytest.mark.parametrize(
    "specifications",
    [
        [{"ResourceType": "instance", "Tags": []}],
        [{"ResourceType": "key-pair", "Tags": []}, {"ResourceType": "key-pair", "Tags": []}],
        [{"Tags": [{"Key": "k"}]}],
        [{"ResourceType": "nonsense"}],
    ],
)
def test_23_tag_specifications_are_for_what_is_made(served, specifications):
    _, ec2 = served
    given = {"KeyName": "k", "TagSpecifications": specifications}
    assert code(ec2.create_key_pair, **given) == "InvalidParameterValue"


# -- networks


def test_networks(served):
    world, ec2 = served
    networks = world.clients.networks
    networks.answers.update(
        DescribeVpcs=networks_pb2.DescribeVpcsResponse(
            vpcs=[
                networks_pb2.Vpc(
                    vpc_id="vpc-1",
                    cidr_block="172.31.0.0/16",
                    cidr_association_id="vpc-cidr-assoc-1",
                    state="available",
                    is_default=True,
                    dhcp_options_id="dopt-1",
                    instance_tenancy="default",
                )
            ]
        ),
        DescribeSubnets=networks_pb2.DescribeSubnetsResponse(
            subnets=[
                networks_pb2.Subnet(
                    subnet_id="subnet-1",
                    owner_id=ACCOUNT,
                    available_ip_address_count=0,
                    default_for_az=True,
                    state="available",
                )
            ]
        ),
        DescribeRouteTables=networks_pb2.DescribeRouteTablesResponse(
            route_tables=[
                networks_pb2.RouteTable(
                    route_table_id="rtb-1",
                    routes=[
                        networks_pb2.Route(
                            destination_cidr_block="0.0.0.0/0",
                            gateway_id="igw-1",
                            state="active",
                            origin="CreateRoute",
                        )
                    ],
                    associations=[
                        networks_pb2.RouteTableAssociation(association_id="rtbassoc-1", main=True)
                    ],
                )
            ]
        ),
        DescribeInternetGateways=networks_pb2.DescribeInternetGatewaysResponse(
            internet_gateways=[
                networks_pb2.InternetGateway(internet_gateway_id="igw-1", vpc_ids=["vpc-1"])
            ]
        ),
        DescribeNetworkAcls=networks_pb2.DescribeNetworkAclsResponse(
            network_acls=[
                networks_pb2.NetworkAcl(
                    network_acl_id="acl-1",
                    is_default=True,
                    entries=[
                        networks_pb2.NetworkAclEntry(
                            rule_number=100,
                            protocol="-1",
                            rule_action="allow",
                            cidr_block="0.0.0.0/0",
                        )
                    ],
                    associations=[
                        networks_pb2.NetworkAclAssociation(
                            association_id="aclassoc-1", subnet_id="subnet-1"
                        )
                    ],
                )
            ]
        ),
        DescribeNetworkInterfaces=networks_pb2.DescribeNetworkInterfacesResponse(
            network_interfaces=[
                networks_pb2.NetworkInterface(
                    network_interface_id="eni-1",
                    status="available",
                    private_ip_address="172.31.0.4",
                    tags=[TAG],
                )
            ]
        ),
    )
    (vpc,) = ec2.describe_vpcs()["Vpcs"]
    assert vpc["CidrBlockAssociationSet"][0]["CidrBlockState"] == {"State": "associated"}
    assert (vpc["IsDefault"], vpc["DhcpOptionsId"]) == (True, "dopt-1")
    (subnet,) = ec2.describe_subnets()["Subnets"]
    assert subnet["AvailableIpAddressCount"] == 0
    assert subnet["SubnetArn"].endswith(f":{ACCOUNT}:subnet/subnet-1")
    (table,) = ec2.describe_route_tables()["RouteTables"]
    assert table["Associations"][0]["RouteTableId"] == "rtb-1"
    assert table["Routes"][0]["GatewayId"] == "igw-1"
    (gateway,) = ec2.describe_internet_gateways()["InternetGateways"]
    assert gateway["Attachments"] == [{"VpcId": "vpc-1", "State": "available"}]
    (acl,) = ec2.describe_network_acls()["NetworkAcls"]
    assert acl["Associations"][0]["NetworkAclId"] == "acl-1"
    assert acl["Entries"][0]["Egress"] is False
    (interface,) = ec2.describe_network_interfaces()["NetworkInterfaces"]
    assert interface["TagSet"] == [{"Key": "k", "Value": "v"}]
    assert "Attachment" not in interface


def test_volumes_and_types(served):
    world, ec2 = served
    world.clients.volumes.answers["Describe"] = volumes_pb2.DescribeVolumesResponse(
        volumes=[
            volumes_pb2.Volume(
                volume_id="vol-1",
                size_gib=8,
                state="in-use",
                create_time_ms=MADE,
                volume_type="gp3",
                attachments=[
                    volumes_pb2.VolumeAttachment(
                        volume_id="vol-1", instance_id="i-1", device="/dev/vda", state="attached"
                    )
                ],
            )
        ]
    )
    (volume,) = ec2.describe_volumes()["Volumes"]
    assert volume["MultiAttachEnabled"] is False
    assert volume["Attachments"][0]["Device"] == "/dev/vda"
    assert "Iops" not in volume
    world.clients.instances.answers["DescribeTypes"] = instances_pb2.DescribeInstanceTypesResponse(
        types=[
            instances_pb2.InstanceType(
                name="t2.micro",
                vcpus=1,
                memory_mib=1024,
                architecture="x86_64",
                burstable=True,
                maximum_network_interfaces=2,
            )
        ]
    )
    (kind,) = ec2.describe_instance_types(InstanceTypes=["t2.micro"])["InstanceTypes"]
    for name in [
        "VCpuInfo",
        "MemoryInfo",
        "NetworkInfo",
        "EbsInfo",
        "ProcessorInfo",
        "PlacementGroupInfo",
    ]:
        assert name in kind, name
    assert kind["MemoryInfo"]["SizeInMiB"] == 1024
    world.clients.instances.answers["DescribeTypeOfferings"] = (
        instances_pb2.DescribeInstanceTypeOfferingsResponse(
            offerings=[
                instances_pb2.InstanceTypeOffering(
                    instance_type="t2.micro", location_type="region", location="us-east-1"
                )
            ]
        )
    )
    (offer,) = ec2.describe_instance_type_offerings()["InstanceTypeOfferings"]
    assert offer["Location"] == "us-east-1"


def test_regions_zones_and_accounts(served):
    world, ec2 = served
    world.clients.regions.answers.update(
        Describe=regions_pb2.DescribeRegionsResponse(
            regions=[regions_pb2.Region(region_name="us-east-1")]
        ),
        DescribeAvailabilityZones=regions_pb2.DescribeAvailabilityZonesResponse(
            zones=[
                regions_pb2.AvailabilityZone(
                    zone_name="us-east-1a", zone_id="use1-az1", state="available", messages=["m"]
                )
            ]
        ),
        DescribeAccountAttributes=regions_pb2.DescribeAccountAttributesResponse(
            attributes=[regions_pb2.AccountAttribute(name="default-vpc", values=["vpc-1"])]
        ),
    )
    (region,) = ec2.describe_regions(AllRegions=True)["Regions"]
    assert region["Endpoint"] == "127.0.0.1"
    assert region["OptInStatus"] == "opt-in-not-required"
    (zone,) = ec2.describe_availability_zones()["AvailabilityZones"]
    assert (zone["ZoneId"], zone["Messages"]) == ("use1-az1", [{"Message": "m"}])
    seen = ec2.describe_account_attributes(AttributeNames=["default-vpc"])["AccountAttributes"]
    assert seen == [
        {"AttributeName": "default-vpc", "AttributeValues": [{"AttributeValue": "vpc-1"}]}
    ]


def test_27_the_controllers_refusals_keep_their_codes(served):
    world, ec2 = served
    launch = {"ImageId": "ami-1", "MinCount": 1, "MaxCount": 1}
    for noun, expected in (
        ("instance-type", "InvalidInstanceType"),
        ("key-pair", "InvalidKeyPair.NotFound"),
        ("security-group", "InvalidGroup.NotFound"),
        ("subnet", "InvalidSubnetID.NotFound"),
        ("image", "InvalidAMIID.NotFound"),
    ):
        refusal = CloudError(Kind.NOT_FOUND, "m", noun=noun)
        world.clients.instances.answers["Run"] = refusal
        assert code(ec2.run_instances, **launch) == expected
