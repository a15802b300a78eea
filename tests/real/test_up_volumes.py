"""Volumes, for real: unmodified boto3 gives running guests disks, and what is written stays.

The tests of this file are one story, in order; two instances run all the while. In between agent
and libvirtd are killed.
"""

import subprocess
import threading

import pytest

from tests.real.real_cloud import eventually, ssh

SLOW_S = 180
WRITE = """
set -e
d=$(dirname "$(grep -l {serial} /sys/block/*/serial)"); d=/dev/${{d##*/}}
busybox mke2fs $d >/dev/null
mkdir -p /mnt/v && mount $d /mnt/v
dd if=/dev/urandom of=/mnt/v/file bs=64k count=128 2>/dev/null
sync
md5sum </mnt/v/file
"""
READ = """
set -e
d=$(dirname "$(grep -l {serial} /sys/block/*/serial)"); d=/dev/${{d##*/}}
mkdir -p /mnt/v && mount $d /mnt/v
md5sum </mnt/v/file
"""


@pytest.fixture(scope="module")
def ec2(cloud):
    return cloud.ec2(cloud.account("volumes"))


@pytest.fixture(scope="module")
def key(ec2, tmp_path_factory):
    path = tmp_path_factory.mktemp("key") / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
    ec2.import_key_pair(KeyName="mine", PublicKeyMaterial=path.with_suffix(".pub").read_bytes())
    (group,) = ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"]
    ec2.authorize_security_group_ingress(
        GroupId=group["GroupId"], IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="0.0.0.0/0"
    )
    return path


@pytest.fixture(scope="module")
def guests(ec2, key):
    """Ids of two instances that let us in."""
    (image,) = ec2.describe_images(Filters=[{"Name": "name", "Values": ["pileus-demo"]}])["Images"]
    run = ec2.run_instances(
        ImageId=image["ImageId"], InstanceType="t2.nano", KeyName="mine", MinCount=2, MaxCount=2
    )
    ids = [instance["InstanceId"] for instance in run["Instances"]]
    for instance_id in ids:
        said(ec2, key, instance_id, "true")
    yield ids
    ec2.terminate_instances(InstanceIds=ids)


@pytest.fixture(scope="module")
def volume(ec2, guests):
    (zone,) = {zone["ZoneName"] for zone in ec2.describe_availability_zones()["AvailabilityZones"]}
    volume_id = ec2.create_volume(AvailabilityZone=zone, Size=1)["VolumeId"]
    until(ec2, volume_id, "available")
    return volume_id


def said(ec2, key, instance_id: str, command: str) -> str:
    (reservation,) = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
    address = reservation["Instances"][0]["PublicIpAddress"]

    def attempt():
        words = ssh(address, key, f"{command}\necho done", "root")
        return words if words and words.endswith("done\n") else None

    return eventually(attempt, f"{instance_id}: {command}", SLOW_S).removesuffix("done\n")


def described(ec2, volume_id: str) -> dict:
    (found,) = ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"]
    return found


def until(ec2, volume_id: str, state: str, attachment: str | None = None) -> None:
    def there():
        found = described(ec2, volume_id)
        states = [each["State"] for each in found["Attachments"]]
        return found["State"] == state and states == ([attachment] if attachment else [])

    eventually(there, f"{volume_id} is {state}, {attachment}", SLOW_S)


def attach(ec2, volume_id: str, instance_id: str) -> None:
    ec2.attach_volume(VolumeId=volume_id, InstanceId=instance_id, Device="/dev/sdf")
    until(ec2, volume_id, "in-use", "attached")


def serial(volume_id: str) -> str:
    return volume_id.replace("-", "")


def block_bytes(ec2, key, instance_id: str, volume_id: str) -> int:
    look = f'cat "$(dirname "$(grep -l {serial(volume_id)} /sys/block/*/serial)")"/size'
    return int(said(ec2, key, instance_id, look)) * 512


@pytest.fixture(scope="module")
def written(ec2, key, guests, volume) -> str:
    """The digest of what the first guest wrote to it."""
    attach(ec2, volume, guests[0])
    return said(ec2, key, guests[0], WRITE.format(serial=serial(volume)))


def test_a_running_guest_gets_a_disk_by_its_serial_and_writes(written):
    assert len(written.split()[0]) == 32


def test_it_grows_while_it_is_mounted(ec2, key, guests, volume, written):
    ec2.modify_volume(VolumeId=volume, Size=2)
    eventually(lambda: block_bytes(ec2, key, guests[0], volume) == 2 << 30, "it has grown", SLOW_S)

    def completed():
        (change,) = ec2.describe_volumes_modifications(VolumeIds=[volume])["VolumesModifications"]
        return change["ModificationState"] in ("optimizing", "completed")

    eventually(completed, "the modification is completed", SLOW_S)
    assert said(ec2, key, guests[0], "md5sum </mnt/v/file") == written


def test_another_guest_reads_what_the_first_wrote(ec2, key, guests, volume, written):
    said(ec2, key, guests[0], "umount /mnt/v || ! grep /mnt/v /proc/mounts")
    ec2.detach_volume(VolumeId=volume)
    until(ec2, volume, "available")
    attach(ec2, volume, guests[1])
    assert said(ec2, key, guests[1], READ.format(serial=serial(volume))) == written
    assert block_bytes(ec2, key, guests[1], volume) == 2 << 30


def test_detached_under_load_with_agent_and_libvirtd_killed(
    cloud, ec2, key, guests, volume, written
):
    load = "for i in 1 2 3 4 5 6 7 8; do dd if=/dev/zero of=/mnt/v/$i bs=64k count=400; done; true"
    writer = threading.Thread(target=said, args=(ec2, key, guests[1], load))
    writer.start()
    cloud.kill("hostagent")
    ec2.detach_volume(VolumeId=volume, Force=True)
    cloud.kill("libvirtd")
    cloud.kill("hostagent")
    until(ec2, volume, "available")
    writer.join()
    said(ec2, key, guests[1], "umount -l /mnt/v; true")
    attach(ec2, volume, guests[0])
    command = READ.format(serial=serial(volume))
    assert said(ec2, key, guests[0], command) == written
    assert "running" in {instance_state(ec2, guest) for guest in guests}


def test_deleted_when_nobody_has_it(cloud, ec2, key, guests, volume, written):
    said(ec2, key, guests[0], "umount /mnt/v; true")
    ec2.detach_volume(VolumeId=volume)
    until(ec2, volume, "available")
    ec2.delete_volume(VolumeId=volume)
    gone = lambda: not list(cloud.layout.root.rglob(f"{volume}.*"))  # noqa: E731
    eventually(gone, "its files are gone", SLOW_S)


def instance_state(ec2, instance_id: str) -> str:
    (reservation,) = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
    return reservation["Instances"][0]["State"]["Name"]
