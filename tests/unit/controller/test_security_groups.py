"""Security groups are made, found and deleted, as EC2 documents it (traps 41, 42)."""

import pytest

from protos.cloud.v1 import networks_pb2 as pb
from protos.errors import Kind
from tests.unit.controller.group_calls import authorize, create, describe, rule, selector
from tests.unit.controller.refusals import refused
from tests.unit.controller.resource_world import ANN, BOB, World, filters, tag_specification


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


# --- groups ---------------------------------------------------------------------------------------


def test_a_new_group_has_its_egress_rule_with_an_id_at_once(world):
    group = create(world, tag_specifications=tag_specification("security-group", Name="x"))
    (egress,) = group.rules
    assert (egress.egress, egress.protocol, egress.cidr_ipv4) == (True, "-1", "0.0.0.0/0")
    request = pb.DescribeSecurityGroupRulesRequest(filters=filters(group_id=group.group_id))
    assert world.groups.DescribeRules(request, world.call()).rules == [egress]
    assert group.vpc_id == world.default_vpc()
    assert [(tag.key, tag.value) for tag in group.tags] == [("Name", "x")]
    assert describe(world, group_names=["web"]) == [group]


@pytest.mark.parametrize(
    ("fields", "kind", "reason"),
    [
        ({"name": ""}, Kind.INVALID, "missing-parameter"),
        ({"description": ""}, Kind.INVALID, "missing-parameter"),
        ({"name": "default"}, Kind.INVALID, "group-reserved"),
        ({"name": "sg-0123"}, Kind.INVALID, ""),
        ({"name": " web"}, Kind.INVALID, ""),
        ({"name": "n" * 256}, Kind.INVALID, ""),
        ({"name": "naïve"}, Kind.INVALID, ""),
        ({"description": "<b>"}, Kind.INVALID, ""),
        ({"vpc_id": "vpc-x"}, Kind.NOT_FOUND, ""),
        ({"vpc_id": "vpc-01234567"}, Kind.NOT_FOUND, ""),
        ({"tag_specifications": tag_specification("instance", a="b")}, Kind.INVALID, ""),
    ],
)
def test_groups_that_cannot_be(world, fields, kind, reason):
    with refused(kind, reason=reason):
        create(world, **fields)
    assert world.used("security_groups") == 1


def test_a_name_is_taken_whatever_its_case(world):
    create(world, "Web")
    with refused(Kind.EXISTS, "security-group"):
        create(world, "wEB")
    create(world, "Web", account_id=BOB)


def test_the_quota_counts_groups(world):
    for number in range(7):
        create(world, f"g{number}")
    with refused(Kind.QUOTA, "security-group"):
        create(world, "one-too-many")
    assert world.used("security_groups") == 8
    world.groups.Delete(pb.SecurityGroupSelector(group_name="g0"), world.call())
    create(world, "fits-again")


def test_dry_run_leaves_nothing_behind(world):
    create(world, dry_run=True)
    assert len(describe(world)) == 1
    assert world.used("security_groups") == 1


def test_another_account_neither_sees_nor_touches_a_group(world):
    group = create(world)
    assert group not in describe(world, BOB)
    with refused(Kind.NOT_FOUND, "security-group"):
        describe(world, BOB, group_ids=[group.group_id])
    with refused(Kind.NOT_FOUND, "security-group"):
        authorize(world, group, rule(), account_id=BOB)
    with refused(Kind.NOT_FOUND, "security-group"):
        world.groups.Delete(selector(group), world.call(BOB))
    his = create(world, account_id=BOB)
    with refused(Kind.NOT_FOUND, "security-group"):
        authorize(world, group, rule(peer_group={"group_id": his.group_id}))


def test_what_is_in_use_cannot_be_deleted(world):
    used, referring = create(world, "used"), create(world, "referring")
    world.launch(group_ids=[used.group_id])
    authorize(world, referring, rule(peer_group={"group_id": used.group_id}))
    authorize(world, referring, rule(peer_group={"group_id": referring.group_id}))
    with refused(Kind.WRONG_STATE, "security-group", "in-use"):
        world.groups.Delete(selector(used), world.call())
    world.groups.Delete(selector(referring), world.call())  # its reference to itself does not count
    with refused(Kind.WRONG_STATE, "security-group", "in-use"):
        world.groups.Delete(selector(used), world.call())


