"""Images: who registers, sees and removes what (traps 36, 40), and what bytes are taken."""

import pytest

from controller.config import ImagesConfig
from controller.kernel.call import system_call
from controller.storage.images.collect import ImageCollector
from controller.storage.images.store import FileStore
from protos.cloud.v1 import images_pb2 as pb
from protos.errors import CloudError, Kind
from tests.unit.controller.refusals import refused
from tests.unit.controller.resource_world import (
    ANN,
    BOB,
    OPERATOR,
    World,
    tag_specification,
)
from tests.unit.controller.test_image_store import MIB, qcow2_file

GIB = 1 << 30
CONFIG = ImagesConfig(
    max_bytes=2 * MIB, max_virtual_bytes=4 * GIB, sources=("https://images.example/public",)
)


class ImageWorld(World):
    def __init__(self, folder):
        super().__init__(folder)
        self.store = FileStore(folder / "images")
        self.images = self.image_servicer(self.store, CONFIG)
        self.collector = ImageCollector(self.db, self.store, lambda: self.now_ms)

    def upload(self, data=None, disk_format="qcow2", account_id=ANN, **fields):
        data = qcow2_file() if data is None else data
        parts = [
            pb.UploadImageRequest(chunk=data[start : start + 100_000])
            for start in range(0, len(data), 100_000)
        ]
        first = pb.UploadImageRequest(
            disk_format=disk_format, **{"size_bytes": len(data), **fields}
        )
        return self.images.Upload(iter([first, *parts]), self.call(account_id))

    def register(self, location, name="demo", account_id=ANN, dry_run=False, **fields):
        request = pb.RegisterImageRequest(name=name, image_location=location, **fields)
        return self.images.Register(request, self.call(account_id, dry_run=dry_run))

    def describe(self, account_id=ANN, **asked):
        return list(
            self.images.Describe(pb.DescribeImagesRequest(**asked), self.call(account_id)).images
        )

    def deregister(self, image, account_id=ANN):
        request = pb.DeregisterImageRequest(image_id=image.image_id)
        self.images.Deregister(request, self.call(account_id))

    def collect(self, later_ms=0):
        self.now_ms += later_ms
        self.collector.run_once(system_call(self.now_ms))


@pytest.fixture
def world(tmp_path):
    return ImageWorld(tmp_path)


# --- uploading and registering --------------------------------------------------------------------


def test_uploaded_bytes_become_an_image_at_once(world):
    upload = world.upload(qcow2_file(size=GIB + 512))
    assert upload.image_location == "upload:" + upload.digest.removeprefix("sha256:")
    image = world.register(
        upload.image_location, tag_specifications=tag_specification("image", Name="x")
    )
    assert (image.state, image.disk_format, image.digest) == ("available", "qcow2", upload.digest)
    assert (image.architecture, image.root_device_name) == ("x86_64", "/dev/sda1")
    (device,) = image.block_devices
    assert (device.volume_size_gib, device.delete_on_termination) == (2, True)
    assert [tag.key for tag in image.tags] == ["Name"]
    assert world.describe(image_ids=[image.image_id]) == [image]
    assert not image.public and image.owner_alias == ""


def test_the_same_bytes_again_are_the_same_upload(world):
    assert world.upload() == world.upload() == world.upload(account_id=BOB)


def test_only_who_brought_the_bytes_may_register_them(world):
    upload = world.upload()
    with refused(Kind.INVALID, "image"):
        world.register(upload.image_location, account_id=BOB)
    world.upload(account_id=BOB)
    world.register(upload.image_location, account_id=BOB)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"data": b"\0" * 100, "disk_format": "raw"}, "sectors"),
        ({"data": b"\0" * (3 * MIB), "disk_format": "raw"}, "larger than"),
        ({"data": b"\0" * (3 * MIB), "disk_format": "raw", "size_bytes": -1}, "larger than"),
        ({"disk_format": "vmdk"}, "not one of"),
        ({"size_bytes": 7}, "were announced"),
        ({"data": qcow2_file(size=5 * GIB)}, "larger"),
    ],
)
def test_uploads_that_are_refused(world, fields, why):
    with pytest.raises(CloudError, match=why) as refusal:
        world.upload(**fields)
    assert refusal.value.kind is Kind.INVALID


