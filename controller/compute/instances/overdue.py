"""Reconcile task: launches and starts that come about nowhere are given up, so that nobody waits
for ever.

    its host is heard and took longer than ``limit_ms``         given up
    its host was not heard of for hosts.given_up_after_ms       given up

A host that works reports a failed launch itself. Giving up is an intent like a user's: a launch
that never ran is to be terminated, a start is to be stopped. That is not knowing that nothing runs
there: what the instance claims is given back, and "terminated" shown, when its host says so,
however late (docs/decisions/0463). What has run under its newest start is not given up, whatever it
is made ready for again; nor what was asked for before this controller began, until its host was
heard: nobody listened, and it may have run.
"""

from collections.abc import Callable, Collection
from typing import NamedTuple

from controller.compute.instances.rules import InstanceRules
from controller.hosts.guests import SEEN
from controller.hosts.health import Hearing, Wait, Waits
from controller.kernel.call import Call
from controller.kernel.database import Database, Transaction
from controller.kernel.state_reasons import SERVER_ERROR, state_reason
from controller.kernel.table import Select
from controller.tables.compute import Instance, Placement
from controller.tables.hosts import Assignment

TOO_LONG = "The host did not start the instance in time"
LOST = "The host of the instance was lost before the instance ran"


class Pending(NamedTuple):
    """A launch or a start that has not come about."""

    instance_id: str
    starts: int
    host_id: str
    ran_start: int


class Overdue:
    """``limit_ms``: 0 is for ever. ``clock``: milliseconds, never goes back."""

    def __init__(
        self,
        db: Database,
        rules: InstanceRules,
        limit_ms: int,
        hearing: Hearing,
        clock: Callable[[], int],
    ):
        self._db, self._rules, self._limit_ms, self._hearing = db, rules, limit_ms, hearing
        self._waits: Waits[tuple[str, int]] = Waits(clock)

    def run_once(self, call: Call) -> int:
        """Gives up what came about nowhere; answers how many that were."""
        with self._db.read(call) as session:
            self._hearing.look(session)
            rows = session.rows(_pending(), Pending)
        waits = self._waits.note((row.instance_id, row.starts) for row in rows)
        causes: dict[str, set[tuple[str, int]]] = {}
        for row in rows:
            if why := self._why(row, waits[row.instance_id, row.starts]):
                causes.setdefault(why, set()).add((row.instance_id, row.starts))
        if not causes:
            return 0
        with self._db.write(call) as tx:
            return sum(self._give_up(tx, starts, why) for why, starts in causes.items())

    def _why(self, row: Pending, wait: Wait) -> str:
        if self._hearing.is_in_vain(row.host_id, wait):
            return LOST
        takes_longer = self._hearing.takes_longer(row.host_id, wait, self._limit_ms)
        return TOO_LONG if self._limit_ms and takes_longer else ""

    def _give_up(self, tx: Transaction, starts: Collection[tuple[str, int]], why: str) -> int:
        """Those of them that have still not come about."""
        named = Placement.instance_id.in_([instance_id for instance_id, _ in starts])
        rows = tx.rows(_pending().where(named), Pending)
        rows = [row for row in rows if (row.instance_id, row.starts) in starts]
        for desired, has_run in (("terminated", False), ("stopped", True)):
            ids = [row.instance_id for row in rows if bool(row.ran_start) is has_run]
            self._rules.end(tx, ids, desired, *state_reason(SERVER_ERROR, why))
        return len(rows)


def _pending() -> Select:
    """Wanted running, and not known to have run since."""
    return (
        Placement.select(
            Placement.instance_id, Instance.starts, Placement.host_id, Placement.ran_start
        )
        .join(Instance, on=Instance.instance_id == Placement.instance_id)
        .join(Assignment, on=SEEN)
        .where(
            Placement.live,
            Placement.ran_start < Instance.starts,
            Assignment.observed.not_in(("running", "exited", "failed")),
            Instance.desired == "running",
        )
    )
