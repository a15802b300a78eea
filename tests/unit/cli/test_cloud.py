"""What a cloud is: chosen once, found again, and what cannot change is refused."""

import ipaddress
import json
from dataclasses import replace
from pathlib import Path

import pytest

from cli import cloud
from cli.cloud import Wishes
from cli.errors import CliError
from cli.layout import Layout


def free(port: int) -> bool:
    return True


@pytest.fixture
def layout(tmp_path) -> Layout:
    made = Layout.of(tmp_path / "state", tmp_path / "cache")
    made.make()
    return made


def first_port(layout) -> int:
    """7701 is for the machine's own cloud; others begin where their path says."""
    return 20000 + int(layout.tag, 16) % 10000


def choose(layout, routed=(), port_is_free=free, **wishes):
    chosen = cloud.choose(layout, Wishes(**wishes), port_is_free, routed)
    cloud.save(layout, chosen)
    return chosen


def test_defaults(layout):
    chosen = choose(layout)
    assert chosen.hypervisor == "auto" and not chosen.fake
    assert chosen.endpoint == "http://127.0.0.1:8773"
    assert (chosen.region, chosen.zone_ids) == ("us-east-1", {"us-east-1a": "use1-az1"})
    ports = (chosen.controller_port, chosen.join_port, chosen.host_port)
    assert ports == (first_port(layout), first_port(layout) + 1, first_port(layout) + 10)
    assert chosen.volume_port == first_port(layout) + 2
    assert cloud.load(layout) == chosen


def test_what_was_chosen_is_found_again(layout):
    first = choose(layout, hypervisor="fake", hosts=3, port=9000)
    assert choose(layout) == first
    assert choose(layout, port=9001).port == 9001
    assert choose(layout).port == 9001


@pytest.mark.parametrize(
    "wish",
    [{"hypervisor": "qemu"}, {"hosts": 2}, {"region": "eu-west-1"}, {"public_cidr": "10.9.0.0/24"}],
)
def test_what_cannot_change_is_refused(layout, wish):
    choose(layout, hypervisor="fake")
    with pytest.raises(CliError, match="cannot change"):
        choose(layout, **wish)


def test_zones_are_counted_from_the_first_and_may_become_more(layout):
    assert choose(layout, zones=2).zone_ids == {"us-east-1a": "use1-az1", "us-east-1b": "use1-az2"}
    assert list(choose(layout, zones=3).zone_ids)[-1] == "us-east-1c"
    assert choose(layout).zones == 3
    with pytest.raises(CliError, match="has 3 zones, which can become more but not fewer"):
        choose(layout, zones=2)


def test_which_signatures_are_taken_may_change(layout):
    chosen = choose(layout, sigv2=True, signing_region="any")
    assert (chosen.sigv2, chosen.signing_region) == (True, "any") and choose(layout) == chosen
    assert not choose(layout, sigv2=False).sigv2


def test_the_endpoint_does_not_move_onto_an_inner_port(layout):
    first = choose(layout, hypervisor="fake", hosts=3)
    for port in (first.controller_port, first.volume_port, first.host_port + 2):
        with pytest.raises(CliError, match="use among themselves"):
            choose(layout, port=port)


def test_taken_ports_are_stepped_over(layout):
    first = first_port(layout)
    taken = {first, first + 2, first + 11}
    chosen = choose(layout, hypervisor="fake", hosts=2, port_is_free=lambda port: port not in taken)
    ports = (chosen.controller_port, chosen.join_port, chosen.host_port)
    assert ports == (first + 1, first + 3, first + 12)


def test_a_cloud_from_before_volumes_were_served_gets_a_port_for_it(layout):
    before = choose(layout)
    cloud.save(layout, replace(before, volume_port=0))
    assert choose(layout) == before


def test_inner_ports_leave_the_endpoints_alone(layout):
    chosen = choose(layout, port=first_port(layout))
    assert chosen.controller_port == first_port(layout) + 1


def test_cables_get_a_range_that_nobody_routes(layout):
    routed = [ipaddress.IPv4Network("100.65.0.0/24"), ipaddress.IPv4Network("100.66.0.0/15")]
    assert choose(layout, routed=routed).transit_cidr == "100.68.0.0/16"


@pytest.mark.parametrize(
    ("wish", "says"),
    [
        ({"hosts": 2}, "for --hypervisor fake"),
        ({"hypervisor": "fake", "hosts": 0}, "--hosts is 1 to"),
        *(
            ({"listen": address}, "is not the IP address of a machine")
            for address in ("example.com", "224.0.0.1", "255.255.255.255", "fe80::1%eth0")
        ),
        ({"public_cidr": "10.0.0.1/24"}, "host bits set"),
        ({"public_cidr": "10.0.0.0/29"}, "a /28 at least"),
        ({"public_cidr": "10.0.0.0/8"}, "a /16 at most"),
        ({"public_cidr": "127.0.0.0/24"}, "no machine can have"),
        ({"public_cidr": "224.0.0.0/24"}, "no machine can have"),
        ({"region": "Mars 1"}, "--region"),
        ({"region": "any"}, "no region can have this name"),
        ({"signing_region": "Mars 1"}, "--signing-region"),
        ({"zones": 0}, "--zones is 1 to 16"),
        ({"zones": 17}, "--zones is 1 to 16"),
        ({"zones": 3, "zone": "lab1"}, "no 3 zones can be counted from lab1"),
        ({"zones": 3, "zone": "lab-y"}, "no 3 zones can be counted from lab-y"),
    ],
)
def test_wishes_that_cannot_be(layout, wish, says):
    with pytest.raises(CliError, match=says):
        choose(layout, **wish)


def test_a_state_dir_of_another_version_is_refused(layout):
    choose(layout)
    content = json.loads(layout.cloud.read_text())
    layout.cloud.write_text(json.dumps({**content, "version": 99}))
    with pytest.raises(CliError, match="version 99"):
        cloud.load(layout)


def test_no_cloud(layout):
    assert cloud.load(layout) is None
    with pytest.raises(CliError, match="no cloud"):
        cloud.require(layout)


@pytest.mark.parametrize(
    ("region", "zone", "expected"),
    [
        ("us-east-1", "us-east-1b", "use1-az2"),
        ("ap-southeast-2", "ap-southeast-2a", "apse2-az1"),
        ("eu-central-1", "eu-central-1c", "euc1-az3"),
        ("lab", "lab1", "lab-az1"),
    ],
)
def test_zone_ids(layout, region, zone, expected):
    assert choose(layout, region=region, zone=zone).zone_ids == {zone: expected}


def test_another_address_means_tls(layout):
    chosen = choose(layout, listen="192.0.2.7")
    assert chosen.endpoint == "https://192.0.2.7:8773"


def test_a_path_too_long_for_a_socket_is_refused():
    layout = Layout.of(Path("/" + "x" * 120))
    with pytest.raises(CliError, match="too long"):
        _ = layout.libvirt_socket
    assert len(str(layout.supervisor_socket)) < 100


def test_two_clouds_have_different_network_names(tmp_path):
    names = set()
    for name in ("a", "b"):
        layout = Layout.of(tmp_path / name)
        layout.make()
        names.add(choose(layout).network_prefix)
    assert len(names) == 2


def test_cables_get_a_range_that_no_other_cloud_takes_just_now(layout):
    taken = {"addresses 100.65.0.0/16"}
    chosen = cloud.choose(layout, Wishes(), free, (), lambda name: name not in taken)
    assert chosen.transit_cidr == "100.66.0.0/16"
