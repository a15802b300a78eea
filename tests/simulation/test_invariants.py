"""Each invariant can fail: a quiesced cloud is broken in one way, and that is found.

An invariant that cannot fail proves nothing. Whoever adds one adds how it fails, to its noun's
table in ``breakages``.
"""

import logging

import pytest

from tests.harness.invariants import Broken, check
from tests.harness.invariants.sets import EACH_EVENT, QUIESCED
from tests.harness.populated import populated_cloud
from tests.simulation.breakages import images, instances, networks, storage

CASES = (*instances.CASES, *storage.CASES, *networks.CASES, *images.CASES)


@pytest.fixture
def populated():
    with populated_cloud() as made:
        yield made


@pytest.mark.parametrize(
    ("invariant", "breakage"), CASES, ids=lambda function: function.__name__.strip("_")
)
def test_it_fails(populated, invariant, breakage):
    check(populated.cloud, [invariant])
    breakage(populated)
    with pytest.raises(Broken, match=invariant.__name__):
        check(populated.cloud, [invariant])


@pytest.mark.parametrize(
    ("invariant", "breakage"),
    [case for case in CASES if any(case[0] in part for part in EACH_EVENT.values())],
    ids=lambda function: function.__name__.strip("_"),
)
def test_it_fails_after_the_event_that_broke_it(populated, invariant, breakage):
    """Though invariants that nothing has touched are not asked again."""
    cloud = populated.cloud
    cloud.run_for(1_000)
    cloud.events.after(1, "somebody breaks something", lambda: breakage(populated))
    with pytest.raises(Broken, match=rf"(?s){invariant.__name__}.*somebody breaks something\Z"):
        cloud.run_for(1)


LOOKS_AT = {
    "rows": {"records", "seen", "ratios"},
    "answers": {"records", "seen", "answers"},
    "machines": {"records", "seen", "hosts", "answers"},
}
# At what is over: how a snapshot came about, and whether there is an excuse for what a row says.
LOOKS_BACK = {"contents", "blocks", "is_harmed", "was_unserved"}


@pytest.mark.parametrize("part", EACH_EVENT)
def test_an_invariant_looks_at_no_more_than_makes_it_asked_again(populated, part):
    for invariant in EACH_EVENT[part]:
        looked_at: set[str] = set()
        assert not list(invariant(_Seen(populated.cloud, looked_at)))
        assert looked_at <= LOOKS_AT[part] | LOOKS_BACK, invariant.__name__


class _Seen:
    """A world that notes what is looked at."""

    def __init__(self, world, looked_at: set[str]):
        self._world, self._looked_at = world, looked_at

    def __getattr__(self, name: str):
        self._looked_at.add(name)
        return getattr(self._world, name)


def test_no_invariant_goes_untried():
    assert {invariant for invariant, _ in CASES} == set(QUIESCED)


def test_a_defect_that_a_room_logs_is_a_failure(populated):
    logging.getLogger("controller.somewhere").error("this should never happen")
    with pytest.raises(Broken, match="this should never happen"):
        populated.cloud.check()


def test_a_change_that_a_host_was_never_told_is_a_failure(populated):
    populated.cloud.check_truth()
    populated.host.ledger.instances.get(populated.running).spec.metadata.user_data = b"old"
    with pytest.raises(Broken, match="was not told"):
        populated.cloud.check_truth()
