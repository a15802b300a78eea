"""Rules ask ``authorize`` again once they have read what a request does not tell: which resources
are meant, their tags, their rows."""

import pytest

from protos import services
from protos.cloud.v1 import (
    common_pb2,
    identity_pb2,
    images_pb2,
    instances_pb2,
    keys_pb2,
    network_interfaces_pb2,
    networks_pb2,
    tags_pb2,
    volumes_pb2,
)
from protos.errors import CloudError, Kind
from tests.unit.controller.cloud import Account, Cloud


class Policy:
    """An authorize that consents to all but what ``denies(action, resource, context)`` names."""

    def __init__(self):
        self.count, self.denies = 0, lambda action, one, context: False

    def __call__(self, principal, action, resources, context):
        self.count += 1
        return not any(self.denies(action, one, context) for one in resources)


@pytest.fixture
def policy():
    return Policy()


@pytest.fixture
def cloud(tmp_path, policy):
    return Cloud(tmp_path, authorize=policy)


def do(cloud, service, method, request, operator=False):
    caller = Account(cloud.alice.account_id, operator).caller()
    return getattr(cloud.client(service), method)(request, caller=caller)


METHODS = [method for service in services.SERVICES for method in service.methods]


class Things:
    """One of each noun that alice has, by id."""

    def __init__(self, cloud):
        def ask(service, method, request):
            return do(cloud, service, method, request)

        nets = networks_pb2
        self.instance = cloud.run_ids()[0]
        shown = cloud.describe(self.instance)[0]
        self.vpc, self.subnet, self.image = shown.vpc_id, shown.subnet_id, shown.image_id
        self.group = shown.security_groups[0].group_id
        root = shown.block_devices[0].volume_id
        asked = volumes_pb2.CreateVolumeRequest(availability_zone="us-east-1a", size_gib=1)
        self.volume, self.attached = (ask("Volumes", "Create", asked).volume_id for _ in range(2))
        cloud.converge()
        asked = volumes_pb2.AttachVolumeRequest(
            volume_id=self.attached, instance_id=self.instance, device="/dev/sdf"
        )
        ask("Volumes", "Attach", asked)
        asked = volumes_pb2.CreateSnapshotRequest(volume_id=root)
        self.snapshot = ask("Snapshots", "Create", asked).snapshot_id
        cloud.converge()
        cloud.host.end_snapshot(self.snapshot)
        disks = [
            instances_pb2.BlockDeviceMapping(device_name="/dev/xvda", snapshot_id=self.snapshot)
        ]
        asked = images_pb2.RegisterImageRequest(
            name="own", root_device_name="/dev/xvda", block_devices=disks
        )
        self.own_image = ask("Images", "Register", asked).image_id
        asked = network_interfaces_pb2.CreateNetworkInterfaceRequest(subnet_id=self.subnet)
        self.interface, self.second = (
            ask("NetworkInterfaces", "Create", asked).network_interface_id for _ in range(2)
        )
        asked = network_interfaces_pb2.AttachNetworkInterfaceRequest(
            network_interface_id=self.second, instance_id=self.instance, device_index=1
        )
        self.attachment = ask("NetworkInterfaces", "Attach", asked).attachment_id
        cloud.converge()
        address = ask("Addresses", "Allocate", nets.AllocateAddressRequest())
        self.address, self.public_ip = address.allocation_id, address.public_ip
        asked = nets.AssociateAddressRequest(
            allocation_id=self.address, network_interface_id=self.interface
        )
        self.association = ask("Addresses", "Associate", asked).association_id
        asked = nets.CreateRouteTableRequest(vpc_id=self.vpc)
        self.table = ask("Networks", "CreateRouteTable", asked).route_table_id
        asked = nets.AssociateRouteTableRequest(route_table_id=self.table, subnet_id=self.subnet)
        self.use = ask("Networks", "AssociateRouteTable", asked).association_id
        asked = nets.DescribeInternetGatewaysRequest()
        gateways = ask("Networks", "DescribeInternetGateways", asked).internet_gateways
        self.gateway = gateways[0].internet_gateway_id
        option = nets.DhcpOption(key="domain-name", values=["x.example"])
        asked = nets.CreateDhcpOptionsRequest(options=[option])
        self.options = ask("Networks", "CreateDhcpOptions", asked).dhcp_options_id
        asked = keys_pb2.CreateKeyPairRequest(key_name="mine", key_type="ed25519")
        self.key = ask("KeyPairs", "Create", asked).key_pair_id
        asked = nets.CreateSecurityGroupRequest(group_name="web", description="web")
        self.web = ask("SecurityGroups", "Create", asked).group_id
        self.rule = nets.SecurityGroupRule(
            protocol="tcp", from_port=1, to_port=1, cidr_ipv4="10.0.0.0/8"
        )
        asked = identity_pb2.AccountRequest(account_id=cloud.alice.account_id)
        keys = do(cloud, "Identity", "ListAccessKeys", asked, operator=True).access_keys
        self.access_key = keys[0].access_key_id

    def ids(self) -> list[str]:
        return [
            *(self.instance, self.own_image, self.volume, self.attached, self.snapshot, self.vpc),
            *(self.subnet, self.interface, self.second, self.web, self.key, self.address),
            *(self.table, self.gateway, self.options),
        ]


