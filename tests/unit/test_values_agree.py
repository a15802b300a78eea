"""Whatever the controller accepts over its API the host agent's own parsers accept.

A controller with one host that has a guest; hypothesis writes requests, of which most are refused.
Those that are accepted are read as the agent reads them: each kind's ``is_sound``, the network's
real rule sets, routes, DHCP and metadata (the strict fake), a domain's XML.
"""

from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from controller.config import Config, NetworksConfig, RegionConfig
from controller.network import blocks
from hostagent.compute.hypervisors.libvirt import domain_xml
from hostagent.ledger import KINDS
from hostagent.network.config import Names
from hostagent.network.fake import FakeNetwork
from hostagent.network.sense import sensible
from hostagent.storage.drivers import Disk
from protos.cloud.v1 import common_pb2, fleet_pb2, instances_pb2, volumes_pb2
from protos.cloud.v1 import networks_pb2 as pb
from protos.errors import CloudError, Kind
from tests.unit.controller.cloud import Cloud

ALMOST = "aZ9-._ :/%\t\n\0\\'\"*éß１²"
texts = st.text(st.sampled_from(ALMOST) | st.characters(codec="utf-8"), max_size=300)
labels = st.text(st.sampled_from("aZ9-"), min_size=1, max_size=64)
domains = st.one_of(
    st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,30}(\.[A-Za-z][A-Za-z0-9]{0,30}){0,3}", fullmatch=True),
    st.lists(labels, min_size=1, max_size=6).map(".".join),
    texts,
)
octets = st.integers(0, 256).map(str) | st.sampled_from(["00", "01", "１", "", " 1"])
sound = st.ip_addresses(v=4).map(str)
addresses = st.one_of(sound, st.lists(octets, min_size=3, max_size=5).map(".".join), texts)
ranges = st.one_of(
    st.builds("{}/{}".format, sound, st.integers(0, 32)),
    st.builds("{}/{}".format, addresses, st.integers(-1, 33) | texts),
    texts,
)
agree = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)


class World:
    def __init__(self, folder: Path):
        self.cloud = Cloud(folder)
        (self.instance_id,) = self.cloud.run_ids()
        (self.vpc_id,) = self.cloud.host.vpcs
        group = self.cloud.host.vpcs[self.vpc_id].security_groups[0]
        self.group = pb.SecurityGroupSelector(group_id=group.group_id)
        asked = pb.DescribeRouteTablesRequest()
        (table,) = self.ask("Networks", "DescribeRouteTables", asked).route_tables
        self.table_id = table.route_table_id
        (self.gateway_id,) = [one.gateway_id for one in table.routes if "igw" in one.gateway_id]

    def ask(self, service: str, method: str, request):
        caller = self.cloud.alice.caller()
        return getattr(self.cloud.client(service), method)(request, caller=caller)

    def accepted(self, service: str, method: str, request):
        """Its answer; None where it is refused, as most are. A defect is no refusal."""
        try:
            return self.ask(service, method, request)
        except CloudError as refusal:
            assert refusal.kind is not Kind.BUG, refusal
            return None

    def check(self) -> None:
        """All that the host is told of, as its agent reads it."""
        self.cloud.app.dispatch_pending()
        host = self.cloud.host
        told = {
            "instance": host.specs,
            "vpc": host.vpcs,
            "volume": host.volumes,
            "snapshot": host.snapshots,
        }
        for kind in KINDS:
            assert all(map(kind.is_sound, told[kind.name].values())), kind.name
        for vpc in host.vpcs.values():
            tenants = [one for one in host.specs.values() if one.nics[0].vpc_id == vpc.vpc_id]
            assert FakeNetwork(strict=True).ensure_vpc(vpc, tenants) == []
        for spec in host.specs.values():
            check_domain(spec)


def check_domain(spec: fleet_pb2.InstanceSpec) -> None:
    disks = [
        Disk(disk.volume_id, disk.device_name, Path("/d"), "qcow2", position=number)
        for number, disk in enumerate(spec.disks)
    ]
    made = domain_xml.Settings("qemu")
    ElementTree.fromstring(domain_xml.render(spec, disks, [], Path("/c"), made, "h-1"))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    return World(tmp_path_factory.mktemp("world"))


OPTIONS = st.one_of(
    st.tuples(st.just("domain-name"), domains.map(lambda one: [one])),
    st.tuples(
        st.sampled_from(["domain-name-servers", "ntp-servers", "netbios-name-servers"]),
        st.lists(addresses | st.just("AmazonProvidedDNS"), min_size=1, max_size=5),
    ),
    st.tuples(
        st.just("netbios-node-type"), st.sampled_from(["1", "2", "3", "8", "１", " 4"]).map(list)
    ),
)


@agree
@given(option=OPTIONS)
def test_dhcp_options(world, option):
    key, values = option
    request = pb.CreateDhcpOptionsRequest(options=[pb.DhcpOption(key=key, values=values)])
    made = world.accepted("Networks", "CreateDhcpOptions", request)
    if made is None:
        return
    try:
        associate(world, made.dhcp_options_id)
        world.check()
    finally:
        associate(world, "default")
        selector = pb.DhcpOptionsSelector(dhcp_options_id=made.dhcp_options_id)
        world.ask("Networks", "DeleteDhcpOptions", selector)


def test_a_domain_with_a_capital_reaches_the_guests(world):
    option = pb.DhcpOption(key="domain-name", values=["Corp.Example"])
    request = pb.CreateDhcpOptionsRequest(options=[option])
    made = world.ask("Networks", "CreateDhcpOptions", request)
    associate(world, made.dhcp_options_id)
    world.check()
    assert world.cloud.host.vpcs[world.vpc_id].dhcp_options.domain_name == "Corp.Example"
    associate(world, "default")


