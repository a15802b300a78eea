"""What the scheduler reasons about: hosts as they were a moment ago, and what is asked for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

T = TypeVar("T")


class Dice(Protocol):
    """What a random.Random can do: it is passed in."""

    def choice(self, seq: Sequence[T]) -> T: ...


@dataclass(frozen=True)
class Candidate:
    """A host in a snapshot."""

    host_id: str
    name: str
    availability_zone: str
    health: str  # up | silent | lost
    hypervisor: str
    architecture: str
    vcpus: int
    memory_mib: int
    disk_gib: int
    vcpus_used: int = 0
    memory_mib_used: int = 0
    disk_gib_used: int = 0
    address: str = ""  # of its agent, where it is an IP address
    has_image: bool = False
    is_away: bool = False  # it is up and its hypervisor is not: what is placed there waits

    def with_one_more(self, ask: "Ask") -> "Candidate":
        """The host as it will be with one more such instance."""
        return replace(
            self,
            vcpus_used=self.vcpus_used + ask.vcpus,
            memory_mib_used=self.memory_mib_used + ask.memory_mib,
            disk_gib_used=self.disk_gib_used + ask.disk_gib,
        )


@dataclass(frozen=True)
class Ask:
    """One instance that looks for a host. Hints name hosts, where instances were named
    (scheduler_hints)."""

    vcpus: int
    memory_mib: int
    disk_gib: int
    architecture: str = "x86_64"
    availability_zones: frozenset[str] = frozenset()  # empty: any
    image_id: str = ""
    different_host: frozenset[str] = frozenset()
    same_host: frozenset[str] | None = None  # None: no such hint
    near_network: str = ""  # "192.0.2.0/24"


@dataclass(frozen=True)
class Proposal:
    """host_ids: one per instance, in order; fewer than asked for where no more fit. refusals: why
    hosts were not taken, reason → number of hosts, counted when the search ended."""

    host_ids: tuple[str, ...]
    refusals: Mapping[str, int] = field(default_factory=dict)

    def explanation(self) -> str:
        """ "3 hosts silent, 2 short of memory", or that there is no host at all."""
        if not self.refusals:
            return "no host has joined"
        ordered = sorted(self.refusals.items(), key=lambda item: (-item[1], item[0]))
        first, *others = [f"{count} {reason}" for reason, count in ordered]
        count, _, reason = first.partition(" ")
        hosts = "host" if count == "1" else "hosts"
        return ", ".join([f"{count} {hosts} {reason}", *others])
