"""The scheduler: a contract for every filter, weigher and scheduler found, and what each is for."""

import random
from dataclasses import replace
from types import SimpleNamespace

import pytest

from controller.compute.scheduling import filters, schedulers, weighers
from controller.compute.scheduling.model import Ask, Candidate, Proposal
from controller.compute.scheduling.place import Scheduler, UnknownName, load, names_in
from controller.config import SchedulerConfig
from controller.hosts.overcommit import Settings, room

HOST = Candidate("h-1", "one", "zone-a", "up", "qemu", "x86_64", 8, 16384, 500, address="192.0.2.7")
ASK = Ask(vcpus=1, memory_mib=1024, disk_gib=8, image_id="ami-1")
SETTINGS = Settings()
ALL_FILTERS = SchedulerConfig().filters


def hosts(count, **more):
    return [replace(HOST, host_id=f"h-{n}", name=f"host-{n}", **more) for n in range(count)]


def scheduler(name="filter", names=ALL_FILTERS, multipliers=None, settings=SETTINGS, seed=1):
    weights = {"spread": 1.0} if multipliers is None else multipliers
    return Scheduler(name, names, weights, settings, random.Random(seed))


@pytest.mark.parametrize(
    ("host", "kind", "free_and_most"),
    [
        ({}, {"vcpus": 2, "memory_mib": 1024, "default_disk_gib": 8}, (24, 24)),  # by memory
        ({}, {"vcpus": 64, "memory_mib": 1024, "default_disk_gib": 0}, (2, 2)),  # by vCPUs
        ({}, {"vcpus": 1, "memory_mib": 1, "default_disk_gib": 100}, (5, 5)),  # by disk
        ({"memory_mib_used": 23000}, {"vcpus": 1, "memory_mib": 1024}, (1, 24)),
        ({"vcpus_used": 200}, {"vcpus": 1, "memory_mib": 1024}, (0, 24)),
        ({"vcpus": 0}, {"vcpus": 1, "memory_mib": 1024}, (0, 0)),
    ],
)
def test_the_room_of_a_host_is_what_the_claim_would_grant(host, kind, free_and_most):
    kind = SimpleNamespace(**{"default_disk_gib": 0, **kind})
    assert room(replace(HOST, **host), kind, SETTINGS) == free_and_most


# --- the contracts --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", names_in(filters))
def test_a_filter_lets_an_empty_host_pass_and_says_no_in_words(name):
    refuses = load(filters, name).refuses
    assert refuses(HOST, ASK, SETTINGS) == ""
    impossible = replace(
        ASK,
        vcpus=10**6,
        memory_mib=10**9,
        disk_gib=10**6,
        architecture="s390x",
        availability_zones=frozenset({"elsewhere"}),
        image_id="ami-isolated",
        different_host=frozenset({"h-1"}),
        same_host=frozenset(),
        near_network="198.51.100.0/24",
    )
    isolated = replace(SETTINGS, isolated_images=frozenset({"ami-isolated"}))
    reason = refuses(HOST, impossible, isolated)
    assert reason and reason == reason.strip() and "\n" not in reason


@pytest.mark.parametrize("name", names_in(weighers))
def test_a_weigher_answers_a_number_for_full_and_empty_hosts(name):
    weigh = load(weighers, name).weigh
    full = replace(HOST, vcpus_used=128, memory_mib_used=24576, disk_gib_used=500, has_image=True)
    bare = replace(HOST, vcpus=0, memory_mib=0, disk_gib=0)
    assert all(isinstance(weigh(host, ASK), float) for host in (HOST, full, bare))


@pytest.mark.parametrize("name", names_in(schedulers))
@pytest.mark.parametrize("lot", range(5))
def test_a_scheduler_fills_hosts_to_the_brim_and_no_further(name, lot):
    small = hosts(3, vcpus=1, memory_mib=2048, disk_gib=16)  # two each by disk
    proposal = scheduler(name, seed=lot).place(small, ASK, 10)
    assert sorted(proposal.host_ids) == ["h-0", "h-0", "h-1", "h-1", "h-2", "h-2"]
    assert proposal.refusals == {"short of disk space": 3}


@pytest.mark.parametrize("name", names_in(schedulers))
def test_a_host_whose_hypervisor_is_away_is_the_last_choice_and_one(name):
    here, away = hosts(2, disk_gib=16)  # two each
    proposal = scheduler(name).place([here, replace(away, is_away=True)], ASK, 3)
    assert proposal.host_ids == ("h-0", "h-0", "h-1")


def test_the_studys_parts_are_all_there():
    assert set(names_in(filters)) >= {
        "availability_zone",
        "compute",
        "core",
        "ram",
        "disk",
        "isolated_hosts_images",
        "different_host",
        "same_host",
        "simple_cidr_affinity",
    }
    assert set(names_in(weighers)) >= {"fill_first", "spread", "image_locality"}
    assert set(names_in(schedulers)) >= {"filter", "chance", "simple"}