def unnamed(things: Things) -> list[tuple]:
    """Calls that do not name what they do something to by its id, and what that is: (service,
    method, request, noun). All are refused, so that none is in another's way."""
    nets, nics = networks_pb2, network_interfaces_pb2
    launch = instances_pb2.RunInstancesRequest(
        image_id=things.image, min_count=1, max_count=1, key_name="mine"
    )
    tag = common_pb2.Tag(key="a", value="b")
    group = nets.SecurityGroupSelector(group_name="web")
    spec = common_pb2.TagSpecification(resource_type="security-group-rule", tags=[tag])
    tagged = nets.AuthorizeRequest(group=group, rules=[things.rule], tag_specifications=[spec])
    one_rule = nets.RevokeRequest(group=group, rules=[things.rule])
    off = nets.DisassociateAddressRequest(association_id=things.association)
    apart = nets.DisassociateRouteTableRequest(association_id=things.use)
    instead = nets.ReplaceRouteTableAssociationRequest(
        association_id=things.use, route_table_id=things.table
    )
    onto = nets.AssociateAddressRequest(
        public_ip=things.public_ip, network_interface_id=things.interface
    )
    out = nics.DetachNetworkInterfaceRequest(attachment_id=things.attachment)
    stays = nics.AttachmentChange(attachment_id=things.attachment)
    kept = nics.ModifyNetworkInterfaceAttributeRequest(
        network_interface_id=things.second, attachment=stays
    )
    made = nets.CreateSecurityGroupRequest(group_name="db", description="db")
    defaults = nets.AssociateDhcpOptionsRequest(dhcp_options_id="default", vpc_id=things.vpc)
    nic = nics.CreateNetworkInterfaceRequest(subnet_id=things.subnet)
    status = identity_pb2.SetAccessKeyStatusRequest(
        access_key_id=things.access_key, status="Inactive"
    )
    gone = identity_pb2.AccessKeyRequest(access_key_id=things.access_key)
    return [
        ("Instances", "Run", launch, "image"),
        ("Instances", "Run", launch, "key-pair"),
        ("Instances", "Run", launch, "instance"),
        ("Instances", "Run", launch, "volume"),
        ("Instances", "Run", launch, "subnet"),
        ("Instances", "Run", launch, "security-group"),
        ("Instances", "Run", launch, "network-interface"),
        ("Addresses", "Associate", onto, "elastic-ip"),
        ("Addresses", "Disassociate", off, "elastic-ip"),
        ("Addresses", "Disassociate", off, "network-interface"),
        ("Networks", "DisassociateRouteTable", apart, "route-table"),
        ("Networks", "DisassociateRouteTable", apart, "subnet"),
        ("Networks", "ReplaceRouteTableAssociation", instead, "subnet"),
        ("Networks", "AssociateDhcpOptions", defaults, "dhcp-options"),
        ("NetworkInterfaces", "Create", nic, "security-group"),
        ("NetworkInterfaces", "Detach", out, "network-interface"),
        ("NetworkInterfaces", "Detach", out, "instance"),
        ("NetworkInterfaces", "ModifyAttribute", kept, "instance"),
        ("SecurityGroups", "Create", made, "vpc"),
        ("SecurityGroups", "Delete", group, "security-group"),
        ("SecurityGroups", "AuthorizeIngress", tagged, "security-group"),
        ("SecurityGroups", "AuthorizeIngress", tagged, "security-group-rule"),
        ("SecurityGroups", "AuthorizeEgress", tagged, "security-group-rule"),
        ("SecurityGroups", "RevokeIngress", one_rule, "security-group"),
        (
            "Volumes",
            "Detach",
            volumes_pb2.DetachVolumeRequest(volume_id=things.attached),
            "instance",
        ),
        ("KeyPairs", "Delete", keys_pb2.DeleteKeyPairRequest(key_pair_id=things.key), "key-pair"),
        ("Identity", "SetAccessKeyStatus", status, "account"),
        ("Identity", "DeleteAccessKey", gone, "account"),
    ]


