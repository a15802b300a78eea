"""Reconciles volumes with what hosts saw: each consequence once, by guarded updates.

A reconcile task; also run right after a report that brings one, so that it is quick.

    deleted     seen gone                                          its row goes, all is given back
    modifying   home and guest have it as it should be             completed
                its home or its guest could not                    failed, and it is as it was
"""

import logging
from collections.abc import Callable, Sequence
from typing import NamedTuple

from peewee import SQL

from controller.hosts import capacity as claims
from controller.hosts.capacity import Amount
from controller.hosts.feed import Feed
from controller.hosts.guests import HOME, QUIESCED, revise_devices
from controller.identity.quotas.rules import Quotas
from controller.kernel.call import Call
from controller.kernel.database import Database, Transaction
from controller.kernel.prepared import prepared
from controller.kernel.table import Select
from controller.storage.volumes import modify
from controller.storage.volumes.release import GoneVolume, forget
from controller.storage.volumes.revisions import revise
from controller.storage.volumes.rows import volumes_query
from controller.tables.compute import Attachment, Placement
from controller.tables.storage import Volume, VolumeModification

log = logging.getLogger(__name__)

AT_ONCE = 200  # rows of one transaction; the next run takes the rest
# Written out as the partial indexes have it: they are found by their words.
_DELETED = Volume.desired == SQL("'deleted'")
_MODIFYING = VolumeModification.state == SQL("'modifying'")


class ModifiedVolume(NamedTuple):
    """A volume with what its home and its guest have seen, or None, and its modification."""

    volume_id: str
    account_id: str
    host_id: str | None
    instance_id: str | None
    attach_message: str | None
    observed: str | None
    observed_revision: int | None
    observed_message: str | None
    volume_revision: int
    original_size_gib: int
    original_type: str
    original_iops: int
    original_throughput_mibps: int
    target_size_gib: int


class VolumeReconciler:
    def __init__(self, db: Database, quotas: Quotas, feed: Feed):
        self._db, self._quotas, self._feed = db, quotas, feed

    def run_once(self, call: Call) -> int:
        """Reconciles what there is; answers how many volumes that were."""
        with self._db.read(call) as session:
            any_gone, any_modified = session.exists(_GONE()), session.exists(_MODIFIED())
        gone: list[GoneVolume] = []
        modified: list[ModifiedVolume] = []
        if any_gone:
            with self._db.write(call) as tx:
                gone = tx.rows(_GONE(), GoneVolume)
                forget(tx, self._feed, self._quotas, gone)
        if any_modified:
            with self._db.write(call) as tx:
                modified = tx.rows(_MODIFIED(), ModifiedVolume)
                self._end_modifications(tx, modified)
        return len(gone) + len(modified)

    def _end_modifications(self, tx: Transaction, rows: Sequence[ModifiedVolume]) -> None:
        for row in rows:
            waits = row.volume_revision
            failed_at_home = row.observed == "failed" and (row.observed_revision or 0) >= waits
            at_home = bool(waits) and failed_at_home
            message = (row.observed_message if at_home else row.attach_message) or ""
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

    def _undo(self, tx: Transaction, row: ModifiedVolume, at_home: bool) -> None:
        """It is as it was for its guest; where it could not grow at home, for its account too."""
        as_it_was: dict[str, object] = {
            "volume_type": row.original_type,
            "iops": row.original_iops,
            "throughput_mibps": row.original_throughput_mibps,
        }
        growth = row.target_size_gib - row.original_size_gib
        if at_home and growth:
            claims.release(tx, [(row.host_id or "", Amount(disk_gib=growth))])
            self._quotas.refund(tx, row.account_id, {"gigabytes": growth})
            as_it_was["size_gib"] = row.original_size_gib
            revise(tx, self._feed, [row.volume_id], as_it_was)
        else:
            tx.advance(Volume, as_it_was, Volume.volume_id == row.volume_id)
        tx.advance(Attachment, {"message": ""}, Attachment.device_id == row.volume_id)
        if row.instance_id:
            revise_devices(tx, self._feed, [row.instance_id])


def _gone() -> Select:
    seen = HOME.observed_revision >= Volume.revision
    return volumes_query(GoneVolume).where(_DELETED, HOME.observed == "gone", seen)


def _modified() -> Select:
    change = VolumeModification
    seen = HOME.observed_revision >= change.volume_revision
    grown = (change.volume_revision == 0) | (seen & (HOME.observed == "here"))
    not_grown = (change.volume_revision > 0) & seen & (HOME.observed == "failed")
    has_it = Placement.devices_revision >= change.devices_revision
    limited = (change.devices_revision == 0) | QUIESCED | has_it
    refused = (Attachment.message != "") & ~Attachment.detaching & ~Attachment.failed
    return (
        volumes_query(ModifiedVolume, **VolumeModification._meta.fields)
        .join(change, on=change.volume_id == Volume.volume_id)
        .where(_MODIFYING, (grown & limited) | not_grown | refused)
    )


def _in_order(build: Callable[[], Select]) -> prepared:
    return prepared(lambda: build().order_by(Volume.volume_id).limit(AT_ONCE))


_GONE, _MODIFIED = map(_in_order, (_gone, _modified))
