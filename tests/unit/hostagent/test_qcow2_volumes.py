"""The real volume backend's files: as QEMU finds them, cut, lost, and named by ids alone."""

import json

import pytest

from hostagent.kernel import shell
from hostagent.kernel.errors import DriverError
from protos.cloud.v1.fleet_pb2 import DiskSpec, ImageSource
from tests.unit.hostagent.volume_backends import (
    MIB,
    VOLUME,
    Qcow2,
    blank,
    disk,
    needs_qemu_img,
    numbers,
)

pytestmark = needs_qemu_img


@pytest.fixture
def files(tmp_path):
    return Qcow2(tmp_path)


def info(path):
    return json.loads(shell.run(["qemu-img", "info", "--output=json", path]).stdout)


def test_the_files_are_what_qemu_finds(files, base):
    made = files.volumes.ensure(disk(), base)
    told = info(made.path)
    assert (told["virtual-size"], told["format"]) == (4 * MIB, "qcow2")
    assert (told["backing-filename"], told["backing-filename-format"]) == (str(base), "raw")
    assert made.path.stat().st_mode & 0o777 == 0o600
    told = info(files.volumes.add_layer(VOLUME, 0))
    assert (told["backing-filename"], told["backing-filename-format"]) == (str(made.path), "qcow2")


def test_what_stands_on_a_compressed_image_is_read_whole(files):
    """As most images are. QEMU unpacks with many threads at once."""
    written = "".join(f"{number:07}\n" for number in range(4 * MIB)).encode()
    plain, packed = files.folder / "plain.raw", files.folder / "packed.qcow2"
    plain.write_bytes(written)
    shell.run(["qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", plain, packed])
    image = ImageSource(digest="sha256:" + "b" * 64, disk_format="qcow2")
    spec = DiskSpec(volume_id=VOLUME, size_bytes=64 * MIB, image=image)
    files.volumes.ensure(spec, packed)
    assert files.volumes.read(VOLUME, 0, 0, 64 * MIB) == written.ljust(64 * MIB, b"\0")


def test_what_a_cut_left_is_made_anew(files, base):
    folder = files.folder / "volumes"
    folder.joinpath(f"{VOLUME}.new").write_text("half")
    assert info(files.volumes.ensure(disk(), base).path)["virtual-size"] == 4 * MIB
    folder.joinpath("vol-aaaaaaaa.new").write_text("half")
    folder.joinpath("reading", "tmp1").write_text("half")
    assert len(files.volumes.unfinished()) == 2
    assert files.again().unfinished() == []


def test_a_commit_cut_after_any_of_its_programs_goes_on(files, base):
    """Programs ended; then the agent's process did."""

    class Cut(Exception):
        pass

    for programs in range(1, 3):
        files.volumes.remove(VOLUME)
        files.volumes.ensure(disk(), base)
        for layer in range(3):
            files.write(layer * MIB, b"abc"[layer : layer + 1] * 512)
            files.volumes.add_layer(VOLUME, layer)
        left = [programs]

        def run(argv, left=left, **how):
            told = shell.run(argv, **how)
            left[0] -= 1
            if not left[0]:
                raise Cut
            return told

        files.volumes._run = run
        with pytest.raises(Cut):
            files.volumes.commit(VOLUME, 2)
        files.again().commit(VOLUME, 2)
        assert numbers(files.volumes) == [0, 3]
        names = {path.name for path in (files.folder / "volumes").glob("*.qcow2")}
        assert names == {f"{VOLUME}.0.qcow2", f"{VOLUME}.3.qcow2"}
        whole = files.volumes.read(VOLUME, 3, 0, 3 * MIB)
        assert [whole[at : at + 1] for at in (0, MIB, 2 * MIB)] == [b"a", b"b", b"c"]


def test_a_lost_layer_is_an_error_and_no_shorter_chain(files):
    files.volumes.ensure(blank(), None)
    files.volumes.add_layer(VOLUME, 0)
    (files.folder / "volumes" / f"{VOLUME}.0.qcow2").unlink()
    with pytest.raises(DriverError, match="is lost"):
        files.volumes.chain(VOLUME)


@pytest.mark.parametrize("volume_id", ["", "vol-1/../../x", "../etc", "vol-XYZ", "vol-*"])
def test_what_is_no_id_never_becomes_a_path(files, volume_id):
    with pytest.raises(DriverError, match="no volume's id"):
        files.volumes.ensure(DiskSpec(volume_id=volume_id, size_bytes=MIB), None)
    with pytest.raises(DriverError, match="no volume's id"):
        files.volumes.remove(volume_id)
