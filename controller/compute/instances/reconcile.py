"""Reconciles instances with what hosts saw: each consequence once, by guarded updates.

A reconcile task; also run right after a report that brings an end, so that it is quick.

    seen              while desired    follows
    absent            terminated       the stay is over: all that it had is given back
    exited            running          stopped or terminated, as its shutdown behavior says
    failed, never ran running          terminated: the launch failed
    failed, ran once  running          stopped: its disks are whole
    stopped           stopped          vCPUs, memory and the lent address go back; the disk stays

Only an observation under the newest intent counts.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from peewee import SQL

from controller.compute.instances.rules import InstanceRules, vpcs_of
from controller.hosts import capacity as claims
from controller.hosts.capacity import Amount
from controller.hosts.feed import Feed
from controller.hosts.guests import FRESH, SEEN
from controller.identity.quotas.rules import Quotas
from controller.kernel.call import Call
from controller.kernel.database import Conflict, Database, Transaction
from controller.kernel.prepared import among, prepared
from controller.kernel.state_reasons import SERVER_ERROR, state_reason
from controller.kernel.table import Clause, Select
from controller.network.interfaces import rules as interfaces
from controller.storage.volumes.release import GoneVolume, detached, forget
from controller.storage.volumes.rows import volumes_query
from controller.storage.volumes.rules import condemn
from controller.tables.compute import Attachment, Instance, Placement
from controller.tables.hosts import Assignment
from controller.tables.network import NetworkInterface
from controller.tables.nouns import INSTANCE, VPC

log = logging.getLogger(__name__)

AT_ONCE = 200  # rows of one transaction; the next run takes the rest

SHUT_DOWN_BY_ITSELF = state_reason(
    "Client.InstanceInitiatedShutdown", "Instance initiated shutdown"
)


class EndedRow(NamedTuple):
    """A placement whose guest has come to an end, with its instance."""

    placement_id: str
    host_id: str
    observed: str
    reason_code: str
    reason_message: str
    ran_start: int
    claimed_vcpus: int
    claimed_memory_mib: int
    instance_id: str
    account_id: str
    shutdown_behavior: str


class EndedVolume(NamedTuple):
    """A volume of an instance that has ended, with its attachment."""

    volume_id: str
    account_id: str
    host_id: str
    size_gib: int
    revision: int
    attach_revision: int
    delete_on_termination: bool
    detaching: bool


class Advanced(NamedTuple):
    placement_id: str


class InstanceReconciler:
    def __init__(self, db: Database, rules: InstanceRules, quotas: Quotas, feed: Feed):
        self._db, self._rules, self._quotas, self._feed = db, rules, quotas, feed

    def run_once(self, call: Call) -> int:
        """Reconciles what there is; answers how many placements that were.

        All of it in one transaction; where that fails, each in its own, so that one that cannot be
        reconciled keeps no other.
        """
        with self._db.read(call) as session:
            found = session.column(_FIRST(), str)
        if not found:
            return 0
        try:
            return self._reconcile(call, found)
        except Exception as failure:
            _raise_if_busy(failure)
            log.exception("%d placements cannot be reconciled together", len(found))
        return sum(self._reconcile_alone(call, placement_id) for placement_id in found)

    def _reconcile_alone(self, call: Call, placement_id: str) -> int:
        try:
            return self._reconcile(call, [placement_id])
        except Exception as failure:
            _raise_if_busy(failure)
            log.exception("placement %s cannot be reconciled; it is tried again", placement_id)
            return 0

    def _reconcile(self, call: Call, placement_ids: Sequence[str]) -> int:
        with self._db.write(call) as tx:
            rows = tx.rows(_NAMED(ids=placement_ids), EndedRow)
            self._finish(tx, [row for row in rows if row.observed == "absent"])
            self._stop(tx, [row for row in rows if row.observed == "stopped"])
            self._end(tx, [row for row in rows if row.observed in ("exited", "failed")])
        return len(rows)

    def _end(self, tx: Transaction, rows: Sequence[EndedRow]) -> None:
        for row in rows:
            if row.observed == "exited":
                desired = "terminated" if row.shutdown_behavior == "terminate" else "stopped"
                code, message = SHUT_DOWN_BY_ITSELF
            else:
                desired = "stopped" if row.ran_start else "terminated"
                code = row.reason_code if "." in row.reason_code else SERVER_ERROR
                cause = row.reason_message or "Internal error on launch"
                code, message = state_reason(code, cause)
            self._rules.end(tx, [row.instance_id], desired, code, message)

    def _stop(self, tx: Transaction, rows: Sequence[EndedRow]) -> None:
        """Seen stopped as wanted."""
        released = self._release(tx, rows)
        changed = interfaces.give_back_lent(tx, [row.instance_id for row in released])
        self._feed.revise(tx, INSTANCE, changed, at_once=False)
        self._network_changed(tx, changed)

    def _finish(self, tx: Transaction, rows: Sequence[EndedRow]) -> None:
        """Seen absent as wanted: nothing of it is on any host."""
        over = _advanced(tx, rows, {"live": False}, Placement.live)
        if not over:
            return
        instance_ids = [row.instance_id for row in over]
        self._feed.withdraw(tx, INSTANCE, instance_ids)
        self._release(tx, over)
        attached = volumes_query(EndedVolume).where(Attachment.instance_id.in_(instance_ids))
        volumes = tx.rows(attached, EndedVolume)
        released = interfaces.release_interfaces(tx, instance_ids)
        tx.delete(Attachment, Attachment.instance_id.in_(instance_ids))
        self._remove_volumes(tx, volumes)
        for vpc_id in released.vpc_ids:
            self._withdraw_vpc(tx, vpc_id, sorted({row.host_id for row in over}))
            self._feed.revise(tx, VPC, [vpc_id], at_once=False)
        for account_id in sorted({row.account_id for row in over}):
            gone = sum(row.account_id == account_id for row in over)
            nics = released.gone.get(account_id, 0)
            self._quotas.refund(tx, account_id, {"instances": gone, "network_interfaces": nics})
        ended = {"terminated_ms": tx.call.now_ms}
        tx.advance(Instance, ended, Instance.instance_id.in_(instance_ids))

    def _release(self, tx: Transaction, rows: Sequence[EndedRow]) -> list[EndedRow]:
        """Gives back the vCPUs and memory that these placements still claim; answers those that
        did."""
        done = _advanced(tx, rows, {"vcpus": 0, "memory_mib": 0}, Placement.vcpus > 0)
        claims.release(
            tx, [(row.host_id, Amount(row.claimed_vcpus, row.claimed_memory_mib)) for row in done]
        )
        for account_id in sorted({row.account_id for row in done}):
            own = [row for row in done if row.account_id == account_id]
            refunds = {
                "vcpus": sum(row.claimed_vcpus for row in own),
                "memory_mib": sum(row.claimed_memory_mib for row in own),
            }
            self._quotas.refund(tx, account_id, refunds)
        return done

    def _remove_volumes(self, tx: Transaction, rows: Sequence[EndedVolume]) -> None:
        """Volumes of instances that are gone: those to be deleted with them go, at once where their
        host knew them by the instance alone, and has removed them with it; else once their home
        has. The others stay, attached to nothing."""
        going = [row for row in rows if row.delete_on_termination and not row.detaching]
        removed = [
            GoneVolume(row.volume_id, row.account_id, row.host_id, row.size_gib)
            for row in going
            if not row.revision and not row.attach_revision
        ]
        forget(tx, self._feed, self._quotas, removed)
        gone = {row.volume_id for row in removed}
        detached(tx, self._feed, [row.volume_id for row in rows if row.volume_id not in gone])
        condemn(tx, self._feed, [row.volume_id for row in going if row.volume_id not in gone])

    def _withdraw_vpc(self, tx: Transaction, vpc_id: str, host_ids: Sequence[str]) -> None:
        """Hosts that have no instance of the VPC any more need not be told of it."""
        still = (
            Placement.select(Placement.host_id)
            .join(Attachment, on=Attachment.instance_id == Placement.instance_id)
            .join(
                NetworkInterface,
                on=NetworkInterface.network_interface_id == Attachment.device_id,
            )
            .where(NetworkInterface.vpc_id == vpc_id, Placement.live)
        )
        having = set(tx.column(still, str))
        if emptied := [host_id for host_id in host_ids if host_id not in having]:
            self._feed.withdraw(tx, VPC, [vpc_id], emptied)

    def _network_changed(self, tx: Transaction, instance_ids: Sequence[str]) -> None:
        """Addresses have gone from their interfaces: their hosts should know, at their next
        report."""
        for vpc_id in vpcs_of(tx, instance_ids):
            self._feed.revise(tx, VPC, [vpc_id], at_once=False)


def _raise_if_busy(failure: Exception) -> None:
    """A lost race says nothing about the rows: whoever runs this runs it again."""
    if isinstance(failure, Conflict) and not failure.integrity:
        raise failure


def _advanced(
    tx: Transaction, rows: Sequence[EndedRow], changes: Mapping[str, object], guard: Clause
) -> list[EndedRow]:
    """Those of the rows whose placements could be advanced: each consequence happens once."""
    if not rows:
        return []
    named = Placement.placement_id.in_([row.placement_id for row in rows])
    done = tx.advance_returning(Placement, changes, named, guard, returning=Advanced)
    ids = {row.placement_id for row in done}
    return [row for row in rows if row.placement_id in ids]


# Written out as the partial index assignment_ended has it: it is found by its words.
_ENDS = ("exited", "failed", "absent", "stopped")
_ENDED = Assignment.observed.in_([SQL(f"'{word}'") for word in _ENDS])


def _ended_placements() -> Select:
    return (
        Placement.select(
            Placement.placement_id,
            Placement.host_id,
            Assignment.observed,
            Assignment.reason_code,
            Assignment.reason_message,
            Placement.ran_start,
            Placement.vcpus.alias("claimed_vcpus"),
            Placement.memory_mib.alias("claimed_memory_mib"),
            Instance.instance_id,
            Instance.account_id,
            Instance.shutdown_behavior,
        )
        .join(Assignment, on=SEEN)
        .join(Instance, on=Instance.instance_id == Placement.instance_id)
        .where(
            Placement.live,
            _ENDED,
            FRESH,
            ((Assignment.observed == "absent") & (Instance.desired == "terminated"))
            | (Assignment.observed.in_(("exited", "failed")) & (Instance.desired == "running"))
            | (
                (Assignment.observed == "stopped")
                & (Instance.desired == "stopped")
                & (Placement.vcpus > 0)
            ),
        )
    )


_FIRST = prepared(lambda: _ended_placements().order_by(Placement.placement_id).limit(AT_ONCE))
_NAMED = prepared(lambda ids: _ended_placements().where(among(Placement.placement_id, ids)))
