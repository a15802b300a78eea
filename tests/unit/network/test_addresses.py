"""Ranges that may be used, resolvers that can be reached, names that fit."""

from ipaddress import IPv4Network
from pathlib import Path

import pytest

from hostagent.network.addresses import Range, check_ranges, resolvers_of
from hostagent.network.config import Names, NetworkConfig, bridge_of, mac_of, router_of

POOL, TRANSIT = "100.64.0.0/24", "100.65.0.0/16"


def ranges(*networks: str) -> list[Range]:
    return [Range(IPv4Network(network), "eth0") for network in networks]


def test_free_ranges_are_free():
    assert check_ranges(POOL, TRANSIT, ranges("0.0.0.0/0", "192.0.2.0/24"), ["10.0.0.1"]) == []


@pytest.mark.parametrize(
    "pool, transit, taken, resolvers, says",
    [
        (POOL, TRANSIT, ["100.64.0.0/10"], [], "overlaps the route 100.64.0.0/10 (device eth0)"),
        (POOL, TRANSIT, ["100.64.0.7/32"], [], "100.64.0.7/32"),
        (POOL, TRANSIT, ["100.65.3.0/24"], [], "transit range 100.65.0.0/16 overlaps"),
        (POOL, TRANSIT, [], ["100.64.0.53"], "resolver 100.64.0.53"),
        (POOL, "100.64.0.0/16", [], [], "overlaps the transit range"),
        ("100.64.0.1/24", TRANSIT, [], [], "no IPv4 range"),
        ("fd00::/64", TRANSIT, [], [], "no IPv4 range"),
    ],
)
def test_ranges_in_use_are_named(pool, transit, taken, resolvers, says):
    problems = check_ranges(pool, transit, ranges(*taken), resolvers)
    assert any(says in problem for problem in problems)


def resolvers(tmp_path: Path, text: str, told=(), **config) -> list[str]:
    path = tmp_path / "resolv.conf"
    path.write_text(text)
    return resolvers_of(NetworkConfig(resolv_conf=path, **config), told)


def test_resolvers_are_as_told_then_configured_then_the_hosts(tmp_path):
    text = "# nameserver 9.9.9.9\nnameserver 192.0.2.1\nnameserver fe80::1\nsearch x\n"
    assert resolvers(tmp_path, text) == ["192.0.2.1"]
    assert resolvers(tmp_path, text, nameservers=("192.0.2.2",)) == ["192.0.2.2"]
    assert resolvers(tmp_path, text, ["192.0.2.3"], nameservers=("192.0.2.2",)) == ["192.0.2.3"]


def test_a_stub_on_the_loopback_is_of_no_use_to_guests(tmp_path):
    assert "127.0.0.53" not in resolvers(tmp_path, "nameserver 127.0.0.53\n")


@pytest.mark.parametrize(
    "wrong",
    [
        {"prefix": "Pileus"},
        {"prefix": "a-very-long-prefix"},
        {"pool": "100.64.0.1/24"},
        {"pool": "100.64.0.0/31"},
        {"pool": "100.65.0.0/24"},
    ],
)
def test_a_configuration_that_cannot_work_is_refused(wrong):
    with pytest.raises(ValueError):
        NetworkConfig(**wrong)


def test_names_fit_the_kernel_and_tell_agents_apart():
    one, other = Names("pileus"), Names("pil123456789")
    vpc, nic, subnet = f"vpc-{5:017x}", f"eni-{6:017x}", f"subnet-{7:017x}"
    for names in (one, other):
        for name in (names.tap(nic), names.cable(vpc), names.bridge, bridge_of(subnet)):
            assert len(name) <= 15
        assert names.tap(nic).startswith("tap")
        assert names.vpc_of_namespace(names.namespace(vpc)) == vpc
    assert one.tap(nic) != other.tap(nic) and one.cable(vpc) != other.cable(vpc)
    assert one.vpc_of_namespace(other.namespace(vpc)) is None
    assert Names("pil").vpc_of_namespace(Names("pil-x").namespace(vpc)) is None


def test_a_routers_address_never_changes():
    assert router_of("172.31.16.0/20") == "172.31.16.1"
    assert mac_of("subnet-1") == mac_of("subnet-1") != mac_of("subnet-2")
    assert int(mac_of("subnet-1")[:2], 16) & 0b11 == 0b10, "local, unicast"
