"""Reconcile task: hosts that say nothing become silent, then lost. The only writer of host.health
but for a report, which makes it up again.

A controller that has just started has heard nobody yet: silence counts from its start at the
earliest.
"""

from controller.config import HostsConfig
from controller.kernel.call import Call
from controller.kernel.database import Database
from controller.kernel.table import Clause
from controller.tables.hosts import Host


def given_up(config: HostsConfig, started_ms: int, now_ms: int) -> Clause | None:
    """The condition on a host under which nobody waits for it any more: what was given to it and
    never came about is given up. None: it can be fulfilled by no host (yet).
    """
    before_ms = now_ms - config.given_up_after_ms
    if not config.given_up_after_ms or started_ms >= before_ms:
        return None
    return (Host.health == "lost") & (Host.last_seen_ms < before_ms)


class HostHealth:
    def __init__(self, db: Database, config: HostsConfig, started_ms: int):
        self._db, self._config, self._started_ms = db, config, started_ms

    def run_once(self, call: Call) -> int:
        """Updates the health of silent hosts; answers how many changed."""
        silent_ms = call.now_ms - self._config.silent_after_ms
        lost_ms = call.now_ms - self._config.lost_after_ms
        if self._started_ms >= silent_ms:
            return 0
        overdue = (Host.health == "up") & (Host.last_seen_ms < silent_ms)
        if self._started_ms < lost_ms:
            overdue = overdue | ((Host.health == "silent") & (Host.last_seen_ms < lost_ms))
        with self._db.read(call) as session:
            if not session.exists(Host.select(Host.host_id).where(overdue)):
                return 0
        with self._db.write(call) as tx:
            changed = 0
            if self._started_ms < lost_ms:
                changed += tx.advance(
                    Host, {"health": "lost"}, Host.health == "silent", Host.last_seen_ms < lost_ms
                )
            changed += tx.advance(
                Host, {"health": "silent"}, Host.health == "up", Host.last_seen_ms < silent_ms
            )
        return changed
