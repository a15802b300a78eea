"""One instance. Each step looks at the guest, does the one thing that the table says, and tells
when to look again.

    worker = InstanceWorker("i-1", ledger, drivers, limits, clock)
    worker.step(now) -> when to step again (on now's scale); None: when something happens

``now`` is milliseconds of a clock that never goes back, ``clock`` the wall's, for stamps. No
thread, no gRPC and no waiting in here: what takes long (a guest that shuts down, an image on its
way) is waited for by coming back. Called by the work queue, never twice at once for one instance.
All progress is in the ledger; what a worker remembers beside it (when the guest was asked) may be
lost at any time, then the guest is asked again.
"""

import logging
from collections.abc import Callable, Sequence
from typing import Unpack

from hostagent.compute.drivers import Power
from hostagent.compute.host import Drivers
from hostagent.compute.limits import Limits
from hostagent.compute.progress import (
    Changes,
    Instance,
    InstanceLedger,
    Seen,
    is_rebooting,
    is_seen_through,
    note,
)
from hostagent.compute.reasons import GUEST_SHUTDOWN, PROCESS_ENDED, in_trouble
from hostagent.compute.running import RunningGuest
from hostagent.compute.shutdown_request import ShutdownRequest
from hostagent.compute.steps import Context, Step
from hostagent.compute.steps.order import STEPS
from hostagent.compute.steps.walk import Walk
from hostagent.compute.table import Do, Situation, choose, start_of
from hostagent.kernel.errors import DriverError, NotYet, Unavailable
from hostagent.storage.snapshots.progress import waiting_for
from hostagent.storage.volumes.disk_specs import outlives
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


