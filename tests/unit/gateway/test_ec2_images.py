"""Images by boto3, against a pretended controller."""

import pytest

from protos.cloud.v1 import (
    images_pb2,
)
from tests.unit.gateway.asking import MADE, TAG, code, plain
from tests.unit.gateway.world import ACCOUNT

IMAGE = images_pb2.Image(
    image_id="ami-1",
    name="debian",
    owner_id=ACCOUNT,
    state="available",
    public=True,
    architecture="x86_64",
    image_location="upload:00",
    root_device_name="/dev/vda",
    creation_date_ms=MADE,
    block_devices=[
        images_pb2.ImageBlockDevice(
            device_name="/dev/vda", snapshot_id="snap-1", volume_size_gib=2, volume_type="gp3"
        )
    ],
    tags=[TAG],
)


def test_40_images(served):
    world, ec2 = served
    world.clients.images.answers["Describe"] = images_pb2.DescribeImagesResponse(images=[IMAGE])
    (seen,) = ec2.describe_images(Owners=["self", "amazon"], ExecutableUsers=["all"])["Images"]
    request = world.clients.images.calls[-1].request
    assert (request.owners, request.executable_users) == (["self", "amazon"], ["all"])
    assert seen["CreationDate"] == "2026-01-31T12:00:00.123Z"
    assert seen["RootDeviceName"] == seen["BlockDeviceMappings"][0]["DeviceName"] == "/dev/vda"
    assert seen["BlockDeviceMappings"][0]["Ebs"]["VolumeSize"] == 2
    assert seen["State"] == "available"
    assert "EnaSupport" not in seen


def test_images_are_registered(served):
    world, ec2 = served
    world.clients.images.answers["Register"] = IMAGE
    made = ec2.register_image(
        Name="debian",
        ImageLocation="https://images.example/debian.qcow2",
        Architecture="x86_64",
        RootDeviceName="/dev/vda",
        VirtualizationType="hvm",
        EnaSupport=True,
        BlockDeviceMappings=[{"DeviceName": "/dev/vda", "Ebs": {"VolumeSize": 4}}],
    )
    assert plain(made) == {"ImageId": "ami-1"}
    request = world.clients.images.calls[-1].request
    assert request.image_location == "https://images.example/debian.qcow2"
    assert request.block_devices[0].volume_size_gib == 4
    snapshot = {"DeviceName": "/dev/vda", "Ebs": {"SnapshotId": "snap-1"}}
    ec2.register_image(Name="x", BlockDeviceMappings=[snapshot])
    request = world.clients.images.calls[-1].request
    assert (request.image_location, request.ena_support) == ("", False)
    assert request.block_devices[0].snapshot_id == "snap-1"
    assert (
        code(ec2.register_image, Name="x", ImageLocation="x", VirtualizationType="paravirtual")
        == "UnsupportedOperation"
    )
    world.clients.images.answers["Deregister"] = images_pb2.DeregisterImageResponse(
        snapshots=[images_pb2.DeletedSnapshot(snapshot_id="snap-1", result="skipped")]
    )
    gone = ec2.deregister_image(ImageId="ami-1", DeleteAssociatedSnapshots=True)
    assert world.clients.images.calls[-1].request.delete_associated_snapshots
    assert gone["DeleteSnapshotResults"] == [{"SnapshotId": "snap-1", "ReturnCode": "skipped"}]


def test_images_are_made_of_instances(served):
    world, ec2 = served
    world.clients.images.answers["Create"] = IMAGE
    made = ec2.create_image(
        InstanceId="i-1",
        Name="mine",
        NoReboot=True,
        BlockDeviceMappings=[
            {"DeviceName": "/dev/sdf", "NoDevice": ""},
            {"DeviceName": "/dev/sdg", "VirtualName": "ephemeral0"},
        ],
    )
    assert plain(made) == {"ImageId": "ami-1"}
    request = world.clients.images.calls[-1].request
    assert (request.instance_id, request.name, request.no_reboot) == ("i-1", "mine", True)
    assert [each.no_device for each in request.block_devices] == [True, False]
    assert request.block_devices[1].virtual_name == "ephemeral0"


