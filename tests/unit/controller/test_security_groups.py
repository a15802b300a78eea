"""Security groups and their rules, as EC2 documents them (traps 41, 42)."""

import pytest

from protos.cloud.v1 import networks_pb2 as pb
from protos.errors import CloudError, Kind
from tests.unit.controller.resource_world import (
    ANN,
    BOB,
    World,
    filters,
    tag_specification,
)


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def create(world, name="web", account_id=ANN, dry_run=False, **fields):
    request = pb.CreateSecurityGroupRequest(group_name=name, **{"description": "d", **fields})
    return world.groups.Create(request, world.call(account_id, dry_run=dry_run))


def rule(**fields):
    asked = {"protocol": "tcp", "from_port": 22, "to_port": 22, **fields}
    if not {"cidr_ipv4", "cidr_ipv6", "peer_group"} & asked.keys():
        asked["cidr_ipv4"] = "10.0.0.0/8"
    return pb.SecurityGroupRule(**asked)


def selector(group):
    return pb.SecurityGroupSelector(group_id=group.group_id)


def authorize(world, group, *rules, egress=False, account_id=ANN, **fields):
    act = world.groups.AuthorizeEgress if egress else world.groups.AuthorizeIngress
    request = pb.AuthorizeRequest(group=selector(group), rules=rules, **fields)
    return act(request, world.call(account_id)).rules


def revoke(world, group, *rules, rule_ids=(), egress=False):
    act = world.groups.RevokeEgress if egress else world.groups.RevokeIngress
    return act(
        pb.RevokeRequest(group=selector(group), rules=rules, rule_ids=rule_ids), world.call()
    )


def describe(world, account_id=ANN, **asked):
    return world.groups.Describe(
        pb.DescribeSecurityGroupsRequest(**asked), world.call(account_id)
    ).groups


def refused(kind, noun=None, reason=None):
    """Expects a CloudError of exactly this kind, noun and reason."""

    class Expected:
        def __enter__(self):
            self._raises = pytest.raises(CloudError)
            self._caught = self._raises.__enter__()
            return self._caught

        def __exit__(self, *raised):
            suppressed = self._raises.__exit__(*raised)
            error = self._caught.value
            assert error.kind is kind, error
            assert noun is None or error.noun == noun, error
            assert reason is None or error.reason == reason, error
            return suppressed

    return Expected()


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


# --- rules ----------------------------------------------------------------------------------------


def test_rules_are_added_with_ids_descriptions_and_tags_and_are_sent_at_once(world):
    world.add_host()
    group = create(world)
    world.launch(host_id="h-1")
    added = authorize(
        world,
        group,
        rule(cidr_ipv4="100.68.0.18/18", description="office"),
        rule(protocol="icmp", from_port=-1, to_port=-1, cidr_ipv6="2001:DB8::/32"),
        rule(protocol="-1", peer_group={"group_name": "default"}),
        tag_specifications=tag_specification("security-group-rule", a="b"),
    )
    assert world.kicked == ["h-1"]
    assert [one.cidr_ipv4 or one.cidr_ipv6 for one in added[:2]] == [
        "100.68.0.0/18",
        "2001:db8::/32",
    ]
    assert added[2].peer_group.group_id.startswith("sg-")
    request = pb.DescribeSecurityGroupRulesRequest(filters=filters(tag__a="b"))
    shown = world.groups.DescribeRules(request, world.call()).rules
    assert sorted(one.rule_id for one in shown) == sorted(one.rule_id for one in added)
    by_id = {one.rule_id: one for one in shown}
    assert all(by_id[one.rule_id] == one for one in added)
    (seen,) = describe(world, group_ids=[group.group_id])
    assert [one.rule_id for one in seen.rules] == [
        one.rule_id for one in (*group.rules, *added)
    ]  # in the order in which they were made


def test_a_rule_that_is_there_in_any_spelling_is_a_duplicate(world):
    group = create(world)
    authorize(world, group, rule(cidr_ipv4="100.68.0.0/18"))
    with refused(Kind.EXISTS, "security-group-rule"):
        authorize(world, group, rule(protocol="6", cidr_ipv4="100.68.0.18/18", description="x"))
    authorize(world, group, rule(cidr_ipv4="100.68.0.0/18"), egress=True)
    with refused(Kind.EXISTS, "security-group-rule"):
        authorize(world, group, rule(protocol="-1", cidr_ipv4="0.0.0.0/0"), egress=True)


def test_all_rules_of_a_call_or_none(world):
    group = create(world)
    authorize(world, group, rule(from_port=1, to_port=1))
    for rules, kind in (
        ([rule(), rule(description="again")], Kind.INVALID),
        ([rule(), rule(from_port=1, to_port=1)], Kind.EXISTS),
        ([rule(), rule(cidr_ipv4="10.0.0.0/33")], Kind.INVALID),
        ([rule(), rule(peer_group={"group_id": "sg-01234567"})], Kind.NOT_FOUND),
        ([rule(), rule(peer_group={"group_id": "sg-x"})], Kind.MALFORMED_ID),
        ([rule(), rule(peer_group={})], Kind.INVALID),
        ([pb.SecurityGroupRule(protocol="-1")], Kind.INVALID),
        ([], Kind.INVALID),
    ):
        with refused(kind):
            authorize(world, group, *rules)
    assert len(describe(world, group_ids=[group.group_id])[0].rules) == 2


