"""Keys, tags, networks, volumes and regions by boto3, against a pretended controller."""

import pytest

from protos.cloud.v1 import (
    common_pb2,
    instances_pb2,
    keys_pb2,
    networks_pb2,
    regions_pb2,
    tags_pb2,
    volumes_pb2,
)
from protos.errors import CloudError, Kind
from tests.unit.gateway.asking import MADE, TAG, code, plain
from tests.unit.gateway.world import ACCOUNT

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
    assert keys.calls[-1].request.key_format == "ppk"
    imported = ec2.import_key_pair(KeyName="k", PublicKeyMaterial=b"ssh-rsa AAAA me\n")
    assert keys.calls[-1].request.public_key_material == b"ssh-rsa AAAA me\n"
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
    first, second = world.clients.tags.calls[-1].request.tags
    assert not first.HasField("value")
    assert second.HasField("value") and second.value == ""
    ec2.create_tags(Resources=["i-1", "vol-1"], Tags=[{"Key": "a", "Value": "1"}])
    assert world.clients.tags.calls[-1].request == tags_pb2.CreateTagsRequest(
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
    assert f"http://{region['Endpoint']}" == ec2.meta.endpoint_url, "the port is part of it"
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
