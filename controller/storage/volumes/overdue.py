"""Reconcile task: a volume that is being made on a host of which nothing is heard is in error, so
that nobody waits for ever.

Nothing is taken back: the volume stays wanted, its home is told of it when it is back, makes it,
and it is available then; unless it was deleted meanwhile, as a volume in error can be. What is
written here (``observed`` is "lost") gives way to whatever its home says next: docs/decisions/0463.
"""

import logging
from collections.abc import Callable
from typing import NamedTuple

from peewee import fn

from controller.hosts.guests import HOME
from controller.hosts.health import Hearing, Waits
from controller.hosts.reports import suppose
from controller.kernel.call import Call
from controller.kernel.database import Database
from controller.kernel.table import Select
from controller.storage.volumes.rows import volumes_query
from controller.tables.compute import Attachment
from controller.tables.nouns import VOLUME
from controller.tables.storage import Volume

log = logging.getLogger(__name__)

LOST = "The host that was to hold the volume is lost"


class Making(NamedTuple):
    volume_id: str
    host_id: str


class VolumeOverdue:
    """``clock``: milliseconds, never goes back."""

    def __init__(self, db: Database, hearing: Hearing, clock: Callable[[], int]):
        self._db, self._hearing = db, hearing
        self._waits: Waits[str] = Waits(clock)

    def run_once(self, call: Call) -> int:
        """Gives up new volumes on lost hosts; answers how many that were."""
        with self._db.read(call) as session:
            self._hearing.look(session)
            rows = session.rows(_making(), Making)
        waits = self._waits.note(row.volume_id for row in rows)
        in_vain = {
            row.volume_id
            for row in rows
            if self._hearing.is_in_vain(row.host_id, waits[row.volume_id])
        }
        if not in_vain:
            return 0
        with self._db.write(call) as tx:
            named = Volume.volume_id.in_(sorted(in_vain))
            found = [row.volume_id for row in tx.rows(_making().where(named), Making)]
            suppose(tx, VOLUME, found, "lost", LOST)
        log.warning("%d volumes are in error: %s", len(found), LOST)
        return len(found)


def _making() -> Select:
    return volumes_query(Making).where(
        Volume.desired == "present",
        ~Volume.made,
        Attachment.device_id.is_null(),
        fn.COALESCE(HOME.observed, "").in_(("", "making")),
        Volume.host_id.is_null(False),
    )
