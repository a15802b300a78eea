"""Fetching registered images from their locations into the store, in a thread of its own.

``run_once`` takes one image, reads it to the end and makes it available, or failed with a reason.
The row is the journal: a fetcher says every few seconds that it lives, and one that has not for a
while has died, so that another takes its image from the beginning. Each beginning is an attempt,
however it ends, and after ATTEMPTS_MAX the image has failed. An image that is deregistered
meanwhile stops its fetch at the next such word.
"""

import logging
from collections.abc import Callable, Iterator
from typing import NamedTuple

from controller.config import ImagesConfig
from controller.kernel import rows
from controller.kernel.call import ITSELF, system_call
from controller.kernel.database import Database
from controller.kernel.state_reasons import columns
from controller.kernel.table import Clause
from controller.storage.images import rules
from controller.storage.images.remote import Unreachable
from controller.storage.images.store import ImageStore, StoredFile
from controller.tables.storage import Image
from protos.errors import CloudError, Kind

log = logging.getLogger(__name__)

TOUCH_EVERY_MS = 5_000
DEAD_AFTER_MS = 60_000
ATTEMPTS_MAX = 5
SERVER_ERROR = "Server.InternalError"
WAIT_MS = 10_000  # after the first failed attempt; twice as long after each further
LONGEST_WAIT_MS = WAIT_MS << ATTEMPTS_MAX


class _Stopped(Exception):
    """The image is not this fetcher's any more: deregistered, or taken over."""


class Waiting(NamedTuple):
    """An image that waits to be fetched."""

    image_id: str
    image_location: str
    disk_format: str
    root_volume_size_gib: int
    attempts: int
    touched_ms: int


class ImageFetcher:
    """read(url) → pieces (storage/images/remote.HttpReader.read); clock: milliseconds since the
    epoch."""

    def __init__(
        self,
        db: Database,
        store: ImageStore,
        config: ImagesConfig,
        read: Callable[[str], Iterator[bytes]],
        clock: Callable[[], int],
    ):
        self._db, self._store, self._config = db, store, config
        self._read, self._clock = read, clock

    def run_once(self) -> bool:
        """Fetches one image, if one waits; answers whether one did."""
        image = self._claim()
        if image is None:
            return False
        if image.attempts > ATTEMPTS_MAX:
            self._fail(image, SERVER_ERROR, f"Its fetch was cut off {ATTEMPTS_MAX} times")
            return True
        try:
            stored = self._store.add(self._pieces(image), image.disk_format, self._config.max_bytes)
            rules.check_size(stored, self._config)
            _check_root_size(image, stored)
            self._publish(image, stored)
        except _Stopped:
            log.info("fetching %s stopped: it is not wanted any more", image.image_id)
        except CloudError as refusal:
            if refusal.kind is not Kind.INVALID:
                self._try_later(image, SERVER_ERROR, refusal.message)
            else:
                self._fail(image, "Client.InvalidImage", refusal.message)
        except Unreachable as failure:
            self._try_later(image, "Client.ImageUnreachable", str(failure))
        except Exception:  # of the store's disk, or a defect: whatever it is, it does not go on so
            log.exception("fetching %s failed in a way that it should not", image.image_id)
            self._try_later(image, SERVER_ERROR, "Its bytes cannot be kept")
        return True

    def _claim(self) -> Waiting | None:
        """The longest waiting image, now this fetcher's; None where none waits."""
        now_ms = self._clock()
        set_back = Image.touched_ms > now_ms + LONGEST_WAIT_MS  # the clock was, since
        dead = (Image.touched_ms <= now_ms - DEAD_AFTER_MS) | set_back
        abandoned = (Image.status == "saving") & dead
        due = (Image.status == "queued") & ((Image.touched_ms <= now_ms) | set_back)
        query = (
            Image.select(*rows.columns(Waiting, Image))
            .where(abandoned | due)
            .order_by(Image.touched_ms, Image.image_id)
        )
        with self._db.read(ITSELF) as session:
            image = session.one(query, Waiting)
        if image is None:
            return None
        with self._db.write(system_call(now_ms)) as tx:
            taken = tx.advance(
                Image,
                {"status": "saving", "touched_ms": now_ms, "attempts": image.attempts + 1},
                Image.image_id == image.image_id,
                abandoned | due,
                Image.touched_ms == image.touched_ms,
            )
        return image._replace(touched_ms=now_ms, attempts=image.attempts + 1) if taken else None

    def _pieces(self, image: Waiting) -> Iterator[bytes]:
        """The file's pieces; between them this fetcher says that it lives, and learns to stop."""
        touched_ms = image.touched_ms
        for piece in self._read(image.image_location):
            now_ms = self._clock()
            if now_ms - touched_ms >= TOUCH_EVERY_MS:
                with self._db.write(system_call(now_ms)) as tx:
                    if not tx.advance(Image, {"touched_ms": now_ms}, *_still_mine(image)):
                        raise _Stopped
                touched_ms = now_ms
            yield piece

    def _publish(self, image: Waiting, stored: StoredFile) -> None:
        changes = rules.contents(stored, image.root_volume_size_gib)
        with self._db.write(system_call(self._clock())) as tx:
            rules.note_blob(tx, stored, self._store.has(stored.digest))
            if not tx.advance(Image, changes, *_still_mine(image)):
                raise _Stopped

    def _fail(self, image: Waiting, code: str, message: str) -> None:
        log.warning("image %s failed: %s", image.image_id, message)
        with self._db.write(system_call(self._clock())) as tx:
            failed = {"status": "killed"} | columns(code, message)
            tx.advance(Image, failed, *_still_mine(image))

    def _try_later(self, image: Waiting, code: str, message: str) -> None:
        if image.attempts >= ATTEMPTS_MAX:
            self._fail(image, code, message)
            return
        log.info("image %s: attempt %s failed: %s", image.image_id, image.attempts, message)
        wait_ms = WAIT_MS << (image.attempts - 1)
        now_ms = self._clock()
        with self._db.write(system_call(now_ms)) as tx:
            tx.advance(
                Image, {"status": "queued", "touched_ms": now_ms + wait_ms}, *_still_mine(image)
            )


def _still_mine(image: Waiting) -> tuple[Clause, ...]:
    return (
        Image.image_id == image.image_id,
        Image.status == "saving",
        Image.attempts == image.attempts,
    )


def _check_root_size(image: Waiting, stored: StoredFile) -> None:
    asked = image.root_volume_size_gib
    if asked and asked * rules.GIB < stored.virtual_size_bytes:
        raise rules.smaller_than_image(asked, stored.virtual_size_bytes)
