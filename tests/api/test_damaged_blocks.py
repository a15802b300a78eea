"""A bit that flips in the store of snapshots: it costs no snapshot that is taken afterwards."""

from pathlib import Path

import pytest

from tests.harness.waiting import wait_until
from tests.harness.wired import WiredCloud

ZONE, MIB = "us-east-1a", 1 << 20
CONTENT = b"what a guest wrote " * 50_000


@pytest.fixture
def cloud(tmp_path):
    with WiredCloud(tmp_path) as cloud:
        yield cloud


@pytest.fixture
def ec2(cloud):
    return cloud.account("customer").ec2


def make_volume(ec2, **more) -> str:
    volume_id = ec2.create_volume(AvailabilityZone=ZONE, Size=1, **more)["VolumeId"]
    wait_until("the volume", lambda: state_of(ec2, volume_id) in ("available", "error"))
    return volume_id


def state_of(ec2, volume_id: str) -> str:
    return ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"][0]["State"]


def take(ec2, volume_id: str) -> str:
    snapshot_id = ec2.create_snapshot(VolumeId=volume_id)["SnapshotId"]

    def state() -> str:
        return ec2.describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"][0]["State"]

    wait_until("the snapshot", lambda: state() != "pending")
    assert state() == "completed"
    return snapshot_id


def read(cloud, volume_id: str, length: int) -> bytes:
    volumes = cloud.hosts[0].volumes
    top = volumes.chain(volume_id)[-1].number
    return b"".join(volumes.read(volume_id, top, at, MIB) for at in range(0, length, MIB))[:length]


def flip_a_bit_of_each(cloud, kind: str) -> int:
    folder: Path = cloud.files.folder / "controller" / "snapshots" / kind
    paths = [path for path in folder.rglob("*") if path.is_file()]
    for path in paths:
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    return len(paths)


@pytest.mark.parametrize("kind", ["blocks", "manifests"])
def test_a_snapshot_after_it_is_whole(cloud, ec2, kind):
    volume_id = make_volume(ec2)
    cloud.hosts[0].volumes.write(volume_id, 5 * MIB, CONTENT)
    before = take(ec2, volume_id)
    assert flip_a_bit_of_each(cloud, kind) > 0
    after = take(ec2, volume_id)
    for snapshot_id in (after, before):  # the bytes that came again are those of both
        restored = make_volume(ec2, SnapshotId=snapshot_id)
        assert state_of(ec2, restored) == "available"
        assert read(cloud, restored, 7 * MIB) == read(cloud, volume_id, 7 * MIB)


def test_so_is_one_of_another_volume_with_the_same_bytes(cloud, ec2):
    first, second = make_volume(ec2), make_volume(ec2)
    for volume_id in (first, second):
        cloud.hosts[0].volumes.write(volume_id, 0, CONTENT)
    take(ec2, first)
    flip_a_bit_of_each(cloud, "blocks")
    restored = make_volume(ec2, SnapshotId=take(ec2, second))
    assert read(cloud, restored, len(CONTENT)) == CONTENT


def test_one_that_nobody_can_bring_again_is_not_restored(cloud, ec2):
    volume_id = make_volume(ec2)
    cloud.hosts[0].volumes.write(volume_id, 0, CONTENT)
    snapshot_id = take(ec2, volume_id)
    flip_a_bit_of_each(cloud, "blocks")
    assert state_of(ec2, make_volume(ec2, SnapshotId=snapshot_id)) == "error"
    take(ec2, volume_id)  # it is asked for again
    restored = make_volume(ec2, SnapshotId=snapshot_id)
    assert read(cloud, restored, len(CONTENT)) == CONTENT