def test_the_default_group_stays(world):
    with refused(Kind.WRONG_STATE, "security-group", "default"):
        world.groups.Delete(pb.SecurityGroupSelector(group_name="default"), world.call())


@pytest.mark.parametrize(
    ("chosen", "kind"),
    [
        ({}, Kind.INVALID),
        ({"group_id": "sg-01234567", "group_name": "default"}, Kind.INVALID),
        ({"group_id": "sg-nonsense"}, Kind.MALFORMED_ID),
        ({"group_id": "sg-01234567"}, Kind.NOT_FOUND),
        ({"group_name": "nobody"}, Kind.NOT_FOUND),
    ],
)
def test_selectors_that_select_nothing(world, chosen, kind):
    with refused(kind):
        world.groups.Delete(pb.SecurityGroupSelector(**chosen), world.call())


# --- reading --------------------------------------------------------------------------------------

FOUND_BY = {
    "group-id": lambda group: group.group_id,
    "group-name": lambda group: "w?b",
    "description": lambda group: "d",
    "owner-id": lambda group: ANN,
    "vpc-id": lambda group: group.vpc_id,
    "ip-permission.cidr": lambda group: "10.*",
    "ip-permission.ipv6-cidr": lambda group: "2001:db8::/32",
    "ip-permission.from-port": lambda group: "22",
    "ip-permission.to-port": lambda group: "80",
    "ip-permission.protocol": lambda group: "6",
    "ip-permission.group-id": lambda group: group.group_id,
    "ip-permission.group-name": lambda group: "web",
    "ip-permission.user-id": lambda group: ANN,
    "egress.ip-permission.cidr": lambda group: "0.0.0.0/0",
    "egress.ip-permission.protocol": lambda group: "-1",
    "tag:Name": lambda group: "x",
    "tag-key": lambda group: "Name",
    "tag-value": lambda group: "x",
}


@pytest.fixture
def filled(world):
    group = create(world, tag_specifications=tag_specification("security-group", Name="x"))
    authorize(
        world,
        group,
        rule(to_port=80),
        rule(cidr_ipv6="2001:db8::/32"),
        rule(peer_group={"group_id": group.group_id}),
    )
    create(world, "other", description="other")
    return group


@pytest.mark.parametrize("name", sorted(FOUND_BY))
def test_filters_find_it(world, filled, name):
    request = pb.DescribeSecurityGroupsRequest()
    request.filters.add(name=name, values=["nonsense", FOUND_BY[name](filled)])
    found = world.groups.Describe(request, world.call()).groups
    assert filled.group_id in {group.group_id for group in found}
    request.filters[0].values[:] = ["nonsense"]
    assert not world.groups.Describe(request, world.call()).groups


def test_filters_on_rules_may_be_met_by_different_rules(world, filled):
    wanted = filters(ip_permission___to_port="80", ip_permission___ipv6_cidr="2001:*")
    assert [group.group_id for group in describe(world, filters=wanted)] == [filled.group_id]


def test_pages_go_through_all_groups_once(world):
    for number in range(6):
        create(world, f"g{number}")
    request = pb.DescribeSecurityGroupsRequest(page={"max_results": 5})
    first = world.groups.Describe(request, world.call())
    request.page.next_token = first.next_token
    second = world.groups.Describe(request, world.call())
    assert (len(first.groups), len(second.groups), second.next_token) == (5, 2, "")
    names = {group.group_name for group in (*first.groups, *second.groups)}
    assert names == {"default", *(f"g{number}" for number in range(6))}
    with refused(Kind.INVALID, reason="parameter-combination"):
        describe(world, group_names=["g1"], page={"max_results": 5})


def test_names_and_ids_that_are_not_there_are_errors_and_filters_are_not(world):
    with refused(Kind.NOT_FOUND, "security-group"):
        describe(world, group_names=["nobody"])
    with refused(Kind.NOT_FOUND, "security-group"):
        describe(world, group_ids=["sg-01234567"])
    group = create(world)
    assert not describe(world, group_ids=[group.group_id], filters=filters(group_name="other"))
