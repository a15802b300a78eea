"""Hosts of the zones asked for only."""

from controller.compute.scheduling.model import Ask, Candidate
from controller.hosts.overcommit import Settings


def refuses(host: Candidate, ask: Ask, settings: Settings) -> str:
    wanted = ask.availability_zones
    return "in another availability zone" if wanted and host.availability_zone not in wanted else ""
