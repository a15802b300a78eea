"""How invariants about images fail: ways to spoil a cloud at rest (test_invariants)."""

from tests.harness.contents import BLOCK
from tests.harness.invariants import images
from tests.harness.spoiler import Spoiler


def _take_at_two_moments(s: Spoiler) -> None:
    s.cloud.seen["images"].clear()
    (digest,) = (
        row["digest"]
        for row in s.cloud.records.table("snapshot")
        if (row["image_id"], row["volume_id"]) == (s.image, s.disk)
    )
    s.cloud.contents.snapshots[digest] = {9 * BLOCK: 5}


def _take_while_it_runs(s: Spoiler) -> None:
    """Of the instance that never went off."""
    s.cloud.seen["images"].clear()
    s.cloud.answers.holdings.off[s.image] = s.connected


def _lose_snapshot(s: Spoiler) -> None:
    s.sql("DELETE FROM snapshot WHERE image_id = ?", s.image)


def _start_as_another(s: Spoiler) -> None:
    s.sql("UPDATE image SET digest = 'sha256:0' WHERE image_id = ?", s.image)


def _say_otherwise(s: Spoiler) -> None:
    s.sql("UPDATE image SET size_bytes = 17 WHERE image_id = ?", s.image)


def _begin_as_another(s: Spoiler) -> None:
    s.sql("UPDATE volume SET digest = 'sha256:0' WHERE volume_id = ?", s.restored)


def _wait_for_ever(s: Spoiler) -> None:
    s.sql("UPDATE image SET status = 'snapshotting' WHERE image_id = ?", s.image)


def _fail_for_nothing(s: Spoiler) -> None:
    s.sql("UPDATE image SET status = 'killed' WHERE image_id = ?", s.image)


CASES = (
    (images.images_are_of_one_moment, _take_at_two_moments),
    (images.images_are_of_one_moment, _take_while_it_runs),
    (images.images_are_made_of_what_they_say, _lose_snapshot),
    (images.images_are_made_of_what_they_say, _start_as_another),
    (images.images_are_made_of_what_they_say, _say_otherwise),
    (images.images_are_made_of_what_they_say, _begin_as_another),
    (images.images_settle, _wait_for_ever),
    (images.images_settle, _fail_for_nothing),
)
