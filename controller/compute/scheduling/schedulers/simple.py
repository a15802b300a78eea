"""The least loaded host: the one with the fewest vCPUs in use for each that it has; among equals
the first by id."""

from collections.abc import Sequence

from controller.compute.scheduling.model import Candidate, Dice


def choose(fitting: Sequence[Candidate], scores: Sequence[float], dice: Dice) -> str:
    return min(fitting, key=lambda h: (h.vcpus_used / max(1, h.vcpus), h.host_id)).host_id