def refused(cloud, service, method, request) -> bool:
    try:
        do(cloud, service, method, request, operator=service == "Identity")
    except CloudError as refusal:
        assert refusal.kind is Kind.DENIED, refusal
        return True
    return False


def test_what_a_request_does_not_name_is_asked_about_once_it_is_read(cloud, policy):
    things, seen = Things(cloud), set()
    for service, method, request, noun in unnamed(things):
        policy.denies = lambda action, one, context, noun=noun: one.read and f":{noun}/" in one.arn
        assert refused(cloud, service, method, request), (method, noun)
        seen.add((service, method, noun))
    for method in METHODS:  # every type that a permission names without a field is among them
        for text in services.permission_of(method).resources:
            if "/" not in text and text not in ("*", "{resource_ids}"):
                assert (method.containing_service.name, method.name, text) in seen
    policy.denies = lambda *question: False
    assert cloud.discrepancies() == []


def by_id(things: Things) -> list[tuple]:
    """A call on each of ``things.ids``."""
    nets, nics, i, v = networks_pb2, network_interfaces_pb2, instances_pb2, volumes_pb2
    one, these = i.InstanceRequest(instance_id=things.instance), [things.instance]
    grown = v.ModifyVolumeRequest(volume_id=things.volume, size_gib=2)
    image = images_pb2.ImageRequest(image_id=things.own_image)
    table = nets.RouteTableSelector(route_table_id=things.table)
    tag = [common_pb2.Tag(key="new", value="")]
    return [
        ("Instances", "Terminate", i.InstancesRequest(instance_ids=these)),
        ("Instances", "DescribeAttributes", one),
        ("Instances", "GetConsoleOutput", one),
        ("Volumes", "Delete", v.VolumeRequest(volume_id=things.volume)),
        ("Volumes", "Modify", grown),
        ("Snapshots", "Create", v.CreateSnapshotRequest(volume_id=things.volume)),
        ("Snapshots", "Delete", v.SnapshotRequest(snapshot_id=things.snapshot)),
        ("Snapshots", "DescribeAttribute", v.SnapshotRequest(snapshot_id=things.snapshot)),
        (
            "Volumes",
            "Create",
            v.CreateVolumeRequest(availability_zone="us-east-1a", snapshot_id=things.snapshot),
        ),
        ("Images", "DescribeAttribute", image),
        ("Images", "Deregister", images_pb2.DeregisterImageRequest(image_id=things.own_image)),
        ("Networks", "DeleteVpc", nets.VpcSelector(vpc_id=things.vpc)),
        ("Networks", "DescribeVpcAttribute", nets.VpcSelector(vpc_id=things.vpc)),
        ("Networks", "DeleteSubnet", nets.SubnetSelector(subnet_id=things.subnet)),
        ("Networks", "DeleteRouteTable", table),
        (
            "Networks",
            "DeleteInternetGateway",
            nets.InternetGatewaySelector(internet_gateway_id=things.gateway),
        ),
        (
            "Networks",
            "DeleteDhcpOptions",
            nets.DhcpOptionsSelector(dhcp_options_id=things.options),
        ),
        (
            "NetworkInterfaces",
            "Delete",
            nics.NetworkInterfaceRequest(network_interface_id=things.interface),
        ),
        ("SecurityGroups", "Delete", nets.SecurityGroupSelector(group_id=things.web)),
        ("Addresses", "Release", nets.ReleaseAddressRequest(allocation_id=things.address)),
        ("KeyPairs", "Delete", keys_pb2.DeleteKeyPairRequest(key_name="mine")),
        *(
            ("Tags", "Create", tags_pb2.CreateTagsRequest(resource_ids=[each], tags=tag))
            for each in things.ids()
        ),
    ]