def test_an_upload_without_a_word_is_refused(world):
    with refused(Kind.INVALID):
        world.images.Upload(iter(()), world.call())


def test_too_many_uploads_at_once_are_asked_to_come_again(world):
    def upload_within(depth):
        yield pb.UploadImageRequest(disk_format="raw", size_bytes=-1)
        if depth:
            world.images.Upload(upload_within(depth - 1), world.call())
        yield pb.UploadImageRequest(chunk=b"\0" * 512)

    world.images.Upload(upload_within(3), world.call())
    with refused(Kind.UNAVAILABLE):
        world.images.Upload(upload_within(4), world.call())
    world.images.Upload(upload_within(3), world.call())  # all places are free again


@pytest.mark.parametrize(
    ("fields", "kind", "reason"),
    [
        ({"name": ""}, Kind.INVALID, "missing-parameter"),
        ({"name": "ab"}, Kind.INVALID, "image-name-malformed"),
        ({"name": "a" * 129}, Kind.INVALID, "image-name-malformed"),
        ({"name": "what?"}, Kind.INVALID, "image-name-malformed"),
        ({"location": ""}, Kind.INVALID, "missing-parameter"),
        ({"location": "bucket/manifest.xml"}, Kind.INVALID, ""),
        ({"location": "upload:../../etc/passwd"}, Kind.INVALID, ""),
        ({"location": "upload:" + "0" * 64}, Kind.INVALID, ""),
        ({"location": "https://elsewhere.example/x.qcow2"}, Kind.INVALID, ""),
        ({"architecture": "sparc"}, Kind.INVALID, ""),
        ({"virtualization_type": "paravirtual"}, Kind.INVALID, ""),
        ({"boot_mode": "uefi"}, Kind.INVALID, ""),
        ({"disk_format": "raw"}, Kind.INVALID, ""),
        ({"root_device_name": "sda1"}, Kind.INVALID, ""),
        ({"description": "d" * 256}, Kind.INVALID, ""),
        ({"block_devices": [{"device_name": "/dev/sdb"}]}, Kind.UNSUPPORTED, ""),
        ({"block_devices": [{"device_name": "/dev/sda1"}] * 2}, Kind.INVALID, None),
        (
            {"block_devices": [{"device_name": "/dev/sda1", "volume_size_gib": 0}]},
            Kind.INVALID,
            "",
        ),
        (
            {"block_devices": [{"device_name": "/dev/sda1", "volume_size_gib": 1}]},
            Kind.INVALID,
            "block-device-mapping",
        ),
        ({"tag_specifications": tag_specification("instance", a="b")}, Kind.INVALID, ""),
    ],
)
def test_what_cannot_be_registered(world, fields, kind, reason):
    location = world.upload(qcow2_file(size=2 * GIB)).image_location
    with refused(kind, reason=reason):
        world.register(**{"location": location, **fields})
    assert world.describe() == []


def test_a_name_is_one_living_images(world):
    location = world.upload().image_location
    first = world.register(location)
    with refused(Kind.EXISTS, "image"):
        world.register(location)
    world.upload(account_id=BOB)
    world.register(location, account_id=BOB)
    world.deregister(first)
    world.register(location)


def test_the_root_disk_is_as_asked_for(world):
    mapping = {
        "device_name": "/dev/xvda",
        "volume_size_gib": 8,
        "delete_on_termination": False,
        "volume_type": "gp3",
    }
    image = world.register(
        world.upload().image_location, root_device_name="/dev/xvda", block_devices=[mapping]
    )
    (device,) = image.block_devices
    assert (device.volume_size_gib, device.volume_type) == (8, "gp3")
    assert not device.delete_on_termination


def test_an_image_from_a_url_waits_to_be_fetched(world):
    image = world.register("https://images.example/public/a/b.qcow2")
    assert (image.state, image.digest, image.disk_format) == ("pending", "", "qcow2")


# --- reading --------------------------------------------------------------------------------------


