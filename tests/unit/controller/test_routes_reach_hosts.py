"""What a host is told of its VPCs: each subnet's routes, DNS and DHCP, at once when they change."""

import pytest
from msgspec.structs import replace

from controller.config import Config, RegionConfig
from controller.kernel.call import system_call
from protos.cloud.v1 import networks_pb2 as pb
from tests.unit.controller.cloud import Cloud

OUTSIDE = "0.0.0.0/0"


class Net:
    """The service Networks, as alice."""

    def __init__(self, cloud: Cloud):
        self._cloud = cloud

    def __getattr__(self, method):
        def call(request):
            caller = self._cloud.alice.caller()
            return getattr(self._cloud.client("Networks"), method)(request, caller=caller)

        return call


@pytest.fixture
def cloud(tmp_path):
    return Cloud(tmp_path)


@pytest.fixture
def net(cloud):
    return Net(cloud)


@pytest.fixture
def own(cloud, net):
    """A VPC of two subnets with an instance that runs in the first: (vpc, [subnets], instance)."""
    vpc = net.CreateVpc(pb.CreateVpcRequest(cidr_block="10.0.0.0/16")).vpc_id
    subnets = [
        net.CreateSubnet(pb.CreateSubnetRequest(vpc_id=vpc, cidr_block=block)).subnet_id
        for block in ("10.0.1.0/24", "10.0.2.0/24")
    ]
    (instance,) = cloud.run_ids(1, subnet_id=subnets[0])
    return vpc, subnets, instance


def told(cloud, vpc) -> dict[str, list[tuple]]:
    """subnet id → (range, kind of target, target) of its routes, as the host knows them."""
    cloud.app.dispatch_pending()
    return {
        subnet.subnet_id: [
            (
                route.destination_cidr_block,
                route.WhichOneof("target"),
                getattr(route, route.WhichOneof("target")),
            )
            for route in subnet.routes
        ]
        for subnet in cloud.host.vpcs[vpc].subnets
    }


def main_table(net, vpc) -> pb.RouteTable:
    request = pb.DescribeRouteTablesRequest()
    request.filters.add(name="vpc-id", values=[vpc])
    request.filters.add(name="association.main", values=["true"])
    return net.DescribeRouteTables(request).route_tables[0]


def test_the_default_vpc_reaches_the_outside(cloud, net):
    cloud.run_ids(1)
    ((vpc, _),) = cloud.host.vpcs.items()
    assert set(map(tuple, told(cloud, vpc).values())) == {((OUTSIDE, "internet_gateway", True),)}
    spec = cloud.host.vpcs[vpc]
    assert (spec.dns_disabled, spec.HasField("dhcp_options")) == (False, False)


def test_an_own_vpc_reaches_the_outside_by_gateway_and_route_only(cloud, net, own):
    vpc, (first, second), _ = own
    assert told(cloud, vpc) == {first: [], second: []}
    gateway = net.CreateInternetGateway(pb.CreateInternetGatewayRequest()).internet_gateway_id
    there = pb.InternetGatewayInVpc(internet_gateway_id=gateway, vpc_id=vpc)
    net.AttachInternetGateway(there)
    assert told(cloud, vpc) == {first: [], second: []}
    main = main_table(net, vpc).route_table_id
    net.CreateRoute(
        pb.RouteRequest(route_table_id=main, destination_cidr_block=OUTSIDE, gateway_id=gateway)
    )
    outside = [(OUTSIDE, "internet_gateway", True)]
    assert told(cloud, vpc) == {first: outside, second: outside}
    net.DetachInternetGateway(there)
    nowhere = [(OUTSIDE, "blackhole", True)]
    assert told(cloud, vpc) == {first: nowhere, second: nowhere}
    net.AttachInternetGateway(there)
    net.DeleteRoute(pb.RouteRequest(route_table_id=main, destination_cidr_block=OUTSIDE))
    assert told(cloud, vpc) == {first: [], second: []}


