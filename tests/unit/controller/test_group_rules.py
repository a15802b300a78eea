"""Rules of security groups are added, revoked and changed, as EC2 documents it (trap 42)."""

import pytest

from protos.cloud.v1 import networks_pb2 as pb
from protos.errors import Kind
from tests.unit.controller.group_calls import authorize, create, describe, revoke, rule, selector
from tests.unit.controller.refusals import refused
from tests.unit.controller.resource_world import ANN, BOB, World, filters, tag_specification


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


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
