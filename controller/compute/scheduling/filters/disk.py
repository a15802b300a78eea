"""Hosts with disk space left, oversold by ``disk_ratio`` at most."""

from controller.compute.scheduling.model import Ask, Candidate
from controller.hosts.overcommit import Settings


def refuses(host: Candidate, ask: Ask, settings: Settings) -> str:
    fits = host.disk_gib_used + ask.disk_gib <= host.disk_gib * settings.disk_ratio
    return "" if fits else "short of disk space"
