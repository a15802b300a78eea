"""Images in the order of calls of Terraform's AWS provider: aws_ami, aws_ami_from_instance and
aws_ami_launch_permission.

From terraform-provider-aws, internal/service/ec2: create, refresh (nothing differs), change,
refresh, destroy.
"""

import pytest
from botocore.exceptions import ClientError

from tests.api.asking import launch_one, refused, the_one
from tests.api.test_publishing import allow
from tests.harness.waiting import wait_until


class Terraform:
    """The provider's finders and waiters for one account."""

    def __init__(self, account):
        self.account, self.ec2 = account, account.ec2

    def image(self, image_id: str) -> dict:
        return the_one(self.ec2.describe_images(ImageIds=[image_id])["Images"])

    def wait_available(self, image_id: str) -> None:
        """It looks every few seconds; "failed" and any other state end it."""

        def state() -> bool:
            found = self.image(image_id)["State"]
            assert found in ("pending", "available")
            return found == "available"

        wait_until("the image is available", state)

    def register(self, **more) -> str:
        image_id = self.ec2.register_image(
            Architecture="x86_64",
            EnaSupport=True,
            RootDeviceName="/dev/xvda",
            SriovNetSupport="simple",  # the resource's default
            VirtualizationType="hvm",
            **more,
        )["ImageId"]
        self.wait_available(image_id)
        if "Description" in more:
            self.describe_as(image_id, more["Description"])
        return image_id

    def describe_as(self, image_id: str, description: str) -> None:
        self.ec2.modify_image_attribute(ImageId=image_id, Description={"Value": description})

    def refresh(self, image_id: str) -> dict:
        """What the resource's state holds after a read."""
        found = self.image(image_id)
        root, ebs, ephemeral = "", [], []
        for device in found["BlockDeviceMappings"]:
            if "Ebs" not in device:
                ephemeral.append((device["DeviceName"], device["VirtualName"]))
                continue
            disk = device["Ebs"]
            if device["DeviceName"] == found["RootDeviceName"]:
                root = disk.get("SnapshotId", "")
            ebs.append(
                (
                    device["DeviceName"],
                    disk["DeleteOnTermination"],
                    disk["Encrypted"],
                    disk.get("Iops", 0),
                    disk.get("SnapshotId", ""),
                    disk.get("Throughput", 0),
                    disk["VolumeSize"],
                    disk["VolumeType"],
                )
            )
        return {
            "architecture": found["Architecture"],
            "boot_mode": found.get("BootMode", ""),
            "description": found.get("Description", ""),
            "ena_support": found.get("EnaSupport", False),
            "image_location": found["ImageLocation"],
            "image_type": found["ImageType"],
            "imds_support": found.get("ImdsSupport", ""),
            "name": found["Name"],
            "owner_id": found["OwnerId"],
            "platform_details": found["PlatformDetails"],
            "public": found["Public"],
            "root_device_name": found["RootDeviceName"],
            "root_snapshot_id": root,
            "sriov_net_support": found.get("SriovNetSupport", ""),
            "usage_operation": found["UsageOperation"],
            "virtualization_type": found["VirtualizationType"],
            "ebs_block_device": sorted(ebs),
            "ephemeral_block_device": ephemeral,
            "tags": {tag["Key"]: tag["Value"] for tag in found.get("Tags", [])},
        }

    def destroy(self, image_id: str, *, with_snapshots: bool) -> None:
        found = self.image(image_id)
        self.ec2.deregister_image(ImageId=image_id)
        for device in found["BlockDeviceMappings"] if with_snapshots else ():
            self.ec2.delete_snapshot(SnapshotId=device["Ebs"]["SnapshotId"])
        assert self.ec2.describe_images(ImageIds=[image_id])["Images"] == []

    def snapshot(self, instance_id: str) -> str:
        """aws_ebs_snapshot of an instance's root disk."""
        by = [{"Name": "attachment.instance-id", "Values": [instance_id]}]
        volume = self.ec2.describe_volumes(Filters=by)["Volumes"][0]["VolumeId"]
        made = self.ec2.create_snapshot(VolumeId=volume)["SnapshotId"]
        self.ec2.get_waiter("snapshot_completed").wait(
            SnapshotIds=[made], WaiterConfig={"Delay": 1, "MaxAttempts": 30}
        )
        return made


@pytest.fixture
def terraform(account) -> Terraform:
    return Terraform(account)


