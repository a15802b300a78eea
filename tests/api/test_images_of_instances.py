"""Images made of instances: from unmodified boto3, through services and fake hosts, and back."""

import pytest

from tests.api.asking import described, launch_one, refused

DATA_DISK = {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 2, "DeleteOnTermination": True}}


def available(who, image_id) -> dict:
    """The image, waited for as boto3 does."""
    who.ec2.get_waiter("image_available").wait(
        ImageIds=[image_id], WaiterConfig={"Delay": 1, "MaxAttempts": 30}
    )
    return who.ec2.describe_images(ImageIds=[image_id])["Images"][0]


def volumes(who, instance_id) -> list[str]:
    disks = described(who, instance_id)["BlockDeviceMappings"]
    return [disk["Ebs"]["VolumeId"] for disk in disks]


def write(cloud, instance_id, volume_ids, data: bytes) -> None:
    """What a guest writes on its disks, once each is the fake guest's."""
    backend = cloud.host_of(instance_id).volumes
    for volume_id in volume_ids:
        backend.write(volume_id, 0, data)


def first_bytes(cloud, instance_id, volume_ids, length=4) -> list[bytes]:
    backend = cloud.host_of(instance_id).volumes
    found = []
    for volume_id in volume_ids:
        top = backend.chain(volume_id)[-1].number
        found.append(backend.read(volume_id, top, 0, length))
    return found


@pytest.mark.parametrize("no_reboot", [False, True])
def test_what_was_on_the_disks_is_on_those_of_the_copy(cloud, account, no_reboot):
    ec2, source = account.ec2, launch_one(cloud, account, BlockDeviceMappings=[DATA_DISK])
    write(cloud, source, volumes(account, source), b"then")
    made = ec2.create_image(
        InstanceId=source,
        Name="a copy",
        Description="of it all",
        NoReboot=no_reboot,
        TagSpecifications=[
            {"ResourceType": "image", "Tags": [{"Key": "a", "Value": "image"}]},
            {"ResourceType": "snapshot", "Tags": [{"Key": "a", "Value": "snapshot"}]},
        ],
    )["ImageId"]
    assert described(account, source)["State"]["Name"] == "running"
    image = available(account, made)
    write(cloud, source, volumes(account, source), b"late")
    assert (image["OwnerId"], image["Public"]) == (account.account_id, False)
    assert (image["Description"], image["SourceInstanceId"]) == ("of it all", source)
    assert image["Tags"] == [{"Key": "a", "Value": "image"}]
    disks = [disk["Ebs"] for disk in image["BlockDeviceMappings"]]
    snapshot_ids = [disk["SnapshotId"] for disk in disks]
    for taken in ec2.describe_snapshots(SnapshotIds=snapshot_ids)["Snapshots"]:
        assert taken["State"] == "completed" and taken["Progress"] == "100%"
        assert taken["Description"] == f"Created by CreateImage({source}) for {made}"
        assert taken["Tags"] == [{"Key": "a", "Value": "snapshot"}]

    copy = launch_one(cloud, account, ImageId=made)
    assert first_bytes(cloud, copy, volumes(account, copy)) == [b"then", b"then"]
    shown = ec2.describe_volumes(VolumeIds=volumes(account, copy))["Volumes"]
    assert sorted(one["SnapshotId"] for one in shown) == sorted(snapshot_ids)
    assert described(account, source)["State"]["Name"] == "running"


def test_what_ec2_refuses(cloud, account, other):
    ec2, source = account.ec2, launch_one(cloud, account)
    made = ec2.create_image(InstanceId=source, Name="taken", NoReboot=True)["ImageId"]
    assert refused(ec2.create_image, InstanceId=source, Name="taken") == "InvalidAMIName.Duplicate"
    assert refused(ec2.create_image, InstanceId=source, Name="a?b") == "InvalidAMIName.Malformed"
    assert refused(other.ec2.create_image, InstanceId=source, Name="its") == (
        "InvalidInstanceID.NotFound"
    )
    assert refused(ec2.create_image, InstanceId=source, Name="dry", DryRun=True) == (
        "DryRunOperation"
    )
    assert refused(other.ec2.describe_images, ImageIds=[made]) == "InvalidAMIID.NotFound"
    available(account, made)
    snapshot = ec2.describe_images(ImageIds=[made])["Images"][0]["BlockDeviceMappings"][0]["Ebs"]
    used = refused(ec2.delete_snapshot, SnapshotId=snapshot["SnapshotId"])
    assert used == "InvalidSnapshot.InUse"
    ec2.deregister_image(ImageId=made)
    ec2.delete_snapshot(SnapshotId=snapshot["SnapshotId"])
    account.terminate_all()
    gone = refused(ec2.create_image, InstanceId=source, Name="late")
    assert gone == "InvalidParameterValue"


def test_the_native_api_does_the_same(cloud, account):
    source = launch_one(cloud, account)
    made = account.api(
        "POST", f"/v1/instances/{source}:create-image", {"name": "native", "no_reboot": True}
    )
    path = f"/v1/images/{made['image_id']}"
    assert available(account, made["image_id"])["Name"] == "native"
    account.api("PATCH", path, {"add_account_ids": ["123456789012"], "description": "shared"})
    sharing = account.api("GET", f"{path}/sharing")
    assert (sharing["account_ids"], sharing["description"]) == (["123456789012"], "shared")
    account.api("POST", f"{path}/sharing:reset", {})
    assert account.api("GET", f"{path}/sharing")["account_ids"] == []
    gone = account.send("DELETE", f"{path}?delete_associated_snapshots=true", service="pileus")
    snapshot_id = made["block_devices"][0]["snapshot_id"]
    assert gone.json()["snapshots"] == [{"snapshot_id": snapshot_id, "result": "success"}]