def test_a_subnet_has_its_own_table_or_the_main_one(cloud, net, own):
    vpc, (first, second), instance = own
    table = net.CreateRouteTable(pb.CreateRouteTableRequest(vpc_id=vpc)).route_table_id
    to = {"destination_cidr_block": "192.0.2.0/24", "instance_id": instance}
    net.CreateRoute(pb.RouteRequest(route_table_id=table, **to))
    assert told(cloud, vpc) == {first: [], second: []}
    use = net.AssociateRouteTable(
        pb.AssociateRouteTableRequest(route_table_id=table, subnet_id=second)
    )
    address = cloud.describe(instance)[0].private_ip_address
    by_instance = [("192.0.2.0/24", "private_ip_address", address)]
    assert told(cloud, vpc) == {first: [], second: by_instance}
    main = main_table(net, vpc)
    moved = net.ReplaceRouteTableAssociation(
        pb.ReplaceRouteTableAssociationRequest(
            association_id=main.associations[0].association_id, route_table_id=table
        )
    )
    assert moved.main
    assert told(cloud, vpc) == {first: by_instance, second: by_instance}
    net.ReplaceRouteTableAssociation(
        pb.ReplaceRouteTableAssociationRequest(
            association_id=use.association_id, route_table_id=main.route_table_id
        )
    )
    assert told(cloud, vpc) == {first: by_instance, second: []}


def test_a_gone_instance_is_no_ones_next_hop(cloud, net, own):
    vpc, (first, second), _ = own
    (other,) = cloud.run_ids(1, subnet_id=second)
    table = main_table(net, vpc).route_table_id
    to = {"destination_cidr_block": OUTSIDE, "instance_id": other}
    net.CreateRoute(pb.RouteRequest(route_table_id=table, **to))
    cloud.on("Terminate", [other])
    cloud.converge()
    nowhere = [(OUTSIDE, "blackhole", True)]
    assert told(cloud, vpc) == {first: nowhere, second: nowhere}


def test_dns_and_dhcp_are_told(cloud, net, own):
    vpc, _, _ = own
    options = [
        pb.DhcpOption(key="domain-name", values=["example.com"]),
        pb.DhcpOption(key="domain-name-servers", values=["192.0.2.1", "AmazonProvidedDNS"]),
        pb.DhcpOption(key="netbios-node-type", values=["2"]),
    ]
    made = net.CreateDhcpOptions(pb.CreateDhcpOptionsRequest(options=options))
    net.AssociateDhcpOptions(
        pb.AssociateDhcpOptionsRequest(dhcp_options_id=made.dhcp_options_id, vpc_id=vpc)
    )
    net.ModifyVpcAttribute(pb.ModifyVpcAttributeRequest(vpc_id=vpc, enable_dns_support=False))
    told(cloud, vpc)
    spec = cloud.host.vpcs[vpc]
    assert spec.dns_disabled
    assert spec.dhcp_options.domain_name == "example.com"
    assert spec.dhcp_options.domain_name_servers == ["192.0.2.1", "AmazonProvidedDNS"]
    assert (spec.dhcp_options.ntp_servers, spec.dhcp_options.netbios_node_type) == ([], 2)


def test_public_names_follow_the_vpc_into_the_metadata(cloud, net):
    (instance,) = cloud.run_ids(1)
    (seen,) = cloud.describe(instance)
    assert cloud.host.specs[instance].metadata.public_dns_name == seen.public_dns_name != ""
    request = pb.ModifyVpcAttributeRequest(vpc_id=seen.vpc_id, enable_dns_hostnames=False)
    net.ModifyVpcAttribute(request)
    cloud.converge()
    (seen,) = cloud.describe(instance)
    assert (seen.public_dns_name, seen.public_ip_address != "") == ("", True)
    assert cloud.host.specs[instance].metadata.public_dns_name == ""


