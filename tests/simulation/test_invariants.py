"""Each invariant bites: a cloud at rest is spoiled in one way, and that is found.

An invariant that cannot fail proves nothing. Whoever adds one adds how it fails, to its noun's
table in ``spoils``.
"""

import logging

import pytest

from tests.harness.invariants import Broken, check
from tests.harness.invariants.sets import AT_REST
from tests.harness.spoiler import spoiled
from tests.simulation.spoils import images, instances, networks, storage

CASES = (*instances.CASES, *storage.CASES, *networks.CASES, *images.CASES)


@pytest.fixture
def spoiler():
    with spoiled() as made:
        yield made


@pytest.mark.parametrize(
    ("invariant", "spoil"), CASES, ids=lambda function: function.__name__.strip("_")
)
def test_it_bites(spoiler, invariant, spoil):
    check(spoiler.cloud, [invariant])
    spoil(spoiler)
    with pytest.raises(Broken, match=invariant.__name__):
        check(spoiler.cloud, [invariant])


def test_no_invariant_goes_untried():
    assert {invariant for invariant, _ in CASES} == set(AT_REST)


def test_a_defect_that_a_room_logs_is_a_failure(spoiler):
    logging.getLogger("controller.somewhere").error("this should never happen")
    with pytest.raises(Broken, match="this should never happen"):
        spoiler.cloud.check()


def test_a_change_that_a_host_was_never_told_is_a_failure(spoiler):
    spoiler.cloud.check_truth()
    spoiler.host.ledger.instances.get(spoiler.running).spec.metadata.user_data = b"old"
    with pytest.raises(Broken, match="was not told"):
        spoiler.cloud.check_truth()
