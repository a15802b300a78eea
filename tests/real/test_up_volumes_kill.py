"""Nothing lost, for real: agent and libvirtd are killed in the middle of each thing that is done to
a volume, at moments that differ with each round. Then everything converges, and the host holds
nothing that it should not.
"""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.real.real_cloud import RealCloud, eventually
from tests.real.tenant import SLOW_S, WRITE, Tenant

HOST = "host-1"
POLL_S = 0.002


@pytest.fixture(scope="module")
def tenant(cloud, tmp_path_factory):
    return Tenant.of(cloud, "volumes-kill", tmp_path_factory.mktemp("key"))


@pytest.fixture(scope="module")
def guest(tenant):
    (instance_id,) = tenant.launched(1)
    yield instance_id
    tenant.terminate([instance_id])


def seen(cloud: RealCloud) -> set:
    """What can be seen of work on volumes: files that come, grow and go, domains that change."""
    host = cloud.layout.host(HOST)
    folders = (
        *(host / "volumes", host / "images", host / "images" / "partial"),
        cloud.layout.libvirt / "run" / "qemu",
    )
    found = set()
    for folder in folders:
        for entry in os.scandir(folder):
            try:
                found.add((entry.name, entry.stat().st_mtime_ns))
            except FileNotFoundError:  # gone meanwhile
                continue
    return found


@contextmanager
def killed(cloud: RealCloud, services: tuple[str, ...], changes: int) -> Iterator[None]:
    """Kills the services when so many changes were seen since the block was entered, or at its end
    where there were fewer."""
    pids = [cloud.pid(service) for service in services]
    before, over = seen(cloud), threading.Event()

    def watch() -> None:
        known, count = before, 0
        while count < changes and not over.wait(POLL_S):
            now = seen(cloud)
            count, known = count + (now != known), now
        for pid in pids:
            os.kill(pid, signal.SIGKILL)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield
    finally:
        over.set()
        watcher.join()


ROUNDS = [
    (("hostagent",), 0),
    (("hostagent", "libvirtd"), 1),
    (("libvirtd", "hostagent"), 2),
]


@pytest.mark.parametrize(("services", "changes"), ROUNDS)
def test_killed_amid_each_thing_that_is_done_to_a_volume(cloud, tenant, guest, services, changes):
    ec2 = tenant.ec2

    def amid(act: Callable, over: Callable, **members):
        """``over`` waits for the end of what ``act`` asks for; both at the kill and after it."""
        with killed(cloud, services, changes):
            answer = act(**members)
            over(answer)
        over(answer)
        return answer

    def available(answer):
        tenant.until(answer["VolumeId"], "available")

    def attached(answer):
        tenant.until(answer["VolumeId"], "in-use", "attached")

    def grown(answer):
        eventually(lambda: tenant.bytes_of(volume, guest) == 2 << 30, "it has grown", SLOW_S)

    def completed(answer):
        tenant.completed(answer["SnapshotId"])

    def imaged(answer):
        tenant.imaged(answer["ImageId"])

    def cleared(answer):
        eventually(lambda: strays(cloud, tenant, guest) == [], "nothing else is there", SLOW_S)

    volume = amid(ec2.create_volume, available, AvailabilityZone=tenant.zone(), Size=1)["VolumeId"]
    where = {"InstanceId": guest, "Device": "/dev/sdf"}
    amid(ec2.attach_volume, attached, VolumeId=volume, **where)
    tenant.format(volume, guest)
    written = tenant.said(guest, WRITE)

    amid(ec2.modify_volume, grown, VolumeId=volume, Size=2)
    snapshot = amid(ec2.create_snapshot, completed, VolumeId=volume)["SnapshotId"]
    named = {"Name": f"killed {changes}", "NoReboot": True}
    image = amid(ec2.create_image, imaged, InstanceId=guest, **named)["ImageId"]
    snapshots = {snapshot, *tenant.snapshots_of(image).values()}
    for one in (snapshot, tenant.snapshots_of(image)["/dev/sdf"]):
        restore = {"AvailabilityZone": tenant.zone(), "SnapshotId": one}
        copy = amid(ec2.create_volume, available, **restore)["VolumeId"]
        tenant.attach(copy, guest, "/dev/sdg")
        tenant.mount(copy, guest, "/mnt/copy")
        assert tenant.said(guest, "md5sum </mnt/copy/file") == written
        tenant.detach(copy, guest, "/mnt/copy")
        ec2.delete_volume(VolumeId=copy)

    tenant.said(guest, "umount /mnt/v")
    amid(ec2.detach_volume, available, VolumeId=volume)
    ec2.deregister_image(ImageId=image)
    for one in snapshots:
        ec2.delete_snapshot(SnapshotId=one)
    amid(ec2.delete_volume, cleared, VolumeId=volume)
    audit = lambda: cloud.pileus("audit", check=False).returncode == 0  # noqa: E731
    eventually(audit, "nothing is left on the host")


def strays(cloud: RealCloud, tenant: Tenant, guest: str) -> list[str]:
    """Files of volumes but the guest's own disk (a layer that is written, one for all below it),
    and all that is half done.
    """
    (mapping,) = tenant.instance(guest)["BlockDeviceMappings"]
    host, store = cloud.layout.host(HOST), cloud.layout.root / "controller" / "snapshots"
    own = list((host / "volumes").glob(f"{mapping['Ebs']['VolumeId']}.*.qcow2"))
    kept = {"reading", *(path.name for path in own[:2])}
    found = [path for path in (host / "volumes").iterdir() if path.name not in kept]
    found += (host / "volumes" / "reading").iterdir()
    found += (host / "images" / "partial").iterdir()
    found += (store / "incoming").glob("*")
    return sorted(map(str, found))
