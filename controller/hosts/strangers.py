"""What hosts have and this database does not know, which is an older copy then.

Called by hosts/reports in a report's transaction. Strangers are left alone: nothing that was not
asked to end does. The operator sees them (``pileus status``, the log, the audit), their addresses
are given to nobody, and what they take up counts as used. They are gone when their host says so, or
when it says everything and they are not among it.
"""

import logging
from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

from controller.hosts.capacity import Amount, release
from controller.kernel.database import Session, Transaction
from controller.kernel.rows import columns
from controller.tables.hosts import Assignment, Stranger, StrangerAddress
from protos.cloud.v1 import fleet_pb2

log = logging.getLogger(__name__)

Key = tuple[str, str, str]  # kind, id, role


class StrangerRow(NamedTuple):
    host_id: str
    kind: str
    resource_id: str
    role: str
    vcpus: int
    memory_mib: int
    disk_gib: int


class AssignedRow(NamedTuple):
    kind: str
    resource_id: str
    role: str


def unassigned(
    tx: Transaction, host_id: str, observations: Iterable[fleet_pb2.Observation]
) -> list[fleet_pb2.Observation]:
    """Those of what is not assigned to the host."""
    named = {(one.kind, one.id, one.role): one for one in observations}
    if not named:
        return []
    query = Assignment.select(*columns(AssignedRow, Assignment)).where(
        Assignment.host_id == host_id,
        Assignment.resource_id.in_(sorted({name for _, name, _ in named})),
    )
    assigned = set(tx.rows(query, AssignedRow))
    return [one for key, one in named.items() if key not in assigned]


def note(
    tx: Transaction,
    host_id: str,
    living: Sequence[fleet_pb2.Observation],
    ended: Collection[Key],
    *,
    everything: bool,
) -> None:
    """A host's strangers are these; those that it named before are there still, but for what has
    ended, unless it said ``everything``."""
    before = {row[1:4]: row for row in of_hosts(tx, [host_id])}
    now = {(one.kind, one.id, one.role): one for one in living}
    gone = [row for key, row in before.items() if key in ended or (everything and key not in now)]
    fresh = [one for key, one in now.items() if key not in before]
    for row in gone:
        is_it = Stranger.resource_id == row.resource_id, Stranger.host_id == host_id
        tx.delete(Stranger, *is_it, Stranger.kind == row.kind, Stranger.role == row.role)
        had = StrangerAddress.resource_id == row.resource_id
        tx.delete(StrangerAddress, had, StrangerAddress.host_id == host_id)
    release(tx, [(host_id, Amount(row.vcpus, row.memory_mib, row.disk_gib)) for row in gone])
    for one in fresh:
        log.warning(
            "host %s has the %s %s, which this database does not know: it is an older copy. It is "
            "left alone, and what it takes up is not given away",
            *(host_id, one.kind, one.id),
        )
    if fresh:
        tx.insert(Stranger, [_row(host_id, one, tx.call.now_ms) for one in fresh])
        tx.insert(StrangerAddress, [row for one in fresh for row in _addresses(host_id, one)])
        holdings = [one.holding for one in fresh]
        taken = [Amount(-one.vcpus, -one.memory_mib, -one.disk_gib) for one in holdings]
        release(tx, [(host_id, amount) for amount in taken])


def of_hosts(session: Session, host_ids: Collection[str]) -> list[StrangerRow]:
    query = Stranger.select(*columns(StrangerRow, Stranger)).where(
        Stranger.host_id.in_(sorted(host_ids))
    )
    return session.rows(query.order_by(Stranger.kind, Stranger.resource_id), StrangerRow)


def are_there(session: Session) -> bool:
    """This database is an older copy than some host's ledger: what nothing in it names may be
    needed all the same."""
    return session.exists(Stranger.select(Stranger.host_id).limit(1))


def _row(host_id: str, one: fleet_pb2.Observation, now_ms: int) -> dict[str, object]:
    return {
        "host_id": host_id,
        "kind": one.kind,
        "resource_id": one.id,
        "role": one.role,
        "vcpus": one.holding.vcpus,
        "memory_mib": one.holding.memory_mib,
        "disk_gib": one.holding.disk_gib,
        "seen_ms": now_ms,
    }


def _addresses(host_id: str, one: fleet_pb2.Observation) -> list[dict[str, object]]:
    held = {(each.address, each.subnet_id) for each in one.holding.addresses}
    return [
        {"address": address, "subnet_id": subnet, "host_id": host_id, "resource_id": one.id}
        for address, subnet in sorted(held)
    ]