def test_the_quota_of_rules_counts_each_direction(world):
    group = create(world)
    authorize(world, group, *(rule(from_port=port, to_port=port) for port in range(6)))
    with refused(Kind.QUOTA, "security-group-rule"):
        authorize(world, group, rule())
    authorize(world, group, *(rule(from_port=port, to_port=port) for port in range(5)), egress=True)
    with refused(Kind.QUOTA, "security-group-rule"):
        authorize(world, group, rule(), egress=True)


def test_revoked_by_what_they_say_and_unknown_ones_are_named(world):
    world.add_host()
    group = create(world)
    world.launch(host_id="h-1")
    (added,) = authorize(world, group, rule(description="described"))
    world.kicked.clear()
    answer = revoke(world, group, rule(), rule(to_port=23))
    assert list(answer.revoked) == [added]
    (unknown,) = answer.unknown
    assert (unknown.protocol, unknown.to_port, unknown.cidr_ipv4) == ("tcp", 23, "10.0.0.0/8")
    assert world.kicked == ["h-1"]
    world.kicked.clear()
    (unknown,) = revoke(world, group, rule()).unknown
    assert unknown.to_port == 22
    assert world.kicked == []


def test_revoked_by_id(world):
    group, other = create(world), create(world, "other")
    (mine,) = authorize(world, group, rule())
    (foreign,) = authorize(world, other, rule())
    with refused(Kind.NOT_FOUND, "security-group-rule"):
        revoke(world, group, rule_ids=[mine.rule_id, foreign.rule_id])
    with refused(Kind.NOT_FOUND, "security-group-rule"):
        revoke(world, group, rule_ids=[mine.rule_id], egress=True)
    with refused(Kind.MALFORMED_ID, "security-group-rule"):
        revoke(world, group, rule_ids=["sgr-x"])
    with refused(Kind.INVALID, reason="parameter-combination"):
        revoke(world, group, rule(), rule_ids=[mine.rule_id])
    with refused(Kind.INVALID, reason="missing-parameter"):
        revoke(world, group)
    assert list(revoke(world, group, rule_ids=[mine.rule_id]).revoked) == [mine]
    egress_id = group.rules[0].rule_id
    assert revoke(world, group, rule_ids=[egress_id], egress=True).revoked
    assert not describe(world, group_ids=[group.group_id])[0].rules


def test_a_group_of_another_account_is_no_peer(world):
    group = create(world)
    with refused(Kind.NOT_FOUND, "security-group"):
        authorize(world, group, rule(peer_group={"group_id": group.group_id, "owner_id": BOB}))
    authorize(world, group, rule(peer_group={"group_id": group.group_id, "owner_id": ANN}))


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


def modify(world, group, *rules):
    world.groups.ModifyRules(
        pb.ModifyRulesRequest(group=selector(group), rules=rules), world.call()
    )


def said(world, group) -> dict:
    request = pb.DescribeSecurityGroupRulesRequest(filters=filters(group_id=[group.group_id]))
    answer = world.groups.DescribeRules(request, world.call())
    return {
        one.rule_id: (one.from_port, one.to_port, one.cidr_ipv4, one.description)
        for one in answer.rules
        if not one.egress
    }


def test_two_rules_can_take_each_others_place(world):
    group = create(world)
    ssh, web = authorize(world, group, rule(description="ssh"), rule(from_port=80, to_port=80))
    modify(
        world,
        group,
        rule(rule_id=ssh.rule_id, from_port=80, to_port=80, description="web"),
        rule(rule_id=web.rule_id),
    )
    assert said(world, group) == {
        ssh.rule_id: (80, 80, "10.0.0.0/8", "web"),
        web.rule_id: (22, 22, "10.0.0.0/8", ""),
    }


def test_what_cannot_become_of_rules_changes_none(world):
    group, other = create(world), create(world, "other")
    ssh, web = authorize(world, group, rule(), rule(from_port=80, to_port=80))
    (theirs,) = authorize(world, other, rule())
    before = said(world, group)
    first = rule(rule_id=ssh.rule_id, from_port=443, to_port=443)
    with refused(Kind.EXISTS, "security-group-rule"):
        modify(world, group, first, rule(rule_id=web.rule_id, from_port=443, to_port=443))
    with refused(Kind.NOT_FOUND, "security-group-rule"):
        modify(world, group, first, rule(rule_id=theirs.rule_id))
    with refused(Kind.INVALID):
        modify(world, group, first, rule(rule_id=ssh.rule_id))
    with refused(Kind.INVALID):
        modify(world, group, first, rule(rule_id=web.rule_id, from_port=90, to_port=80))
    with refused(Kind.MALFORMED_ID, "security-group-rule"):
        modify(world, group, rule(rule_id="sgr-x"))
    with refused(Kind.INVALID):
        modify(world, group)
    assert said(world, group) == before
