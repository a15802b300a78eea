"""What files are disks: qcow2 files that no guest could start from, and files that are no disks."""

import io

import pytest

from protos import qcow2
from protos.disk_files import DiskFile, Refused, foreign, format_of, inspect
from tests.unit.qcow2_corpus import CLUSTER, HOSTILE, OWN, SIZE, SOUND, Qcow2

SECTOR = bytes(512)


def look(content: bytes, disk_format: str) -> DiskFile:
    return inspect(io.BytesIO(content), disk_format)


@pytest.mark.parametrize("what", SOUND)
def test_sound_qcow2_files_are_taken(what):
    assert look(SOUND[what].build(), "qcow2") == DiskFile("qcow2", SOUND[what].size)


def test_what_a_layer_stands_on_is_named_with_its_format():
    layer = Qcow2(backing_file_offset=512, backing_file_size=4, extensions=[(1, b"x")])
    start = layer.build()[:512] + b"base" + bytes(100)
    with pytest.raises(Refused, match="what format it stands on"):
        qcow2.backing_of(start)
    layer.extensions.append((0xE2792ACA, b"raw"))
    assert qcow2.backing_of(layer.build()[:512] + b"base") == ("base", "raw")
    assert qcow2.backing_of(Qcow2().build()) == ("", "")


@pytest.mark.parametrize("what", HOSTILE)
def test_what_no_guest_could_start_from_is_refused_with_the_reason(what):
    image, why = HOSTILE[what]
    with pytest.raises(Refused, match=why) as refusal:
        look(image.build(), "qcow2")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("length", [0, 3, 71, 90, 512, CLUSTER])
def test_a_file_that_ends_in_its_header_is_refused(length):
    with pytest.raises(Refused):
        look(Qcow2().build()[:length], "qcow2")


@pytest.mark.parametrize("order", range(7))
def test_refcounts_of_every_width(order):
    width = 1 << order
    refcounts = sum(1 << index * width for index in range(4)).to_bytes(32, "little")
    if order > 3:
        refcounts = b"".join((1).to_bytes(width // 8, "big") for _ in range(4))
    content = bytearray(Qcow2(refcount_order=order).build())
    content[2 * CLUSTER : 2 * CLUSTER + 32] = refcounts.ljust(32, b"\0")[:32]
    assert look(bytes(content), "qcow2").virtual_size_bytes == SIZE
    content[2 * CLUSTER : 2 * CLUSTER + 32] = bytes(32)
    with pytest.raises(Refused, match="refcounts are wrong"):
        look(bytes(content), "qcow2")


class Sparse(io.BytesIO):
    """Says that it is longer than it is, as a sparse file does, and counts what is read."""

    def __init__(self, content: bytes, length: int):
        super().__init__(content)
        self.length, self.taken = length, 0

    def seek(self, offset: int, whence: int = 0) -> int:
        return self.length if whence == 2 else super().seek(offset)

    def read(self, size: int = -1) -> bytes:
        self.taken += size
        return super().read(size).ljust(size, b"\0")


def test_a_huge_file_is_not_read():
    file = Sparse(Qcow2(size=1 << 40).build(), 1 << 39)
    assert inspect(file, "qcow2").virtual_size_bytes == 1 << 40
    assert file.taken < 4 << 20


def test_more_clusters_than_are_looked_at_are_refused():
    with pytest.raises(Refused, match="more than are looked at"):
        inspect(Sparse(Qcow2().build(), 1 << 50), "qcow2")


def test_more_tables_than_are_looked_at_are_refused_before_they_are_read():
    tables = qcow2.L2_ENTRIES_MAX // (CLUSTER // 8) + 1
    l1_table = tuple(OWN | (n + 4) * CLUSTER for n in range(tables))
    file = Sparse(Qcow2(size=tables << 29, l1_table=l1_table).build(), 1 << 40)
    with pytest.raises(Refused, match="more than are looked at"):
        inspect(file, "qcow2")
    assert file.taken < 4 << 20


ISO = bytes(32_769) + b"CD001" + bytes(512 * 65 - 32_774)
NO_DISKS = {
    "qcow2": Qcow2().build(),
    "vmdk": b"KDMV",
    "vhd": bytes(1024) + b"conectix".ljust(512, b"\0"),
    "vdi": b"<<< Oracle VM VirtualBox Disk Image >>>\n",
    "gzip": b"\x1f\x8b\x08",
    "xz": b"\xfd7zXZ\0",
    "bzip2": b"BZh9",
    "zstd": b"\x28\xb5\x2f\xfd",
    "zip": b"PK\3\4",
    "tar": b"disk.raw".ljust(257, b"\0") + b"ustar\0",
    "elf": b"\x7fELF",
    "text": b"<!DOCTYPE html>\n<title>404 Not Found</title>\n",
    "iso": ISO,
}


@pytest.mark.parametrize("word", NO_DISKS)
def test_what_is_evidently_no_disk_is_not_taken_as_raw(word):
    content = NO_DISKS[word]
    if len(content) < 512:
        content += (b" " if word == "text" else b"\0") * (512 - len(content))
    assert foreign(io.BytesIO(content)) == word
    with pytest.raises(Refused, match=f"declared as raw and begins as {word} does"):
        look(content, "raw")


@pytest.mark.parametrize(
    "content",
    [
        SECTOR,
        b"\xeb\x63\x90".ljust(510, b"\0") + b"\x55\xaa",
        SECTOR + b"all the rest is text" * 128,
        bytes(510) + b"\x55\xaa" + ISO[512:],  # an ISO file system that boots as a disk
    ],
)
def test_raw_disks_are_taken(content):
    content += bytes(-len(content) % 512)
    assert foreign(io.BytesIO(content)) in ("", "iso")
    assert look(content, "raw") == DiskFile("raw", len(content))


@pytest.mark.parametrize(("content", "why"), [(b"", "is empty"), (SECTOR + b"\0", "sectors")])
def test_raw_files_that_are_no_sectors_are_refused(content, why):
    with pytest.raises(Refused, match=why):
        look(content, "raw")


@pytest.mark.parametrize("disk_format", ["vmdk", "", "QCOW2"])
def test_other_formats_are_refused(disk_format):
    with pytest.raises(Refused, match="declared"):
        look(SECTOR, disk_format)


def test_a_format_can_be_decided_by_the_first_bytes():
    assert [format_of(start) for start in (qcow2.MAGIC, SECTOR)] == ["qcow2", "raw"]
