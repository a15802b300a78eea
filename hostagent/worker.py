"""One instance. Each step looks at the guest, does the one thing that the table says, and tells
when to look again.

    worker = Worker("i-1", ledger, drivers, limits, clock)
    worker.step(now) -> when to step again (on now's scale); None: when something happens

``now`` is milliseconds of a clock that never goes back, ``clock`` the wall's, for stamps. No
thread, no gRPC and no waiting in here: what takes long (a guest that shuts down, an image on its
way) is waited for by coming back. Called by the agenda, never twice at once for one instance. All
progress is in the ledger; what a worker remembers beside it (when the guest was asked) may be lost
at any time, then the guest is asked again.
"""

import logging
from collections.abc import Callable, Sequence

from hostagent.asked import Asked
from hostagent.devices import Devices, DiskPart
from hostagent.drivers import DriverError, NotYet, Power, Unavailable
from hostagent.ledger import Entry, Ledger, Seen, outlives
from hostagent.limits import Limits
from hostagent.nics import NicPart
from hostagent.reach import Reach
from hostagent.reasons import GUEST_SHUTDOWN, PROCESS_ENDED, in_trouble
from hostagent.snapshots.memory import waiting_for
from hostagent.steps import Context, Drivers, Step
from hostagent.steps.domain import plug
from hostagent.steps.order import STEPS
from hostagent.table import Do, Situation, choose, start_of
from protos.cloud.v1 import fleet_pb2
from protos.cloud.v1.fleet_pb2 import (
    ABSENT,
    EXITED,
    FAILED,
    OBSERVED_RUNNING,
    OBSERVED_STOPPED,
    PREPARING,
    STOPPED,
    STOPPING,
)

log = logging.getLogger(__name__)

_AT_REST = (OBSERVED_STOPPED, EXITED, FAILED, ABSENT)
OFF_POLL_MS = 200  # while a guest is held off for its snapshots: that is its users' time


