"""The power is cut at every checkpoint of a fixed story, one at a time.

Checkpoints are where durable state changes: before and after each commit of the controller and
each write of a host's ledger, around each call, and between the steps of a bring-up or tear-down.
The story is told once to list those it passes; then once for each, cutting there. Whatever was cut,
the process starts anew from what is durable, the invariants hold throughout, all converges, and the
customer ends up with what she would have had.
"""

import functools

import pytest

from tests.harness.cloud import SimCloud
from tests.harness.invariants import Broken
from tests.harness.scenario import EndState, play

STRIPES = 8  # the points are dealt to so many tests, which can run side by side
FULL_STORY = EndState(states=("terminated", "running"), holder=1, ports=(443,), addresses=1)


@functools.cache
def points() -> list[tuple[str, int, str]]:
    """Every checkpoint of the uncut story: (process, which of its checkpoints, its name)."""
    with SimCloud(keep_checkpoints=True) as cloud:
        assert play(cloud) == FULL_STORY
        return [
            (process.name, number, name)
            for process in (cloud.controller, *cloud.hosts)
            for number, name in enumerate(process.supply.passed, 1)
        ]


def test_the_story_passes_every_kind_of_checkpoint():
    names = {name.partition(" i-")[0] for _, _, name in points()}
    for part in ("commit:before", "commit:after", "apply:before", "apply:after"):
        assert part in names
    for what in ("create", "epoch", "take-in", "note", "forget"):
        assert {f"ledger: before {what}", f"ledger: after {what}"} <= names
    for step in ("image", "disks", "network", "domain"):
        assert {f"step: {step}", f"step: undo {step}"} <= names
    assert {"step: done", "step: undone"} <= names


@pytest.mark.parametrize("stripe", range(STRIPES))
def test_cut_here_nothing_is_lost(stripe):
    for process, number, name in points()[stripe::STRIPES]:
        try:
            ended = play_with_cut(process, number)
        except (AssertionError, Broken) as failure:
            raise AssertionError(f"cut of {process} at its {number}. ({name})") from failure
        assert ended == FULL_STORY, f"cut of {process} at its {number}. ({name})"


def play_with_cut(process: str, number: int) -> EndState:
    with SimCloud(cut=(process, number)) as cloud:
        return play(cloud)
