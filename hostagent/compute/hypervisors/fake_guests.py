"""The guests of the fake hypervisor: what they are, and what becomes of them.

A part of FakeHypervisor (fake.py), which says how time passes and where guests live.
"""

import json
import math
import random
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hostagent.compute.drivers import Power
from hostagent.kernel.errors import DriverError, Unavailable
from hostagent.storage.volumes.fake import FakeVolumes
from protos.cloud.v1 import fleet_pb2
from protos.config import NotNegative, Probability, Section
from protos.files import write_whole

LIVING = (Power.PAUSED.value, Power.RUNNING.value, Power.SHUTTING_DOWN.value)


class Faults(Section, frozen=True):
    """Probabilities of what goes wrong, each time that it could; delays in ms. Config: [faults]."""

    create_fails: Probability = 0.0  # the domain cannot be made this time (transient)
    never_works: Probability = 0.0  # ... and never will (an instance is cursed or is not)
    call_fails: Probability = 0.0  # any other call: the daemon fails this time
    away: Probability = 0.0  # any call: the daemon goes away, and is back after away_ms
    commit_fails: Probability = 0.0  # layers that were being committed are not
    crash: Probability = 0.0  # a guest that was let go dies within crash_ms
    powers_off: Probability = 0.0  # a guest that was let go powers itself off within crash_ms
    deaf: Probability = 0.0  # a guest never listens to ACPI
    lost_event: Probability = 0.0
    forgets: Probability = 0.0  # the daemon dies as it plugs in a device, which nobody knows of
    crash_ms: NotNegative = 60_000
    away_ms: NotNegative = 40_000
    shutdown_ms: NotNegative = 20  # what a guest that listens takes to go down, or to come again


@dataclass
class FakeDisk:
    """A guest's disk. ``path`` "": another host serves it. ``committing``: the lowest and the
    highest layer of a commit that is done after ``looks`` more looks; empty: none goes on.
    """

    path: str
    size_bytes: int
    iops: int
    throughput_mibps: int
    committing: list[int] = field(default_factory=list)
    looks: int = 0


@dataclass
class Guest:
    """A domain that is not there. ``next_power`` comes at ``next_at`` (ms)."""

    power: str
    deaf: bool = False
    next_power: str = ""
    next_at: int = 0
    reboots: int = 0
    console: str = ""
    nics: list[str] = field(default_factory=list)
    disks: dict[str, FakeDisk] = field(default_factory=dict)  # by volume
    forgotten: list[str] = field(default_factory=list)  # ids of disks and nics


class FakeState:
    """The guests of one machine. With ``path`` they outlive the process, but not the machine's
    boot. ``away_until`` (ms) is when its daemon is back; None: it is there.
    """

    def __init__(self, path: Path | None = None, boot_id: str = ""):
        self.guests: dict[str, Guest] = {}
        self.away_until: float | None = None
        self._path, self._boot_id = path, boot_id
        if path is not None and path.exists():
            kept = json.loads(path.read_text())
            self.guests = {name: _guest(guest) for name, guest in kept["guests"].items()}
            if kept["boot_id"] != boot_id:
                self.lose_power()

    def lose_power(self) -> None:
        """What a power failure of the machine leaves: definitions."""
        for guest in self.guests.values():
            guest.power, guest.next_power = Power.OFF.value, ""
        self.away_until = None
        self.keep()

    def keep(self) -> None:
        if self._path is None:
            return
        guests = {name: asdict(guest) for name, guest in self.guests.items()}
        write_whole(self._path, json.dumps({"boot_id": self._boot_id, "guests": guests}))


def _guest(kept: dict[str, Any]) -> Guest:
    disks = {name: FakeDisk(**disk) for name, disk in kept["disks"].items()}
    return Guest(**{**kept, "disks": disks})


def _never(delay_ms: int, call: Callable[[], None]) -> None:
    """No timer: changes are seen when somebody looks."""


