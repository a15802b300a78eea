"""By lot, among the hosts that the filters let pass."""

from collections.abc import Sequence

from controller.compute.scheduling.model import Candidate


def choose(fitting: Sequence[Candidate], scores: Sequence[float], rng) -> str:
    return rng.choice(fitting).host_id