class InstanceWorker:
    """See the module's head."""

    def __init__(
        self,
        instance_id: str,
        ledger: InstanceLedger,
        drivers: Drivers,
        limits: Limits,
        clock: Callable[[], int],
        checkpoint: Callable[[str], None] = lambda name: None,
        steps: Sequence[Step] = STEPS,
    ):
        self.instance_id, self._ledger = instance_id, ledger
        self._on, self._limits = drivers, limits
        self._clock, self._checkpoint = clock, checkpoint
        self._intent: tuple[int, ...] = ()  # what the memory below is about
        self._request = ShutdownRequest(limits)
        self._retry_at = 0
        self._trying_since: int | None = None
        self._walk = Walk(instance_id, steps, checkpoint)
        self._running = RunningGuest(drivers, limits, clock, self._note)
        self._down = False  # taken down whole since this process began

    def step(self, now: int) -> int | None:
        """Comes one thing nearer to what should be. Raises nothing that a driver may raise."""
        entry = self._ledger.instances.get(self.instance_id)
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
        self._request.forget()
        self._trying_since, self._retry_at = None, 0
        self._down = False

    def _situation(self, entry: Instance, power: Power, now: int) -> Situation:
        spec, progress, request = entry.spec, entry.progress, self._request
        return Situation(
            desired=spec.desired,
            power=power,
            begun=progress.started >= start_of(spec),
            spent=progress.ended >= start_of(spec),
            rebooting=is_rebooting(entry),
            reboot_seen=is_rebooting(entry)
            and bool(request)
            and self._on.hypervisor.reboot_seen(self.instance_id),
            machine_rebooted=progress.boot_id != self._ledger.boot_id,
            requested=request.is_recent(now),
            overdue=request.is_overdue(spec, now),
            forced=spec.force_stop,
            graceful=any(map(outlives, spec.disks)),
            wanted_off=progress.started > 0 and self._is_wanted_off(),  # else nothing is made yet
        )

    def _is_wanted_off(self) -> bool:
        return bool(waiting_for(self._ledger.snapshots.all(), self.instance_id))

    def _note(self, entry: Instance, seen: Seen | None = None, **changes: Unpack[Changes]) -> None:
        before = entry.progress.observed
        if seen is not None and seen.observed in _AT_REST:  # all of it comes with the next start
            changes |= {"devices_revision": entry.revision, "device_failures": ()}
            changes["network_revision"] = entry.revision
        if note(
            self._ledger.instances,
            self.instance_id,
            seen,
            revision=entry.revision,
            now_ms=self._clock(),
            **changes,
        ):
            if seen is not None and seen.observed != before:
                state = fleet_pb2.Observed.Name(seen.observed).lower()
                log.info("%s is %s %s", self.instance_id, state, seen.message)
            self._checkpoint(f"worker: noted {self.instance_id}")

    # -- running -------------------------------------------------------------------------------

    def _bring_up(self, entry: Instance, power: Power, now: int) -> int | None:
        """All steps from the first. Stops between two where something else was told meanwhile."""
        if self._trying_since is None:
            self._trying_since = now
        alive = power is Power.RUNNING
        if entry.progress.observed != PREPARING and not alive and not is_seen_through(entry):
            self._note(entry, Seen(PREPARING))
        ctx = Context(entry.spec, self._on, alive=alive)
        if not self._walk.forwards(ctx, lambda: self._is_wanted_still(entry)):
            return now
        still_to_go_off = self._is_wanted_off()
        changes = self._running.begin(entry, now, alive=alive)
        changes |= {
            "started": start_of(entry.spec),
            "ran_start": start_of(entry.spec),
            "reboots_done": entry.progress.reboots_done if still_to_go_off else entry.spec.reboots,
            "attempts": 0,
            "boot_id": self._ledger.boot_id,
        }
        self._note(entry, Seen(OBSERVED_RUNNING), **changes)
        self._trying_since = None
        self._request.forget()
        return min(now + self._limits.audit_ms, self._running.due)

    def _is_wanted_still(self, entry: Instance) -> bool:
        latest = self._ledger.instances.get(self.instance_id)
        return latest is not None and latest.spec.desired == entry.spec.desired

    def _restart(self, entry: Instance, power: Power, now: int) -> int | None:
        """Clears away a dead domain, so that the next step brings it up. Crashes in a row pause."""
        progress = entry.progress
        died = (
            progress.started >= start_of(entry.spec)
            and power in (Power.CRASHED, Power.OFF)
            and progress.boot_id == self._ledger.boot_id
            and not is_rebooting(entry)
        )
        crashes = progress.crashes + 1 if died else progress.crashes
        if crashes > self._limits.crashes:
            failure = DriverError(
                f"the guest's process ended unasked {crashes} times", transient=False
            )
            self._give_up(entry, failure)
            return None
        preparing = PROCESS_ENDED if died else Seen(PREPARING)
        self._note(
            entry,
            None if is_seen_through(entry) else preparing,
            started=start_of(entry.spec) - 1,
            crashes=crashes,
        )
        self._walk_back(entry.spec)
        if died and crashes > 1:
            self._retry_at = now + self._limits.backoff(crashes - 1)
            return self._retry_at
        return now

    def _resume(self, entry: Instance, power: Power, now: int) -> int | None:
        """A guest that ran and is paused: QEMU does it when its disk is full, or an operator."""
        self._on.hypervisor.resume(self.instance_id)
        self._retry_at = now + self._limits.poll_ms
        return self._retry_at

    def _keep(self, entry: Instance, power: Power, now: int) -> int | None:
        return self._running.keep(entry, now)

    def _note_exit(self, entry: Instance, power: Power, now: int) -> None:
        self._note(entry, GUEST_SHUTDOWN, ended=start_of(entry.spec))

    def _hold(self, entry: Instance, power: Power, now: int) -> None:
        """EXITED or FAILED stands, until the controller says stopped, terminated or a new start."""
        self._note(entry, entry.progress.seen)

    def _reboot(self, entry: Instance, power: Power, now: int) -> int | None:
        self._on.hypervisor.reboot(self.instance_id)
        return self._request.note(entry.spec, now)

    def _note_reboot(self, entry: Instance, power: Power, now: int) -> int | None:
        changes = self._running.rebooted(entry.spec, now)
        changes["reboots_done"] = entry.spec.reboots
        self._note(entry, **changes)
        self._request.forget()
        return now

    def _reset(self, entry: Instance, power: Power, now: int) -> int | None:
        log.info("%s did not listen, it is reset", self.instance_id)
        self._on.hypervisor.reset(self.instance_id)
        return self._note_reboot(entry, power, now)

    def _stay_off(self, entry: Instance, power: Power, now: int) -> int | None:
        """The workers of its snapshots freeze its volumes."""
        return now + OFF_POLL_MS

    # -- stopping ------------------------------------------------------------------------------

    def _shut_down(self, entry: Instance, power: Power, now: int) -> int | None:
        self._note_stopping(entry)
        self._on.hypervisor.shut_down(self.instance_id)
        return self._request.note(entry.spec, now)

    def _note_stopping(self, entry: Instance) -> None:
        if entry.spec.desired != fleet_pb2.RUNNING:  # else it comes again
            self._note(entry, Seen(STOPPING))

    def _wait(self, entry: Instance, power: Power, now: int) -> int | None:
        return self._request.wait(entry.spec, now)

    def _power_off(self, entry: Instance, power: Power, now: int) -> int | None:
        self._note_stopping(entry)
        self._on.hypervisor.power_off(self.instance_id)
        return now

    def _take_down(self, entry: Instance, power: Power, now: int) -> None:
        """Domain and taps go, disks stay. Of a start that failed half-way, the failure stands."""
        if not self._down or power is not Power.NONE:
            self._walk_back(entry.spec, stopping=entry.spec.desired == STOPPED)
            self._down = True
        if entry.spec.desired == STOPPED:
            self._note(entry, Seen(OBSERVED_STOPPED), attempts=0, crashes=0)

    def _tear_down(self, entry: Instance, power: Power, now: int) -> None:
        if entry.progress.observed != STOPPING:
            self._note(entry, Seen(STOPPING))
        self._walk_back(entry.spec, ending=True)
        self._note(entry, Seen(ABSENT), attempts=0)

    def _walk_back(
        self, spec: fleet_pb2.InstanceSpec, *, ending: bool = False, stopping: bool = False
    ) -> None:
        self._walk.backwards(Context(spec, self._on, ending=ending, stopping=stopping))

    # -- failing -------------------------------------------------------------------------------

    def _wait_for(self, entry: Instance, wait: NotYet, now: int) -> int | None:
        if isinstance(wait, Unavailable):
            self._trying_since = None  # the time is neither the launch's
            self._running.count_anew()  # nor the guest's
        if self._out_of_time(now):
            self._give_up(entry, DriverError(f"took too long: {wait.progress}"))
            return None
        return min(now + wait.retry_ms, (self._trying_since or now) + self._limits.bring_up_ms)

    def _out_of_time(self, now: int) -> bool:
        since = self._trying_since
        return since is not None and now - since >= self._limits.bring_up_ms

    def _retry(self, entry: Instance, do: Do | None, failure: DriverError, now: int) -> int | None:
        """What failed is tried again after a pause; a bring-up not for ever, a tear-down always."""
        if do is None:  # nobody knows what the guest does: that is nobody's attempt
            self._retry_at = now + self._limits.backoff_ms
            return self._retry_at
        attempts = entry.progress.attempts + 1
        log.warning("%s: %s, try %d: %s", self.instance_id, do.name, attempts, failure)
        over = attempts >= self._limits.attempts or self._out_of_time(now)
        if do is Do.BRING_UP and (over or not failure.transient):
            self._give_up(entry, failure)
            return None
        lame = in_trouble(OBSERVED_RUNNING, failure)
        self._note(entry, lame if do is Do.KEEP else None, attempts=attempts)
        self._retry_at = now + self._limits.backoff(attempts)
        return self._retry_at

    def _give_up(self, entry: Instance, failure: DriverError) -> None:
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


_ACTIONS: dict[Do, Callable[[InstanceWorker, Instance, Power, int], int | None]] = {
    Do.HOLD: InstanceWorker._hold,
    Do.KEEP: InstanceWorker._keep,
    Do.WAIT: InstanceWorker._wait,
    Do.BRING_UP: InstanceWorker._bring_up,
    Do.RESTART: InstanceWorker._restart,
    Do.RESUME: InstanceWorker._resume,
    Do.NOTE_EXIT: InstanceWorker._note_exit,
    Do.REBOOT: InstanceWorker._reboot,
    Do.RESET: InstanceWorker._reset,
    Do.NOTE_REBOOT: InstanceWorker._note_reboot,
    Do.STAY_OFF: InstanceWorker._stay_off,
    Do.SHUT_DOWN: InstanceWorker._shut_down,
    Do.POWER_OFF: InstanceWorker._power_off,
    Do.TAKE_DOWN: InstanceWorker._take_down,
    Do.TEAR_DOWN: InstanceWorker._tear_down,
}


def _intent(spec: fleet_pb2.InstanceSpec) -> tuple[int, ...]:
    return spec.desired, spec.intent_revision, spec.starts, spec.reboots, spec.force_stop
