"""Reconcile task: a volume that is being made on a host of which nothing is heard is in error, so
that nobody waits for ever.

Nothing is taken back: the volume stays wanted, its home is told of it when it is back, makes it,
and it is available then; unless it was deleted meanwhile, as a volume in error can be. What is
written here (``observed`` is "lost") gives way to whatever its home says next: docs/decisions/0463.
"""

import logging

from peewee import fn

from controller.config import HostsConfig
from controller.hosts.guests import HOME
from controller.hosts.health import given_up
from controller.hosts.reports import suppose
from controller.kernel.call import Call
from controller.kernel.database import Database
from controller.storage.volumes.rows import VolumeId, volumes_query
from controller.tables.compute import Attachment
from controller.tables.hosts import Host
from controller.tables.nouns import VOLUME
from controller.tables.storage import Volume

log = logging.getLogger(__name__)

LOST = "The host that was to hold the volume is lost"


class VolumeOverdue:
    """``started_ms``: when this controller was."""

    def __init__(self, db: Database, hosts: HostsConfig, started_ms: int):
        self._db, self._hosts, self._started_ms = db, hosts, started_ms

    def run_once(self, call: Call) -> int:
        """Gives up new volumes on lost hosts; answers how many that were."""
        lost = given_up(self._hosts, self._started_ms, call.now_ms)
        if lost is None:
            return 0
        making = volumes_query(VolumeId).where(
            Volume.desired == "present",
            ~Volume.made,
            Attachment.device_id.is_null(),
            fn.COALESCE(HOME.observed, "").in_(("", "making")),
            Volume.host_id.in_(Host.select(Host.host_id).where(lost)),
        )
        with self._db.read(call) as session:
            if not session.exists(making):
                return 0
        with self._db.write(call) as tx:
            found = tx.column(making, str)
            suppose(tx, VOLUME, found, "lost", LOST)
        log.warning("%d volumes are in error: %s", len(found), LOST)
        return len(found)
