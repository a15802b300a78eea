"""What is kept of one instance in the ledger: what was seen last, and how far this host got.

Called by the ledger, which keeps it, sync, which tells it, and the workers, who note it.
"""

import json
from dataclasses import dataclass, fields, replace
from typing import NamedTuple

from protos.cloud.v1 import fleet_pb2


class DeviceFailure(NamedTuple):
    """A disk or interface that could not be given to the guest, or taken from it."""

    id: str
    message: str
    busy: bool = False  # the guest does not let go of it


@dataclass(frozen=True)
class Seen:
    """One observation's content: what is, and why where that needs a word (EC2's StateReason)."""

    observed: int  # fleet_pb2.Observed
    code: str = ""
    message: str = ""


@dataclass(frozen=True)
class Progress:
    """How far this host got with one instance. Kept as JSON: a later field needs a default."""

    observed: int = fleet_pb2.UNSEEN
    code: str = ""
    message: str = ""
    since_ms: int = 0
    generation: int = 0  # of the instance's spec, when this was seen
    epoch: int = 0  # when it was noted
    sequence: int = 0
    started: int = 0  # highest `starts` that was brought up whole
    ended: int = 0  # highest `starts` that came to its end (exited, failed): not brought up again
    reboots_done: int = 0
    attempts: int = 0  # failed tries of the bring-up or tear-down that is going on
    crashes: int = 0  # times that the guest was restarted by itself, lately
    boot_id: str = ""  # boot of the machine under which it was brought up
    reach: int = fleet_pb2.NOT_ASKED
    reach_since_ms: int = 0
    devices_generation: int = 0  # of the spec whose disks and interfaces the guest has
    device_failures: tuple[DeviceFailure, ...] = ()
    network_generation: int = 0  # of the spec that its VPCs and the metadata service follow

    @property
    def seen(self) -> Seen:
        return Seen(self.observed, self.code, self.message)

    def observing(self, seen: Seen, generation: int, now_ms: int) -> "Progress":
        """With this observation, made now. Only a guest that runs can answer."""
        runs = seen.observed == fleet_pb2.OBSERVED_RUNNING
        return replace(
            self,
            observed=seen.observed,
            code=seen.code,
            message=seen.message,
            generation=max(generation, self.generation),
            since_ms=now_ms if seen.observed != self.observed else self.since_ms,
            reach=self.reach if runs else fleet_pb2.NOT_ASKED,
            reach_since_ms=self.reach_since_ms if runs else 0,
        )


@dataclass(frozen=True)
class Entry:
    """An instance in the ledger."""

    spec: fleet_pb2.InstanceSpec
    progress: Progress

    @property
    def is_rebooting(self) -> bool:
        return self.spec.reboots > self.progress.reboots_done

    @property
    def is_seen_through(self) -> bool:
        """It is said to run all the while that it reboots, off or not, as EC2 has it."""
        return self.is_rebooting and self.progress.observed == fleet_pb2.OBSERVED_RUNNING


def observation_of(progress: Progress) -> tuple:
    """What of the progress the controller hears of."""
    return (
        progress.seen,
        progress.generation,
        progress.reboots_done,
        progress.since_ms,
        progress.reach,
        progress.reach_since_ms,
        progress.devices_generation,
        progress.device_failures,
        progress.network_generation,
    )


def progress_of(text: str) -> Progress:
    """Fields that a newer agent wrote are left out: after a downgrade the rest still counts."""
    known = {field.name for field in fields(Progress)}
    values = {key: value for key, value in json.loads(text).items() if key in known}
    failures = values.pop("device_failures", ())
    return Progress(**values, device_failures=tuple(DeviceFailure(*each) for each in failures))
