"""protos/qcow2 against QEMU itself: it takes what qemu-img makes, and of files that were damaged in
one place it refuses all that ``qemu-img check`` calls corrupt.
"""

import random
import subprocess
from collections.abc import Iterator

import pytest

from protos import qcow2

MIB = 1 << 20
DAMAGES = 150  # of each kind of file
KINDS = {
    "plain": "cluster_size=4k",
    "old": "compat=0.10,cluster_size=4k",
    "extended": "extended_l2=on,cluster_size=16k",
    "small refcounts": "cluster_size=4k,refcount_bits=2",
    "large refcounts": "refcount_bits=64",
    "tiny clusters": "cluster_size=512",
    "large clusters": "cluster_size=2M",
    "preallocated": "preallocation=metadata",
    "compressed": "cluster_size=4k",
    "zstd": "compression_type=zstd",
}


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A raw disk with something here and there."""
    path, rng = tmp_path_factory.mktemp("source") / "disk.raw", random.Random(1)
    with path.open("wb") as disk:
        disk.truncate(32 * MIB)
        for _ in range(60):
            disk.seek(rng.randrange(0, 32 * MIB - 65536) // 4096 * 4096)
            disk.write(rng.randbytes(rng.choice([4096, 65536])))
        disk.seek(0)
        disk.write(b"can be compressed " * 5000)
    return path


@pytest.fixture
def image(request, source, tmp_path):
    made, kind = tmp_path / "disk.qcow2", request.param
    packed = ["-c"] if kind in ("compressed", "zstd") else []
    command = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", *packed, "-o", KINDS[kind]]
    subprocess.run([*command, source, made], check=True)
    return made


@pytest.mark.parametrize("image", KINDS, indirect=True)
def test_what_qemu_img_makes_is_sound(image):
    assert refusal(image) is None


@pytest.mark.parametrize("image", ["plain", "extended", "small refcounts", "zstd"], indirect=True)
def test_what_qemu_calls_corrupt_is_refused(image):
    rng, whole = random.Random(7), image.read_bytes()
    damaged = image.with_name("damaged.qcow2")
    found = 0
    for _ in range(DAMAGES):
        damaged.write_bytes(damage(whole, rng))
        checked = subprocess.run(
            ["qemu-img", "check", "-f", "qcow2", damaged], capture_output=True, text=True
        )
        if checked.returncode not in (0, 3):  # 3: only space is wasted
            found += 1
            assert refusal(damaged), checked.stdout + checked.stderr
    assert found > DAMAGES // 3


def refusal(path) -> str | None:
    with path.open("rb") as file:
        try:
            qcow2.check(file, path.stat().st_size)
        except qcow2.Refused as why:
            return str(why)
    return None


def damage(whole: bytes, rng: random.Random) -> bytes:
    """Cut off, or with some bits of its header or of a table changed."""
    if rng.random() < 0.15:
        return whole[: rng.randrange(len(whole))]
    content = bytearray(whole)
    start, length = rng.choice(list(tables(whole)))
    for _ in range(rng.choice([1, 1, 8])):
        content[start + rng.randrange(length)] ^= 1 << rng.randrange(8)
    return bytes(content)


def tables(whole: bytes) -> Iterator[tuple[int, int]]:
    """(offset, length) of the header and of each table that is not empty."""
    header = qcow2.read_header(whole)
    cluster = 1 << header.cluster_bits
    yield 0, 112
    yield header.refcount_table_offset, 64
    yield header.l1_table_offset, header.l1_size * 8
    yield _number(whole, header.refcount_table_offset), cluster
    for index in range(header.l1_size):
        if entry := _number(whole, header.l1_table_offset + 8 * index):
            yield entry & 0x00FF_FFFF_FFFF_FE00, cluster


def _number(whole: bytes, offset: int) -> int:
    return int.from_bytes(whole[offset : offset + 8])
