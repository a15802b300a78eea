"""What is kept of one instance in the ledger: what was seen last, and how far this host got.

Called by instance_kind, which tells the controller of it, and the workers, who note it.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol, TypedDict, Unpack

from hostagent.kernel.kinds import Progress, Record
from hostagent.kernel.records import Records
from hostagent.storage.snapshots.progress import SnapshotProgress
from protos.cloud.v1 import fleet_pb2


class DeviceFailure(NamedTuple):
    """A disk or interface that could not be given to the guest, or taken from it."""

    id: str
    message: str
    busy: bool = False  # the guest does not let go of it


@dataclass(frozen=True)
class Seen:
    """One observation's content: what is, and why where that needs a word (EC2's StateReason)."""

    observed: fleet_pb2.Observed
    code: str = ""
    message: str = ""


@dataclass(frozen=True)
class InstanceProgress(Progress):
    """How far this host got with one instance. Kept as JSON: a later field needs a default."""

    observed: fleet_pb2.Observed = fleet_pb2.UNSEEN
    code: str = ""
    message: str = ""
    since_ms: int = 0
    started: int = 0  # highest `starts` that was brought up whole
    ended: int = 0  # highest `starts` that came to its end (exited, failed): not brought up again
    reboots_done: int = 0
    attempts: int = 0  # failed tries of the bring-up or tear-down that is going on
    crashes: int = 0  # times that the guest was restarted by itself, lately
    boot_id: str = ""  # boot of the machine under which it was brought up
    status_check: fleet_pb2.StatusCheck = fleet_pb2.NOT_CHECKED
    status_check_since_ms: int = 0
    devices_revision: int = 0  # of the spec whose disks and interfaces the guest has
    device_failures: tuple[DeviceFailure, ...] = ()
    network_revision: int = 0  # of the spec that its VPCs and the metadata service follow
    ran_start: int = 0  # highest `starts` that was ever brought up whole

    def __post_init__(self) -> None:
        """From JSON they come as lists."""
        failures = tuple(DeviceFailure(*each) for each in self.device_failures)
        object.__setattr__(self, "device_failures", failures)

    @property
    def seen(self) -> Seen:
        return Seen(self.observed, self.code, self.message)

    def observing(self, seen: Seen, revision: int, now_ms: int) -> "InstanceProgress":
        """With this observation, made now. Only a guest that runs can answer."""
        runs = seen.observed == fleet_pb2.OBSERVED_RUNNING
        return replace(
            self,
            observed=seen.observed,
            code=seen.code,
            message=seen.message,
            revision=max(revision, self.revision),
            since_ms=now_ms if seen.observed != self.observed else self.since_ms,
            status_check=self.status_check if runs else fleet_pb2.NOT_CHECKED,
            status_check_since_ms=self.status_check_since_ms if runs else 0,
        )


class Changes(TypedDict, total=False):
    """Fields of a progress that are noted beside what was seen."""

    started: int
    ended: int
    reboots_done: int
    attempts: int
    crashes: int
    boot_id: str
    status_check: fleet_pb2.StatusCheck
    status_check_since_ms: int
    devices_revision: int
    device_failures: tuple[DeviceFailure, ...]
    network_revision: int
    ran_start: int


Instance = Record[fleet_pb2.InstanceSpec, InstanceProgress]  # in the ledger


class Note(Protocol):
    """``note``, for the instance that somebody looks at."""

    def __call__(
        self, entry: Instance, seen: Seen | None = None, **changes: Unpack[Changes]
    ) -> None: ...


class InstanceLedger(Protocol):
    """What the instances' workers ask of the ledger. ``boot_id``: of the machine's present boot."""

    instances: Records[fleet_pb2.InstanceSpec, InstanceProgress]
    snapshots: Records[fleet_pb2.SnapshotSpec, SnapshotProgress]
    boot_id: str


def is_rebooting(instance: Instance) -> bool:
    """More reboots were asked for than were done."""
    return instance.spec.reboots > instance.progress.reboots_done


def is_seen_through(instance: Instance) -> bool:
    """It is said to run all the while that it reboots, off or not, as EC2 has it."""
    return is_rebooting(instance) and instance.progress.observed == fleet_pb2.OBSERVED_RUNNING


def note(
    instances: Records[fleet_pb2.InstanceSpec, InstanceProgress],
    instance_id: str,
    seen: Seen | None = None,
    *,
    revision: int = 0,
    now_ms: int = 0,
    **changes: Unpack[Changes],
) -> bool:
    """Changes an instance's progress: its observation, made under ``revision`` (of the spec acted
    on), and the named fields. Answers whether there was anything new. Nothing happens for an
    instance that was forgotten.
    """

    def change(before: InstanceProgress) -> InstanceProgress:
        after = replace(before, **changes)
        if seen is not None and (seen != before.seen or before.revision < revision):
            after = after.observing(seen, revision, now_ms)
        return after

    return instances.alter(instance_id, change)
