"""One bad item never stops the rest of its VPC: it is left out, and said."""

import pytest

from hostagent.network.fake import FakeNetwork
from hostagent.network.sense import sensible
from tests.unit.network import specs


def bad_rule(vpc, instances):
    vpc.security_groups[0].rules.add(protocol="tcp", from_port=9, to_port=1, cidr_ipv4="0.0.0.0/0")


def bad_protocol(vpc, instances):
    vpc.security_groups[1].rules.add(protocol="300", cidr_ipv4="0.0.0.0/0")


def bad_peer(vpc, instances):
    vpc.security_groups[1].rules.add(protocol="tcp", from_port=1, to_port=1, group_id="sg 1; drop")


def bad_member(vpc, instances):
    vpc.security_groups[1].member_addresses.append("10.0.0")


def bad_group(vpc, instances):
    vpc.security_groups.add(group_id='sg-1" accept')


def bad_route(vpc, instances):
    vpc.subnets[0].routes.add(destination_cidr_block="10.0.0.0/80", internet_gateway=True)


def bad_next_hop(vpc, instances):
    vpc.subnets[0].routes.add(destination_cidr_block="10.1.0.0/16", private_ip_address="router")


def bad_subnet(vpc, instances):
    vpc.subnets.add(subnet_id=f"subnet-{9:017x}", cidr_block="172.31.0.0/20/1")


def bad_public(vpc, instances):
    vpc.public_addresses.add(public_ip="100.64.0", private_ip="172.31.0.10")


def bad_name(vpc, instances):
    vpc.public_addresses[0].dns_name = "a name\nuser=root"


def bad_domain(vpc, instances):
    vpc.dhcp_options.domain_name = "corp\ndhcp-script=/bin/sh"


def bad_server(vpc, instances):
    vpc.dhcp_options.domain_name_servers.extend(["AmazonProvidedDNS", "192.0.2.1 "])


def bad_mac(vpc, instances):
    instances.append(specs.instance(3, specs.nic(0x30, "172.31.0.30", [], mac_address="01:02")))


def other_ones_address(vpc, instances):
    instances.append(specs.instance(3, specs.nic(0x30, "172.31.0.10", [])))


def outside_its_subnet(vpc, instances):
    instances.append(specs.instance(3, specs.nic(0x30, "172.31.99.10", [])))


BAD = [
    *(bad_rule, bad_protocol, bad_peer, bad_member, bad_group, bad_route, bad_next_hop),
    *(bad_subnet, bad_public, bad_name, bad_domain, bad_server),
    *(bad_mac, other_ones_address, outside_its_subnet),
]


@pytest.mark.parametrize("spoil", BAD, ids=lambda spoil: spoil.__name__)
def test_what_makes_no_sense_is_left_out_and_said(spoil):
    vpc, instances = specs.vpc(), specs.instances()
    vpc.dhcp_options.ntp_servers.append("192.0.2.9")
    good = specs.vpc()
    good.CopyFrom(vpc)
    spoil(vpc, instances)
    kept, tenants, problems = sensible(vpc, instances, specs.NAMES)
    assert len(problems) == 1 and "left out" in problems[0]
    assert [one.nics[0] for one in tenants[:2]] == [one.nics[0] for one in specs.instances()]
    assert not any(one.nics for one in tenants[2:])
    if spoil is bad_name:
        good.public_addresses[0].dns_name = ""
    if spoil is bad_server:
        good.dhcp_options.domain_name_servers.append("AmazonProvidedDNS")
    assert kept == good
    assert FakeNetwork(strict=True).ensure_vpc(vpc, instances) == problems


def test_all_of_it_at_once():
    vpc, instances = specs.vpc(), specs.instances()
    for spoil in BAD:
        spoil(vpc, instances)
    assert len(FakeNetwork(strict=True).ensure_vpc(vpc, instances)) == len(BAD)


def test_what_makes_sense_stays_as_it_is():
    vpc, instances = specs.vpc(), specs.instances()
    assert sensible(vpc, instances, specs.NAMES) == (vpc, instances, [])
