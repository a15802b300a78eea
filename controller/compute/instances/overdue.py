"""Reconcile task: launches and starts that take too long are given up, so that nobody waits for
ever.

A host that works reports a failed launch itself; this is for hosts that do not answer. Giving up is
an intent like a user's: a launch that never ran is to be terminated, a start is to be stopped, and
what it claims is given back when its host says so, however late.
"""

from controller.compute.instances.rules import InstanceRules
from controller.hosts.guests import SEEN
from controller.kernel.call import Call
from controller.kernel.database import Database
from controller.kernel.state_reasons import SERVER_ERROR, state_reason
from controller.tables.compute import Instance, Placement
from controller.tables.hosts import Assignment

AT_ONCE = 200
REASON = state_reason(SERVER_ERROR, "The host did not start the instance in time")


class Overdue:
    def __init__(self, db: Database, rules: InstanceRules, limit_ms: int):
        self._db, self._rules, self._limit_ms = db, rules, limit_ms

    def run_once(self, call: Call) -> int:
        """Answers how many were given up."""
        if not self._limit_ms:
            return 0
        query = _pending_since(call.now_ms - self._limit_ms).limit(AT_ONCE)
        with self._db.read() as session:
            if not session.rows(query):
                return 0
        with self._db.write(call) as tx:
            rows = tx.rows(query)
            for desired, given_up in (
                ("terminated", [row for row in rows if not row.ran_ms]),
                ("stopped", [row for row in rows if row.ran_ms]),
            ):
                self._rules.end(tx, given_up, desired, *REASON)
        return len(rows)


def _pending_since(before_ms: int):
    """Wanted running since before then, and not seen to run since."""
    return (
        Placement.select(Placement.instance_id, Placement.ran_ms)
        .join(Instance, on=Instance.instance_id == Placement.instance_id)
        .join(Assignment, on=SEEN)
        .where(
            Placement.live,
            Assignment.observed.not_in(("running", "exited", "failed")),
            Instance.desired == "running",
            Instance.launched_ms < before_ms,
        )
    )
