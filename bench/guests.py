"""A guest of a running cloud that benchmarks run commands in, and the libvirtd that it runs on."""

import contextlib
import re
import secrets
import subprocess
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import libvirt

from bench.cloud import Cloud
from hostagent.compute.hypervisors.libvirt.domain_xml import Settings, disk_of
from hostagent.storage.drivers import Disk

DEADLINE_S = 180
SSH = (
    *("ssh", "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"),
    *("-o", "ConnectTimeout=5", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR"),
)
# Tells of each serial number that it reads when its disk is there and can be read.
_WATCH = """
while read -r serial; do
    found=
    until [ "$found" ]; do
        for file in /sys/block/vd*/serial; do
            is=; read -r is <"$file"
            [ "$is" = "$serial" ] && found=${file%/serial} && break
        done
        [ "$found" ] || usleep 2000
    done
    dd if="/dev/${found##*/}" of=/dev/null bs=4k count=1 2>/dev/null && echo "${found##*/}"
done
"""


@dataclass(frozen=True)
class Guest:
    """An instance that lets us in as root."""

    instance_id: str
    address: str
    key: Path

    def says(self, command: str) -> str:
        return subprocess.run(
            self._ssh(command), capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
        ).stdout

    def put(self, program: Path) -> str:
        """A program of this machine with all its libraries. Answers how it is called there."""
        told = subprocess.run(["ldd", program], capture_output=True, text=True, check=True).stdout
        libraries = re.findall(r"(/\S+) \(0x", told)
        (loader,) = (Path(path).name for path in libraries if "/ld-linux" in path)
        folder = f"/tmp/{program.name}"
        self.says(f"mkdir {folder}")
        for path in (str(program), *libraries):
            with open(path, "rb") as source:
                there = f"{folder}/{Path(path).name}"
                command = self._ssh(f"cat >{there} && chmod +x {there}")
                subprocess.run(command, stdin=source, check=True)
        return f"{folder}/{loader} --library-path {folder} {folder}/{program.name}"

    @contextlib.contextmanager
    def watch(self) -> Iterator[Callable[[str, Callable[[], object]], tuple[str, float]]]:
        """watch(serial, act) -> (the disk's name in the guest, seconds from ``act`` until it can be
        read)."""
        with subprocess.Popen(
            self._ssh(_WATCH), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as watcher:

            def until_there(serial: str, act: Callable[[], object]) -> tuple[str, float]:
                watcher.stdin.write(f"{serial}\n")
                watcher.stdin.flush()
                begin = time.perf_counter()
                act()
                name = watcher.stdout.readline().strip()
                return name, time.perf_counter() - begin

            try:
                yield until_there
            finally:
                watcher.kill()

    def disk(self, serial: str) -> str:
        """/dev/vdb, by its serial number."""
        found = self.says(f"grep -l {serial} /sys/block/vd*/serial").strip()
        return "/dev/" + Path(found).parent.name

    def has(self, serial: str) -> bool:
        return bool(self.says(f"grep -l {serial} /sys/block/vd*/serial; true").strip())

    def _ssh(self, command: str) -> list[str]:
        return [*SSH, "-i", str(self.key), f"root@{self.address}", command]


@contextlib.contextmanager
def guest(cloud: Cloud, instance_type: str = "t2.micro") -> Iterator[Guest]:
    """One of its own, terminated at the end."""
    ec2 = cloud.client()
    name = f"bench-{secrets.token_hex(4)}"
    with tempfile.TemporaryDirectory(prefix="pileus-bench-") as folder:
        key = Path(folder) / "id"
        make = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)]
        subprocess.run(make, check=True)
        public = key.with_suffix(".pub").read_bytes()
        ec2.import_key_pair(KeyName=name, PublicKeyMaterial=public)
        run = ec2.run_instances(
            ImageId=cloud.image_id(),
            InstanceType=instance_type,
            KeyName=name,
            MinCount=1,
            MaxCount=1,
            SecurityGroupIds=[open_group(ec2)],
        )
        instance_id = run["Instances"][0]["InstanceId"]
        try:
            ec2.get_waiter("instance_running").wait(InstanceIds=[instance_id])
            (held,) = ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
            found = Guest(instance_id, held["Instances"][0]["PublicIpAddress"], key)
            until(lambda: _lets_in(found), f"{instance_id} lets us in")
            yield found
        finally:
            ec2.terminate_instances(InstanceIds=[instance_id])
            ec2.get_waiter("instance_terminated").wait(
                InstanceIds=[instance_id], WaiterConfig={"Delay": 1, "MaxAttempts": DEADLINE_S}
            )
            ec2.delete_key_pair(KeyName=name)


