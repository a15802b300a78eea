"""What to do with an instance, as a table: (what should be, what the hypervisor sees, what is
known) -> one thing to do.

    choose(Situation(desired=RUNNING, power=Power.CRASHED, ...)) -> Do.BRING_UP

Pure. Called by the worker at each of its steps; whatever it says can be done twice, so that the
answer need not be remembered. The rows are tried from the top, the first that fits counts, and a
test sees to it that every situation has one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from hostagent.compute.drivers import Power
from protos.cloud.v1 import fleet_pb2
from protos.cloud.v1.fleet_pb2 import RUNNING, STOPPED, TERMINATED


class Do(Enum):
    """Things to do. Each makes one observation true or comes a step nearer to it."""

    HOLD = auto()  # nothing: this start came to its end, the controller has to say what next
    KEEP = auto()  # it runs as it should: see that it stays so
    WAIT = auto()  # something was asked of the guest and may still happen
    BRING_UP = auto()  # all steps from the first, each looks before it acts
    RESTART = auto()  # what is left of the domain goes first, then BRING_UP
    RESUME = auto()  # let it go on
    NOTE_EXIT = auto()  # the guest powered itself off
    REBOOT = auto()  # ask the guest
    RESET = auto()  # it did not listen
    NOTE_REBOOT = auto()
    STAY_OFF = auto()  # nothing yet: snapshots are taken before it is started again
    SHUT_DOWN = auto()  # ask the guest
    POWER_OFF = auto()  # it did not listen, or is not to be asked
    TAKE_DOWN = auto()  # domain and ports go, disks stay
    TEAR_DOWN = auto()  # everything goes


@dataclass(frozen=True)
class Situation:
    """What the choice depends on, and nothing else."""

    desired: int
    power: Power
    begun: bool = False  # this start (spec.starts) was brought up whole before
    spent: bool = False  # this start came to its end: exited, or failed for good
    rebooting: bool = False  # more reboots were asked for than were done
    reboot_seen: bool = False  # the guest started anew since it was asked to
    machine_rebooted: bool = False  # it was brought up under an earlier boot of this machine
    requested: bool = False  # the guest was asked (to shut down or to reboot), lately enough
    overdue: bool = False  # ... and its time is up
    forced: bool = False  # the guest is not to be asked
    graceful: bool = False  # terminated, but a disk lives on: the guest may write it back
    wanted_off: bool = False  # snapshots wait for the guest to be off; it is held off for them


@dataclass(frozen=True)
class Row:
    """One line: applies to these powers of one desire where ``when`` holds."""

    desired: int
    powers: frozenset[Power]
    when: Callable[[Situation], bool]
    do: Do


def choose(situation: Situation) -> Do:
    """The thing to do. Raises LookupError for a desire that is none."""
    for row in ROWS:
        if (
            row.desired == situation.desired
            and situation.power in row.powers
            and row.when(situation)
        ):
            return row.do
    raise LookupError(f"no row for {situation}")


def start_of(spec: fleet_pb2.InstanceSpec) -> int:
    """The number of this start. A controller that does not count them has one."""
    return max(spec.starts, 1)


def _powers(*powers: Power) -> frozenset[Power]:
    return frozenset(powers)


def _always(situation: Situation) -> bool:
    return True


_ANY = frozenset(Power)
_PAUSED = _powers(Power.PAUSED)
_RUNNING = _powers(Power.RUNNING)
_SHUTTING = _powers(Power.SHUTTING_DOWN)
_ALIVE = _RUNNING | _SHUTTING
_EXITED = _powers(Power.EXITED)
_NONE = _powers(Power.NONE)
_LEFT = _powers(Power.OFF, Power.CRASHED)
_DEAD = _powers(Power.NONE, Power.OFF, Power.EXITED, Power.CRASHED)

# fmt: off
ROWS = (
    # desired      power      when                                      do
    Row(RUNNING,    _PAUSED,   lambda s: s.spent,                        Do.TAKE_DOWN),
    Row(RUNNING,    _ANY,      lambda s: s.spent,                        Do.HOLD),
    Row(RUNNING,    _ALIVE,    lambda s: s.wanted_off and s.overdue,     Do.POWER_OFF),
    Row(RUNNING,    _RUNNING,  lambda s: s.wanted_off and not s.requested,   Do.SHUT_DOWN),
    Row(RUNNING,    _ALIVE,    lambda s: s.wanted_off,                   Do.WAIT),
    Row(RUNNING,    _DEAD,     lambda s: s.wanted_off,                   Do.STAY_OFF),  # [8]
    Row(RUNNING,    _NONE,     _always,                                  Do.BRING_UP),
    Row(RUNNING,    _LEFT,     _always,                                  Do.RESTART),
    Row(RUNNING,    _PAUSED,   lambda s: not s.begun,                    Do.RESTART),  # [1]
    Row(RUNNING,    _PAUSED,   _always,                                  Do.RESUME),  # [2]
    Row(RUNNING,    _EXITED,   lambda s: not s.begun,                    Do.RESTART),  # [3]
    Row(RUNNING,    _EXITED,   lambda s: s.machine_rebooted,             Do.RESTART),
    Row(RUNNING,    _EXITED,   lambda s: s.rebooting,                    Do.RESTART),  # [4]
    Row(RUNNING,    _EXITED,   _always,                                  Do.NOTE_EXIT),
    Row(RUNNING,    _RUNNING,  lambda s: not s.begun,                    Do.BRING_UP),  # [5]
    Row(RUNNING,    _ALIVE,    lambda s: s.rebooting and s.reboot_seen,  Do.NOTE_REBOOT),
    Row(RUNNING,    _ALIVE,    lambda s: s.rebooting and s.overdue,      Do.RESET),
    Row(RUNNING,    _RUNNING,  lambda s: s.rebooting and not s.requested,Do.REBOOT),
    Row(RUNNING,    _ALIVE,    lambda s: s.rebooting,                    Do.WAIT),
    Row(RUNNING,    _RUNNING,  _always,                                  Do.KEEP),
    Row(RUNNING,    _SHUTTING, _always,                                  Do.WAIT),  # [6]

    Row(STOPPED,    _DEAD,     _always,                                  Do.TAKE_DOWN),
    Row(STOPPED,    _PAUSED,   _always,                                  Do.POWER_OFF),  # [7]
    Row(STOPPED,    _ALIVE,    lambda s: s.forced or s.overdue,          Do.POWER_OFF),
    Row(STOPPED,    _RUNNING,  lambda s: not s.requested,                Do.SHUT_DOWN),
    Row(STOPPED,    _ALIVE,    _always,                                  Do.WAIT),

    Row(TERMINATED, _ALIVE,    lambda s: not s.graceful,                 Do.TEAR_DOWN),
    Row(TERMINATED, _ALIVE,    lambda s: s.forced or s.overdue,          Do.TEAR_DOWN),
    Row(TERMINATED, _RUNNING,  lambda s: not s.requested,                Do.SHUT_DOWN),
    Row(TERMINATED, _ALIVE,    _always,                                  Do.WAIT),
    Row(TERMINATED, _ANY,      _always,                                  Do.TEAR_DOWN),
)
# fmt: on
# [1] cut in the middle of a bring-up: the guest never ran, nothing is lost
# [2] its disk was full (QEMU pauses it), or virsh suspend
# [3] the end of an earlier start
# [4] it went off where it should have come again: libvirt forgot, while it restarted, that it
# should [5] cut after the guest was let go: see that all is there [6] by itself; EXITED comes next
# [7] it cannot hear [8] a reboot is due as well: [4] brings it up when nothing waits any more