def test_a_policy_by_tag_is_asked_with_the_tags_of_what_was_read(cloud, policy):
    things = Things(cloud)
    tag = [common_pb2.Tag(key="env", value="prod")]
    asked = tags_pb2.CreateTagsRequest(resource_ids=things.ids(), tags=tag)
    do(cloud, "Tags", "Create", asked)
    policy.denies = lambda action, one, context: (
        one.read and one.context.get("aws:ResourceTag/env") == ["prod"]
    )
    for service, method, request in by_id(things):
        assert refused(cloud, service, method, request), method


def test_the_row_of_what_was_read_is_told_as_well(cloud, policy):
    things, told = Things(cloud), {}

    def note(action, one, context) -> None:
        told[one.arn.rpartition(":")[2]] = dict(one.context)

    policy.denies = note
    asked = volumes_pb2.AttachVolumeRequest(
        volume_id=things.volume, instance_id=things.instance, device="/dev/sdg"
    )
    do(cloud, "Volumes", "Attach", asked)
    instance, volume = told[f"instance/{things.instance}"], told[f"volume/{things.volume}"]
    assert instance["ec2:InstanceType"] == ["t2.micro"]
    assert instance["ec2:EbsOptimized"] == ["false"]
    assert (volume["ec2:VolumeSize"], volume["ec2:VolumeType"]) == (["1"], ["gp2"])
    assert "ec2:ParentSnapshot" not in volume


def test_the_tags_of_what_others_share_are_not_told(cloud, policy):
    image, told = cloud.describe(cloud.run_ids()[0])[0].image_id, {}
    owner = images_pb2.DescribeImagesRequest(image_ids=[image])
    owner_id = do(cloud, "Images", "Describe", owner).images[0].owner_id
    tag = [common_pb2.Tag(key="env", value="prod")]
    asked = tags_pb2.CreateTagsRequest(resource_ids=[image], tags=tag)
    cloud.client("Tags").Create(asked, caller=Account(owner_id, True).caller())

    def note(action, one, context) -> None:
        if one.read:
            told[one.arn.rpartition(":")[2]] = dict(one.context)

    policy.denies = note
    cloud.run(cloud.bob)
    assert told[f"image/{image}"]["ec2:Public"] == ["true"]
    assert "aws:ResourceTag/env" not in told[f"image/{image}"]


def test_tags_of_something_new_need_permission_to_create_tags(cloud, policy):
    tag = common_pb2.Tag(key="env", value="prod")
    spec = common_pb2.TagSpecification(resource_type="instance", tags=[tag])
    policy.denies = lambda action, one, context: (
        action == "ec2:CreateTags"
        and context["ec2:CreateAction"] == ["RunInstances"]
        and context["aws:RequestTag/env"] == ["prod"]
    )
    assert cloud.run()
    with pytest.raises(CloudError, match="not authorized"):
        cloud.run(tag_specifications=[spec])


def test_an_images_snapshots_go_with_it_only_where_they_may_be_deleted(cloud, policy):
    things = Things(cloud)
    policy.denies = lambda action, one, context: action == "ec2:DeleteSnapshot"
    asked = images_pb2.DeregisterImageRequest(
        image_id=things.own_image, delete_associated_snapshots=True
    )
    (snapshot,) = do(cloud, "Images", "Deregister", asked).snapshots
    assert snapshot.result == "missing-permissions"


def test_the_controller_itself_and_its_hosts_ask_nobody(cloud, policy):
    policy.denies = lambda *question: True
    before = policy.count
    cloud.converge()
    cloud.tasks()
    assert policy.count == before
