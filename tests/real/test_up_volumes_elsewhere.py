"""A volume at home on one host and a guest of another, for real: NBD over TLS between two agents of
one cloud, asked by unmodified boto3. What serves and the agents are killed meanwhile.

The tests of this file are one story, in order. One guest runs on the volume's home, one elsewhere.
"""

import os
import shutil
import signal
import tempfile
import threading
from pathlib import Path

import pytest

from cli import configs, demo_image
from hostagent.kernel import shell
from hostagent.storage.volumes.storage_daemon import StorageDaemon
from tests.real.real_cloud import eventually
from tests.real.second_host import SecondHost
from tests.real.tenant import READ, WRITE, Tenant

LOAD = """
grep -q /mnt/v /proc/mounts
rm -f /mnt/v/load* /tmp/sums
for i in $(seq 24); do
    dd if=/dev/urandom of=/tmp/part bs=64k count=16 2>/dev/null
    md5sum </tmp/part >>/tmp/sums
    dd if=/tmp/part of=/mnt/v/load$i bs=64k conv=fsync 2>/dev/null
done
umount /mnt/v
"""
CHECK_LOAD = "for i in $(seq 24); do md5sum </mnt/v/load$i; done | cmp - /tmp/sums"


@pytest.fixture(scope="module")
def tenant(cloud, tmp_path_factory):
    return Tenant.of(cloud, "elsewhere", tmp_path_factory.mktemp("key"))


@pytest.fixture(scope="module")
def at_home(tenant):
    (instance_id,) = tenant.launched(1)
    return instance_id


@pytest.fixture(scope="module")
def volume(tenant, at_home):
    return tenant.created(Size=1)


@pytest.fixture(scope="module")
def second(cloud, volume):
    folder = Path(tempfile.mkdtemp(prefix="plh-"))
    try:
        with SecondHost(cloud, folder) as host:
            yield host
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def new_image(cloud, tmp_path_factory) -> str:
    """An image that no host has, so that the emptier one gets its first guest."""
    demo = demo_image.ensure(cloud.layout.cache / "images", print)
    file = tmp_path_factory.mktemp("image") / "disk.qcow2"
    shell.run(["qemu-img", "convert", "-O", "qcow2", demo, file])
    said = cloud.pileus("image", "import", str(file), "--name", "elsewhere", "--public").stdout
    return said.split()[0]


@pytest.fixture(scope="module")
def elsewhere(tenant, at_home, second, new_image):
    """The guest on the second host. In the end both guests are gone."""
    home = tenant.instance(at_home)
    nic = {"DeviceIndex": 0, "SubnetId": home["SubnetId"], "AssociatePublicIpAddress": False}
    (instance_id,) = tenant.asked_for(1, new_image, NetworkInterfaces=[nic])
    tenant.namespaces[instance_id] = second.namespace(home["VpcId"])
    tenant.said(instance_id, "true")
    assert second.runs(instance_id) and not second.runs(at_home)
    yield instance_id
    tenant.terminate([at_home, instance_id])


@pytest.fixture(scope="module")
def daemon(cloud):
    """What serves the first host's volumes."""
    folder = configs.nbd_folder(cloud.layout, cloud.settings)
    return StorageDaemon(folder, "", None, shell.run)


@pytest.fixture(scope="module")
def written(tenant, volume, elsewhere) -> str:
    tenant.attach(volume, elsewhere)
    tenant.format(volume, elsewhere)
    return tenant.said(elsewhere, WRITE)


def exported(daemon) -> list[str]:
    return [export["id"] for export in daemon.tell("query-block-exports")]


def amid_writing(tenant, instance_id, act) -> None:
    """Does ``act`` while the guest writes; what it wrote is read again from the volume."""
    writer = threading.Thread(target=tenant.said, args=(instance_id, LOAD))
    writer.start()
    tenant.said(instance_id, "ls /mnt/v/load3")
    act()
    writer.join()


def test_a_guest_elsewhere_writes_to_it_over_the_network(
    cloud, tenant, second, volume, elsewhere, daemon, written
):
    assert exported(daemon) == [volume]
    assert second.files_of(volume) == []
    assert list(cloud.layout.host("host-1").rglob(f"{volume}.*"))
    assert len(written.split()[0]) == 32


def test_nothing_is_lost_where_what_serves_it_is_killed(
    cloud, tenant, volume, elsewhere, daemon, written
):
    def kill():
        (pid,) = daemon.pids()
        os.kill(pid, signal.SIGKILL)
        eventually(lambda: daemon.pids() not in ([], [pid]), "it is served again", 30)

    amid_writing(tenant, elsewhere, kill)
    tenant.mount(volume, elsewhere)
    tenant.said(elsewhere, CHECK_LOAD)
    assert tenant.said(elsewhere, READ) == written


def test_it_is_written_while_its_homes_agent_is_dead(
    cloud, tenant, volume, elsewhere, daemon, written
):
    (pid,) = daemon.pids()
    amid_writing(tenant, elsewhere, lambda: cloud.kill("hostagent"))
    tenant.mount(volume, elsewhere)
    tenant.said(elsewhere, CHECK_LOAD)
    assert daemon.pids() == [pid]


def test_a_snapshot_of_it_is_restored_at_home(tenant, volume, at_home, elsewhere, written):
    snapshot = tenant.ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
    tenant.said(elsewhere, "echo later >/mnt/v/later; sync")
    tenant.completed(snapshot)
    copy = tenant.created(SnapshotId=snapshot)
    tenant.attach(copy, at_home, "/dev/sdg")
    tenant.mount(copy, at_home, "/mnt/copy")
    assert tenant.said(at_home, "md5sum </mnt/copy/file") == written
    assert "later" not in tenant.said(at_home, "ls /mnt/copy")
    tenant.detach(copy, at_home, "/mnt/copy")
    tenant.ec2.delete_volume(VolumeId=copy)
    tenant.ec2.delete_snapshot(SnapshotId=snapshot)


def test_at_home_it_is_a_file_again(tenant, second, volume, at_home, elsewhere, daemon, written):
    second.kill()
    tenant.said(elsewhere, "umount /mnt/v")
    tenant.ec2.detach_volume(VolumeId=volume)
    second.start()
    tenant.until(volume, "available")
    tenant.attach(volume, at_home)
    assert exported(daemon) == []
    tenant.mount(volume, at_home)
    assert tenant.said(at_home, f"{READ}; cat /mnt/v/later") == f"{written}later\n"


def test_deleted_it_leaves_nothing(cloud, tenant, second, volume, at_home, elsewhere, daemon):
    tenant.detach(volume, at_home)
    tenant.attach(volume, elsewhere)
    assert exported(daemon) == [volume]
    tenant.detach(volume, elsewhere)
    tenant.ec2.delete_volume(VolumeId=volume)
    gone = lambda: not list(cloud.layout.host("host-1").rglob(f"{volume}.*"))  # noqa: E731
    eventually(gone, "its files are gone")
    assert exported(daemon) == []
    assert second.findings() == []
    assert cloud.pileus("audit", check=False).returncode == 0
