"""aws_ebs_volume and aws_volume_attachment in the order of calls of Terraform's AWS provider:
create, refresh with no difference, change, refresh, destroy.

From terraform-provider-aws, internal/service/ec2 (ebs_volume, ebs_volume_attachment).
"""

import pytest

from tests.api.asking import described, launch_one, refused, the_one
from tests.harness.waiting import wait_until

TAGS = [{"Key": "Name", "Value": "data"}]


def read(ec2, volume_id: str) -> dict:
    return the_one(ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"])


def make(ec2, **more) -> dict:
    """resourceEBSVolumeCreate, and its wait for "available"."""
    asked = {"AvailabilityZone": "us-east-1a", "Size": 2, **more}
    made = ec2.create_volume(
        TagSpecifications=[{"ResourceType": "volume", "Tags": TAGS}], ClientToken="tf-2", **asked
    )
    volume_id = made["VolumeId"]
    wait_until("available", lambda: read(ec2, volume_id)["State"] == "available")
    return read(ec2, volume_id)


def modify(ec2, volume_id: str, **wanted) -> dict:
    """resourceEBSVolumeUpdate, and its wait for "completed" or "optimizing"."""
    ec2.modify_volume(VolumeId=volume_id, **wanted)

    def modification() -> dict:
        found = ec2.describe_volumes_modifications(VolumeIds=[volume_id])
        return the_one(found["VolumesModifications"])

    wait_until("modified", lambda: modification()["ModificationState"] == "completed")
    done = modification()
    assert (done["Progress"], "EndTime" in done) == (100, True)
    return done


def destroy(ec2, volume_id: str) -> None:
    ec2.delete_volume(VolumeId=volume_id)

    def gone() -> bool:
        left = ec2.describe_volumes(Filters=[{"Name": "volume-id", "Values": [volume_id]}])
        return not [each for each in left["Volumes"] if each["State"] != "deleting"]

    wait_until("deleted", gone)
    wait_until("forgotten", lambda: not ec2.describe_volumes()["Volumes"])
    assert refused(ec2.describe_volumes, VolumeIds=[volume_id]) == "InvalidVolume.NotFound"


def test_aws_ebs_volume(account):
    ec2 = account.ec2
    seen = make(ec2, VolumeType="gp3")
    volume_id = seen["VolumeId"]
    for name, value in {
        "AvailabilityZone": "us-east-1a",
        "Encrypted": False,
        "Iops": 3000,
        "MultiAttachEnabled": False,
        "Size": 2,
        "SnapshotId": "",
        "Tags": TAGS,
        "Throughput": 125,
        "VolumeType": "gp3",
        "Attachments": [],
    }.items():
        assert seen.get(name, "") == value, name
    assert read(ec2, volume_id) == seen  # refreshed: no difference
    assert make(ec2, VolumeType="gp3") == seen  # one token, one volume

    done = modify(ec2, volume_id, Size=8, VolumeType="gp3", Iops=3500, Throughput=200)
    changed = {"Size": 8, "Iops": 3500, "Throughput": 200}
    assert {name: done[f"Original{name}"] for name in changed} == {
        name: seen[name] for name in changed
    }
    assert {name: done[f"Target{name}"] for name in changed} == changed
    assert read(ec2, volume_id) == {**seen, **changed}
    modify(ec2, volume_id, VolumeType="gp2")
    changed = {"Size": 8, "VolumeType": "gp2", "Iops": 100}
    plain = {name: value for name, value in seen.items() if name != "Throughput"}
    assert read(ec2, volume_id) == {**plain, **changed}
    ec2.create_tags(Resources=[volume_id], Tags=[{"Key": "Name", "Value": "other"}])
    assert read(ec2, volume_id)["Tags"] == [{"Key": "Name", "Value": "other"}]
    found = ec2.describe_volumes(Filters=[{"Name": "tag:Name", "Values": ["other"]}])["Volumes"]
    assert the_one(found) == read(ec2, volume_id)
    destroy(ec2, volume_id)


@pytest.fixture
def instance(cloud, account) -> str:
    return launch_one(cloud, account, Placement={"AvailabilityZone": "us-east-1a"})


def attachments(ec2, volume_id: str, instance_id: str, device: str) -> list[str]:
    """findVolumeAttachment: by its volume, instance and device."""
    filters = [
        {"Name": "attachment.device", "Values": [device]},
        {"Name": "attachment.instance-id", "Values": [instance_id]},
    ]
    found = ec2.describe_volumes(VolumeIds=[volume_id], Filters=filters)["Volumes"]
    return [each["State"] for one in found for each in one["Attachments"]]


def mapped(account, instance_id: str) -> dict:
    devices = described(account, instance_id)["BlockDeviceMappings"]
    return {each["DeviceName"]: each["Ebs"] for each in devices}


def test_aws_volume_attachment(account, instance):
    ec2, device = account.ec2, "/dev/sdh"
    volume_id = make(ec2)["VolumeId"]
    where = {"VolumeId": volume_id, "InstanceId": instance, "Device": device}
    made = ec2.attach_volume(**where)
    del made["ResponseMetadata"]
    assert {name: made[name] for name in where} == where
    assert made["State"] in ("attaching", "attached")
    about = (ec2, volume_id, instance, device)
    wait_until("attached", lambda: attachments(*about) == ["attached"])

    seen = read(ec2, volume_id)
    shown = the_one(seen["Attachments"])
    assert shown == {**made, "State": "attached", "DeleteOnTermination": False}
    assert seen["State"] == "in-use"
    ebs = mapped(account, instance)[device]
    assert (ebs["VolumeId"], ebs["Status"]) == (volume_id, "attached")
    assert (ebs["DeleteOnTermination"], ebs["AttachTime"]) == (False, made["AttachTime"])
    assert read(ec2, volume_id) == seen
    assert refused(ec2.delete_volume, VolumeId=volume_id) == "VolumeInUse"
    assert refused(ec2.attach_volume, **where) == "VolumeInUse"

    # Changed while attached: the volume grows, the attachment stays.
    modify(ec2, volume_id, Size=3)
    assert read(ec2, volume_id) == {**seen, "Size": 3}
    deletion = {"DeviceName": device, "Ebs": {"DeleteOnTermination": True}}
    ec2.modify_instance_attribute(InstanceId=instance, BlockDeviceMappings=[deletion])
    assert the_one(read(ec2, volume_id)["Attachments"])["DeleteOnTermination"] is True
    assert mapped(account, instance)[device]["DeleteOnTermination"] is True

    ec2.detach_volume(**where, Force=False)
    wait_until("detached", lambda: attachments(*about) == [])
    assert read(ec2, volume_id)["State"] == "available"
    assert device not in mapped(account, instance)
    gone = refused(ec2.detach_volume, **where)
    assert gone == "IncorrectState"
    ec2.delete_volume(VolumeId=volume_id)


def test_aws_volume_attachment_with_a_stop(account, instance):
    """stop_instance_before_detaching."""
    ec2, device = account.ec2, "/dev/sdi"
    volume_id = make(ec2)["VolumeId"]
    where = {"VolumeId": volume_id, "InstanceId": instance, "Device": device}
    ec2.attach_volume(**where)
    about = (ec2, volume_id, instance, device)
    wait_until("attached", lambda: attachments(*about) == ["attached"])
    ec2.stop_instances(InstanceIds=[instance])
    account.wait_for("stopped", instance)
    assert attachments(*about) == ["attached"]
    ec2.detach_volume(**where)
    wait_until("detached", lambda: attachments(*about) == [])
    assert device not in mapped(account, instance)
    ec2.delete_volume(VolumeId=volume_id)
