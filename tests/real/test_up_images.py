"""Images made of a running instance and of its disk's snapshot, for real: unmodified boto3 makes
them, and guests boot from them and have what was on the disk; also guests of another account.

The tests of this file are one story, in order. One guest is what all images are made of.
"""

import pytest

from tests.real.real_cloud import eventually
from tests.real.tenant import SLOW_S, Tenant

BOOT_ID = "cat /proc/sys/kernel/random/boot_id"
# Not synced: without its agent's help the guest would keep it in memory for half a minute.
UNSYNCED = """
test -e /run/qemu-ga.pid
dd if=/dev/urandom of=/root/file bs=64k count=64 2>/dev/null
echo one >/root/made
md5sum </root/file
"""


@pytest.fixture(scope="module")
def tenant(cloud, tmp_path_factory):
    return Tenant.of(cloud, "images", tmp_path_factory.mktemp("key"))


@pytest.fixture(scope="module")
def other(cloud, tmp_path_factory):
    """Another account, to which one image is shared."""
    return Tenant.of(cloud, "others", tmp_path_factory.mktemp("key"))


@pytest.fixture(scope="module")
def guest(tenant):
    (instance_id,) = tenant.launched(1)
    yield instance_id
    tenant.terminate([instance_id])


@pytest.fixture(scope="module")
def running(tenant, guest) -> tuple[str, str]:
    """An image made while the guest went on; the digest of what it had just written."""
    before = tenant.said(guest, BOOT_ID)
    written = tenant.said(guest, UNSYNCED)
    image_id = tenant.ec2.create_image(InstanceId=guest, Name="running", NoReboot=True)["ImageId"]
    tenant.imaged(image_id)
    assert tenant.said(guest, BOOT_ID) == before
    return image_id, written


@pytest.fixture(scope="module")
def rebooted(tenant, guest, running) -> str:
    """An image for which the guest was shut down, so that what it had not written yet is in it."""
    before = tenant.said(guest, f"echo two >/root/made; {BOOT_ID}")
    image_id = tenant.ec2.create_image(InstanceId=guest, Name="rebooted")["ImageId"]
    tenant.imaged(image_id)
    eventually(lambda: tenant.said(guest, BOOT_ID) != before, "it was rebooted", SLOW_S)
    return image_id


@pytest.fixture(scope="module")
def registered(tenant, guest, rebooted) -> str:
    """An image registered of a snapshot of the guest's root disk."""
    tenant.said(guest, "echo three >/root/made; sync")
    (mapping,) = tenant.instance(guest)["BlockDeviceMappings"]
    snapshot = tenant.ec2.create_snapshot(VolumeId=mapping["Ebs"]["VolumeId"])["SnapshotId"]
    tenant.completed(snapshot)
    image = tenant.ec2.register_image(
        Name="registered",
        Architecture="x86_64",
        VirtualizationType="hvm",
        RootDeviceName=mapping["DeviceName"],
        BlockDeviceMappings=[
            {"DeviceName": mapping["DeviceName"], "Ebs": {"SnapshotId": snapshot}}
        ],
    )
    return tenant.imaged(image["ImageId"])


@pytest.fixture(scope="module")
def booted(tenant, running, registered) -> list[str]:
    """Guests of the owner's own images."""
    return [*tenant.asked_for(1, running[0]), *tenant.asked_for(1, registered)]


def test_guests_of_all_of_them_have_what_was_on_the_disk(tenant, other, rebooted, booted):
    account = other.ec2.describe_security_groups()["SecurityGroups"][0]["OwnerId"]
    permission = {"Add": [{"UserId": account}]}
    tenant.ec2.modify_image_attribute(ImageId=rebooted, LaunchPermission=permission)
    (theirs,) = other.asked_for(1, rebooted)
    assert [tenant.said(each, "cat /root/made") for each in booted] == ["one\n", "three\n"]
    assert other.said(theirs, "cat /root/made") == "two\n"
    other.terminate([theirs])


def test_what_was_written_and_not_synced_is_whole_in_the_snapshot(tenant, running, booted):
    """Its agent had brought the file system to rest: nothing of a journal is needed to read it."""
    image_id, written = running
    (snapshot,) = tenant.snapshots_of(image_id).values()
    copy, reader = tenant.created(SnapshotId=snapshot), booted[1]
    tenant.attach(copy, reader)
    tenant.mount(copy, reader, part="1", how="-o ro,noload")
    assert tenant.said(reader, "md5sum </mnt/v/root/file") == written
    tenant.detach(copy, reader)
    tenant.ec2.delete_volume(VolumeId=copy)


def test_deregistered_they_leave_nothing_on_the_host(
    cloud, tenant, guest, running, rebooted, registered, booted
):
    tenant.terminate(booted)
    for image_id in (running[0], rebooted, registered):
        tenant.ec2.deregister_image(ImageId=image_id)
    for one in tenant.ec2.describe_snapshots(OwnerIds=["self"])["Snapshots"]:
        tenant.ec2.delete_snapshot(SnapshotId=one["SnapshotId"])

    def volumes():
        return {path.name.partition(".")[0] for path in cloud.layout.root.rglob("vol-*.qcow2")}

    (mapping,) = tenant.instance(guest)["BlockDeviceMappings"]
    eventually(lambda: volumes() == {mapping["Ebs"]["VolumeId"]}, "one volume", SLOW_S)
    assert cloud.pileus("audit", check=False).returncode == 0
