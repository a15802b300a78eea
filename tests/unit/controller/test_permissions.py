"""Security group rules in one form: EC2's words for what is refused."""

import pytest

from controller.network.security_groups.permissions import (
    canonical,
    canonical_cidr,
    canonical_protocol,
)
from protos.cloud.v1.networks_pb2 import SecurityGroupRule
from protos.errors import CloudError, Kind


def rule(**fields):
    return SecurityGroupRule(**{"protocol": "tcp", "from_port": 22, "to_port": 22, **fields})


@pytest.mark.parametrize(
    ("asked", "kept"),
    [
        ("tcp", "tcp"),
        ("TCP", "tcp"),
        ("6", "tcp"),
        ("17", "udp"),
        ("1", "icmp"),
        ("58", "icmpv6"),
        ("-1", "-1"),
        ("all", "-1"),
        ("50", "50"),
        ("006", "tcp"),
        ("0", "0"),
        ("255", "255"),
    ],
)
def test_protocols_have_one_name(asked, kept):
    assert canonical_protocol(asked) == kept


@pytest.mark.parametrize("asked", ["", "ssh", "256", "-2", "1.5", "٦", "1e1"])
def test_unknown_protocols_are_refused(asked):
    with pytest.raises(CloudError, match="Unknown protocol"):
        canonical_protocol(asked)


@pytest.mark.parametrize(
    ("asked", "version", "kept"),
    [
        ("100.68.0.18/18", 4, "100.68.0.0/18"),
        ("0.0.0.0/0", 4, "0.0.0.0/0"),
        ("1.2.3.4/32", 4, "1.2.3.4/32"),
        ("::/0", 6, "::/0"),
        ("2001:DB8::1/32", 6, "2001:db8::/32"),
    ],
)
def test_cidrs_are_canonical(asked, version, kept):
    assert canonical_cidr(asked, version) == kept


@pytest.mark.parametrize(
    ("cidr", "version"),
    [
        ("1.2.3.4", 4),
        ("1.2.3.4/33", 4),
        ("1.2.3.4/", 4),
        ("1.2.3.4/255.255.255.0", 4),
        ("1.2.3/24", 4),
        ("01.2.3.4/24", 4),
        ("::/0", 4),
        ("", 4),
        ("0.0.0.0/0", 6),
        ("fe80::1%eth0/64", 6),
        ("::/129", 6),
    ],
)
def test_other_cidrs_are_malformed(cidr, version):
    with pytest.raises(CloudError, match="is malformed") as refusal:
        canonical_cidr(cidr, version)
    assert refusal.value.kind is Kind.INVALID


@pytest.mark.parametrize(
    ("fields", "ports"),
    [
        ({}, (22, 22)),
        ({"from_port": 0, "to_port": 65535}, (0, 65535)),
        ({"protocol": "icmp", "from_port": 8, "to_port": -1}, (8, -1)),
        ({"protocol": "icmp", "from_port": 3, "to_port": 4}, (3, 4)),
        ({"protocol": "icmp", "from_port": None, "to_port": None}, (-1, -1)),
        ({"protocol": "icmpv6", "from_port": 128, "to_port": 0}, (128, 0)),
        ({"protocol": "-1"}, (-1, -1)),
        ({"protocol": "50", "from_port": 1, "to_port": 2}, (-1, -1)),
    ],
)
def test_ports(fields, ports):
    kept = canonical(rule(cidr_ipv4="10.0.0.0/8", **fields), False, "")
    assert (kept.from_port, kept.to_port) == ports


@pytest.mark.parametrize(
    "fields",
    [
        {"from_port": None},
        {"to_port": None},
        {"from_port": -1, "to_port": -1},
        {"to_port": 65536},
        {"from_port": 23},
        {"protocol": "icmp", "from_port": 256},
        {"protocol": "icmp", "from_port": -1, "to_port": 0},
        {"protocol": "icmp", "from_port": 3, "to_port": -2},
        {"description": "x" * 256},
        {"description": "no <angle> brackets"},
        {"description": "tab\tbed"},
    ],
)
def test_what_no_rule_may_say(fields):
    with pytest.raises(CloudError) as refusal:
        canonical(rule(cidr_ipv4="10.0.0.0/8", **fields), False, "")
    assert refusal.value.kind is Kind.INVALID


def test_a_description_does_not_make_another_rule():
    one = canonical(rule(cidr_ipv4="10.0.0.1/8", description="a"), False, "")
    other = canonical(rule(cidr_ipv4="10.0.0.0/8", protocol="6", description="b"), False, "")
    assert one.identity == other.identity
    assert one.identity != canonical(rule(cidr_ipv4="10.0.0.0/8"), True, "").identity
    assert str(one) == "peer: 10.0.0.0/8, TCP, from port: 22, to port: 22, ALLOW"
    assert (
        str(canonical(rule(protocol="-1", peer_group={}), True, "sg-1")) == "peer: sg-1, ALL, ALLOW"
    )
