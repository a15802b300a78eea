"""The power is cut at every checkpoint of a fixed story, one at a time; and of a second one, about
disks, at those that are about disks.

Checkpoints are where durable state changes: before and after each commit of the controller and
each write of a host's ledger, around each call, and between the steps of a bring-up or tear-down.
The story is told once to list those it passes; then once for each, cutting there. Whatever was cut,
the process starts anew from what is durable, the invariants hold throughout, all converges, and the
customer ends up with what she would have had.
"""

import functools

import pytest

from tests.harness import scenario, storage_story
from tests.harness.cloud import SimCloud
from tests.harness.invariants import Broken
from tests.harness.scenario import EndState
from tests.harness.storage_story import StorageEnd

STRIPES, STORAGE_STRIPES = 8, 3  # the points are dealt to so many tests, which can run side by side
FULL_STORY = EndState(states=("terminated", "running"), holder=1, ports=(443,), addresses=1)
STORAGE_STORY = StorageEnd(
    ((1, "in-use", "/dev/sdg attached"), (1, "in-use", "/dev/xvda attached")), snapshots=0
)
ENDS = {scenario.play: FULL_STORY, storage_story.play: STORAGE_STORY}
ABOUT_DISKS = ("volume", "snapshot", "copied", "store:", "block:", "manifest:")


@functools.cache
def points(play=scenario.play) -> list[tuple[str, int, str]]:
    """Every checkpoint of the uncut story: (process, which of its checkpoints, its name)."""
    with SimCloud(keep_checkpoints=True) as cloud:
        assert play(cloud) == ENDS[play]
        return [
            (process.name, number, name)
            for process in (cloud.controller, *cloud.hosts)
            for number, name in enumerate(process.supply.passed, 1)
        ]


def test_the_story_passes_every_kind_of_checkpoint():
    names = {name.partition(" i-")[0] for _, _, name in points()}
    for part in ("commit:before", "commit:after", "apply:before", "apply:after"):
        assert part in names
    for what in ("create", "epoch", "take-in", "note instance", "forget instance"):
        assert {f"ledger: before {what}", f"ledger: after {what}"} <= names
    for step in ("image", "disks", "network", "domain"):
        assert {f"step: {step}", f"step: undo {step}"} <= names
    assert {"step: done", "step: undone"} <= names


def points_about_disks() -> list[tuple[str, int, str]]:
    found = points(storage_story.play)
    return [point for point in found if any(word in point[2] for word in ABOUT_DISKS)]


def test_the_storys_disks_pass_every_kind_of_checkpoint():
    names = {name for _, _, name in points_about_disks()}
    kinds = {name.partition(" vol-")[0].partition(" snap-")[0] for name in names}
    assert {"volume: begin", "volume: made", "volume: noted"} <= kinds
    assert {f"snapshot: {step}" for step in ("freeze", "copied", "noted", "released")} <= kinds
    for method in ("MissingBlocks", "StoreBlocks", "StoreManifest", "FetchManifest", "FetchBlocks"):
        assert {f"store: before {method}", f"store: after {method}"} <= kinds
    for what in ("note volume", "note snapshot", "copied", "forget volume", "forget snapshot"):
        assert {f"ledger: before {what}", f"ledger: after {what}"} <= kinds


@pytest.mark.parametrize("stripe", range(STRIPES))
def test_cut_here_nothing_is_lost(stripe):
    for point in points()[stripe::STRIPES]:
        cut_at(scenario.play, *point)


@pytest.mark.parametrize("stripe", range(STORAGE_STRIPES))
def test_cut_here_no_disk_is_lost(stripe):
    for point in points_about_disks()[stripe::STORAGE_STRIPES]:
        cut_at(storage_story.play, *point)


def cut_at(play, process: str, number: int, name: str) -> None:
    try:
        with SimCloud(cut=(process, number)) as cloud:
            ended = play(cloud)
    except (AssertionError, Broken) as failure:
        raise AssertionError(f"cut of {process} at its {number}. ({name})") from failure
    assert ended == ENDS[play], f"cut of {process} at its {number}. ({name})"
