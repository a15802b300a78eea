"""Reconcile task: launches and starts that come about nowhere are given up, so that nobody waits
for ever.

    not seen to run for ``pending_limit_ms``               given up
    its host was not heard of for ``given_up_after_ms``    given up

A host that works reports a failed launch itself. Giving up is an intent like a user's: a launch
that never ran is to be terminated, a start is to be stopped. That is not knowing that nothing runs
there: what the instance claims is given back, and "terminated" shown, when its host says so,
however late (docs/decisions/0463). The time in which no controller was there does not count.
"""

from collections.abc import Sequence
from typing import NamedTuple

from controller.compute.instances.rules import InstanceRules
from controller.config import HostsConfig
from controller.hosts.guests import SEEN
from controller.hosts.health import given_up
from controller.kernel.call import Call
from controller.kernel.database import Database, Transaction
from controller.kernel.state_reasons import SERVER_ERROR, state_reason
from controller.kernel.table import Clause, Select
from controller.tables.compute import Instance, Placement
from controller.tables.hosts import Assignment, Host

AT_ONCE = 200
TOO_LONG = "The host did not start the instance in time"
LOST = "The host of the instance was lost before the instance ran"


class PendingRow(NamedTuple):
    instance_id: str
    ran_ms: int


class Overdue:
    """``limit_ms``: 0 is for ever. ``started_ms``: when this controller was."""

    def __init__(
        self,
        db: Database,
        rules: InstanceRules,
        limit_ms: int,
        hosts: HostsConfig,
        started_ms: int,
    ):
        self._db, self._rules, self._limit_ms = db, rules, limit_ms
        self._hosts, self._started_ms = hosts, started_ms

    def run_once(self, call: Call) -> int:
        """Gives up what came about nowhere; answers how many that were."""
        causes: list[tuple[Clause, str]] = []
        before_ms = call.now_ms - self._limit_ms
        if self._limit_ms and self._started_ms < before_ms:
            causes.append((Instance.launched_ms < before_ms, TOO_LONG))
        lost = given_up(self._hosts, self._started_ms, call.now_ms)
        if lost is not None:
            causes.append((lost, LOST))
        return sum(self._give_up(call, condition, why) for condition, why in causes)

    def _give_up(self, call: Call, condition: Clause, why: str) -> int:
        query = _pending().where(condition).limit(AT_ONCE)
        with self._db.read(call) as session:
            if not session.exists(query):
                return 0
        with self._db.write(call) as tx:
            rows = tx.rows(query, PendingRow)
            never_ran = [row.instance_id for row in rows if not row.ran_ms]
            self._end(tx, never_ran, "terminated", why)
            self._end(tx, [row.instance_id for row in rows if row.ran_ms], "stopped", why)
        return len(rows)

    def _end(self, tx: Transaction, instance_ids: Sequence[str], desired: str, why: str) -> None:
        self._rules.end(tx, instance_ids, desired, *state_reason(SERVER_ERROR, why))


def _pending() -> Select:
    """Wanted running, and not seen to run since."""
    return (
        Placement.select(Placement.instance_id, Placement.ran_ms)
        .join(Instance, on=Instance.instance_id == Placement.instance_id)
        .join(Assignment, on=SEEN)
        .join(Host, on=Host.host_id == Placement.host_id)
        .where(
            Placement.live,
            Assignment.observed.not_in(("running", "exited", "failed")),
            Instance.desired == "running",
        )
    )
