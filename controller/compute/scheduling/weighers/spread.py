"""Prefers the emptiest host: the share of memory and of vCPUs that is free, so that large and small
hosts compare."""

from controller.compute.scheduling.model import Ask, Candidate


def weigh(host: Candidate, ask: Ask) -> float:
    free_memory = 1 - host.memory_mib_used / max(1, host.memory_mib)
    free_vcpus = 1 - host.vcpus_used / max(1, host.vcpus)
    return free_memory + free_vcpus
