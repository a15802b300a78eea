"""BlockDeviceMapping: what disks an instance is launched with."""

import pytest

from controller.identity.quotas.rules import Quotas
from controller.kernel.call import system_call
from controller.tables.storage import Image, ImageBlockDevice, Snapshot
from protos.cloud.v1 import volumes_pb2
from protos.cloud.v1.instances_pb2 import BlockDeviceMapping as Mapping
from protos.errors import CloudError, Kind
from tests.unit.controller.cloud import IMAGE_ID, Cloud

MANIFESTS = {"snap-00000001": "sha256:" + "01" * 32, "snap-00000002": "sha256:" + "02" * 32}
GIB = 1024**3


@pytest.fixture
def cloud(tmp_path):
    cloud = Cloud(tmp_path)
    snapshots = [
        {
            "snapshot_id": snapshot_id,
            "account_id": cloud.alice.account_id,
            "size_gib": size_gib,
            "status": "completed",
            "digest": MANIFESTS[snapshot_id],
            "size_bytes": 7,
        }
        for snapshot_id, size_gib in (("snap-00000001", 4), ("snap-00000002", 6))
    ]
    with cloud.db.write(system_call(cloud.now_ms)) as tx:
        tx.insert(Snapshot, snapshots)
        charged = {"snapshots": len(snapshots)}
        Quotas(cloud.config.quotas).charge(tx, cloud.alice.account_id, charged)
    return cloud


@pytest.fixture
def of_snapshots(cloud):
    """An image with a root disk and three others: of a snapshot, blank, and of an instance
    store."""
    devices = [
        {"device_name": "/dev/xvda", "snapshot_id": "snap-00000001", "size_gib": 5},
        {
            "device_name": "/dev/sdf",
            "snapshot_id": "snap-00000002",
            "size_gib": 6,
            "volume_type": "io1",
            "iops": 200,
            "delete_on_termination": False,
        },
        {"device_name": "/dev/sdg", "size_gib": 3, "volume_type": "gp3"},
        {"device_name": "/dev/sdh", "virtual_name": "ephemeral0"},
    ]
    image = {
        "mapped_devices": len(devices),
        "digest": MANIFESTS["snap-00000001"],
        "disk_format": "blocks",
        "virtual_size_bytes": 4 * GIB,
        "root_volume_size_gib": 5,
    }
    with cloud.db.write(system_call(cloud.now_ms)) as tx:
        tx.advance(Image, image, Image.image_id == IMAGE_ID)
        rows = [
            {"image_id": IMAGE_ID, "position": position, **device}
            for position, device in enumerate(devices)
        ]
        tx.insert(ImageBlockDevice, rows)
    return cloud


def disks(cloud, *mappings):
    """What the host is told of each disk of an instance launched so."""
    (instance,) = cloud.run_ids(block_device_mappings=mappings)
    return list(cloud.host.specs[instance].disks)


def names(found):
    return [disk.device_name for disk in found]


def refused(cloud, *mappings) -> tuple[Kind, str]:
    with pytest.raises(CloudError) as caught:
        cloud.run(block_device_mappings=mappings)
    return caught.value.kind, caught.value.reason


def volumes(cloud):
    answer = cloud.client("Volumes").Describe(
        volumes_pb2.DescribeVolumesRequest(), caller=cloud.alice.caller()
    )
    return {one.attachments[0].device: one for one in answer.volumes}


