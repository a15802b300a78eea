"""Only the hosts of the instances that the hint ``same_host`` names."""

from controller.compute.scheduling.model import Ask, Candidate
from controller.hosts.overcommit import Settings


def refuses(host: Candidate, ask: Ask, settings: Settings) -> str:
    if ask.same_host is None or host.host_id in ask.same_host:
        return ""
    return "not the wanted one (same_host)"
