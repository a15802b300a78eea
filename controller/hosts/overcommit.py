"""How far hosts may be oversold, as the operator set it. Pure."""

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
