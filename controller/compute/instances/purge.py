"""Reconcile task: terminated instances stay to be seen for an hour (docs/ec2.md, trap 31), then
their rows go."""

from controller.identity.tags import rules as tags
from controller.kernel.call import Call
from controller.kernel.database import Database
from controller.tables.compute import Instance

AT_ONCE = 500


class Purge:
    def __init__(self, db: Database, keep_terminated_ms: int):
        self._db, self._keep_ms = db, keep_terminated_ms

    def run_once(self, call: Call) -> int:
        """Removes the rows of instances that ended long ago; answers how many."""
        old = Instance.terminated_ms < call.now_ms - self._keep_ms
        query = Instance.select(Instance.instance_id).where(
            Instance.terminated_ms.is_null(False), old
        )
        with self._db.read(call) as session:
            if not session.exists(query.limit(1)):
                return 0
        with self._db.write(call) as tx:
            gone = tx.column(query.limit(AT_ONCE), str)
            tags.remove_all(tx, gone)
            tx.delete(Instance, Instance.instance_id.in_(gone))  # its placements go with it
        return len(gone)
