"""Snapshots, for real: taken of a volume while a guest writes to it, restored to volumes that
another guest reads, deleted in any order.

The tests of this file are one story, in order. One guest writes all the while.
"""

import threading

import pytest

from tests.real.real_cloud import eventually
from tests.real.tenant import SLOW_S, Tenant

WRITE = "dd if=/dev/urandom of=/mnt/v/{name} bs=64k count={count} 2>/dev/null; sync"
SUM = "cd {folder}; md5sum {names}"
# Goes on until it is told to end; each file is written anew in turn.
NOISE = """
rm -f /tmp/enough; i=0
while [ ! -e /tmp/enough ]; do
    dd if=/dev/urandom of=/mnt/v/noise$((i % 8)) bs=64k count=16 2>/dev/null
    i=$((i + 1))
done
sync
"""
MIB = 1 << 20


@pytest.fixture(scope="module")
def tenant(cloud, tmp_path_factory):
    return Tenant.of(cloud, "snapshots", tmp_path_factory.mktemp("key"))


@pytest.fixture(scope="module")
def guests(tenant):
    ids = tenant.launched(2)
    yield ids
    tenant.terminate(ids)


@pytest.fixture(scope="module")
def volume(tenant, guests):
    volume_id = tenant.created(Size=1)
    tenant.attach(volume_id, guests[0])
    tenant.format(volume_id, guests[0])
    return volume_id


@pytest.fixture(scope="module")
def first(tenant, guests, volume) -> tuple[str, str]:
    """A snapshot that was taken amid writing, and what was on the disk for certain before it."""
    tenant.said(guests[0], WRITE.format(name="first", count=160))
    sums = tenant.said(guests[0], SUM.format(folder="/mnt/v", names="first"))
    noise = threading.Thread(target=tenant.said, args=(guests[0], NOISE))
    noise.start()
    tenant.said(guests[0], "ls /mnt/v/noise1")
    snapshot_id = tenant.ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    tenant.completed(snapshot_id)
    tenant.said(guests[0], "touch /tmp/enough")
    noise.join()
    return snapshot_id, sums


@pytest.fixture(scope="module")
def second(cloud, tenant, guests, volume, first) -> tuple[str, str]:
    """One more, a little later; it adds what was written since and no more."""
    tenant.said(guests[0], "rm /mnt/v/noise*; sync")
    tenant.completed(tenant.ec2.create_snapshot(VolumeId=volume)["SnapshotId"])
    tenant.said(guests[0], WRITE.format(name="second", count=16))
    sums = tenant.said(guests[0], SUM.format(folder="/mnt/v", names="first second"))
    before = stored(cloud)
    snapshot_id = tenant.ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    tenant.completed(snapshot_id)
    assert MIB <= stored(cloud) - before <= 8 * MIB
    return snapshot_id, sums


def stored(cloud) -> int:
    """Bytes of blocks in the controller's store."""
    blocks = (cloud.layout.root / "controller" / "snapshots" / "blocks").glob("*/*")
    return sum(block.stat().st_size for block in blocks)


def restored(tenant, snapshot_id: str, instance_id: str, names: str) -> str:
    """The digests of files of a volume made of the snapshot, as another guest sees it."""
    copy = tenant.created(SnapshotId=snapshot_id)
    tenant.attach(copy, instance_id, "/dev/sdg")
    tenant.mount(copy, instance_id, "/mnt/copy")
    sums = tenant.said(instance_id, SUM.format(folder="/mnt/copy", names=names))
    tenant.detach(copy, instance_id, "/mnt/copy")
    tenant.ec2.delete_volume(VolumeId=copy)
    return sums


def test_what_was_synced_before_is_in_it(tenant, guests, first):
    snapshot_id, sums = first
    assert restored(tenant, snapshot_id, guests[1], "first") == sums


def test_the_next_one_is_whole_when_those_before_are_deleted(tenant, guests, volume, first, second):
    for one in tenant.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]:
        if one["SnapshotId"] != second[0]:
            tenant.ec2.delete_snapshot(SnapshotId=one["SnapshotId"])
    snapshot_id, sums = second
    assert restored(tenant, snapshot_id, guests[1], "first second") == sums


def test_nothing_of_it_is_left_on_the_host(cloud, tenant, guests, volume):
    """All that was frozen is one layer again, under the guest that writes."""

    def layers() -> int:
        return len(list(cloud.layout.root.rglob(f"{volume}.*.qcow2")))

    eventually(lambda: layers() == 2, "its layers are committed", SLOW_S)
    tenant.detach(volume, guests[0])
    tenant.ec2.delete_volume(VolumeId=volume)
    eventually(lambda: layers() == 0, "its files are gone", SLOW_S)
    assert cloud.pileus("audit", check=False).returncode == 0
