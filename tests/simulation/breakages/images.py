"""How invariants about images fail: ways to break a quiesced cloud (test_invariants)."""

from tests.harness.contents import BLOCK
from tests.harness.invariants import images
from tests.harness.populated import PopulatedCloud


def _take_at_two_moments(c: PopulatedCloud) -> None:
    c.cloud.seen["images"].clear()
    (digest,) = (
        row["digest"]
        for row in c.cloud.records.table("snapshot")
        if (row["image_id"], row["volume_id"]) == (c.image, c.disk)
    )
    c.cloud.contents.snapshots[digest] = {9 * BLOCK: 5}


def _take_while_it_runs(c: PopulatedCloud) -> None:
    """Of the instance that never went off."""
    c.cloud.seen["images"].clear()
    c.cloud.answers.holdings.off[c.image] = c.connected


def _lose_snapshot(c: PopulatedCloud) -> None:
    c.sql("DELETE FROM snapshot WHERE image_id = ?", c.image)


def _start_as_another(c: PopulatedCloud) -> None:
    c.sql("UPDATE image SET digest = 'sha256:0' WHERE image_id = ?", c.image)


def _say_otherwise(c: PopulatedCloud) -> None:
    c.sql("UPDATE image SET size_bytes = 17 WHERE image_id = ?", c.image)


def _begin_as_another(c: PopulatedCloud) -> None:
    c.sql("UPDATE volume SET digest = 'sha256:0' WHERE volume_id = ?", c.restored)


def _wait_for_ever(c: PopulatedCloud) -> None:
    c.sql("UPDATE image SET status = 'snapshotting' WHERE image_id = ?", c.image)


def _fail_for_nothing(c: PopulatedCloud) -> None:
    c.sql("UPDATE image SET status = 'killed' WHERE image_id = ?", c.image)


CASES = (
    (images.images_are_of_one_moment, _take_at_two_moments),
    (images.images_are_of_one_moment, _take_while_it_runs),
    (images.images_are_made_of_what_they_say, _lose_snapshot),
    (images.images_are_made_of_what_they_say, _start_as_another),
    (images.images_are_made_of_what_they_say, _say_otherwise),
    (images.images_are_made_of_what_they_say, _begin_as_another),
    (images.images_converge, _wait_for_ever),
    (images.images_converge, _fail_for_nothing),
)