@pytest.fixture
def filled(world):
    location = world.upload(account_id=OPERATOR).image_location
    world.upload()
    world.upload(account_id=BOB)
    return {
        "public": world.register(location, "public", OPERATOR, public=True),
        "operators": world.register(location, "operators", OPERATOR),
        "mine": world.register(
            location, "mine", tag_specifications=tag_specification("image", a="b")
        ),
        "pending": world.register("https://images.example/public/x.raw", "pending"),
        "his": world.register(location, "his", BOB),
    }


def names(images):
    return sorted(image.name for image in images)


def test_an_account_sees_its_own_and_the_public_ones(world, filled):
    assert names(world.describe()) == ["mine", "pending", "public"]
    for name in ("his", "operators"):
        with refused(Kind.NOT_FOUND, "image"):
            world.describe(image_ids=[filled[name].image_id])
    (public,) = world.describe(image_ids=[filled["public"].image_id])
    assert (public.owner_alias, public.public, public.owner_id) == ("amazon", True, OPERATOR)


def test_what_the_operator_keeps_to_himself_bears_no_alias(world, filled):
    alias = [{"name": "owner-alias", "values": ["amazon"]}]
    shown = {image.name: image.owner_alias for image in world.describe(OPERATOR)}
    assert (shown["operators"], shown["public"]) == ("", "amazon")
    assert names(world.describe(OPERATOR, owners=["amazon"])) == ["public"]
    assert names(world.describe(OPERATOR, filters=alias)) == ["public"]


def test_owners_and_executable_users(world, filled):
    for owners, found in (
        (["self"], ["mine", "pending"]),
        (["amazon"], ["public"]),
        (["self", "amazon"], ["mine", "pending", "public"]),
        (["aws-marketplace"], []),
        ([ANN], ["mine", "pending"]),
        ([OPERATOR], ["public"]),
        ([BOB], []),
    ):
        assert names(world.describe(owners=owners)) == found, owners
    assert names(world.describe(executable_users=["all"])) == ["public"]
    assert names(world.describe(executable_users=["self"])) == []
    with refused(Kind.INVALID):
        world.describe(owners=["nonsense"])


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("name", "m?ne", ["mine"]),
        ("state", "pending", ["pending"]),
        ("state", "available", ["mine", "public"]),
        ("is-public", "true", ["public"]),
        ("owner-alias", "amazon", ["public"]),
        ("owner-id", ANN, ["mine", "pending"]),
        ("architecture", "x86_64", ["mine", "pending", "public"]),
        ("root-device-type", "ebs", ["mine", "pending", "public"]),
        ("virtualization-type", "hvm", ["mine", "pending", "public"]),
        ("hypervisor", "kvm", []),
        ("block-device-mapping.volume-size", "1", ["mine", "public"]),
        ("block-device-mapping.device-name", "/dev/sda?", ["mine", "pending", "public"]),
        ("creation-date", "2027-*", ["mine", "pending", "public"]),
        ("creation-date", "2026-*", []),
        ("platform", "windows", []),
        ("tag:a", "b", ["mine"]),
        ("manifest-location", "https://*", ["pending"]),
    ],
)
def test_filters(world, filled, name, value, found):
    request = pb.DescribeImagesRequest()
    request.filters.add(name=name, values=[value])
    assert names(world.images.Describe(request, world.call()).images) == found


def test_pages(world, filled):
    answer = world.images.Describe(pb.DescribeImagesRequest(page={"max_results": 2}), world.call())
    again = pb.DescribeImagesRequest(page={"next_token": answer.next_token})
    rest = world.images.Describe(again, world.call())
    assert names([*answer.images, *rest.images]) == ["mine", "pending", "public"]
    assert rest.next_token == ""


# --- removing -------------------------------------------------------------------------------------


def test_only_the_owner_deregisters(world, filled):
    with refused(Kind.DENIED, "image"):
        world.deregister(filled["public"])
    with refused(Kind.NOT_FOUND, "image"):
        world.deregister(filled["his"])
    for name in ("mine", "pending"):
        world.deregister(filled[name])
        with refused(Kind.WRONG_STATE, "image", "unavailable"):
            world.deregister(filled[name])
    assert names(world.describe()) == ["public"]
