"""Volumes, snapshots and images, asked for in ways that nobody should: once a wrong answer each."""

import pytest
from botocore.exceptions import ClientError

from tests.api.asking import refused
from tests.api.test_break_races import CALLERS, at_once, books
from tests.harness.waiting import wait_until


def make_volume(account, **more) -> str:
    zones = account.ec2.describe_availability_zones()["AvailabilityZones"]
    given = {"AvailabilityZone": zones[0]["ZoneName"], "Size": 1, **more}
    return account.ec2.create_volume(**given)["VolumeId"]


def test_a_volume_that_was_never_modified_is_there_all_the_same(account, other):
    """The EBS CSI driver asks for the modification first, and tells the two by the code."""
    ask = account.ec2.describe_volumes_modifications
    volume_id = make_volume(account)
    with pytest.raises(ClientError) as failure:
        ask(VolumeIds=[volume_id])
    error = failure.value.response["Error"]
    assert error["Code"] == "InvalidVolumeModification.NotFound"
    assert error["Message"] == f"Modification for volume '{volume_id}' does not exist."
    assert refused(ask, VolumeIds=["vol-0123456789abcdef0"]) == "InvalidVolume.NotFound"
    assert refused(ask, VolumeIds=["snap-0123456789abcdef0"]) == "InvalidVolumeID.Malformed"
    asked_by_another = other.ec2.describe_volumes_modifications
    assert refused(asked_by_another, VolumeIds=[volume_id]) == "InvalidVolume.NotFound"


def test_one_token_one_volume(cloud, account):
    made, refusals = at_once(*[lambda: make_volume(account, ClientToken="once")] * CALLERS)
    assert (len(set(made)), refusals) == (1, [])
    assert refused(make_volume, account=account, ClientToken="once", Size=2) == (
        "IdempotentParameterMismatch"
    )
    assert books(cloud) == []


def test_an_image_whose_snapshot_its_owner_deleted_says_so(account, other):
    ec2, volume_id = account.ec2, make_volume(account)
    wait_until(
        "the volume",
        lambda: ec2.describe_volumes(VolumeIds=[volume_id])["Volumes"][0]["State"] == "available",
    )
    snapshot_id = ec2.create_snapshot(VolumeId=volume_id)["SnapshotId"]
    named = {"SnapshotIds": [snapshot_id]}
    wait_until(
        "the snapshot",
        lambda: ec2.describe_snapshots(**named)["Snapshots"][0]["State"] == "completed",
    )
    ec2.modify_snapshot_attribute(
        SnapshotId=snapshot_id, CreateVolumePermission={"Add": [{"UserId": other.account_id}]}
    )
    devices = [
        {"DeviceName": name, "Ebs": {"SnapshotId": snapshot_id}}
        for name in ("/dev/xvda", "/dev/sdf")
    ]
    image_id = other.ec2.register_image(
        Name="of another", RootDeviceName="/dev/xvda", BlockDeviceMappings=devices
    )["ImageId"]
    ec2.delete_snapshot(SnapshotId=snapshot_id)
    code = refused(other.ec2.run_instances, ImageId=image_id, MinCount=1, MaxCount=1)
    assert code == "InvalidSnapshot.NotFound"
