"""What a subnet's routes come to, and what of it the rule set knows."""

import pytest

from hostagent.network import firewall, routes
from hostagent.network.config import bridge_of
from hostagent.network.guests import guests_of
from hostagent.network.routes import Route
from tests.unit.network import specs
from tests.unit.network.specs import route

APPLIANCE, WEB = "172.31.16.20", "172.31.0.10"
NOWHERE = Route("0.0.0.0/0")
FAR_BRIDGE = bridge_of(specs.FAR_SUBNET)


def routes_of(*told, subnet=0, blocks=()):
    """Of one subnet with these routes; the other's go to the internet."""
    vpc = specs.vpc()
    vpc.cidr_blocks.extend(blocks)
    for number, each in enumerate(vpc.subnets):
        del each.routes[:]
        each.routes.extend(
            told if number == subnet else [route("0.0.0.0/0", internet_gateway=True)]
        )
    return set(routes.routes_of(vpc, specs.guests())[vpc.subnets[subnet].subnet_id])


@pytest.mark.parametrize(
    "told, becomes",
    [
        ([], {NOWHERE}),
        ([route("0.0.0.0/0", internet_gateway=True)], {Route("0.0.0.0/0", internet=True)}),
        (
            [route("198.18.0.0/15", internet_gateway=True)],
            {NOWHERE, Route("198.18.0.0/15", internet=True)},
        ),
        (
            [route("10.99.0.0/16", private_ip_address=APPLIANCE)],
            {NOWHERE, Route("10.99.0.0/16", next_hop=APPLIANCE, bridge=FAR_BRIDGE)},
        ),
        ([route("10.99.0.0/16", private_ip_address=WEB)], {NOWHERE, Route("10.99.0.0/16")}),
        (
            [route("10.99.0.0/16", private_ip_address="172.31.0.99")],
            {NOWHERE, Route("10.99.0.0/16")},
        ),
        ([route("10.99.0.0/16", blackhole=True)], {NOWHERE, Route("10.99.0.0/16")}),
        ([route("10.99.0.0/16")], {NOWHERE, Route("10.99.0.0/16")}),
        ([route("172.31.0.0/16", internet_gateway=True)], {NOWHERE}),
        ([route("172.31.4.0/24", blackhole=True)], {NOWHERE}),
        (
            [route("172.16.0.0/12", internet_gateway=True)],
            {NOWHERE, Route("172.16.0.0/12", internet=True)},
        ),
        ([route("::/0", internet_gateway=True)], {NOWHERE}),
    ],
    ids=lambda value: str([r.destination_cidr_block for r in value]) if type(value) is list else "",
)
def test_routes_of_a_subnet(told, becomes):
    assert routes_of(*told) == becomes


def test_every_range_of_the_vpc_is_local():
    told = route("10.1.0.0/16", internet_gateway=True)
    assert routes_of(told, blocks=["10.0.0.0/8"]) == {NOWHERE}


@pytest.mark.parametrize(
    "bad",
    [
        route("10.0.0.0/40", internet_gateway=True),
        route("10.0.0.1/8", internet_gateway=True),
        route("", internet_gateway=True),
        route("::/200", internet_gateway=True),
        route("10.0.0.0/8", private_ip_address="172.31.0.1; drop"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(bad):
    with pytest.raises(ValueError):
        routes_of(bad)


def test_a_public_address_is_there_where_its_subnet_is_routed():
    vpc = specs.vpc()
    assert firewall.public_addresses(vpc, specs.guests()) == {"100.64.0.10": WEB}
    vpc.subnets[0].routes[0].blackhole = True
    assert firewall.public_addresses(vpc, specs.guests()) == {}
    text = firewall.render(vpc, specs.guests(), "100.65.0.3")
    assert "100.64.0.10" not in text


def test_a_secondary_address_has_a_public_one_of_its_own():
    vpc = specs.vpc()
    vpc.public_addresses.add(public_ip="100.64.0.11", private_ip="172.31.0.11")
    assert firewall.public_addresses(vpc, specs.guests()) == {
        "100.64.0.10": WEB,
        "100.64.0.11": "172.31.0.11",
    }


def test_marks_differ_and_are_never_that_of_other_flows():
    blocks = [f"172.31.{third}.{fourth}/28" for third in range(256) for fourth in (0, 16, 240)]
    marks = {routes.mark_of(block) for block in blocks}
    assert len(marks) == len(blocks) and 0 not in marks
    assert routes.mark_of("10.0.0.0/8")


def test_a_secondary_address_is_nobody_elses():
    first = specs.nic(1, "172.31.0.10", [], secondary_private_ip_addresses=["172.31.0.20"])
    second = specs.nic(2, "172.31.0.20", [])
    with pytest.raises(Exception, match="two interfaces with one address"):
        guests_of(specs.vpc(), [specs.instance(1, first, second)], specs.NAMES)
    outside = specs.nic(1, "172.31.0.10", [], secondary_private_ip_addresses=["172.31.16.1"])
    with pytest.raises(Exception, match=r"172\.31\.16\.1 is outside"):
        guests_of(specs.vpc(), [specs.instance(1, outside)], specs.NAMES)