SHARING = images_pb2.ImageSharing(
    image_id="ami-1",
    public=True,
    account_ids=[ACCOUNT],
    description="what it is",
    block_devices=IMAGE.block_devices,
    imds_support="v2.0",
)


@pytest.mark.parametrize(
    ("attribute", "member", "shown"),
    [
        ("description", "Description", {"Value": "what it is"}),
        ("launchPermission", "LaunchPermissions", [{"Group": "all"}, {"UserId": ACCOUNT}]),
        ("imdsSupport", "ImdsSupport", {"Value": "v2.0"}),
        ("sriovNetSupport", "SriovNetSupport", {}),
        ("productCodes", "ProductCodes", []),
    ],
)
def test_an_images_attribute(served, attribute, member, shown):
    world, ec2 = served
    world.clients.images.answers["DescribeAttribute"] = SHARING
    seen = ec2.describe_image_attribute(ImageId="ami-1", Attribute=attribute)
    assert seen["ImageId"] == "ami-1" and seen[member] == shown


def test_an_images_attributes_that_are_not_there(served):
    _, ec2 = served
    assert (
        code(ec2.describe_image_attribute, ImageId="ami-1", Attribute="uefiData")
        == "UnsupportedOperation"
    )
    assert (
        code(ec2.describe_image_attribute, ImageId="ami-1", Attribute="colour")
        == "InvalidParameterValue"
    )


@pytest.mark.parametrize(
    ("said", "asked"),
    [
        ({"Description": {"Value": "new"}}, {"description": "new"}),
        ({"Attribute": "description", "Value": "new"}, {"description": "new"}),
        ({"ImdsSupport": {"Value": "v2.0"}}, {"imds_support": "v2.0"}),
        (
            {"LaunchPermission": {"Add": [{"UserId": ACCOUNT}], "Remove": [{"Group": "all"}]}},
            {"add_account_ids": [ACCOUNT], "public": False},
        ),
        (
            {
                "Attribute": "launchPermission",
                "OperationType": "remove",
                "UserIds": [ACCOUNT],
                "UserGroups": ["all"],
            },
            {"remove_account_ids": [ACCOUNT], "public": False},
        ),
        # amazon.aws writes the names so:
        ({"Attribute": "Description", "Description": {"Value": "a"}}, {"description": "a"}),
        (
            {"Attribute": "LaunchPermission", "LaunchPermission": {"Add": [{"Group": "all"}]}},
            {"public": True},
        ),
    ],
)
def test_an_image_is_changed(served, said, asked):
    world, ec2 = served
    ec2.modify_image_attribute(ImageId="ami-1", **said)
    expected = images_pb2.ModifyImageAttributeRequest(image_id="ami-1", **asked)
    assert world.clients.images.calls[-1].request == expected


@pytest.mark.parametrize(
    ("said", "refusal"),
    [
        ({}, "MissingParameter"),
        ({"Attribute": "productCodes"}, "UnsupportedOperation"),
        (
            {"Description": {"Value": "a"}, "ImdsSupport": {"Value": "v2.0"}},
            "InvalidParameterCombination",
        ),
        (
            {"Attribute": "launchPermission", "Description": {"Value": "a"}},
            "InvalidParameterCombination",
        ),
        ({"LaunchPermission": {"Add": [{"Group": "some"}]}}, "InvalidParameterValue"),
    ],
)
def test_changes_of_an_image_that_are_none(served, said, refusal):
    _, ec2 = served
    assert code(ec2.modify_image_attribute, ImageId="ami-1", **said) == refusal


def test_an_image_is_its_owners_alone_again(served):
    world, ec2 = served
    ec2.reset_image_attribute(ImageId="ami-1", Attribute="launchPermission")
    assert world.clients.images.calls[-1].request.image_id == "ami-1"
