"""A guest that runs, and is to: what is looked at from its start to its end.

    running.begin(entry, now, alive=False) -> {...}    it was just brought up
    running.rebooted(spec, now) -> {...}               its machine has just started anew
    running.keep(entry, now) -> when to look again     its ports, devices, VPCs, status check
    running.due                                        when that is at the latest

What is answered in braces is new, as the ledger notes it. Called by the worker. What is remembered
may be lost at any time: then all is looked at anew.
"""

from collections.abc import Callable

from hostagent.compute.devices import Devices
from hostagent.compute.disks import DiskPart
from hostagent.compute.host import Drivers
from hostagent.compute.limits import Limits
from hostagent.compute.nics import NicPart
from hostagent.compute.progress import Changes, Instance, Note, Seen
from hostagent.compute.status_check import StatusCheck
from hostagent.compute.steps import Context
from protos.cloud.v1 import fleet_pb2
from protos.cloud.v1.fleet_pb2 import OBSERVED_RUNNING


class RunningGuest:
    """See the module's head. ``note`` writes into the ledger."""

    def __init__(self, on: Drivers, limits: Limits, clock: Callable[[], int], note: Note):
        self._on, self._limits, self._note = on, limits, note
        self._calm_since: int | None = None
        self._audited_at: int | None = None
        self._status_check = StatusCheck(on.network, limits, clock)
        self._devices = Devices([DiskPart(on, limits), NicPart(on, limits)], limits)

    def begin(self, entry: Instance, now: int, *, alive: bool) -> Changes:
        """``alive``: it ran before, and only what was missing around it was made."""
        self._calm_since = self._audited_at = now
        changes: Changes = {"network_revision": entry.revision}
        changes |= self._status_check.begin(entry.spec, now)
        return changes if alive else changes | self._devices.begin(entry, now)

    def rebooted(self, spec: fleet_pb2.InstanceSpec, now: int) -> Changes:
        return self._status_check.begin(spec, now)

    def count_anew(self) -> None:
        """The guest could not be asked for a while: the time that it is given begins again."""
        self._devices.count_anew()

    @property
    def due(self) -> int:
        return min(self._status_check.due, self._devices.due)

    def keep(self, entry: Instance, now: int) -> int:
        progress = entry.progress
        if self._calm_since is None:
            self._calm_since = now
        if progress.crashes and now - self._calm_since >= self._limits.calm_ms:
            self._note(entry, crashes=0)
        if answered := self._status_check.look(entry, now):
            self._note(entry, **answered)
        due = now if self._audited_at is None else self._audited_at + self._limits.audit_ms
        news = (
            progress.seen != Seen(OBSERVED_RUNNING)
            or progress.revision < entry.spec.intent_revision
        )
        if news or due <= now:
            self._note(entry, Seen(OBSERVED_RUNNING) if news else None, attempts=0)
            self._audited_at, due = now, now + self._limits.audit_ms
        changes = self._devices.look(entry, now)
        try:
            changes |= self._surround(entry)
        finally:
            if changes:  # seen under this revision: failures, too
                self._note(entry, Seen(OBSERVED_RUNNING), **changes)
        return min(due, self.due)

    def _surround(self, entry: Instance) -> Changes:
        """Its VPCs are what they should be by its newest spec, and with them the metadata service:
        what is new of that.
        """
        if entry.progress.network_revision >= entry.revision:
            return {}
        for vpc_id in Context(entry.spec, self._on).vpc_ids:
            self._on.vpcs.ensure(vpc_id)
        return {"network_revision": entry.revision}