def open_group(ec2) -> str:
    """The default group, with port 22 open to all."""
    group = ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"][0]
    if not any(rule.get("FromPort") == 22 for rule in group["IpPermissions"]):
        ec2.authorize_security_group_ingress(
            GroupId=group["GroupId"],
            IpProtocol="tcp",
            FromPort=22,
            ToPort=22,
            CidrIp="0.0.0.0/0",
        )
    return group["GroupId"]


def until(look: Callable[[], bool], what: str, every_s: float = 0.02) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not look():
        if time.monotonic() > deadline:
            raise SystemExit(f"not within {DEADLINE_S} s: {what}")
        time.sleep(every_s)


def hypervisor(cloud: Cloud) -> libvirt.virConnect:
    """The libvirtd that the cloud uses, asked as its agent does: by libvirt-python."""
    libvirt.registerErrorHandler(lambda context, error: None, None)  # raised anyway
    host = tomllib.loads((cloud.state_dir / "host.toml").read_text())
    return libvirt.open(host["libvirt"]["uri"])


def strange_disk(disk: Disk, target: str) -> str:
    """The XML that the cloud gives libvirt for it, without the alias by which the agent knows a
    disk as its own: it would take it from the guest."""
    device = disk_of(disk, target, Settings("qemu"))
    device.values["alias"] = None
    return device.to_text()


@contextlib.contextmanager
def volume(cloud: Cloud, size_gib: int, snapshot_id: str = "") -> Iterator[str]:
    """One in the cloud's zone, deleted at the end; nobody may have it then."""
    ec2 = cloud.client()
    zone = ec2.describe_availability_zones()["AvailabilityZones"][0]["ZoneName"]
    source = {"SnapshotId": snapshot_id} if snapshot_id else {}
    made = ec2.create_volume(AvailabilityZone=zone, Size=size_gib, VolumeType="gp2", **source)
    try:
        until_state(ec2, made["VolumeId"], "available")
        yield made["VolumeId"]
    finally:
        until_state(ec2, made["VolumeId"], "available")
        ec2.delete_volume(VolumeId=made["VolumeId"])


def until_state(ec2, volume_id: str, state: str, attachment: str = "") -> None:
    """``attachment``: its state as well."""

    def there() -> bool:
        (found,) = ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"]
        states = [each["State"] for each in found["Attachments"]]
        return found["State"] == state and (not attachment or states == [attachment])

    until(there, f"{volume_id} is {state}")


@contextlib.contextmanager
def attached(cloud: Cloud, guest: Guest, volume_id: str) -> Iterator[str]:
    """The volume in the guest, by its name there; detached at the end."""
    ec2 = cloud.client()
    ec2.attach_volume(VolumeId=volume_id, InstanceId=guest.instance_id, Device="/dev/sdf")
    try:
        until_state(ec2, volume_id, "in-use", "attached")
        until(lambda: guest.has(serial_of(volume_id)), f"{volume_id} is in the guest", 0.2)
        yield guest.disk(serial_of(volume_id))
    finally:
        ec2.detach_volume(VolumeId=volume_id)
        until_state(ec2, volume_id, "available")


def serial_of(volume_id: str) -> str:
    """As EC2's disks bear it."""
    return volume_id.replace("-", "")


def _lets_in(guest: Guest) -> bool:
    try:
        guest.says("true")
    except subprocess.CalledProcessError:
        return False
    return True
