"""By lot, among the hosts that the filters let pass."""

from collections.abc import Sequence

from controller.compute.scheduling.model import Candidate, Dice


def choose(fitting: Sequence[Candidate], scores: Sequence[float], dice: Dice) -> str:
    return dice.choice(fitting).host_id
