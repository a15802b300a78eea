"""When hosts were last heard of, and what becomes of those that say nothing.

    Hearing       since when each host is heard, or is silent, as this process has seen it
    Waits         how long something has been waited for, as this process has seen it
    HostHealth    reconcile task: hosts that say nothing become silent, then lost

All durations are taken on a clock that never goes back: what the wall's clock does, to this process
or between two, makes nobody silent and nothing overdue. A controller that has just started has
heard nobody yet: silence counts from its start at the earliest.
"""

import threading
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, replace
from typing import Generic, NamedTuple, TypeVar

from controller.config import HostsConfig
from controller.kernel.call import ITSELF, Call
from controller.kernel.database import Database, Session
from controller.kernel.rows import columns
from controller.tables.hosts import Host

K = TypeVar("K", bound=Hashable)


@dataclass(frozen=True)
class Voice:
    """A host's reports. number: of the newest. heard: whether one came since this process began;
    else the other two are when that was."""

    number: tuple[int, int] = (0, 0)  # its epoch and sequence
    heard: bool = False
    last: int = 0
    since: int = 0  # it has not been silent since


@dataclass(frozen=True)
class Wait:
    """since: when it was first seen. is_older: it was there when this process began."""

    since: int
    is_older: bool


class Waits(Generic[K]):
    """``clock``: milliseconds, never goes back."""

    def __init__(self, clock: Callable[[], int]):
        self._clock = clock
        self._known: dict[K, Wait] | None = None

    def note(self, keys: Iterable[K]) -> dict[K, Wait]:
        """What is waited for now: each with its wait. What is not among it has come about."""
        known, fresh = self._known or {}, Wait(self._clock(), self._known is None)
        self._known = {key: known.get(key, fresh) for key in keys}
        return self._known


class NumberRow(NamedTuple):
    host_id: str
    epoch: int
    sequence: int


class Hearing:
    """``clock``: milliseconds, never goes back. Any thread may call any method."""

    def __init__(self, db: Database, config: HostsConfig, clock: Callable[[], int]):
        self._config, self._clock = config, clock
        self._lock = threading.Lock()
        self._nobody = Voice(last=clock(), since=clock())
        self._voices: dict[str, Voice] = {}
        with db.read(ITSELF) as session:
            for host in self._numbers(session):
                self._voices[host.host_id] = replace(self._nobody, number=host[1:])

    def heard(self, host_id: str, epoch: int, sequence: int) -> None:
        """A report was taken in."""
        with self._lock:
            now, before = self._clock(), self._voices.get(host_id, self._nobody)
            if before.number == (epoch, sequence):
                return
            silent = not before.heard or now - before.last > self._config.silent_after_ms
            since = now if silent else before.since
            self._voices[host_id] = Voice((epoch, sequence), True, now, since)

    def look(self, session: Session) -> None:
        """Other controllers on this database take reports in as well."""
        for host in self._numbers(session):
            if host.epoch:
                self.heard(*host)

    def silent_ms(self, host_id: str) -> int:
        """How long it has said nothing."""
        return self._clock() - self._voice(host_id).last

    def is_in_vain(self, host_id: str, wait: Wait) -> bool:
        """Nobody waits any more for what was given to a host that is silent. Of a host that was not
        heard since this process began, nobody knows what became of what it had before."""
        limit_ms = self._config.given_up_after_ms
        if not limit_ms or (wait.is_older and not self._voice(host_id).heard):
            return False
        return min(self.silent_ms(host_id), self._clock() - wait.since) > limit_ms

    def takes_longer(self, host_id: str, wait: Wait, limit_ms: int) -> bool:
        """A host that is heard has had more than that time for something."""
        voice = self._voice(host_id)
        if not voice.heard or self.silent_ms(host_id) > self._config.silent_after_ms:
            return False
        return self._clock() - max(wait.since, voice.since) > limit_ms

    def _voice(self, host_id: str) -> Voice:
        with self._lock:
            return self._voices.get(host_id, self._nobody)

    def _numbers(self, session: Session) -> list[NumberRow]:
        return session.rows(Host.select(*columns(NumberRow, Host)), NumberRow)


class HealthRow(NamedTuple):
    host_id: str
    health: str


class HostHealth:
    """The only writer of host.health but for a report, which makes it up again."""

    def __init__(self, db: Database, config: HostsConfig, hearing: Hearing):
        self._db, self._config, self._hearing = db, config, hearing

    def run_once(self, call: Call) -> int:
        """Updates the health of silent hosts; answers how many changed."""
        with self._db.read(call) as session:
            if not self._worse(session):
                return 0
        with self._db.write(call) as tx:
            worse = self._worse(tx)
            for host_id, health in worse.items():
                tx.advance(Host, {"health": health}, Host.host_id == host_id)
            return len(worse)

    def _worse(self, session: Session) -> dict[str, str]:
        """Hosts that are worse than their rows say, and what they are: one step at a time."""
        self._hearing.look(session)
        limits = {
            "up": (self._config.silent_after_ms, "silent"),
            "silent": (self._config.lost_after_ms, "lost"),
        }
        found = {}
        for host in session.rows(Host.select(*columns(HealthRow, Host)), HealthRow):
            limit_ms, worse = limits.get(host.health, (0, host.health))
            if worse != host.health and self._hearing.silent_ms(host.host_id) > limit_ms:
                found[host.host_id] = worse
        return found