@pytest.mark.parametrize(
    "wrong", [{"name": "best"}, {"names": ["typo"]}, {"multipliers": {"typo": 1.0}}]
)
def test_a_name_that_is_not_there_is_refused_at_once(wrong):
    with pytest.raises(UnknownName, match="among the"):
        scheduler(**wrong)


# --- what each is for -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "host", "ask", "refused"),
    [
        ("availability_zone", {}, {"availability_zones": frozenset({"zone-a", "zone-b"})}, False),
        ("availability_zone", {}, {"availability_zones": frozenset({"zone-b"})}, True),
        ("compute", {"health": "silent"}, {}, True),
        ("compute", {"health": "lost"}, {}, True),
        ("compute", {"hypervisor": ""}, {}, True),
        ("compute", {}, {"architecture": "i386"}, False),
        ("compute", {}, {"architecture": "arm64"}, True),
        ("compute", {"architecture": "aarch64"}, {"architecture": "arm64"}, False),
        ("core", {"vcpus_used": 127}, {}, False),  # 8 × 16
        ("core", {"vcpus_used": 128}, {}, True),
        ("ram", {"memory_mib_used": 16384 * 3 // 2 - 1024}, {}, False),  # × 1.5
        ("ram", {"memory_mib_used": 16384 * 3 // 2 - 1023}, {}, True),
        ("disk", {"disk_gib_used": 492}, {}, False),
        ("disk", {"disk_gib_used": 493}, {}, True),
        ("different_host", {}, {"different_host": frozenset({"h-1"})}, True),
        ("same_host", {}, {"same_host": frozenset({"h-1"})}, False),
        ("same_host", {}, {"same_host": frozenset({"h-2"})}, True),
        ("simple_cidr_affinity", {}, {"near_network": "192.0.2.0/28"}, False),
        ("simple_cidr_affinity", {}, {"near_network": "192.0.2.16/28"}, True),
        ("simple_cidr_affinity", {"address": "by-name"}, {"near_network": "192.0.2.0/28"}, True),
    ],
)
def test_filters(name, host, ask, refused):
    reason = load(filters, name).refuses(replace(HOST, **host), replace(ASK, **ask), SETTINGS)
    assert bool(reason) is refused


@pytest.mark.parametrize(
    ("host_isolated", "image_isolated", "refused"),
    [(False, False, False), (True, True, False), (True, False, True), (False, True, True)],
)
def test_isolated_hosts_and_images_keep_to_themselves(host_isolated, image_isolated, refused):
    settings = Settings(
        isolated_hosts=frozenset({"one"} if host_isolated else ()),
        isolated_images=frozenset({"ami-1"} if image_isolated else ()),
    )
    reason = load(filters, "isolated_hosts_images").refuses(HOST, ASK, settings)
    assert bool(reason) is refused


def test_spread_takes_turns_and_fill_first_does_not():
    four = hosts(4)
    assert len(set(scheduler().place(four, ASK, 4).host_ids)) == 4
    assert len(set(scheduler(multipliers={"fill_first": 1.0}).place(four, ASK, 4).host_ids)) == 1


def test_a_host_with_the_image_is_preferred_as_much_as_its_multiplier_says():
    far, near = replace(HOST, host_id="far"), replace(HOST, host_id="near", has_image=True)
    busy = replace(near, vcpus_used=8)
    weigh = {"spread": 1.0, "image_locality": 2.0}
    assert scheduler(multipliers=weigh).place([far, busy], ASK, 1).host_ids == ("near",)
    weigh = {"spread": 2.0, "image_locality": 1.0}
    assert scheduler(multipliers=weigh).place([far, busy], ASK, 1).host_ids == ("far",)
    assert scheduler(multipliers={"image_locality": -1.0}).place([far, near], ASK, 1).host_ids == (
        "far",
    )


def test_equals_share_the_load_by_lot_and_the_lot_can_be_drawn_again():
    eight = hosts(8)
    drawn = {scheduler(seed=seed).place(eight, ASK, 1).host_ids for seed in range(40)}
    assert len(drawn) > 4
    assert scheduler(seed=3).place(eight, ASK, 5) == scheduler(seed=3).place(eight, ASK, 5)


def test_a_refusal_is_a_reason_that_is_counted():
    found = [*hosts(3, health="silent"), *hosts(2, memory_mib_used=24576)]
    renamed = [replace(host, host_id=f"n-{n}") for n, host in enumerate(found)]
    proposal = scheduler().place(renamed, ASK, 1)
    assert proposal.host_ids == ()
    assert proposal.explanation() == "3 hosts silent, 2 short of memory"
    assert Proposal(()).explanation() == "no host has joined"
    assert Proposal((), {"lost": 1}).explanation() == "1 host lost"
