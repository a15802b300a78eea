"""The rule sets as text: golden files beside this, and what must never get into one.

After a wanted change: ``PILEUS_GOLDEN=write pytest tests/unit/network``, then read the difference.
"""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostagent.kernel.errors import DriverError
from hostagent.network import dhcp, firewall, uplink
from hostagent.network.config import Names, NetworkConfig
from hostagent.network.guests import guests_of
from protos.cloud.v1 import fleet_pb2
from tests.unit.network import specs

GOLDEN = Path(__file__).parent / "golden"
TRANSIT = "100.65.0.3"


def check(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("PILEUS_GOLDEN") == "write":
        path.write_text(text)
    assert text == path.read_text()


def test_firewall_of_a_vpc():
    check("vpc.nft", firewall.render(specs.vpc(), specs.guests(), TRANSIT))


def test_firewall_of_an_empty_vpc():
    check("empty-vpc.nft", firewall.render(specs.vpc(), [], TRANSIT))


def test_firewall_of_the_host():
    config = NetworkConfig()
    check("host.nft", uplink.render(config, Names("pileus"), ["192.0.2.53"]))


def test_dhcp_of_a_vpc():
    folder = Path("/run/pileus-network") / specs.VPC
    files = dhcp.render(
        specs.vpc(),
        specs.guests(),
        folder,
        mtu=1400,
        domain="ec2.internal",
        resolvers=["192.0.2.53"],
        user="dnsmasq",
    )
    check("dnsmasq.conf", files.config)
    check("hosts", files.hosts)
    check("names", files.names)
    assert files.bindings == {
        ("02:16:3e:00:00:10", "172.31.0.10"),
        ("02:16:3e:00:00:20", "172.31.16.20"),
    }


def names_of(*public: fleet_pb2.PublicAddress) -> str:
    spec = specs.vpc()
    del spec.public_addresses[:]
    spec.public_addresses.extend(public)
    files = dhcp.render(spec, [], Path("/f"), mtu=1400, domain="a.b", resolvers=[], user="dnsmasq")
    return files.names


@pytest.mark.parametrize("name", ["", "100.64.0.10"])
def test_an_address_without_a_name_is_given_none(name):
    """Where its VPC gives no names, and where the cloud has none (the address stands for it)."""
    address = fleet_pb2.PublicAddress(
        public_ip="100.64.0.10", private_ip="172.31.0.10", dns_name=name
    )
    assert names_of(address) == ""


@pytest.mark.parametrize("change", [{"dns_name": "a\nb"}, {"private_ip": "172.31.0.10 x"}])
def test_what_is_no_name_or_address_gets_into_no_file(change):
    address = specs.public_address("100.64.0.10", "172.31.0.10")
    address.MergeFrom(fleet_pb2.PublicAddress(**change))
    with pytest.raises(ValueError):
        names_of(address)


def test_dhcp_says_what_the_vpcs_options_say():
    def of(**options) -> list[str]:
        spec = specs.vpc()
        spec.dhcp_options.CopyFrom(fleet_pb2.DhcpSpec(**options))
        files = dhcp.render(
            spec, [], Path("/f"), mtu=1400, domain="ec2.internal", resolvers=[], user="dnsmasq"
        )
        return [line for line in files.config.splitlines() if "=option:" in line]

    assert "dhcp-option=option:dns-server" in of()
    every = of(
        domain_name="example.com",
        domain_name_servers=["192.0.2.1", "AmazonProvidedDNS"],
        ntp_servers=["192.0.2.2"],
        netbios_name_servers=["192.0.2.3"],
        netbios_node_type=2,
    )
    for line in (
        "dns-server,192.0.2.1,172.31.0.2",
        "ntp-server,192.0.2.2",
        "netbios-ns,192.0.2.3",
        "domain-name,example.com",
        "netbios-nodetype,2",
    ):
        assert f"dhcp-option=option:{line}" in every
    with pytest.raises(ValueError):
        of(domain_name="a\nserver=192.0.2.66")


def test_a_vpc_without_dns_has_no_resolver():
    files = dhcp.render(
        specs.vpc(dns_disabled=True),
        [],
        Path("/f"),
        mtu=1400,
        domain="ec2.internal",
        resolvers=[],
        user="dnsmasq",
    )
    lines = files.config.splitlines()
    assert "port=0" in lines
    assert "dhcp-option=option:dns-server" in lines


def test_a_pool_that_is_routed_here_keeps_its_addresses():
    rules = uplink.render(NetworkConfig(route_pool=True), Names("pileus"), [])
    assert "ip saddr 100.65.0.0/16 oifname" in rules


# -- one rule at a time ----------------------------------------------------------------------------


def ingress(*rules: fleet_pb2.RuleSpec) -> list[str]:
    """What the rules of one group become."""
    spec = specs.vpc()
    del spec.security_groups[0].rules[:]
    spec.security_groups[0].rules.extend(rules)
    text = firewall.render(spec, specs.guests(), TRANSIT)
    chain = text.split(f"chain in_{specs.WEB.replace('-', '_')} {{")[1].split("}")[0]
    return [line.strip() for line in chain.splitlines() if line.strip()]


@pytest.mark.parametrize(
    "protocol, ports, becomes",
    [
        ("tcp", (22, 22), ["tcp dport 22 accept"]),
        ("6", (22, 22), ["tcp dport 22 accept"]),
        ("TCP", (0, 65535), ["meta l4proto tcp accept"]),
        ("udp", (-1, -1), ["meta l4proto udp accept"]),
        ("17", (53, 60), ["udp dport 53-60 accept"]),
        ("-1", (0, 0), ["accept"]),
        ("icmp", (-1, -1), ["meta l4proto icmp accept"]),
        ("1", (0, 0), ["icmp type 0 icmp code 0 accept"]),
        ("icmp", (8, -1), ["icmp type 8 accept"]),
        ("47", (0, 0), ["meta l4proto 47 accept"]),
        ("icmpv6", (-1, -1), []),
        ("58", (-1, -1), []),
    ],
)
def test_protocols(protocol, ports, becomes):
    assert ingress(specs.rule(protocol, *ports, cidr_ipv4="0.0.0.0/0")) == becomes


@pytest.mark.parametrize(
    "where, becomes",
    [
        ({"cidr_ipv4": "0.0.0.0/0"}, ["tcp dport 22 accept"]),
        ({"cidr_ipv4": "10.9.8.7/8"}, ["ip saddr 10.0.0.0/8 tcp dport 22 accept"]),
        ({"cidr_ipv6": "::/0"}, []),
        ({"group_id": specs.EMPTY}, []),
        ({}, []),
    ],
)
def test_peers(where, becomes):
    assert ingress(specs.rule("tcp", 22, 22, **where)) == becomes


@pytest.mark.parametrize(
    "bad",
    [
        specs.rule("tcp; drop", 1, 1, cidr_ipv4="0.0.0.0/0"),
        specs.rule("tcp", 1, 65536, cidr_ipv4="0.0.0.0/0"),
        specs.rule("tcp", 9, 8, cidr_ipv4="0.0.0.0/0"),
        specs.rule("256", cidr_ipv4="0.0.0.0/0"),
        specs.rule("icmp", 300, 0, cidr_ipv4="0.0.0.0/0"),
        specs.rule("tcp", 1, 1, cidr_ipv4="0.0.0.0/0; accept"),
        specs.rule("tcp", 1, 1, group_id="sg-1 accept }"),
    ],
    ids=lambda bad: f"{bad.protocol} {bad.from_port} {bad.WhichOneof('peer')}",
)
def test_nothing_malformed_becomes_a_rule(bad):
    with pytest.raises(ValueError):
        ingress(bad)


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=20))
def test_no_text_of_a_specification_breaks_out(protocol, cidr, group):
    """Whatever the strings say: refused, or a rule set with the lines of a harmless one."""
    allowed = set(' \n\t{}"0123456789abcdefghijklmnopqrstuvwxyz_.,:;=!@&|/*-AM#')
    for where in ({"cidr_ipv4": cidr}, {"group_id": group}):
        try:
            rules = ingress(specs.rule(protocol, 1, 1, **where))
        except ValueError:
            continue
        assert len(rules) <= 1 and set("".join(rules)) <= allowed


