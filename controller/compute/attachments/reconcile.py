"""Reconciles attachments with what hosts saw: each consequence once.

A reconcile task; also run right after a report that brings something.

    detaching   its guest has the newer devices, or runs no more   it is attached to nothing
    failed      it could not be given to its guest                 it is taken back
"""

import logging
from collections.abc import Callable

from controller.compute.attachments import rules
from controller.compute.attachments.rules import AttachedDevice
from controller.hosts.feed import Feed
from controller.hosts.guests import QUIESCED, with_guest
from controller.kernel.call import Call
from controller.kernel.database import Database
from controller.kernel.prepared import prepared
from controller.kernel.rows import columns
from controller.kernel.table import Select
from controller.tables.compute import Attachment, Instance, Placement

log = logging.getLogger(__name__)

AT_ONCE = 200  # rows of one transaction; the next run takes the rest


class AttachmentReconciler:
    def __init__(self, db: Database, feed: Feed):
        self._db, self._feed = db, feed

    def run_once(self, call: Call) -> int:
        """Reconciles what there is; answers how many attachments that were."""
        with self._db.read(call) as session:
            found = any(session.exists(query()) for query in (_DETACHED, _FAILED))
        if not found:
            return 0
        with self._db.write(call) as tx:
            detached = tx.rows(_DETACHED(), AttachedDevice)
            failed = tx.rows(_FAILED(), AttachedDevice)
            rules.end(tx, self._feed, detached)
            for row in failed:
                log.warning(
                    "%s cannot be given to %s: %s", row.device_id, row.instance_id, row.message
                )
                rules.begin_detach(tx, self._feed, row, force=True)
        return len(detached) + len(failed)


def _attachments() -> Select:
    query = Attachment.select(*columns(AttachedDevice, Attachment))
    query = query.join(Instance, on=Instance.instance_id == Attachment.instance_id)
    return with_guest(query, Instance.instance_id)


def _detached() -> Select:
    """A message says that the guest has not let go."""
    newer = Placement.devices_revision >= Attachment.revision
    return _attachments().where(
        Attachment.detaching, QUIESCED | (newer & (Attachment.message == ""))
    )


def _failed() -> Select:
    return _attachments().where(Attachment.failed, ~Attachment.detaching)


def _in_order(build: Callable[[], Select]) -> prepared:
    return prepared(lambda: build().order_by(Attachment.device_id).limit(AT_ONCE))


_DETACHED, _FAILED = map(_in_order, (_detached, _failed))
