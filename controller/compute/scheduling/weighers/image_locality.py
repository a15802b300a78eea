"""Prefers hosts that hold the image already: nothing to fetch before the guest starts."""

from controller.compute.scheduling.model import Ask, Candidate


def weigh(host: Candidate, ask: Ask) -> float:
    return 1.0 if host.has_image else 0.0
