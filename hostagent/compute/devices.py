"""The devices of one running guest, made those of its spec: attached, let go of, grown, limited.

    devices.look(entry, now) -> {...}    what is new of it, as the ledger notes it; mostly nothing
    devices.due                          when to look again

    wanted, not there    made where it is not here yet, attached
    there, not wanted    the guest is asked to let go, again every ask_again_ms; after detach_ms
                         that is a failure (busy), and it is asked on
    untracked            as one that is not wanted, and then given anew where it is
    both                 grown and limited where the spec says other than the guest has

``devices_revision`` becomes the spec's when every device is as it should be, or is named in
``device_failures``. Nothing waits in here. Called by the worker for a guest that runs; one that
does not gets all of it with its next start. What is remembered (since when a guest is asked) may be
lost: it is then asked anew. Each of the ``parts`` sees to its own devices: ``disks``, ``nics``.
"""

import functools
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from hostagent.compute.drivers import GuestNic
from hostagent.compute.host import Drivers
from hostagent.compute.limits import Limits
from hostagent.compute.progress import Changes, DeviceFailure, Instance
from hostagent.kernel.errors import DriverError, NotYet
from hostagent.storage.drivers import GuestDisk
from protos.cloud.v1 import fleet_pb2

log = logging.getLogger(__name__)

Have = TypeVar("Have", GuestDisk, GuestNic)
Want = TypeVar("Want")


@dataclass
class Round:
    """What one look comes to. ``due`` is when something that is under way may have happened."""

    now: int
    failures: list[DeviceFailure] = field(default_factory=list)
    due: int | None = None
    done: bool = True

    def wait(self, until: int) -> None:
        """Something is not as it should be yet, and may be by then."""
        self.done = False
        self.look_again(until)

    def look_again(self, when: int) -> None:
        self.due = when if self.due is None else min(self.due, when)


class Part(Protocol):
    """All devices of one sort: disks, or interfaces."""

    def reconcile(self, spec: fleet_pb2.InstanceSpec, round: Round) -> None:
        """Brings the guest's devices of this kind nearer to the spec's. Raises DriverError where it
        cannot even look.
        """

    def count_anew(self) -> None:
        """The guest could not be asked for a while: its time to let go begins again."""


class Devices:
    """See the module's head."""

    def __init__(self, parts: Sequence[Part], limits: Limits):
        self._parts, self._limits = parts, limits
        self._revision = 0  # that the last look was about
        self._quiet = False
        self.due = 0

    def look(self, entry: Instance, now: int) -> Changes:
        """Does nothing before it is ``due``, or the spec changes, or while the guest may be about
        to let go of something.
        """
        spec, known = entry.spec, entry.progress
        if self._quiet and now < self.due and entry.revision == self._revision:
            return {}
        round = Round(now)
        for part in self._parts:
            part.reconcile(spec, round)
        self._revision = entry.revision
        self._quiet = round.done and not round.failures
        audit = now + self._limits.audit_ms
        self.due = audit if round.due is None else min(round.due, audit)
        changes: Changes = {}
        if tuple(round.failures) != known.device_failures:
            changes["device_failures"] = tuple(round.failures)
        if round.done and known.devices_revision < entry.revision:
            changes["devices_revision"] = entry.revision
        return changes

    def count_anew(self) -> None:
        """See Part."""
        for part in self._parts:
            part.count_anew()

    def begin(self, entry: Instance, now: int) -> Changes:
        """The guest was just made with all that its spec says."""
        self._revision, self._quiet = entry.revision, True
        self.due = now + self._limits.audit_ms
        return {"devices_revision": entry.revision, "device_failures": ()}


@dataclass(frozen=True)
class _Trouble:
    """Tries in vain with one device."""

    tries: int
    next_try: int
    message: str
    lasting: bool


class DevicePart(ABC, Generic[Have, Want]):
    """What the parts have in common; the last four methods are each part's own."""

    def __init__(self, on: Drivers, limits: Limits):
        self._on, self._limits = on, limits
        self._requests: dict[str, tuple[int, int]] = {}  # id -> first and last asked to let go
        self._troubles: dict[str, _Trouble] = {}

    def reconcile(self, spec: fleet_pb2.InstanceSpec, round: Round) -> None:
        there, wanted = self._there(spec.instance_id), self._wanted(spec)
        untracked = {name for name, have in there.items() if have.untracked}
        leaving = sorted(there.keys() - wanted.keys() | untracked)
        self._requests = {name: when for name, when in self._requests.items() if name in leaving}
        for name in self._troubles.keys() - wanted.keys() - set(leaving):
            del self._troubles[name]
        for name in leaving:
            self._try(name, round, functools.partial(self._let_go, spec, name, round))
        for name, device in wanted.items():
            if name in untracked:
                continue
            reconcile = functools.partial(self._give, spec.instance_id, device, there.get(name))
            self._try(name, round, reconcile, self._tries(device))

    def count_anew(self) -> None:
        self._requests.clear()

    def _try(
        self, name: str, round: Round, act: Callable[[], None], tries_most: int | None = None
    ) -> None:
        """What fails is tried again after a pause; what fails again and again is reported too."""
        trouble = self._troubles.get(name)
        if trouble is None or round.now >= trouble.next_try:
            try:
                act()
                self._troubles.pop(name, None)
                return
            except NotYet as wait:
                round.wait(round.now + wait.retry_ms)
                return
            except DriverError as failure:
                tries = trouble.tries + 1 if trouble else 1
                pause = self._limits.backoff(tries)
                trouble = _Trouble(tries, round.now + pause, str(failure), not failure.transient)
                self._troubles[name] = trouble
                log.warning("%s: try %d: %s", name, tries, failure)
        if trouble.lasting or trouble.tries >= (tries_most or self._limits.device_attempts):
            round.failures.append(DeviceFailure(name, trouble.message))
            round.look_again(trouble.next_try)
        else:
            round.wait(trouble.next_try)

    def _let_go(self, spec: fleet_pb2.InstanceSpec, name: str, round: Round) -> None:
        now, limits = round.now, self._limits
        first, last = self._requests.get(name, (now, None))
        if last is None or now - last >= limits.ask_again_ms:
            self._ask(spec.instance_id, name)
            last = now
        self._requests[name] = (first, last)
        limit = limits.force_ms if name in spec.forced_device_ids else limits.detach_ms
        if now - first < limit:
            round.wait(min(now + limits.poll_ms, first + limit))
            return
        message = f"the guest has not let go of it within {limit // 1000} s; a stop takes it away"
        round.failures.append(DeviceFailure(name, message, busy=True))
        round.look_again(last + limits.ask_again_ms)

    def _tries(self, device: Want) -> int:
        """After how many in vain it is said that one cannot be given."""
        return self._limits.device_attempts

    @abstractmethod
    def _there(self, instance_id: str) -> Mapping[str, Have]:
        """By id, as the guest has them."""

    @abstractmethod
    def _wanted(self, spec: fleet_pb2.InstanceSpec) -> Mapping[str, Want]:
        """By id, in the order in which they are given."""

    @abstractmethod
    def _ask(self, instance_id: str, name: str) -> None:
        """Asks the guest to let go of one."""

    @abstractmethod
    def _give(self, instance_id: str, device: Want, have: Have | None) -> None:
        """Attaches it where the guest has none, else makes it what the spec says."""
