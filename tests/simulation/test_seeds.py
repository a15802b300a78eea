"""A thousand clouds, each with its own network faults, crashes and customers.

    pytest tests/simulation/test_seeds.py --seeds 10000 --first-seed 1001 --long -n auto
    pytest tests/simulation/test_seeds.py --seed 7          one of them
    python -m tests.harness.run 7                           the same, telling all that happens

Invariants hold after every event; at the end everything converges. A failure names its seed.
"""

import os
import subprocess
import sys

import pytest

from tests.harness.invariants import Broken
from tests.harness.run import LONG, SHORT, run_seed


def test_seed(seed, is_long):
    replay = f"replay: python -m tests.harness.run {seed}" + (" --long" if is_long else "")
    try:
        outcome = run_seed(seed, LONG if is_long else SHORT)
    except Broken as broken:
        pytest.fail(f"{broken}\n\n{replay}", pytrace=False)
    except Exception as failure:
        failure.add_note(replay)
        raise
    assert outcome.events > 100, "a run in which nothing happens proves nothing"


@pytest.mark.parametrize("number", (3, 4))
def test_the_same_seed_is_the_same_run(number):
    """Also in another process, where sets and dicts of strings are ordered otherwise."""
    here = run_seed(number)
    assert run_seed(number) == here
    program = f"from tests.harness.run import run_seed; print(run_seed({number}).digest)"
    for hash_seed in ("1", "2"):
        told = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        assert told.stdout.strip() == here.digest