def test_data_disks_blank_and_of_snapshots(cloud):
    found = disks(
        cloud,
        Mapping(device_name="/dev/sdf", snapshot_id="snap-00000001"),
        Mapping(device_name="/dev/sdg", snapshot_id="snap-00000002", volume_size_gib=9),
        Mapping(device_name="/dev/sdh", volume_size_gib=2, volume_type="gp3", iops=1000 * 3),
    )
    assert names(found) == ["/dev/xvda", "/dev/sdf", "/dev/sdg", "/dev/sdh"]
    assert [disk.size_bytes // GIB for disk in found] == [1, 4, 9, 2]
    image = found[1].image
    assert (image.digest, image.disk_format) == (MANIFESTS["snap-00000001"], "blocks")
    assert (image.image_id, image.size_bytes) == ("snap-00000001", 7)
    assert image.virtual_size_bytes == 4 * GIB
    assert (found[3].iops, found[3].throughput_mibps) == (3000, 125)
    assert not found[3].HasField("image")
    shown = volumes(cloud)
    assert shown["/dev/sdf"].snapshot_id == "snap-00000001"
    assert shown["/dev/xvda"].snapshot_id == ""
    assert not cloud.discrepancies()


def test_what_a_type_has_not_and_what_is_left_out_makes_no_disk(cloud):
    found = disks(
        cloud,
        Mapping(device_name="/dev/sdb", virtual_name="ephemeral0"),
        Mapping(device_name="/dev/sdc", no_device=True),
    )
    assert names(found) == ["/dev/xvda"]


@pytest.mark.parametrize(
    ("mapping", "expected"),
    [
        (
            Mapping(device_name="/dev/sdf", snapshot_id="snap-00000001", volume_size_gib=3),
            (Kind.INVALID, "block-device-mapping"),
        ),
        (
            Mapping(device_name="/dev/xvda", snapshot_id="snap-00000001"),
            (Kind.INVALID, "block-device-mapping"),
        ),
        (
            Mapping(device_name="/dev/sdf", volume_size_gib=9, volume_type="gp3", iops=0),
            (Kind.INVALID, ""),
        ),
        (
            Mapping(device_name="/dev/sdf", volume_size_gib=9, volume_type="io2"),
            (Kind.INVALID, "missing-parameter"),
        ),
        (
            Mapping(device_name="/dev/sdf", volume_size_gib=20000),
            (Kind.INVALID, "block-device-mapping"),
        ),
    ],
)
def test_disks_that_cannot_be(cloud, mapping, expected):
    assert refused(cloud, mapping) == expected


def test_no_more_disks_than_an_instance_can_have(cloud):
    letters = "abcdefghijklmnopqrstuvwxyz"
    many = [Mapping(device_name=f"/dev/xvdb{one}", volume_size_gib=1) for one in letters]
    assert refused(cloud, *many)[0] is Kind.QUOTA


def test_a_snapshot_that_is_anothers_or_not_completed(cloud):
    mapping = Mapping(device_name="/dev/sdf", snapshot_id="snap-00000001")
    with pytest.raises(CloudError) as caught:
        cloud.run(account=cloud.bob, block_device_mappings=[mapping])
    assert (caught.value.kind, caught.value.noun) == (Kind.NOT_FOUND, "snapshot")
    with cloud.db.write(system_call(cloud.now_ms)) as tx:
        tx.advance(Snapshot, {"status": "pending"}, Snapshot.snapshot_id == "snap-00000001")
    assert refused(cloud, mapping)[0] is Kind.WRONG_STATE


def test_an_image_of_snapshots_has_its_disks(of_snapshots):
    found = disks(of_snapshots)
    assert names(found) == ["/dev/xvda", "/dev/sdf", "/dev/sdg"]
    assert [disk.size_bytes // GIB for disk in found] == [5, 6, 3]
    assert [disk.image.digest for disk in found] == [*MANIFESTS.values(), ""]
    assert [disk.delete_on_termination for disk in found] == [True, False, True]
    assert [disk.iops for disk in found] == [0, 200, 3000]
    shown = volumes(of_snapshots)
    assert shown["/dev/xvda"].snapshot_id == "snap-00000001"
    assert shown["/dev/sdf"].snapshot_id == "snap-00000002"


def test_a_mapping_overrides_what_the_image_says(of_snapshots):
    found = disks(
        of_snapshots,
        Mapping(device_name="/dev/xvda", volume_size_gib=8),
        Mapping(device_name="/dev/sdf", volume_type="gp3", delete_on_termination=True),
        Mapping(device_name="/dev/sdg", no_device=True),
    )
    assert names(found) == ["/dev/xvda", "/dev/sdf"]
    assert [disk.size_bytes // GIB for disk in found] == [8, 6]
    assert (found[1].iops, found[1].delete_on_termination) == (3000, True)
    assert found[1].image.digest == MANIFESTS["snap-00000002"]


def test_who_may_launch_the_image_may_have_its_snapshots(of_snapshots):
    made = of_snapshots.run(account=of_snapshots.bob)
    assert len(made.instances[0].block_devices) == 3