@pytest.mark.parametrize(
    "suffix, name", [("cloud.example", "ec2-{}.cloud.example"), ("", "{}")], ids=["zone", "none"]
)
def test_public_names_are_told_with_what_they_stand_for(tmp_path, suffix, name):
    """The VPC's resolver answers them: at once where an address comes or goes, and only where the
    VPC gives names."""
    region = RegionConfig(public_dns_suffix=suffix)
    cloud = Cloud(tmp_path, config=Config(state_dir=tmp_path, region=region))
    (instance,) = cloud.run_ids(1)
    (seen,) = cloud.describe(instance)
    caller = cloud.alice.caller()

    def addresses(method, request):
        return getattr(cloud.client("Addresses"), method)(request, caller=caller)

    def names() -> dict[str, str]:
        cloud.app.dispatch_pending()
        told_of = cloud.host.vpcs[seen.vpc_id].public_addresses
        return {each.dns_name: each.private_ip for each in told_of}

    def of(public_ip) -> dict[str, str]:
        shown = public_ip.replace(".", "-") if suffix else public_ip
        return {name.format(shown): seen.private_ip_address}

    assert names() == of(seen.public_ip_address) == {seen.public_dns_name: seen.private_ip_address}
    elastic = addresses("Allocate", pb.AllocateAddressRequest())
    request = pb.AssociateAddressRequest(allocation_id=elastic.allocation_id, instance_id=instance)
    association = addresses("Associate", request).association_id
    assert names() == of(elastic.public_ip)
    for change in ({"enable_dns_hostnames": False}, {"enable_dns_support": False}):
        modify = Net(cloud).ModifyVpcAttribute
        modify(pb.ModifyVpcAttributeRequest(vpc_id=seen.vpc_id, **change))
        assert names() == {"": seen.private_ip_address}
        back = dict.fromkeys(change, True)
        modify(pb.ModifyVpcAttributeRequest(vpc_id=seen.vpc_id, **back))
        assert names() == of(elastic.public_ip)
    addresses("Disassociate", pb.DisassociateAddressRequest(association_id=association))
    assert elastic.public_ip not in str(names()) and of(elastic.public_ip) != names()


@pytest.mark.parametrize(
    "region, domain",
    [
        (RegionConfig(), "ec2.internal"),
        (RegionConfig("eu-west-1"), "eu-west-1.compute.internal"),
        (RegionConfig("eu-west-1", dns_suffix="cloud.lan"), "cloud.lan"),
    ],
    ids=["us-east-1", "elsewhere", "chosen"],
)
def test_private_names_end_as_ec2s_do_in_the_region(tmp_path, region, domain):
    cloud = Cloud(tmp_path, config=Config(state_dir=tmp_path, region=region))
    (instance,) = cloud.run_ids(1)
    (seen,) = cloud.describe(instance)
    name = f"ip-{seen.private_ip_address.replace('.', '-')}.{domain}"
    assert seen.private_dns_name == cloud.host.specs[instance].metadata.private_dns_name == name
    assert cloud.host.applied[-1].settings.dns_suffix == domain
    assert domain_told(cloud) == [domain]
    other = replace(region, dns_suffix="other.lan")
    cloud.config = replace(cloud.config, region=other)
    cloud.rebuild().app.prepare(system_call(cloud.now_ms))
    assert domain_told(cloud) == ["other.lan"]
    cloud.converge()
    told_name = cloud.host.specs[instance].metadata.private_dns_name
    assert told_name == cloud.describe(instance)[0].private_dns_name
    assert told_name.endswith(".other.lan")


def domain_told(cloud) -> list[str]:
    """By the set of DHCP options that alice's account began with."""
    (options,) = Net(cloud).DescribeDhcpOptions(pb.DescribeDhcpOptionsRequest()).dhcp_options
    return [value for each in options.options if each.key == "domain-name" for value in each.values]


def test_a_host_learns_of_a_new_subnet_when_it_launches_there(cloud, net, own):
    vpc, subnets, _ = own
    request = pb.CreateSubnetRequest(vpc_id=vpc, cidr_block="10.0.3.0/24")
    third = net.CreateSubnet(request).subnet_id
    cloud.run_ids(1, subnet_id=third)
    assert set(told(cloud, vpc)) == {*subnets, third}
    assert cloud.discrepancies() == []
