"""The study's filter scheduler: the host with the greatest weight; among equals by lot, so that
they share the load."""

from collections.abc import Sequence

from controller.compute.scheduling.model import Candidate, Dice


def choose(fitting: Sequence[Candidate], scores: Sequence[float], dice: Dice) -> str:
    most = max(scores)
    return dice.choice(
        [h.host_id for h, score in zip(fitting, scores, strict=True) if score == most]
    )
