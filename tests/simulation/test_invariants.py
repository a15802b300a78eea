"""Each invariant can fail: a quiesced cloud is broken in one way, and that is found.

An invariant that cannot fail proves nothing. Whoever adds one adds how it fails, to its noun's
table in ``breakages``.
"""

import logging

import pytest

from tests.harness.invariants import Broken, check
from tests.harness.invariants.sets import QUIESCED
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
