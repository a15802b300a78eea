"""Hosts with memory left, oversold by ``ram_ratio`` at most."""

from controller.compute.scheduling.model import Ask, Candidate
from controller.hosts.overcommit import Settings


def refuses(host: Candidate, ask: Ask, settings: Settings) -> str:
    fits = host.memory_mib_used + ask.memory_mib <= host.memory_mib * settings.ram_ratio
    return "" if fits else "short of memory"
