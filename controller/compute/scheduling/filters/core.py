"""Hosts with vCPUs left, oversold by ``cpu_ratio`` at most."""

from controller.compute.scheduling.model import Ask, Candidate
from controller.hosts.overcommit import Settings


def refuses(host: Candidate, ask: Ask, settings: Settings) -> str:
    fits = host.vcpus_used + ask.vcpus <= host.vcpus * settings.cpu_ratio
    return "" if fits else "short of vCPUs"
