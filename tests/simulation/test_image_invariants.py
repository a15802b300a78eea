"""Each invariant about images bites: as test_invariants has it for the others."""

import pytest

from protos.cloud.v1 import images_pb2
from tests.harness.invariants import Broken, check, images
from tests.harness.invariants.sets import AT_REST
from tests.harness.scenario import Script
from tests.harness.spoiler import Spoiler, spoiled


@pytest.fixture
def spoiler():
    """With an image of the instance that runs: its root disk, and the one that it writes to."""
    with spoiled() as made:
        alice = Script(made.cloud, made.cloud.customers[0])
        create = images_pb2.CreateImageRequest(instance_id=made.running, name="taken")
        alice.ask("Images", "Create", create)
        made.cloud.come_to_rest()
        yield made


def _part_moments(s: Spoiler) -> None:
    """What one of the two snapshots holds was on its volume at no moment of the other's."""
    s.cloud.seen["images"].clear()
    contents = s.cloud.contents
    (digest,) = {
        row["digest"]
        for row in s.cloud.records.table("snapshot")
        if row["volume_id"] == s.disk and row["snapshot_id"] != s.snapshot
    }
    contents.snapshots[digest] = {**contents.snapshots[digest], 0: 99}


def _wait_for_ever(s: Spoiler) -> None:
    s.sql("UPDATE image SET status = 'snapshotting' WHERE source_instance_id <> ''")


def _say_otherwise(s: Spoiler) -> None:
    s.sql("UPDATE image SET size_bytes = 17 WHERE source_instance_id <> ''")


def _lose_root(s: Spoiler) -> None:
    s.sql("UPDATE snapshot SET status = 'error'")


CASES = (
    (images.images_are_of_one_moment, _part_moments),
    (images.images_settle, _wait_for_ever),
    (images.images_are_whole, _say_otherwise),
    (images.images_are_whole, _lose_root),
)


@pytest.mark.parametrize(
    ("invariant", "spoil"), CASES, ids=lambda function: function.__name__.strip("_")
)
def test_it_bites(spoiler, invariant, spoil):
    check(spoiler.cloud, [invariant])
    spoil(spoiler)
    with pytest.raises(Broken, match=invariant.__name__):
        check(spoiler.cloud, [invariant])


def test_no_invariant_goes_untried():
    assert {invariant for invariant, _ in CASES} == {
        invariant for invariant in AT_REST if invariant.__module__ == images.__name__
    }
