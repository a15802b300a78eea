"""Isolated images run on isolated hosts only, and isolated hosts run nothing else."""

from controller.compute.scheduling.model import Ask, Candidate
from controller.hosts.overcommit import Settings


def refuses(host: Candidate, ask: Ask, settings: Settings) -> str:
    host_isolated = host.name in settings.isolated_hosts
    if host_isolated == (ask.image_id in settings.isolated_images):
        return ""
    return "kept for other images" if host_isolated else "not among the image's isolated hosts"
