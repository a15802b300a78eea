"""Volumes as qcow2 files. qemu-img does the work here too."""

import json
import shutil

import pytest

from hostagent import shell
from hostagent.drivers import DriverError
from hostagent.volumes.qcow2 import Qcow2Volumes
from protos.cloud.v1.fleet_pb2 import DiskSpec, ImageSource

pytestmark = pytest.mark.skipif(not shutil.which("qemu-img"), reason="needs qemu-img")

MIB = 1 << 20
VOLUME = "vol-0123456789abcdef0"


@pytest.fixture
def volumes(tmp_path):
    return Qcow2Volumes(tmp_path / "volumes", shell.run)


@pytest.fixture
def base(tmp_path):
    path = tmp_path / "base.raw"
    path.write_bytes(b"image".ljust(MIB, b"\0"))
    return path


def info(path):
    told = shell.run(["qemu-img", "info", "--output=json", path]).stdout
    return json.loads(told)


def disk(size=4 * MIB, **fields):
    image = ImageSource(digest="sha256:" + "a" * 64, disk_format="raw", virtual_size_bytes=MIB)
    return DiskSpec(volume_id=VOLUME, device_name="/dev/xvda", size_bytes=size, image=image)


def test_an_overlay_of_the_size_asked_for(volumes, base):
    made = volumes.ensure(disk(), base)
    told = info(made.path)
    assert (told["virtual-size"], told["format"]) == (4 * MIB, "qcow2")
    assert (told["backing-filename"], told["backing-filename-format"]) == (str(base), "raw")
    assert (made.backing, made.backing_format, made.disk_format) == (base, "raw", "qcow2")
    assert list(volumes.volumes()) == [VOLUME]


def test_blank(volumes):
    made = volumes.ensure(DiskSpec(volume_id=VOLUME, size_bytes=MIB), None)
    assert "backing-filename" not in info(made.path)
    assert made.backing is None


def test_again_changes_nothing_and_larger_grows(volumes, base):
    path = volumes.ensure(disk(), base).path
    before = path.read_bytes()
    volumes.ensure(disk(), base)
    assert path.read_bytes() == before
    volumes.ensure(disk(8 * MIB), base)
    assert info(path)["virtual-size"] == 8 * MIB
    volumes.ensure(disk(2 * MIB), base)
    assert info(path)["virtual-size"] == 8 * MIB


def test_never_smaller_than_its_image(volumes, base):
    made = volumes.ensure(disk(512), base)
    assert info(made.path)["virtual-size"] == MIB


def test_what_a_cut_left_is_made_anew(volumes, base):
    volumes._folder.joinpath(f"{VOLUME}.new").write_text("half")
    assert info(volumes.ensure(disk(), base).path)["virtual-size"] == 4 * MIB
    volumes._folder.joinpath("vol-aaaaaaaa.new").write_text("half")
    assert len(volumes.unfinished()) == 1
    volumes.start()
    assert volumes.unfinished() == []


def test_remove_is_repeatable(volumes, base):
    volumes.ensure(disk(), base)
    volumes.remove(VOLUME)
    volumes.remove(VOLUME)
    assert list(volumes.volumes()) == []


@pytest.mark.parametrize("volume_id", ["", "vol-1/../../x", "../etc", "vol-XYZ"])
def test_what_is_no_id_never_becomes_a_path(volumes, volume_id):
    with pytest.raises(DriverError, match="no volume's id"):
        volumes.ensure(DiskSpec(volume_id=volume_id, size_bytes=MIB), None)


def test_an_image_that_is_not_here_is_an_error(volumes):
    with pytest.raises(DriverError, match="not here"):
        volumes.ensure(disk(), None)
