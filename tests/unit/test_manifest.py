"""The manifest's codec: one content, one sequence of bytes, and nothing else is taken for one."""

import struct

import pytest

from protos import manifest
from protos.manifest import BLOCK_BYTES, Manifest, ManifestError

SIZE = 10 * BLOCK_BYTES
ENTRIES = [(0, b"a" * 32), (3, b"b" * 32), (9, b"a" * 32)]


def test_it_comes_back_as_it_was():
    data = Manifest(SIZE, ENTRIES).encode()
    back = Manifest.decode(data)
    assert (back.size_bytes, list(back)) == (SIZE, ENTRIES)
    assert back == Manifest(SIZE, iter(ENTRIES)) and back.encode() == data
    assert len(data) == 24 + 3 * 36 <= manifest.encoded_bytes_max(SIZE)
    assert len(back) == 3 and back.named_bytes == 3 * BLOCK_BYTES


def test_a_block_that_is_not_named_is_zeros():
    made = Manifest(SIZE, ENTRIES)
    assert [made.get(index) for index in (0, 1, 3, 9, 10)] == [
        *(b"a" * 32, None, b"b" * 32, b"a" * 32, None)
    ]
    assert Manifest(0).get(0) is None


def test_names_of_blocks():
    name = manifest.block_name(b"\x01" * 32)
    assert name == "sha256:" + "01" * 32 and manifest.hash_of(name) == b"\x01" * 32
    for wrong in (
        "",
        "sha256:",
        "sha256:" + "0g" * 32,
        name.upper(),
        name + "0",
        "sha1" + name[6:],
    ):
        with pytest.raises(ValueError):
            manifest.hash_of(wrong)


@pytest.mark.parametrize(
    "entries",
    [
        [(10, b"a" * 32)],  # beyond the end
        [(-1, b"a" * 32)],
        [(1, b"a" * 32), (0, b"a" * 32)],
        [(1, b"a" * 32), (1, b"b" * 32)],
        [(1, b"a" * 31)],
    ],
)
def test_entries_that_no_volume_has_are_refused(entries):
    with pytest.raises(ManifestError):
        Manifest(SIZE, entries)


def test_the_last_block_may_be_a_part():
    assert manifest.blocks_of(SIZE + 1) == 11
    assert len(Manifest(SIZE + 1, [(10, b"a" * 32)])) == 1


GOOD = Manifest(SIZE, ENTRIES).encode()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        GOOD[:-1],
        GOOD + b"\0",
        b"PILEUSM2" + GOOD[8:],
        GOOD[:16] + struct.pack(">I", 4096) + GOOD[20:],
        GOOD[:20] + struct.pack(">I", 2**32 - 1) + GOOD[24:],
        GOOD[:8] + struct.pack(">Q", 2**63) + GOOD[16:],
        GOOD[:24] + GOOD[60:96] + GOOD[24:60] + GOOD[96:],
    ],
)
def test_other_bytes_are_no_manifest(data):
    with pytest.raises(ManifestError):
        Manifest.decode(data)
