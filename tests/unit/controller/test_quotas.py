"""Quotas: charged and refunded in the transaction of what they count."""

import pytest

from controller.tables.identity import Quota
from protos.cloud.v1 import quotas_pb2 as pb
from protos.errors import CloudError, Kind
from protos.nouns import QUOTAS
from tests.unit.controller.refusals import refused
from tests.unit.controller.resource_world import ANN, BOB, OPERATOR, World


@pytest.fixture
def world(tmp_path):
    return World(tmp_path)


def charge(world, **amounts):
    with world.db.write(world.call()) as tx:
        world.quota_rules.charge(tx, ANN, amounts)


def refund(world, **amounts):
    with world.db.write(world.call()) as tx:
        world.quota_rules.refund(tx, ANN, amounts)


def put(world, name, limit, account_id=ANN):
    request = pb.SetQuotaRequest(account_id=account_id, name=name, limit=limit)
    return world.quotas.Set(request, world.call(OPERATOR))


def listed(world, account_id=ANN):
    request = pb.ListQuotasRequest(account_id=account_id)
    quotas = world.quotas.List(request, world.call(OPERATOR)).quotas
    return {quota.name: (quota.limit, quota.used) for quota in quotas}


def test_what_an_account_begins_with(world):
    found = listed(world)
    assert list(found) == list(QUOTAS)
    declared = {name: (quota.default, 0) for name, (quota, _) in QUOTAS.items()}
    assert {name: each for name, each in found.items() if each != declared[name]} == {
        "addresses": (5, 0),
        "key_pairs": (4, 0),
        "security_groups": (8, 1),
        "rules_per_group": (6, 0),
        "vpcs": (5, 1),
        "internet_gateways": (5, 1),
    }


def test_any_number_of_names_is_one_statement(world):
    before = len(world.statements)
    charge(world, instances=3, vcpus=6, memory_mib=3072, addresses=0)
    assert len(world.statements) == before + 1
    assert {name: used for name, (_, used) in listed(world).items() if used} == {
        "instances": 3,
        "vcpus": 6,
        "memory_mib": 3072,
        "security_groups": 1,
        "vpcs": 1,
        "internet_gateways": 1,
    }
    refund(world, instances=3, vcpus=6, memory_mib=3072)
    assert listed(world)["instances"] == (100, 0)


@pytest.mark.parametrize(
    ("amounts", "noun"),
    [
        ({"instances": 101, "vcpus": 201}, "instance"),
        ({"instances": 1, "vcpus": 201, "memory_mib": 1}, "vcpus"),
        ({"instances": 1, "vcpus": 1, "memory_mib": 524289}, "memory"),
        ({"addresses": 6}, "elastic-ip"),
        ({"key_pairs": 5}, "key-pair"),
        ({"security_groups": 8}, "security-group"),
        ({"volumes": 501, "gigabytes": 1}, "volume"),
        ({"volumes": 1, "gigabytes": 51201}, "volume"),
        ({"snapshots": 10001}, "snapshot"),
    ],
)
def test_too_much_is_refused_by_the_name_that_is_short_and_nothing_is_kept(world, amounts, noun):
    before = listed(world)
    with refused(Kind.QUOTA, noun):
        charge(world, **amounts)
    assert listed(world) == before


def test_an_account_gets_its_own_maximum_at_once(world):
    answer = put(world, "addresses", 1)
    assert (answer.limit, answer.used) == (1, 0)
    charge(world, addresses=1)
    with refused(Kind.QUOTA):
        charge(world, addresses=1)
    put(world, "addresses", 0)
    assert listed(world)["addresses"] == (0, 1)
    put(world, "addresses", 2)
    charge(world, addresses=1)
    assert listed(world, BOB)["addresses"] == (5, 0)
    with world.db.read() as session:
        assert world.quota_rules.room(session, ANN)["addresses"] == 0
        assert world.quota_rules.room(session, BOB)["addresses"] == 5


def test_internet_gateways_follow_the_number_of_vpcs(world, tmp_path):
    for limits, expected in (
        ({"vpcs": 9}, (9, 9)),
        ({"vpcs": 9, "internet_gateways": 2}, (9, 2)),
    ):
        found = listed(World(tmp_path, limits=limits))
        assert (found["vpcs"][0], found["internet_gateways"][0]) == expected
    put(world, "vpcs", 20)
    assert (listed(world)["vpcs"], listed(world)["internet_gateways"]) == ((20, 1), (20, 1))
    put(world, "internet_gateways", 7)
    assert (listed(world)["vpcs"], listed(world)["internet_gateways"]) == ((20, 1), (7, 1))


def test_the_operator_reads_how_his_own_is_raised(world):
    for account_id, hint in ((OPERATOR, True), (ANN, False)):
        with world.db.write(world.call(account_id)) as tx, refused(Kind.QUOTA, "vpc") as refusal:
            world.quota_rules.charge(tx, account_id, {"vpcs": 5})
        assert ("`pileus quota set vpcs NUMBER`" in refusal.value.message) is hint


def test_what_cannot_be_set(world):
    for name, limit, account_id, kind in (
        ("nonsense", 1, ANN, Kind.INVALID),
        ("instances", -1, ANN, Kind.INVALID),
        ("instances", 1, "999999999999", Kind.NOT_FOUND),
    ):
        with refused(kind):
            put(world, name, limit, account_id)
    with refused(Kind.NOT_FOUND, "account"):
        listed(world, "999999999999")


def test_giving_back_what_was_never_charged_is_our_mistake(world):
    charge(world, instances=1)
    with pytest.raises(CloudError) as refusal:
        refund(world, instances=2)
    assert refusal.value.kind is Kind.BUG
    assert listed(world)["instances"] == (100, 1)


def test_a_quota_declared_since_is_an_accounts_too(world):
    with world.db.write(world.call()) as tx:
        tx.delete(Quota, (Quota.account_id == ANN) & (Quota.name == "volumes"))
        world.quota_rules.add_missing(tx)
    assert listed(world)["volumes"] == (500, 0)