# -- guests ----------------------------------------------------------------------------------------


def test_numbers_are_stable_and_unique():
    first = specs.instance(1, specs.nic(1, "172.31.0.10", []))
    same_low_bits = specs.nic(2, "10.0.0.10", [], subnet_id=specs.FAR_SUBNET)
    spec = specs.vpc()
    spec.subnets[1].cidr_block = "10.0.0.0/24"
    both = guests_of(spec, [first, specs.instance(2, same_low_bits)], specs.NAMES)
    assert len({guest.number for guest in both}) == 2
    alone = guests_of(specs.vpc(), [first], specs.NAMES)
    assert alone[0].number == 10


@pytest.mark.parametrize(
    "changes",
    [
        {"mac_address": "02:16:3e"},
        {"mac_address": "03:16:3e:00:00:01"},
        {"private_ip_address": "172.31.99.1"},
        {"private_ip_address": "172.31.0.1; drop"},
        {"subnet_id": f"subnet-{99:017x}"},
        {"network_interface_id": "eni; drop"},
        {"security_group_ids": ["sg-1 }"]},
    ],
    ids=lambda changes: str(*changes.values()),
)
def test_a_nic_that_makes_no_sense_is_refused_for_good(changes):
    bad = specs.instance(1, specs.nic(1, "172.31.0.10", [], **{}))
    for name, value in changes.items():
        if name == "security_group_ids":
            bad.nics[0].security_group_ids[:] = value
        else:
            setattr(bad.nics[0], name, value)
    with pytest.raises(DriverError) as refused:
        guests_of(specs.vpc(), [bad], specs.NAMES)
    assert not refused.value.transient


def test_one_address_has_one_owner():
    twice = [specs.instance(n, specs.nic(n, "172.31.0.10", [])) for n in (1, 2)]
    with pytest.raises(DriverError, match="two interfaces"):
        guests_of(specs.vpc(), twice, specs.NAMES)


def test_nics_of_other_vpcs_are_not_this_ones():
    elsewhere = specs.nic(1, "10.0.0.1", [], vpc_id=f"vpc-{2:017x}")
    assert guests_of(specs.vpc(), [specs.instance(1, elsewhere)], specs.NAMES) == []


# -- a host's own firewall -------------------------------------------------------------------------


def chain(family: str, table: str, name: str, **more) -> dict:
    return {"chain": {"family": family, "table": table, "name": name, **more}}


def test_chains_that_drop_what_is_forwarded():
    ruleset = {
        "nftables": [
            {"metainfo": {}},
            chain("ip", "filter", "FORWARD", hook="forward", policy="drop"),
            chain("ip", "filter", "INPUT", hook="input", policy="drop"),
            chain("inet", "firewalld", "forward", hook="forward", policy="drop"),
            chain("ip6", "filter", "FORWARD", hook="forward", policy="drop"),
            chain("ip", "pileus-host", "forward", hook="forward", policy="accept"),
            chain("ip", "filter", "DOCKER"),
        ]
    }
    assert uplink.dropping_chains(ruleset) == [
        ("inet", "firewalld", "forward"),
        ("ip", "filter", "FORWARD"),
    ]
