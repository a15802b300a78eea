"""Every call that names a device takes any of its names: /dev/sdb, sdb, /dev/xvdb, /dev/vdb."""

import pytest

from tests.api.asking import described, launch_one, refused
from tests.api.test_break_storage import make_volume
from tests.api.test_images_of_instances import available
from tests.harness.waiting import wait_until

NAMES = ("/dev/sdb", "sdb", "/dev/xvdb", "/dev/vdb")
DATA = {"DeviceName": "/dev/sdb", "Ebs": {"VolumeSize": 2, "DeleteOnTermination": True}}


def of(name, **ebs) -> dict:
    return {"DeviceName": name, "Ebs": ebs or {"VolumeSize": 3}}


def disks(who, instance_id) -> dict[str, dict]:
    shown = described(who, instance_id)["BlockDeviceMappings"]
    return {disk["DeviceName"]: disk["Ebs"] for disk in shown}


def volume_state(who, volume_id) -> str:
    return who.ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"][0]["State"]


def test_attached_is_what_has_any_of_the_names(cloud, account):
    ec2, instance = account.ec2, launch_one(cloud, account, BlockDeviceMappings=[DATA])
    volume = make_volume(account)
    wait_until("the volume", lambda: volume_state(account, volume) == "available")
    where = {"VolumeId": volume, "InstanceId": instance}
    for taken in (*NAMES, "/dev/sda", "/dev/sda1", "/dev/xvda"):
        assert refused(ec2.attach_volume, Device=taken, **where) == "InvalidParameterValue"
    assert refused(ec2.attach_volume, Device="/dev/sdc1", **where) == "InvalidParameterValue"
    assert ec2.attach_volume(Device="xvdc", **where)["Device"] == "xvdc"
    wait_until(
        "the disk", lambda: disks(account, instance).get("xvdc", {}).get("Status") == "attached"
    )
    assert refused(ec2.detach_volume, Device="/dev/sdb", **where) == "InvalidAttachment.NotFound"
    assert ec2.detach_volume(Device="/dev/sdc", **where)["Device"] == "xvdc"
    wait_until("the volume", lambda: volume_state(account, volume) == "available")


@pytest.mark.parametrize("name", NAMES)
def test_modified_by_any_of_the_names(cloud, account, name):
    instance = launch_one(cloud, account, BlockDeviceMappings=[DATA])
    modify = account.ec2.modify_instance_attribute
    modify(InstanceId=instance, BlockDeviceMappings=[of(name, DeleteOnTermination=False)])
    assert not disks(account, instance)["/dev/sdb"]["DeleteOnTermination"]
    absent = [of("/dev/sdc", DeleteOnTermination=False)]
    code = refused(modify, InstanceId=instance, BlockDeviceMappings=absent)
    assert code == "InvalidBlockDeviceMapping"


def test_mappings_of_launches_and_images(cloud, account):
    ec2 = account.ec2
    launch = {"ImageId": cloud.image_id, "MinCount": 1, "MaxCount": 1}
    for bad in ([DATA, of("xvdb")], [of("/dev/sda")], [of("/dev/sdb1")]):
        code = refused(ec2.run_instances, BlockDeviceMappings=bad, **launch)
        assert code == "InvalidBlockDeviceMapping"
    source = launch_one(cloud, account, BlockDeviceMappings=[DATA, of("/dev/sda1")])
    root = described(account, source)["RootDeviceName"]
    made = ec2.create_image(
        InstanceId=source,
        Name="by other names",
        BlockDeviceMappings=[of("/dev/xvdb", VolumeSize=4)],
    )["ImageId"]
    image = {
        disk["DeviceName"]: disk["Ebs"] for disk in available(account, made)["BlockDeviceMappings"]
    }
    assert {name: disk["VolumeSize"] for name, disk in image.items()} == {root: 3, "/dev/xvdb": 4}
    again = launch_one(cloud, account, ImageId=made, BlockDeviceMappings=[of("sdb", VolumeSize=5)])
    assert set(disks(account, again)) == {root, "sdb"}
    registered = ec2.register_image(
        Name="registered",
        RootDeviceName="/dev/sda1",
        BlockDeviceMappings=[of("/dev/xvda", SnapshotId=image[root]["SnapshotId"])],
    )["ImageId"]
    (disk,) = available(account, registered)["BlockDeviceMappings"]
    assert disk["DeviceName"] == "/dev/sda1"
    beside = [of(name, SnapshotId=image[root]["SnapshotId"]) for name in ("/dev/sda1", "/dev/sda")]
    code = refused(ec2.register_image, Name="two roots", BlockDeviceMappings=beside)
    assert code == "InvalidBlockDeviceMapping"