class Worker:
    """See the module's head."""

    def __init__(
        self,
        instance_id: str,
        ledger: Ledger,
        drivers: Drivers,
        limits: Limits,
        clock: Callable[[], int],
        checkpoint: Callable[[str], None] = lambda name: None,
        steps: Sequence[Step] = STEPS,
    ):
        self.instance_id, self._ledger = instance_id, ledger
        self._on, self._limits = drivers, limits
        self._clock, self._checkpoint, self._steps = clock, checkpoint, steps
        self._intent: tuple = ()  # what the memory below is about
        self._asked = Asked(limits)
        self._retry_at = 0
        self._trying_since: int | None = None
        self._calm_since: int | None = None
        self._audited_at: int | None = None
        self._reach = Reach(drivers.network, limits, clock)
        self._devices = Devices([DiskPart(drivers, limits), NicPart(drivers, limits)], limits)
        self._down = False  # taken down whole since this process began

    def step(self, now: int) -> int | None:
        """Comes one thing nearer to what should be. Raises nothing that a driver may raise."""
        entry = self._ledger.get(self.instance_id)
        if entry is None or entry.progress.observed == ABSENT:
            return None  # forgotten, or nothing left but to be acknowledged
        if _intent(entry.spec) != self._intent:
            self._begin_anew(entry.spec)
        if now < self._retry_at:
            return self._retry_at
        do = None
        try:
            power = self._on.hypervisor.power(self.instance_id)
            do = choose(self._situation(entry, power, now))
            return _ACTIONS[do](self, entry, power, now)
        except NotYet as wait:
            return self._wait_for(entry, wait, now)
        except DriverError as failure:
            return self._retry(entry, do, failure, now)
        except Exception as bug:
            log.exception("%s: a defect in the agent while it did %s", self.instance_id, do)
            return self._retry(entry, do, DriverError(f"defect in the agent: {bug!r}"), now)

    # -- looking -------------------------------------------------------------------------------

    def _begin_anew(self, spec: fleet_pb2.InstanceSpec) -> None:
        """Something else is wanted: earlier questions to the guest and pauses are void."""
        self._intent = _intent(spec)
        self._asked.forget()
        self._trying_since, self._retry_at = None, 0
        self._down = False

    def _situation(self, entry: Entry, power: Power, now: int) -> Situation:
        spec, progress, asked = entry.spec, entry.progress, self._asked
        return Situation(
            desired=spec.desired,
            power=power,
            begun=progress.started >= start_of(spec),
            spent=progress.ended >= start_of(spec),
            rebooting=entry.is_rebooting,
            reboot_seen=entry.is_rebooting
            and bool(asked)
            and self._on.hypervisor.reboot_seen(self.instance_id),
            machine_rebooted=progress.boot_id != self._ledger.boot_id,
            asked=asked.is_recent(now),
            overdue=asked.is_overdue(spec, now),
            forced=spec.force_stop,
            graceful=any(map(outlives, spec.disks)),
            wanted_off=progress.started > 0 and self._is_wanted_off(),  # else nothing is made yet
        )

    def _is_wanted_off(self) -> bool:
        return bool(waiting_for(self._ledger.snapshots.all(), self.instance_id))

    def _note(self, entry: Entry, seen: Seen | None = None, **changes) -> None:
        before = entry.progress.observed
        if seen is not None and seen.observed in _AT_REST:  # all of it comes with the next start
            changes |= {"devices_generation": entry.spec.generation, "device_failures": ()}
            changes["network_generation"] = entry.spec.generation
        if self._ledger.note(
            self.instance_id,
            seen,
            generation=entry.spec.generation,
            now_ms=self._clock(),
            **changes,
        ):
            if seen is not None and seen.observed != before:
                state = fleet_pb2.Observed.Name(seen.observed).lower()
                log.info("%s is %s %s", self.instance_id, state, seen.message)
            self._checkpoint(f"worker: noted {self.instance_id}")

    # -- running -------------------------------------------------------------------------------

    def _bring_up(self, entry: Entry, power: Power, now: int) -> int | None:
        """All steps from the first. Stops between two where something else was told meanwhile."""
        if self._trying_since is None:
            self._trying_since = now
        alive = power is Power.RUNNING
        if entry.progress.observed != PREPARING and not alive and not entry.is_seen_through:
            self._note(entry, Seen(PREPARING))
        ctx = Context(entry.spec, self._on, alive=alive)
        for step in self._steps:
            latest = self._ledger.get(self.instance_id)
            if latest is None or latest.spec.desired != entry.spec.desired:
                return now
            self._checkpoint(f"step: {step.name} {self.instance_id}")
            step.ensure(ctx)
        self._checkpoint(f"step: done {self.instance_id}")
        still_to_go_off = self._is_wanted_off()
        self._note(
            entry,
            Seen(OBSERVED_RUNNING),
            started=start_of(entry.spec),
            reboots_done=entry.progress.reboots_done if still_to_go_off else entry.spec.reboots,
            attempts=0,
            boot_id=self._ledger.boot_id,
            network_generation=entry.spec.generation,
            **self._reach.begin(entry.spec, now),
            **({} if alive else self._devices.begin(entry.spec, now)),
        )
        self._trying_since = None
        self._asked.forget()
        self._calm_since = self._audited_at = now
        return min(now + self._limits.audit_ms, self._reach.due, self._devices.due)

    def _restart(self, entry: Entry, power: Power, now: int) -> int | None:
        """Clears away a dead domain, so that the next step brings it up. Crashes in a row pause."""
        progress = entry.progress
        died = (
            progress.started >= start_of(entry.spec)
            and power in (Power.CRASHED, Power.OFF)
            and progress.boot_id == self._ledger.boot_id
            and not entry.is_rebooting
        )
        crashes = progress.crashes + 1 if died else progress.crashes
        if crashes > self._limits.crashes:
            failure = DriverError(
                f"the guest's process ended unasked {crashes} times", transient=False
            )
            return self._give_up(entry, failure)
        preparing = PROCESS_ENDED if died else Seen(PREPARING)
        self._note(
            entry,
            None if entry.is_seen_through else preparing,
            started=start_of(entry.spec) - 1,
            crashes=crashes,
        )
        self._walk_back(entry.spec)
        if died and crashes > 1:
            self._retry_at = now + self._limits.backoff(crashes - 1)
            return self._retry_at
        return now

    def _resume(self, entry: Entry, power: Power, now: int) -> int | None:
        """A guest that ran and is paused: QEMU does it when its disk is full, or an operator."""
        self._on.hypervisor.resume(self.instance_id)
        self._retry_at = now + self._limits.poll_ms
        return self._retry_at

    def _keep(self, entry: Entry, power: Power, now: int) -> int | None:
        progress = entry.progress
        if self._calm_since is None:
            self._calm_since = now
        if progress.crashes and now - self._calm_since >= self._limits.calm_ms:
            self._note(entry, crashes=0)
        if changes := self._reach.look(entry, now):
            self._note(entry, **changes)
        due = now if self._audited_at is None else self._audited_at + self._limits.audit_ms
        news = (
            progress.seen != Seen(OBSERVED_RUNNING)
            or progress.generation < entry.spec.intent_generation
        )
        if news or due <= now:
            plug(Context(entry.spec, self._on, alive=True))
            self._note(entry, Seen(OBSERVED_RUNNING) if news else None, attempts=0)
            self._audited_at, due = now, now + self._limits.audit_ms
        changes = self._devices.look(entry, now)
        try:
            changes |= self._surround(entry)
        finally:
            if changes:  # seen under this generation: failures, too
                self._note(entry, Seen(OBSERVED_RUNNING), **changes)
        return min(due, self._reach.due, self._devices.due)

    def _surround(self, entry: Entry) -> dict[str, object]:
        """Its VPCs are what they should be by its newest spec, and with them the metadata service:
        what is new of that, as the ledger notes it.
        """
        spec = entry.spec
        if entry.progress.network_generation >= spec.generation:
            return {}
        for vpc_id in Context(spec, self._on).vpc_ids:
            self._on.vpcs.ensure(vpc_id)
        return {"network_generation": spec.generation}

    def _note_exit(self, entry: Entry, power: Power, now: int) -> None:
        self._note(entry, GUEST_SHUTDOWN, ended=start_of(entry.spec))

    def _hold(self, entry: Entry, power: Power, now: int) -> None:
        """EXITED or FAILED stands, until the controller says stopped, terminated or a new start."""
        self._note(entry, entry.progress.seen)

    def _reboot(self, entry: Entry, power: Power, now: int) -> int | None:
        self._on.hypervisor.reboot(self.instance_id)
        return self._asked.note(entry.spec, now)

    def _note_reboot(self, entry: Entry, power: Power, now: int) -> int | None:
        self._note(entry, reboots_done=entry.spec.reboots, **self._reach.begin(entry.spec, now))
        self._asked.forget()
        return now

    def _reset(self, entry: Entry, power: Power, now: int) -> int | None:
        log.info("%s did not listen, it is reset", self.instance_id)
        self._on.hypervisor.reset(self.instance_id)
        return self._note_reboot(entry, power, now)

    def _stay_off(self, entry: Entry, power: Power, now: int) -> int | None:
        """The workers of its snapshots freeze its volumes."""
        return now + OFF_POLL_MS

    # -- stopping ------------------------------------------------------------------------------

    def _shut_down(self, entry: Entry, power: Power, now: int) -> int | None:
        self._note_stopping(entry)
        self._on.hypervisor.shut_down(self.instance_id)
        return self._asked.note(entry.spec, now)

    def _note_stopping(self, entry: Entry) -> None:
        if entry.spec.desired != fleet_pb2.RUNNING:  # else it comes again
            self._note(entry, Seen(STOPPING))

    def _wait(self, entry: Entry, power: Power, now: int) -> int | None:
        return self._asked.wait(entry.spec, now)

    def _power_off(self, entry: Entry, power: Power, now: int) -> int | None:
        self._note_stopping(entry)
        self._on.hypervisor.power_off(self.instance_id)
        return now

    def _take_down(self, entry: Entry, power: Power, now: int) -> None:
        """Domain and taps go, disks stay. Of a start that failed half-way, the failure stands."""
        if not self._down or power is not Power.NONE:
            self._walk_back(entry.spec, stopping=entry.spec.desired == STOPPED)
            self._down = True
        if entry.spec.desired == STOPPED:
            self._note(entry, Seen(OBSERVED_STOPPED), attempts=0, crashes=0)

    def _tear_down(self, entry: Entry, power: Power, now: int) -> None:
        if entry.progress.observed != STOPPING:
            self._note(entry, Seen(STOPPING))
        self._walk_back(entry.spec, ending=True)
        self._note(entry, Seen(ABSENT), attempts=0)

    def _walk_back(
        self, spec: fleet_pb2.InstanceSpec, *, ending: bool = False, stopping: bool = False
    ) -> None:
        """Every undo, backwards, whatever the others say; then the first failure is raised."""
        ctx = Context(spec, self._on, ending=ending, stopping=stopping)
        failures: list[DriverError | NotYet] = []
        for step in reversed(self._steps):
            self._checkpoint(f"step: undo {step.name} {self.instance_id}")
            try:
                step.undo(ctx)
            except NotYet as wait:
                failures.append(wait)
            except DriverError as failure:
                log.warning("%s: undo of %s: %s", self.instance_id, step.name, failure)
                failures.append(failure)
        self._checkpoint(f"step: undone {self.instance_id}")
        if failures:
            raise failures[0]

    # -- failing -------------------------------------------------------------------------------

    def _wait_for(self, entry: Entry, wait: NotYet, now: int) -> int | None:
        if isinstance(wait, Unavailable):
            self._trying_since = None  # the time is neither the launch's
            self._devices.count_anew()  # nor the guest's
        if self._out_of_time(now):
            return self._give_up(entry, DriverError(f"took too long: {wait.progress}"))
        return min(now + wait.retry_ms, (self._trying_since or now) + self._limits.bring_up_ms)

    def _out_of_time(self, now: int) -> bool:
        since = self._trying_since
        return since is not None and now - since >= self._limits.bring_up_ms

    def _retry(self, entry: Entry, do: Do | None, failure: DriverError, now: int) -> int | None:
        """What failed is tried again after a pause; a bring-up not for ever, a tear-down always."""
        if do is None:  # nobody knows what the guest does: that is nobody's attempt
            self._retry_at = now + self._limits.backoff_ms
            return self._retry_at
        attempts = entry.progress.attempts + 1
        log.warning("%s: %s, try %d: %s", self.instance_id, do.name, attempts, failure)
        over = attempts >= self._limits.attempts or self._out_of_time(now)
        if do is Do.BRING_UP and (over or not failure.transient):
            return self._give_up(entry, failure)
        lame = in_trouble(OBSERVED_RUNNING, failure)
        self._note(entry, lame if do is Do.KEEP else None, attempts=attempts)
        self._retry_at = now + self._limits.backoff(attempts)
        return self._retry_at

    def _give_up(self, entry: Entry, failure: DriverError) -> None:
        """This start has failed. What it left is cleared, as far as that goes; the rest waits for a
        stop or a termination, which the controller orders for what has failed.
        """
        try:
            self._walk_back(entry.spec)
        except (DriverError, NotYet) as another:
            log.warning("%s: left half-made: %s", self.instance_id, another)
        self._note(
            entry,
            in_trouble(FAILED, failure, entry.spec),
            ended=start_of(entry.spec),
            attempts=0,
            crashes=0,
        )


_ACTIONS: dict[Do, Callable[[Worker, Entry, Power, int], int | None]] = {
    Do.HOLD: Worker._hold,
    Do.KEEP: Worker._keep,
    Do.WAIT: Worker._wait,
    Do.BRING_UP: Worker._bring_up,
    Do.RESTART: Worker._restart,
    Do.RESUME: Worker._resume,
    Do.NOTE_EXIT: Worker._note_exit,
    Do.REBOOT: Worker._reboot,
    Do.RESET: Worker._reset,
    Do.NOTE_REBOOT: Worker._note_reboot,
    Do.STAY_OFF: Worker._stay_off,
    Do.SHUT_DOWN: Worker._shut_down,
    Do.POWER_OFF: Worker._power_off,
    Do.TAKE_DOWN: Worker._take_down,
    Do.TEAR_DOWN: Worker._tear_down,
}


def _intent(spec: fleet_pb2.InstanceSpec) -> tuple:
    return spec.desired, spec.intent_generation, spec.starts, spec.reboots, spec.force_stop
