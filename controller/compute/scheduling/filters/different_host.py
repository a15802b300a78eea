"""Not the hosts of the instances that the hint ``different_host`` names."""

from controller.compute.scheduling.model import Ask, Candidate
from controller.hosts.overcommit import Settings


def refuses(host: Candidate, ask: Ask, settings: Settings) -> str:
    return "to be avoided (different_host)" if host.host_id in ask.different_host else ""
