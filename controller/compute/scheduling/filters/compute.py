"""Hosts that are up and whose hypervisor runs the instance's architecture."""

from controller.compute.scheduling.model import Ask, Candidate
from controller.hosts.overcommit import Settings

RUNS = {"x86_64": {"x86_64", "i386"}, "aarch64": {"arm64"}, "arm64": {"arm64"}}


def refuses(host: Candidate, ask: Ask, settings: Settings) -> str:
    if host.health != "up":
        return host.health
    if not host.hypervisor:
        return "without a hypervisor"
    if ask.architecture not in RUNS.get(host.architecture, {host.architecture}):
        return f"unable to run {ask.architecture}"
    return ""
