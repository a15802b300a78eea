"""Images that are deregistered, and when their bytes go."""

import contextlib

import pytest

from controller.kernel.call import system_call
from controller.storage.images import collect
from controller.storage.images.collect import ImageCollector
from controller.tables.storage import Image, ImageBlob, ImageUpload, Volume
from protos.cloud.v1 import tags_pb2
from protos.errors import Kind
from tests.unit.controller.resource_world import ANN, tag_specification, tags
from tests.unit.controller.test_image_store import MIB, qcow2_file
from tests.unit.controller.test_images import ImageWorld
from tests.unit.controller.test_security_groups import refused


@pytest.fixture
def world(tmp_path):
    return ImageWorld(tmp_path)


def test_bytes_stay_while_anything_names_them_and_go_afterwards(world):
    upload = world.upload()
    image = world.register(upload.image_location)
    with world.db.write(world.call()) as tx:
        tx.insert(
            Volume,
            [
                {
                    "volume_id": "vol-1",
                    "account_id": ANN,
                    "availability_zone": "us-east-1a",
                    "digest": upload.digest,
                }
            ],
        )
    world.collect()
    world.deregister(image)
    world.collect()
    world.collect(collect.UPLOADS_KEPT_MS)
    assert world.store.has(upload.digest)  # a disk began as these bytes
    with world.db.write(world.call()) as tx:
        tx.delete(Volume, Volume.volume_id == "vol-1")
    world.collect()
    assert not world.store.has(upload.digest)
    with world.db.read() as session:
        assert session.rows(ImageBlob.select()) == session.rows(Image.select()) == []


def test_an_upload_that_nobody_registers_goes(world):
    upload = world.upload()
    world.collect(collect.UPLOADS_KEPT_MS - 10)
    assert world.store.has(upload.digest)
    world.collect(20)
    assert not world.store.has(upload.digest)
    world.register(world.upload().image_location)  # and may come again


def test_bytes_that_are_just_being_removed_are_asked_to_come_again(world):
    upload = world.upload()
    with world.db.write(world.call()) as tx:
        tx.advance(ImageBlob, {"condemned": True}, ImageBlob.digest == upload.digest)
    with refused(Kind.UNAVAILABLE):
        world.upload()
    with refused(Kind.INVALID):
        world.register(upload.image_location)


class Overtaken:
    """The database of a controller that is slow: ``meanwhile`` happens after its so manyth read."""

    def __init__(self, db, after_reads, meanwhile):
        self._db, self._left, self._meanwhile = db, after_reads, meanwhile
        self.write = db.write

    @contextlib.contextmanager
    def read(self, call):
        with self._db.read(call) as session:
            yield session
        self._left -= 1
        if not self._left:
            self._meanwhile()


@pytest.mark.parametrize("after_reads", [1, 2, 3])
def test_bytes_that_another_controller_removed_and_that_came_again_stay(world, after_reads):
    """The slow one goes by a list of what was condemned before that."""
    world.collect()  # the hourly sweep is over
    upload = world.upload()
    world.now_ms += collect.UPLOADS_KEPT_MS
    with world.db.write(world.call()) as tx:
        tx.delete(ImageUpload, ImageUpload.digest == upload.digest)
        tx.advance(ImageBlob, {"condemned": True}, ImageBlob.digest == upload.digest)

    def meanwhile():
        ImageCollector(world.db, world.store, lambda: world.now_ms).run_once(
            system_call(world.now_ms)
        )
        assert not world.store.has(upload.digest)
        world.register(world.upload().image_location)

    overtaken = Overtaken(world.db, after_reads, meanwhile)
    slow = ImageCollector(overtaken, world.store, lambda: world.now_ms)
    slow._sweep_due_ms = world.now_ms + 1
    slow.run_once(system_call(world.now_ms))
    (image,) = world.describe(owners=["self"])
    assert b"".join(world.store.read(image.digest)) == qcow2_file()
    assert world.upload().digest == upload.digest


def test_files_that_no_row_names_go(world):
    orphan = world.store.add([b"\0" * 512], "raw", MIB)
    kept = world.register(world.upload().image_location)
    world.now_ms = 4_000_000_000_000  # far behind the day of the file
    world.collector.run_once(system_call(world.now_ms))
    assert not world.store.has(orphan.digest)
    assert world.store.has(kept.digest)


def test_what_is_deregistered_is_forgotten_with_its_tags(world):
    location = world.upload().image_location
    image = world.register(location, tag_specifications=tag_specification("image", a="b"))
    world.deregister(image)
    with refused(Kind.NOT_FOUND, "image"):
        request = tags_pb2.CreateTagsRequest(resource_ids=[image.image_id], tags=tags(c="d"))
        world.tags.Create(request, world.call())
    world.collect()
    world.collect(collect.DELETED_KEPT_MS)
    with world.db.read() as session:
        assert session.rows(Image.select()) == []

    assert not world.tags.Describe(tags_pb2.DescribeTagsRequest(), world.call()).tags
