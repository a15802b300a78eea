"""The service Images: from the wire to the rules and back."""

import random
import threading
from collections.abc import Iterator
from typing import Protocol

from controller.config import ImagesConfig
from controller.identity.quotas.rules import Quotas
from controller.kernel.call import Call
from controller.kernel.database import Database, Transaction
from controller.storage.images import rules, sharing
from controller.storage.images.deregister import deregister
from controller.storage.images.describe import describe_image, describe_images
from controller.storage.images.store import DECIDE_BY_HEADER, ImageStore, StoredFile, refused
from controller.storage.snapshots.rules import SnapshotRules
from protos.cloud.v1 import common_pb2, images_pb2
from protos.disk_files import DISK_FORMATS
from protos.errors import CloudError, Kind

UPLOADS_AT_ONCE = 4  # each holds one of the server's threads


class ImageMaker(Protocol):
    """Makes images of instances (compute/create_image)."""

    def create(self, tx: Transaction, request: images_pb2.CreateImageRequest) -> str: ...


class ImagesServicer:
    def __init__(
        self,
        db: Database,
        rng: random.Random,
        store: ImageStore,
        config: ImagesConfig,
        snapshots: SnapshotRules,
        maker: ImageMaker,
        quotas: Quotas,
    ):
        self._db, self._rng, self._store, self._config = db, rng, store, config
        self._snapshots, self._maker, self._quotas = snapshots, maker, quotas
        self._uploads = threading.BoundedSemaphore(UPLOADS_AT_ONCE)

    def Describe(
        self, request: images_pb2.DescribeImagesRequest, call: Call
    ) -> images_pb2.DescribeImagesResponse:
        with self._db.read(call) as session:
            return describe_images(session, call.account_id, request)

    def Register(self, request: images_pb2.RegisterImageRequest, call: Call) -> images_pb2.Image:
        with self._db.write(call) as tx:
            if request.public:
                sharing.check_may_publish(tx, self._quotas)
            image_id = rules.register(tx, self._rng, self._config, request)
            return describe_image(tx, call.account_id, image_id)

    def Create(self, request: images_pb2.CreateImageRequest, call: Call) -> images_pb2.Image:
        with self._db.write(call) as tx:
            image_id = self._maker.create(tx, request)
            return describe_image(tx, call.account_id, image_id)

    def Deregister(
        self, request: images_pb2.DeregisterImageRequest, call: Call
    ) -> images_pb2.DeregisterImageResponse:
        with self._db.write(call) as tx:
            return deregister(tx, self._snapshots, request)

    def DescribeAttribute(
        self, request: images_pb2.ImageRequest, call: Call
    ) -> images_pb2.ImageSharing:
        with self._db.read(call) as session:
            return sharing.attributes(session, call, request.image_id)

    def ModifyAttribute(
        self, request: images_pb2.ModifyImageAttributeRequest, call: Call
    ) -> common_pb2.Empty:
        with self._db.write(call) as tx:
            sharing.modify(tx, self._quotas, request)
        return common_pb2.Empty()

    def ResetAttribute(self, request: images_pb2.ImageRequest, call: Call) -> common_pb2.Empty:
        with self._db.write(call) as tx:
            sharing.reset(tx, request.image_id)
        return common_pb2.Empty()

    def Upload(
        self, requests: Iterator[images_pb2.UploadImageRequest], call: Call
    ) -> images_pb2.UploadImageResponse:
        """Takes an image's bytes in. The same bytes again are the same upload.

        Raises INVALID, UNAVAILABLE (too many at once).
        """
        if not self._uploads.acquire(blocking=False):
            raise CloudError(
                Kind.UNAVAILABLE,
                "Too many images are being uploaded at once. Try again.",
                reason="busy",
            )
        try:
            stored = self._take_in(requests)
        finally:
            self._uploads.release()
        with self._db.write(call) as tx:
            rules.note_blob(tx, stored, self._store.has(stored.digest))
            rules.note_upload(tx, stored.digest)
        return images_pb2.UploadImageResponse(
            digest=stored.digest,
            size_bytes=stored.size_bytes,
            virtual_size_bytes=stored.virtual_size_bytes,
            image_location=stored.digest.replace("sha256:", "upload:"),
        )

    def _take_in(self, requests: Iterator[images_pb2.UploadImageRequest]) -> StoredFile:
        first = next(iter(requests), None)
        if first is None:
            raise refused("An upload begins with the disk's format")
        if first.disk_format not in (DECIDE_BY_HEADER, *DISK_FORMATS):
            raise refused(f"Disk format '{first.disk_format}' is not one of qcow2, raw")
        announced = first.size_bytes
        if announced > self._config.max_bytes:
            raise refused(
                f"The file is larger than the {self._config.max_bytes} bytes that are allowed"
            )
        stored = self._store.add(
            _chunks(first, requests), first.disk_format, self._config.max_bytes
        )
        if announced > 0 and announced != stored.size_bytes:
            raise refused(f"{announced} bytes were announced and {stored.size_bytes} have come")
        rules.check_size(stored, self._config)
        return stored


def _chunks(
    first: images_pb2.UploadImageRequest, rest: Iterator[images_pb2.UploadImageRequest]
) -> Iterator[bytes]:
    if first.chunk:
        yield first.chunk
    for request in rest:
        yield request.chunk