class FakeGuests:
    """See FakeHypervisor. Thread-safe."""

    def __init__(
        self,
        clock: Callable[[], int],
        rng: random.Random,
        faults: Faults | None = None,
        state: FakeState | None = None,
        later: Callable[[int, Callable[[], None]], None] = _never,
        facts: fleet_pb2.HostFacts | None = None,
        volumes: FakeVolumes | None = None,
        served_bytes: Callable[[str], int] | None = None,
    ):
        self._volumes, self._served_bytes = volumes, served_bytes
        self._clock, self._rng, self._later = clock, rng, later
        self.faults = faults or Faults()
        self.state = state or FakeState()
        self._facts = facts or fleet_pb2.HostFacts(
            hypervisor="fake", vcpus=64, memory_mib=256 * 1024, architecture="x86_64"
        )
        self._lock = threading.RLock()
        self._on_change: Callable[[str], None] = lambda name: None
        self._reboots_before: dict[str, int] = {}
        self._cursed: dict[str, bool] = {}

    # -- what a test or a simulation does to it ------------------------------------------------

    def leave(self, duration_ms: float = math.inf) -> None:
        """The daemon goes away for so long, or until ``come_back``; guests run on."""
        self.state.away_until = self._clock() + duration_ms
        if duration_ms < math.inf:
            self._later(int(duration_ms), self.tick)

    def come_back(self) -> None:
        self.state.away_until = min(self._clock(), self.state.away_until or 0)
        self.tick()

    def crash(self, instance_id: str) -> None:
        """QEMU dies."""
        self._end(instance_id, Power.CRASHED)

    def power_off_inside(self, instance_id: str) -> None:
        """The guest's own doing."""
        self._end(instance_id, Power.EXITED)

    def lose_power(self) -> None:
        """The machine's; whoever watched is gone with it."""
        with self._lock:
            self.state.lose_power()
            self._on_change = lambda name: None

    def next_due(self) -> int | None:
        """When a guest changes by itself, or the daemon is back (clock's ms); None: not unless
        something is done."""
        due = [guest.next_at for guest in self.state.guests.values() if guest.next_power]
        if self.state.away_until not in (None, math.inf):
            due.append(int(self.state.away_until))
        return min(due, default=None)

    def tick(self) -> None:
        """Lets happen what is due by now, and tells whoever watches."""
        with self._lock:
            for name in sorted(self.state.guests):
                self._guest(name)
            if self.state.away_until is not None and not self.away():
                self.state.away_until = None
                self._on_change("")

    # -- for the hypervisor, which holds the lock ----------------------------------------------

    def away(self) -> str:
        until = self.state.away_until
        return "" if until is None or until <= self._clock() else "the fake hypervisor is away"

    def _guest(self, instance_id: str) -> Guest | None:
        """The guest as it is by now."""
        guest = self.state.guests.get(instance_id)
        if guest and guest.next_power and guest.next_at <= self._clock():
            reboots = guest.next_power == Power.RUNNING.value
            guest.reboots += reboots
            if reboots:
                self._write_console(guest, f"\n{instance_id} login: ")
            guest.power, guest.next_power = guest.next_power, ""
            self._changed(instance_id)
        return guest

    def _lives(self, guest: Guest) -> bool:
        return guest.power in LIVING

    def _alive(self, instance_id: str) -> Guest:
        guest = self._guest(instance_id)
        if guest is None or guest.power not in LIVING:
            raise DriverError(f"domain {instance_id} is not running")
        return guest

    def _plan(self, instance_id: str, power: Power, delay_ms: int) -> None:
        guest = self.state.guests[instance_id]
        guest.next_power, guest.next_at = power.value, self._clock() + delay_ms
        self.state.keep()
        self._later(delay_ms, self.tick)

    def _end(self, instance_id: str, power: Power) -> None:
        with self._lock:
            guest = self._alive(instance_id)
            guest.power, guest.next_power = power.value, ""
            self._changed(instance_id)

    def _changed(self, instance_id: str) -> None:
        self.state.keep()
        if not self.away() and not self._happens(self.faults.lost_event):
            self._on_change(instance_id)

    def _check_there(self) -> None:
        if not self.away() and self._happens(self.faults.away):
            self.leave(self.faults.away_ms)
        if why := self.away():
            raise Unavailable(why)

    def _maybe_fail(self) -> None:
        self._check_there()
        if self._happens(self.faults.call_fails):
            raise DriverError("the hypervisor failed")

    def _happens(self, probability: float) -> bool:
        return probability > 0 and self._rng.random() < probability

    def _write_console(self, guest: Guest, text: str) -> None:
        if guest.console:
            with open(guest.console, "a") as console:
                console.write(text)
