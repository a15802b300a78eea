"""Collecting images and bytes that nothing needs any more: a reconcile task.

A blob goes in three steps, each repeatable: condemned (nobody can come to need it now), its row and
its file's name removed, its space given back. The row and the name go together, while nobody else
writes: where another controller has removed both, and the same bytes were brought again meanwhile,
what is there now is not condemned, and stays. A controller that dies in between leaves a condemned
row or a hidden file, which the next run finishes. Nothing goes while a host has what
this database, an older copy then, does not know.
"""

from collections.abc import Callable, Sequence

from peewee import SQL, fn

from controller.hosts import strangers
from controller.identity.tags import rules as tags
from controller.kernel.call import Call
from controller.kernel.database import Database, Session
from controller.kernel.table import Clause, Column, Table
from controller.storage.images.store import ImageStore
from controller.tables.compute import Instance
from controller.tables.storage import Image, ImageBlob, ImageUpload, Volume

UPLOADS_KEPT_MS = 24 * 3600 * 1000  # an upload that nobody registers
DELETED_KEPT_MS = 3600 * 1000  # a deregistered image's row, and as long as instances have it
SWEEP_EVERY_MS = 3600 * 1000
FILES_KEPT_S = 24 * 3600  # files that no row names: their writer died between the file and the row
BATCH = 100

_ONE = SQL("1")


class ImageCollector:
    """``monotonic``: milliseconds of a clock that never goes back."""

    def __init__(self, db: Database, store: ImageStore, monotonic: Callable[[], int]):
        self._db, self._store, self._monotonic = db, store, monotonic
        self._sweep_due_ms = monotonic()

    def run_once(self, call: Call) -> None:
        """Does what is due; most runs find nothing."""
        now_ms = call.now_ms
        with self._db.read(call) as session:
            if strangers.are_there(session):
                return  # the audit and the collector of blocks say so
        with self._db.read(call) as session:
            gone = self._column(session, Image.image_id, _forgettable(now_ms))
            deleted = self._column(session, Image.image_id, Image.status == "pending_delete")
            old = self._column(session, ImageUpload.digest, _forgotten(now_ms))
        if gone or deleted or old:
            self._clear_rows(call, gone, deleted)
        with self._db.read(call) as session:
            unneeded = self._column(session, ImageBlob.digest, _unneeded())
        if unneeded:
            with self._db.write(call) as tx:
                condemned = ImageBlob.digest.in_(unneeded), _unneeded()
                tx.advance(ImageBlob, {"condemned": True}, *condemned)
        if self._monotonic() >= self._sweep_due_ms:
            self._sweep_due_ms = self._monotonic() + SWEEP_EVERY_MS
            self._sweep(call)
        self._remove_condemned(call)

    def _column(self, session: Session, field: Column, condition: Clause) -> list[str]:
        table: type[Table] = field.model
        query = table.select(field).where(condition).limit(BATCH)
        return session.column(query, str)

    def _clear_rows(self, call: Call, gone: Sequence[str], deleted: Sequence[str]) -> None:
        with self._db.write(call) as tx:
            tx.delete(ImageUpload, _forgotten(call.now_ms))
            if deleted:
                tx.advance(
                    Image,
                    {"status": "deleted", "digest": None},
                    Image.image_id.in_(deleted),
                    Image.status == "pending_delete",
                )
            if gone:
                tx.delete(Image, Image.image_id.in_(gone))
                tags.remove_all(tx, gone)

    def _sweep(self, call: Call) -> None:
        """Old files that no row names get a condemned row, and then go as all others do.

        The row comes first, so that an upload of the same bytes that is just ending sees it.
        """
        since_s = call.now_ms / 1000 - FILES_KEPT_S
        self._store.sweep_incoming(since_s)
        old = self._store.untouched(since_s)
        with self._db.read(call) as session:
            query = ImageBlob.select(ImageBlob.digest).where(ImageBlob.digest.in_(old))
            known = set(session.column(query, str)) if old else set()
        orphans = [
            {"digest": digest, "disk_format": "", "created_ms": call.now_ms, "condemned": True}
            for digest in old
            if digest not in known
        ]
        if orphans:
            with self._db.write(call) as tx:
                tx.insert(ImageBlob, orphans, on_conflict=("digest",))

    def _remove_condemned(self, call: Call) -> None:
        with self._db.read(call) as session:
            condemned = self._column(session, ImageBlob.digest, ImageBlob.condemned)
        for digest in condemned:
            with self._db.write(call) as tx:
                if tx.delete(ImageBlob, ImageBlob.digest == digest, ImageBlob.condemned):
                    self._store.hide(digest)
        self._store.remove_hidden()


def _forgettable(now_ms: int) -> Clause:
    old = (Image.status == "deleted") & (Image.deleted_ms <= now_ms - DELETED_KEPT_MS)
    return old & Image.image_id.not_in(Instance.select(Instance.image_id))


def _forgotten(now_ms: int) -> Clause:
    return ImageUpload.uploaded_ms <= now_ms - UPLOADS_KEPT_MS


def _unneeded() -> Clause:
    """Blobs that nothing names. Volumes name the bytes that their disks began as."""
    named_by = (
        Image.select(_ONE).where(Image.digest == ImageBlob.digest),
        ImageUpload.select(_ONE).where(ImageUpload.digest == ImageBlob.digest),
        Volume.select(_ONE).where(Volume.digest == ImageBlob.digest),
    )
    condition: Clause = ImageBlob.condemned == False  # noqa: E712 - SQL's
    for related in named_by:
        condition = condition & ~fn.EXISTS(related)
    return condition
