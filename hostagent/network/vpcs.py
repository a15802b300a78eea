"""The VPCs on this host, kept as the ledger says for as long as an instance of theirs lives here.

    vpcs.require("vpc-1")    by the network step: known here, or DriverError
    vpcs.ensure("vpc-1")     by the domain step: true when it returns, free when nothing changed
    vpcs.plug(nic)           its tap is joined, while the ledger has it
    vpcs.release(spec)       by the network step's undo: without it, or gone with the last
    vpcs.step("vpc-1", now)  by the work queue, after a change (a rule, an address) and now and then

Level-triggered: what is made is always computed from the whole ledger. One VPC is worked on by one
thread at a time, several VPCs at once.
"""

import hashlib
import logging
import threading
import zlib
from collections.abc import Sequence
from typing import Any, Protocol

from hostagent.kernel.errors import DriverError
from hostagent.kernel.kinds import Record
from hostagent.kernel.records import Records
from hostagent.network.drivers import Network
from hostagent.network.vpc_kind import Vpc, VpcProgress
from protos.cloud.v1 import fleet_pb2

log = logging.getLogger(__name__)

_LOCKS = 64  # shared by VPCs of one checksum: a bound; nobody holds two of them


class VpcLedger(Protocol):
    """What is asked of the ledger in here."""

    instances: Records[fleet_pb2.InstanceSpec, Any]
    vpcs: Records[fleet_pb2.VpcSpec, VpcProgress]


class Vpcs:
    """See the module's head. Remembers nothing over a restart: then all is ensured anew."""

    def __init__(self, ledger: VpcLedger, network: Network, *, audit_ms: int, retry_ms: int):
        self._ledger, self._network = ledger, network
        self._audit_ms, self._retry_ms = audit_ms, retry_ms
        self._locks = [threading.RLock() for _ in range(_LOCKS)]
        self._released_lock = threading.Lock()
        # vpc id -> fingerprint of what was made, and what of it could not be
        self._made: dict[str, tuple[bytes, Sequence[str]]] = {}
        self._audits: dict[str, int] = {}  # vpc id -> when to believe nothing again
        self._released: frozenset[str] = frozenset()  # torn down, but still in the ledger

    def require(self, vpc_id: str) -> fleet_pb2.VpcSpec:
        """What the ledger says of it. DriverError, transient, if nothing is told yet."""
        return self._record(vpc_id).spec

    def ensure(self, vpc_id: str) -> None:
        """Makes the VPC what the ledger says now. Raises what ``require`` does."""
        with self._lock(vpc_id):
            record = self._record(vpc_id)
            try:
                problems = self._make(vpc_id, record.spec)
            except DriverError as failure:
                self._note(vpc_id, record.revision, fleet_pb2.VPC_FAILED, str(failure))
                raise
            self._note(vpc_id, record.revision, fleet_pb2.VPC_HERE, "; ".join(problems))

    def plug(self, nic: fleet_pb2.NicSpec) -> None:
        """Joins its tap to its subnet, where it is not. One that was taken from its instance since
        the caller read the ledger stays cut off: nobody would look for it before the next audit.
        """
        if self._network.is_plugged(nic):
            return
        with self._lock(nic.vpc_id):
            specs = self._tenants(nic.vpc_id)
            there = {each.network_interface_id for spec in specs for each in spec.nics}
            if nic.network_interface_id in there:
                self._network.plug(nic)

    def _record(self, vpc_id: str) -> Vpc:
        record = self._ledger.vpcs.get(vpc_id)
        if record is None:
            raise DriverError(f"the controller has not described {vpc_id} yet")
        return record

    def _make(self, vpc_id: str, vpc: fleet_pb2.VpcSpec) -> Sequence[str]:
        """Answers what of it made no sense, and was left out."""
        tenants = self._tenants(vpc_id)
        wanted = _fingerprint(vpc, tenants)
        made, problems = self._made.get(vpc_id, (b"", ()))
        if made != wanted:
            self._made.pop(vpc_id, None)  # half-made, should it fail
            problems = tuple(self._network.ensure_vpc(vpc, tenants))
            for problem in problems:
                log.error("%s", problem)
            self._made[vpc_id] = wanted, problems
        return problems

    def _note(self, vpc_id: str, revision: int, observed: int, message: str = "") -> None:
        self._ledger.vpcs.note(vpc_id, revision=revision, observed=observed, message=message)

    def release(self, spec: fleet_pb2.InstanceSpec) -> None:
        """The instance needs its VPCs no longer. Raises DriverError; then to be asked again."""
        with self._released_lock:
            known = self._ledger.instances.all().keys()
            self._released = (self._released | {spec.instance_id}) & known
        for vpc_id in sorted({nic.vpc_id for nic in spec.nics}):
            self._reconcile(vpc_id)

    def step(self, vpc_id: str, now: int) -> int | None:
        """Makes true what changed. Answers when to look again; None for a VPC that is gone."""
        if self._audits.get(vpc_id, now) <= now:
            self._made.pop(vpc_id, None)
            self._audits[vpc_id] = now + self._audit_ms
        try:
            if self._reconcile(vpc_id):
                return self._audits[vpc_id]
            self._audits.pop(vpc_id, None)
            return None
        except DriverError as failure:
            log.warning("%s could not be made what it should be: %s", vpc_id, failure)
            return now + self._retry_ms

    def wanted(self) -> set[str]:
        """Ids of the VPCs that some instance here needs, described yet or not."""
        return {
            nic.vpc_id
            for entry in self._ledger.instances.all().values()
            if self._lives(entry)
            for nic in entry.spec.nics
        }

    def _reconcile(self, vpc_id: str) -> bool:
        """Ensures the VPC, or removes it where nobody is left. Answers whether it stays."""
        with self._lock(vpc_id):
            if self._tenants(vpc_id):
                self.ensure(vpc_id)
                return True
            self._made.pop(vpc_id, None)
            self._network.remove_vpc(vpc_id)
            return False

    def _lock(self, vpc_id: str) -> threading.RLock:
        return self._locks[zlib.crc32(vpc_id.encode()) % _LOCKS]

    def _tenants(self, vpc_id: str) -> list[fleet_pb2.InstanceSpec]:
        return [
            entry.spec
            for _, entry in sorted(self._ledger.instances.all().items())
            if self._lives(entry) and any(nic.vpc_id == vpc_id for nic in entry.spec.nics)
        ]

    def _lives(self, entry: Record[fleet_pb2.InstanceSpec, Any]) -> bool:
        """One that was released may have come back since."""
        gone = entry.progress.observed == fleet_pb2.ABSENT
        ends = entry.spec.desired == fleet_pb2.TERMINATED
        return not gone and not (ends and entry.spec.instance_id in self._released)


class VpcWorker:
    """kernel.Worker, for one VPC."""

    def __init__(self, vpc_id: str, vpcs: Vpcs):
        self._vpc_id, self._vpcs = vpc_id, vpcs

    def step(self, now: int) -> int | None:
        return self._vpcs.step(self._vpc_id, now)


def _fingerprint(vpc: fleet_pb2.VpcSpec, tenants: list[fleet_pb2.InstanceSpec]) -> bytes:
    """Of all that the network depends on; whether an instance should run is not part of it."""
    digest = hashlib.sha256()
    digest.update(vpc.SerializeToString(deterministic=True))
    for spec in tenants:
        tenant = fleet_pb2.InstanceSpec()
        tenant.CopyFrom(spec)
        for name in ("desired", "intent_revision", "force_stop", "reboots", "starts"):
            tenant.ClearField(name)
        digest.update(tenant.SerializeToString(deterministic=True))
    return digest.digest()