def test_aws_ami_of_snapshots(cloud, account, terraform):
    ec2, snapshot = account.ec2, terraform.snapshot(launch_one(cloud, account))
    image_id = terraform.register(
        Name="of-a-snapshot",
        Description="from Terraform",
        BlockDeviceMappings=[
            {
                "DeviceName": "/dev/xvda",
                "Ebs": {
                    "DeleteOnTermination": True,
                    "SnapshotId": snapshot,
                    "VolumeSize": 9,
                    "VolumeType": "gp3",
                    "Iops": 3500,
                    "Throughput": 150,
                },
            },
            {
                "DeviceName": "/dev/sdf",
                "Ebs": {
                    "DeleteOnTermination": False,
                    "Encrypted": False,
                    "VolumeSize": 2,
                    "VolumeType": "standard",
                },
            },
            {"DeviceName": "/dev/sdb", "VirtualName": "ephemeral0"},
        ],
        TagSpecifications=[{"ResourceType": "image", "Tags": [{"Key": "a", "Value": "b"}]}],
    )
    created = terraform.refresh(image_id)
    assert created | {"image_location": ""} == {
        "architecture": "x86_64",
        "boot_mode": "",
        "description": "from Terraform",
        "ena_support": True,
        "image_location": "",
        "image_type": "machine",
        "imds_support": "",
        "name": "of-a-snapshot",
        "owner_id": account.account_id,
        "platform_details": "Linux/UNIX",
        "public": False,
        "root_device_name": "/dev/xvda",
        "root_snapshot_id": snapshot,
        "sriov_net_support": "simple",
        "usage_operation": "RunInstances",
        "virtualization_type": "hvm",
        "ebs_block_device": [
            ("/dev/sdf", False, False, 0, "", 0, 2, "standard"),
            ("/dev/xvda", True, False, 3500, snapshot, 150, 9, "gp3"),
        ],
        "ephemeral_block_device": [("/dev/sdb", "ephemeral0")],
        "tags": {"a": "b"},
    }
    assert terraform.refresh(image_id) == created
    terraform.describe_as(image_id, "changed")
    ec2.delete_tags(Resources=[image_id], Tags=[{"Key": "a"}])
    ec2.create_tags(Resources=[image_id], Tags=[{"Key": "c", "Value": "d"}])
    changed = terraform.refresh(image_id)
    assert changed == created | {"description": "changed", "tags": {"c": "d"}}
    assert refused(ec2.delete_snapshot, SnapshotId=snapshot) == "InvalidSnapshot.InUse"
    terraform.destroy(image_id, with_snapshots=False)
    ec2.delete_snapshot(SnapshotId=snapshot)


@pytest.mark.parametrize("without_reboot", [False, True])
def test_aws_ami_from_instance(cloud, account, terraform, without_reboot):
    ec2, source = account.ec2, launch_one(cloud, account)
    image_id = ec2.create_image(
        InstanceId=source,
        Name="from-an-instance",
        Description="first",
        NoReboot=without_reboot,
        TagSpecifications=[{"ResourceType": "image", "Tags": [{"Key": "a", "Value": "b"}]}],
    )["ImageId"]
    terraform.wait_available(image_id)
    created = terraform.refresh(image_id)
    (disk,) = created["ebs_block_device"]
    assert created["root_snapshot_id"] == disk[4] != ""
    assert (created["name"], created["tags"]) == ("from-an-instance", {"a": "b"})
    assert created["virtualization_type"] == "hvm" and created["architecture"] == "x86_64"
    assert terraform.refresh(image_id) == created
    terraform.describe_as(image_id, "second")
    assert terraform.refresh(image_id) == created | {"description": "second"}
    terraform.destroy(image_id, with_snapshots=True)
    gone = refused(ec2.describe_snapshots, SnapshotIds=[created["root_snapshot_id"]])
    assert gone == "InvalidSnapshot.NotFound"


def permissions(who, image_id) -> list[dict]:
    seen = who.ec2.describe_image_attribute(ImageId=image_id, Attribute="launchPermission")
    return seen["LaunchPermissions"]


def change(who, image_id, **launch_permission) -> None:
    who.ec2.modify_image_attribute(
        Attribute="launchPermission", ImageId=image_id, LaunchPermission=launch_permission
    )


def test_aws_ami_launch_permission(cloud, account, other, terraform):
    snapshot = terraform.snapshot(launch_one(cloud, account))
    disk = {"DeviceName": "/dev/xvda", "Ebs": {"SnapshotId": snapshot}}
    image_id = terraform.register(Name="shared", BlockDeviceMappings=[disk])
    launching = {"ImageId": image_id, "MinCount": 1, "MaxCount": 1}
    assert refused(other.ec2.run_instances, **launching) == "InvalidAMIID.NotFound"

    change(account, image_id, Add=[{"UserId": other.account_id}])
    assert permissions(account, image_id) == [{"UserId": other.account_id}]
    mine = other.ec2.describe_images(ExecutableUsers=["self"])["Images"]
    assert [image["ImageId"] for image in mine] == [image_id]
    launch_one(cloud, other, ImageId=image_id)
    by = refused(other.ec2.describe_snapshots, SnapshotIds=[snapshot])
    assert by == "InvalidSnapshot.NotFound"
    stolen = refused(other.ec2.describe_image_attribute, ImageId=image_id, Attribute="description")
    assert stolen == "UnauthorizedOperation"
    with pytest.raises(ClientError):
        change(other, image_id, Add=[{"Group": "all"}])

    change(account, image_id, Remove=[{"UserId": other.account_id}])
    assert permissions(account, image_id) == []
    assert refused(other.ec2.run_instances, **launching) == "InvalidAMIID.NotFound"

    allow(cloud, account, 1)
    change(account, image_id, Add=[{"Group": "all"}])
    assert permissions(account, image_id) == [{"Group": "all"}]
    public = [{"Name": "is-public", "Values": ["true"]}, {"Name": "name", "Values": ["shared"]}]
    seen = other.ec2.describe_images(ExecutableUsers=["all"], Filters=public)["Images"]
    assert image_id in [image["ImageId"] for image in seen]
    account.ec2.reset_image_attribute(ImageId=image_id, Attribute="launchPermission")
    assert permissions(account, image_id) == []
    gone = account.ec2.deregister_image(ImageId=image_id, DeleteAssociatedSnapshots=True)
    assert gone["DeleteSnapshotResults"] == [{"SnapshotId": snapshot, "ReturnCode": "success"}]
