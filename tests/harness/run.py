"""One seeded run: calls, faults, then time to converge. test_seeds does a thousand of them.

outcome = run_seed(7)                   raises Broken where an invariant does not hold
python -m tests.harness.run 7           the same, with its trace printed
"""

import argparse
import random
import time
from dataclasses import dataclass

from tests.harness.cloud import SimCloud
from tests.harness.fault_injector import FaultInjector
from tests.harness.guests import Guests
from tests.harness.workload import Workload


@dataclass(frozen=True)
class Shape:
    """How long and how rough. Durations in simulated milliseconds."""

    calls: int = 80
    calls_every_ms: int = 800  # at most; drawn anew for each
    faults: int = 16
    faults_every_ms: int = 4_000
    writes: int = 60
    writes_every_ms: int = 1_000


SHORT = Shape()
LONG = Shape(calls=800, faults=160, writes=600)


@dataclass(frozen=True)
class Outcome:
    """digest: equal for equal runs. events, simulated_ms: how much happened."""

    digest: str
    events: int
    simulated_ms: int
    instances: int


def run_seed(seed: int, shape: Shape = SHORT, *, show: bool = False) -> Outcome:
    """A run of its own cloud; the same for the same seed and shape."""
    rng = random.Random(f"run {seed}")
    hosts = rng.choice([3, 3, 3, 3, 1, 2, 5])
    with SimCloud(seed, hosts) as cloud:
        if show:
            cloud.trace.show()
        began = cloud.events.now_ms
        workload = Workload(
            random.Random(f"work {seed}"), cloud.customers, cloud.operator, cloud.ask
        )
        workload.begin()
        guests = Guests(cloud, random.Random(f"guests {seed}"))
        # With another word, seeds that are written down somewhere would mean other runs.
        drawn = random.Random(f"nemesis {seed}")
        injector = FaultInjector(cloud, drawn, may_kill_for_good=rng.random() < 0.3)
        ends = (
            _plan(cloud, rng, workload.step, shape.calls, shape.calls_every_ms, "customer"),
            _plan(cloud, rng, injector.step, shape.faults, shape.faults_every_ms, "fault"),
            _plan(cloud, rng, guests.step, shape.writes, shape.writes_every_ms, "guest"),
        )
        cloud.run_for(max(ends) - began)
        cloud.quiesce()
        return Outcome(
            cloud.trace.digest,
            cloud.trace.count,
            cloud.events.now_ms - began,
            len(cloud.answers.instances),
        )


def _plan(cloud, rng: random.Random, act, times: int, every_ms: int, what: str) -> int:
    """``act`` so many times, at drawn distances. Answers when it is done."""
    when = cloud.events.now_ms
    for _ in range(times):
        when += rng.randrange(1, every_ms)
        cloud.events.at(when, what, act)
    return when


def main() -> None:
    parser = argparse.ArgumentParser(description="Replays one seed of the simulation.")
    parser.add_argument("seed", type=int)
    parser.add_argument("--long", action="store_true", help="ten times the calls and faults")
    parser.add_argument("--quiet", action="store_true", help="do not print each event")
    asked = parser.parse_args()
    began = time.perf_counter()
    outcome = run_seed(asked.seed, LONG if asked.long else SHORT, show=not asked.quiet)
    print(f"seed {asked.seed}: {outcome}, {time.perf_counter() - began:.2f} s")


if __name__ == "__main__":
    main()
