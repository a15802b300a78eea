"""What follows for volumes from what hosts saw: each consequence once, by guarded updates.

A reconcile task; also run right after a report that brings one, so that it is quick.

    detaching   its guest has the newer devices, or runs no more   it belongs to nobody
    failed      it could not be given to its guest                 it is taken back
    deleted     seen gone                                          its row goes, all is given back
    modifying   home and guest have it as it should be             completed
                its home or its guest could not                    failed, and it is as it was
"""

import logging
from collections.abc import Callable, Sequence

from peewee import SQL, ModelSelect

from controller.call import Call
from controller.db.prepared import prepared
from controller.db.schema import Placement, Volume, VolumeModification
from controller.db.session import Database, Transaction
from controller.fleet.changes import Changes
from controller.instances import claims
from controller.instances.claims import Amount
from controller.instances.rest import AT_REST
from controller.quotas.rules import Quotas
from controller.volumes import modify
from controller.volumes.attachments import begin_detach
from controller.volumes.release import forget, let_go
from controller.volumes.rows import volumes_query

log = logging.getLogger(__name__)

AT_ONCE = 200  # rows of one transaction; the next run takes the rest
# Written out as the partial indexes have it: they are found by their words.
_DELETED = Volume.desired == SQL("'deleted'")
_MODIFYING = VolumeModification.state == SQL("'modifying'")


class VolumeSettle:
    def __init__(self, db: Database, quotas: Quotas, changes: Changes):
        self._db, self._quotas, self._changes = db, quotas, changes

    def run_once(self, call: Call) -> int:
        """Answers how many volumes that were."""
        steps = (
            (_DETACHED, self._let_go),
            (_FAILED, self._take_back),
            (_GONE, lambda tx, rows: forget(tx, self._quotas, rows)),
            (_MODIFIED, self._end_modifications),
        )
        done = 0
        with self._db.read() as session:
            found = [session.one(query()) is not None for query, _ in steps]
        for there, (query, act) in zip(found, steps, strict=True):
            if not there:
                continue
            with self._db.write(call) as tx:
                rows = tx.rows(query())
                act(tx, rows)
                done += len(rows)
        return done

    def _let_go(self, tx: Transaction, rows: Sequence) -> None:
        let_go(tx, self._changes, rows)

    def _take_back(self, tx: Transaction, rows: Sequence) -> None:
        for row in rows:
            log.warning(
                "%s cannot be given to %s: %s", row.volume_id, row.instance_id, row.attach_message
            )
            begin_detach(tx, self._changes, row, force=True)

    def _end_modifications(self, tx: Transaction, rows: Sequence) -> None:
        for row in rows:
            waits = row.volume_generation
            at_home = bool(waits) and row.observed == "failed" and row.observed_generation >= waits
            message = row.observed_message if at_home else row.attach_message
            failed = at_home or bool(message)
            if failed:
                self._undo(tx, row, at_home)
            ended = {
                "state": modify.FAILED if failed else modify.COMPLETED,
                "ended_ms": tx.call.now_ms,
                "message": message,
            }
            is_it = VolumeModification.volume_id == row.volume_id
            tx.advance(VolumeModification, ended, is_it, _MODIFYING)

    def _undo(self, tx: Transaction, row, at_home: bool) -> None:
        """It is as it was for its guest; where it could not grow at home, for its account too."""
        as_it_was = {
            "volume_type": row.original_type,
            "iops": row.original_iops,
            "throughput_mibps": row.original_throughput_mibps,
            "attach_message": "",
        }
        growth = row.target_size_gib - row.original_size_gib
        if at_home and growth:
            claims.release(tx, [(row.host_id, Amount(disk_gib=growth))])
            self._quotas.refund(tx, row.account_id, {"gigabytes": growth})
            as_it_was |= {
                "size_gib": row.original_size_gib,
                "generation": self._changes.volumes(tx, row.host_id),
            }
        tx.advance(Volume, as_it_was, Volume.volume_id == row.volume_id)
        if row.instance_id:
            self._changes.devices(tx, [row.instance_id])


def _detached():
    """A message says that the guest has not let go."""
    newer = Placement.devices_generation >= Volume.attach_generation
    lets_go = newer & (Volume.attach_message == "")
    return volumes_query().where(Volume.detaching, AT_REST | lets_go)


def _failed():
    attached = Volume.instance_id.is_null(False)
    return volumes_query().where(Volume.failed, ~Volume.detaching, attached)


def _gone():
    seen = Volume.observed_generation >= Volume.generation
    return volumes_query().where(_DELETED, Volume.observed == "gone", seen)


def _modified():
    change = VolumeModification
    seen = Volume.observed_generation >= change.volume_generation
    grown = (change.volume_generation == 0) | (seen & (Volume.observed == "here"))
    not_grown = (change.volume_generation > 0) & seen & (Volume.observed == "failed")
    has_it = Placement.devices_generation >= change.devices_generation
    limited = (change.devices_generation == 0) | AT_REST | has_it
    refused = (Volume.attach_message != "") & ~Volume.detaching & ~Volume.failed
    more = [getattr(change, name) for name in _OF_MODIFICATION]
    return (
        volumes_query(*more)
        .join(change, on=change.volume_id == Volume.volume_id)
        .where(_MODIFYING, (grown & limited) | not_grown | refused)
    )


_OF_MODIFICATION = (
    "volume_generation",
    "original_size_gib",
    "original_type",
    "original_iops",
    "original_throughput_mibps",
    "target_size_gib",
)


def _in_order(build: Callable[[], ModelSelect]) -> prepared:
    return prepared(lambda: build().order_by(Volume.volume_id).limit(AT_ONCE))


_DETACHED, _FAILED, _GONE, _MODIFIED = map(_in_order, (_detached, _failed, _gone, _modified))
