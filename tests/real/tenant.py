"""An account of the real cloud with a key of its own, as the owner of guests works with them.

tenant = Tenant.of(cloud, "volumes", folder)
(one, two) = tenant.launched(2)             ids of instances that let us in
tenant.said(one, "uname -r")                what the command says, as root
tenant.attach(volume, one)                  ... and what a volume is waited for
"""

import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.real.real_cloud import RealCloud, eventually, ssh

SLOW_S = 180
# Fails, and is tried again, where the guest does not see the disk yet.
DEVICE = """
file=$(grep -l {serial} /sys/block/*/serial)
d=$(dirname $file); d=/dev/${{d##*/}}
"""
MOUNT = DEVICE + "mkdir -p {folder} && mount ${{d}}{part} {folder} {how}\n"
FORMAT = DEVICE + "busybox mke2fs $d >/dev/null\n"
# To a volume that is mounted, and from it again; both say the digest.
WRITE = "dd if=/dev/urandom of=/mnt/v/file bs=64k count=128 2>/dev/null; sync; md5sum </mnt/v/file"
READ = "md5sum </mnt/v/file"


@dataclass(frozen=True)
class Tenant:
    """``ec2`` is the account's boto3 client. ``namespaces``: of instances that have no public
    address and are reached inside their VPC."""

    ec2: object
    key: Path
    namespaces: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, cloud: RealCloud, name: str, folder: Path) -> "Tenant":
        """A new account, whose guests let us in by SSH."""
        ec2, key = cloud.ec2(cloud.account(name)), folder / "id"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
        ec2.import_key_pair(KeyName="mine", PublicKeyMaterial=key.with_suffix(".pub").read_bytes())
        (group,) = ec2.describe_security_groups(GroupNames=["default"])["SecurityGroups"]
        ec2.authorize_security_group_ingress(
            GroupId=group["GroupId"], IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="0.0.0.0/0"
        )
        return cls(ec2, key)

    # -- guests --------------------------------------------------------------------------------

    def demo_image(self) -> str:
        filters = [{"Name": "name", "Values": ["pileus-demo"]}]
        (image,) = self.ec2.describe_images(Filters=filters)["Images"]
        return image["ImageId"]

    def launched(self, count: int, image_id: str = "", **more) -> list[str]:
        ids = self.asked_for(count, image_id, **more)
        for instance_id in ids:
            self.said(instance_id, "true")
        return ids

    def asked_for(self, count: int, image_id: str = "", **more) -> list[str]:
        """They are on their way when this returns."""
        wishes = {"InstanceType": "t2.nano", "KeyName": "mine"} | more
        run = self.ec2.run_instances(
            ImageId=image_id or self.demo_image(), MinCount=count, MaxCount=count, **wishes
        )
        return [instance["InstanceId"] for instance in run["Instances"]]

    def terminate(self, ids: list[str]) -> None:
        self.ec2.terminate_instances(InstanceIds=ids)
        fast = {"Delay": 1, "MaxAttempts": 120}
        self.ec2.get_waiter("instance_terminated").wait(InstanceIds=ids, WaiterConfig=fast)

    def instance(self, instance_id: str) -> dict:
        (reservation,) = self.ec2.describe_instances(InstanceIds=[instance_id])["Reservations"]
        return reservation["Instances"][0]

    def said(self, instance_id: str, command: str) -> str:
        """Tried until all of it succeeds: what is asked for may be on its way."""
        namespace = self.namespaces.get(instance_id, "")
        known_by = "PrivateIpAddress" if namespace else "PublicIpAddress"
        address = self.instance(instance_id)[known_by]

        def attempt():
            words = ssh(address, self.key, f"set -e\n{command}\necho done", "root", namespace)
            return words if words and words.endswith("done\n") else None

        return eventually(attempt, f"{instance_id}: {command}", SLOW_S).removesuffix("done\n")

    # -- volumes -------------------------------------------------------------------------------

    def zone(self) -> str:
        (zone,) = self.ec2.describe_availability_zones()["AvailabilityZones"]
        return zone["ZoneName"]

    def created(self, **wishes) -> str:
        """A volume that can be attached."""
        made = self.ec2.create_volume(AvailabilityZone=self.zone(), **wishes)
        self.until(made["VolumeId"], "available")
        return made["VolumeId"]

    def volume(self, volume_id: str) -> dict:
        (found,) = self.ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"]
        return found

    def until(self, volume_id: str, state: str, attachment: str | None = None) -> None:
        def there():
            found = self.volume(volume_id)
            states = [each["State"] for each in found["Attachments"]]
            return found["State"] == state and states == ([attachment] if attachment else [])

        eventually(there, f"{volume_id} is {state}, {attachment}", SLOW_S)

    def attach(self, volume_id: str, instance_id: str, device: str = "/dev/sdf") -> None:
        self.ec2.attach_volume(VolumeId=volume_id, InstanceId=instance_id, Device=device)
        self.until(volume_id, "in-use", "attached")

    def detach(self, volume_id: str, instance_id: str, folder: str = "/mnt/v") -> None:
        """Unmounted first, as a careful owner does."""
        self.said(instance_id, f"umount {folder} || ! grep {folder} /proc/mounts")
        self.ec2.detach_volume(VolumeId=volume_id)
        self.until(volume_id, "available")

    def format(self, volume_id: str, instance_id: str, folder: str = "/mnt/v") -> None:
        """A new file system on it, mounted."""
        self.said(instance_id, FORMAT.format(serial=serial_of(volume_id)))
        self.mount(volume_id, instance_id, folder)

    def mount(
        self,
        volume_id: str,
        instance_id: str,
        folder: str = "/mnt/v",
        part: str = "",
        how: str = "",
    ) -> None:
        """``part``: the number of a partition. ``how``: options of mount."""
        already = f"grep {folder} /proc/mounts || "
        words = MOUNT.format(serial=serial_of(volume_id), folder=folder, part=part, how=how)
        self.said(instance_id, f"{already}{{ {words} }}")

    def bytes_of(self, volume_id: str, instance_id: str) -> int:
        """As the guest sees it."""
        look = DEVICE.format(serial=serial_of(volume_id)) + "cat /sys/block/${d##*/}/size"
        return int(self.said(instance_id, look)) * 512

    # -- snapshots -----------------------------------------------------------------------------

    def snapshot(self, snapshot_id: str) -> dict:
        (found,) = self.ec2.describe_snapshots(SnapshotIds=[snapshot_id])["Snapshots"]
        return found

    def completed(self, snapshot_id: str) -> str:
        def is_over():
            state = self.snapshot(snapshot_id)["State"]
            assert state != "error", self.snapshot(snapshot_id)
            return state == "completed"

        eventually(is_over, f"{snapshot_id} is completed", SLOW_S)
        return snapshot_id

    # -- images --------------------------------------------------------------------------------

    def imaged(self, image_id: str) -> str:
        """It can be launched when this returns."""

        def is_over():
            state = self.image(image_id)["State"]
            assert state in ("pending", "available"), self.image(image_id)
            return state == "available"

        eventually(is_over, f"{image_id} is available", SLOW_S)
        return image_id

    def image(self, image_id: str) -> dict:
        (found,) = self.ec2.describe_images(ImageIds=[image_id])["Images"]
        return found

    def snapshots_of(self, image_id: str) -> dict[str, str]:
        """By the names of the devices."""
        mappings = self.image(image_id)["BlockDeviceMappings"]
        return {each["DeviceName"]: each["Ebs"]["SnapshotId"] for each in mappings}


def serial_of(volume_id: str) -> str:
    """As a guest sees the disk's."""
    return volume_id.replace("-", "")
