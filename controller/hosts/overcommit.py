"""How far hosts may be oversold, as the operator set it, and how much room that leaves. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """How far hosts may be oversold, and which hosts and images keep to themselves (config
    ``[scheduler]``)."""

    cpu_ratio: float = 16.0
    ram_ratio: float = 1.5
    disk_ratio: float = 1.0
    isolated_hosts: frozenset[str] = frozenset()  # names
    isolated_images: frozenset[str] = frozenset()  # image ids


def room(host, kind, settings: Settings) -> tuple[int, int]:
    """(how many more fit, how many would if the host were empty), as the claim counts them.

    ``host``: what it has and what is used of it; ``kind``: an instance type with the root disk that
    it has by default. A host that has shrunk below what is used of it has room for none.
    """
    counts = [
        (max(0, limit - used) // asked, limit // asked)
        for total, used, asked, ratio in (
            (host.vcpus, host.vcpus_used, kind.vcpus, settings.cpu_ratio),
            (host.memory_mib, host.memory_mib_used, kind.memory_mib, settings.ram_ratio),
            (host.disk_gib, host.disk_gib_used, kind.default_disk_gib, settings.disk_ratio),
        )
        if asked
        for limit in (total * round(ratio * 1000) // 1000,)
    ]
    return min(free for free, _ in counts), min(most for _, most in counts)