def associate(world, set_id: str) -> None:
    request = pb.AssociateDhcpOptionsRequest(dhcp_options_id=set_id, vpc_id=world.vpc_id)
    world.ask("Networks", "AssociateDhcpOptions", request)


PROTOCOLS = st.sampled_from(["tcp", "UDP", "icmp", "icmpv6", "58", "-1", "all", " 6"]) | (
    st.integers(-2, 300).map(str) | texts
)
PORTS = st.none() | st.integers(-2, 300) | st.sampled_from([65535, 65536, -(2**31), 2**31 - 1])


@agree
@given(protocol=PROTOCOLS, first=PORTS, last=PORTS, peer=ranges | st.just("::/0"), text=texts)
def test_rules_of_groups(world, protocol, first, last, peer, text):
    field = "cidr_ipv6" if ":" in peer else "cidr_ipv4"
    rule = pb.SecurityGroupRule(
        protocol=protocol, from_port=first, to_port=last, description=text, **{field: peer}
    )
    request = pb.AuthorizeRequest(group=world.group, rules=[rule])
    made = world.accepted("SecurityGroups", "AuthorizeIngress", request)
    if made is None:
        return
    try:
        world.check()
    finally:
        ids = [one.rule_id for one in made.rules]
        world.ask(
            "SecurityGroups", "RevokeIngress", pb.RevokeRequest(group=world.group, rule_ids=ids)
        )


@agree
@given(block=ranges)
def test_routes(world, block):
    request = pb.RouteRequest(
        route_table_id=world.table_id, destination_cidr_block=block, gateway_id=world.gateway_id
    )
    if world.accepted("Networks", "CreateRoute", request) is None:
        return
    try:
        world.check()
    finally:
        request.gateway_id = ""
        world.ask("Networks", "DeleteRoute", request)


@agree
@given(vpc_range=ranges, subnet_range=ranges)
def test_ranges(vpc_range, subnet_range):
    of_vpc = of_subnet = ""
    try:
        of_vpc = of_subnet = blocks.vpc_block(vpc_range)
        of_subnet = blocks.subnet_block(subnet_range, of_vpc)
    except CloudError:
        if not of_vpc:
            return
    subnet = fleet_pb2.SubnetSpec(subnet_id=f"subnet-{1:017x}", cidr_block=of_subnet)
    vpc = fleet_pb2.VpcSpec(vpc_id=f"vpc-{1:017x}", cidr_blocks=[of_vpc], subnets=[subnet])
    assert sensible(vpc, [], Names("p"))[2] == []
    assert FakeNetwork(strict=True).ensure_vpc(vpc, []) == []


@settings(agree, max_examples=40)
@given(
    tags=st.dictionaries(texts.filter(bool), texts, max_size=3),
    user_data=st.binary(max_size=50),
    tags_shown=st.sampled_from(["enabled", "disabled", ""]),
    device=st.sampled_from(["/dev/sdf", "/dev/xvdba", "sdh", "/dev/sda2"]) | texts,
)
def test_launches(world, tags, user_data, tags_shown, device):
    request = world.cloud.request(
        user_data=user_data,
        metadata_options=instances_pb2.MetadataOptions(instance_metadata_tags=tags_shown),
        tag_specifications=[specification("instance", tags)] if tags else [],
        block_device_mappings=[
            instances_pb2.BlockDeviceMapping(device_name=device, volume_size_gib=1)
        ],
    )
    made = world.accepted("Instances", "Run", request)
    if made is None:
        return
    try:
        world.check()
    finally:
        world.cloud.on("Terminate", [one.instance_id for one in made.instances])
        world.cloud.converge()


@settings(agree, max_examples=40)
@given(
    size=st.integers(-1, 20000),
    iops=st.none() | st.integers(-1, 70000),
    kind=st.sampled_from(["", "gp2", "gp3", "io1", "standard"]) | texts,
    tags=st.dictionaries(texts.filter(bool), texts, max_size=3),
)
def test_volumes_and_their_snapshots(world, size, iops, kind, tags):
    request = volumes_pb2.CreateVolumeRequest(
        availability_zone="us-east-1a",
        size_gib=size,
        iops=iops,
        volume_type=kind,
        tag_specifications=[specification("volume", tags)] if tags else [],
    )
    made = world.accepted("Volumes", "Create", request)
    if made is None:
        return
    world.check()
    world.cloud.converge()
    asked = volumes_pb2.CreateSnapshotRequest(volume_id=made.volume_id, description=kind)
    snapshot = world.ask("Snapshots", "Create", asked)
    world.check()
    world.cloud.host.end_snapshot(snapshot.snapshot_id)
    world.ask("Volumes", "Delete", volumes_pb2.VolumeRequest(volume_id=made.volume_id))
    world.check()


def specification(noun: str, tags: dict[str, str]) -> common_pb2.TagSpecification:
    pairs = [common_pb2.Tag(key=key, value=value) for key, value in tags.items()]
    return common_pb2.TagSpecification(resource_type=noun, tags=pairs)


@agree
@given(suffix=domains, nameserver=addresses)
def test_what_the_operator_configures_for_all_hosts(suffix, nameserver):
    try:
        region = RegionConfig(dns_suffix=suffix)
        networks = NetworksConfig(nameservers=(nameserver,))
    except ValueError:
        return
    config = Config(region=region, networks=networks)
    vpc = fleet_pb2.VpcSpec(vpc_id=f"vpc-{1:017x}", cidr_blocks=["10.0.0.0/16"])
    vpc.dhcp_options.domain_name = config.region.dns_suffix
    vpc.dhcp_options.domain_name_servers.extend(config.networks.nameservers)
    assert FakeNetwork(strict=True).ensure_vpc(vpc, []) == []
