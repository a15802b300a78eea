"""Prefers the fullest host, so that whole hosts stay free for large instances (or can be switched
off)."""

from controller.compute.scheduling.model import Ask, Candidate
from controller.compute.scheduling.weighers import spread


def weigh(host: Candidate, ask: Ask) -> float:
    return -spread.weigh(host, ask)
