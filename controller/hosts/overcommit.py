"""How far hosts may be oversold, as the operator set it, and how much room that leaves. Pure."""

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class Settings:
    """How far hosts may be oversold, and which hosts and images keep to themselves (config
    ``[scheduler]``)."""

    cpu_ratio: float = 16.0
    ram_ratio: float = 1.5
    disk_ratio: float = 1.0
    isolated_hosts: frozenset[str] = frozenset()  # names
    isolated_images: frozenset[str] = frozenset()  # image ids


class HostUse(NamedTuple):
    """What a host has, and what is claimed of it."""

    availability_zone: str
    vcpus: int
    vcpus_used: int
    memory_mib: int
    memory_mib_used: int
    disk_gib: int
    disk_gib_used: int


class Size(NamedTuple):
    """What an instance type takes, with the root disk that it has by default."""

    name: str
    vcpus: int
    memory_mib: int
    default_disk_gib: int


def room(host: HostUse, kind: Size, settings: Settings) -> tuple[int, int]:
    """(how many more fit, how many would if the host were empty), as the claim counts them.

    A host that has shrunk below what is used of it has room for none.
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
