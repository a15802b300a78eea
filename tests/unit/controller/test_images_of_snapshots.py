"""Images registered from snapshots, seen, launched and deregistered with them."""

import pytest

from controller.identity.quotas.rules import Quotas
from controller.kernel.call import system_call
from controller.tables.storage import Snapshot
from protos.cloud.v1 import common_pb2, volumes_pb2
from protos.cloud.v1 import images_pb2 as pb
from protos.cloud.v1.instances_pb2 import BlockDeviceMapping as Mapping
from protos.errors import CloudError, Kind
from tests.unit.controller.cloud import Cloud

GIB = 1024**3
ROOT, DATA, PENDING, BOBS = (f"snap-0000000{number}" for number in range(1, 5))


@pytest.fixture
def cloud(tmp_path):
    """Alice's snapshots of 4 and 6 GiB and one that is pending; one of Bob's."""
    cloud = Cloud(tmp_path)
    alice, bob = cloud.alice.account_id, cloud.bob.account_id
    rows = [
        snapshot(ROOT, alice, 4),
        snapshot(DATA, alice, 6),
        snapshot(PENDING, alice, 4, status="pending", digest=None),
        snapshot(BOBS, bob, 4),
    ]
    with cloud.db.write(system_call(cloud.now_ms)) as tx:
        for row in rows:
            tx.insert(Snapshot, [row])
        quotas = Quotas(cloud.config.quotas)
        quotas.charge(tx, alice, {"snapshots": 3})
        quotas.charge(tx, bob, {"snapshots": 1})
    return cloud


def snapshot(snapshot_id, account_id, size_gib, **more) -> dict:
    return {
        "snapshot_id": snapshot_id,
        "account_id": account_id,
        "size_gib": size_gib,
        "status": "completed",
        "digest": "sha256:" + snapshot_id[-2:] * 32,
        "size_bytes": 7,
    } | more


def register(cloud, *mappings, name="mine", account=None, **more) -> pb.Image:
    request = pb.RegisterImageRequest(name=name, block_devices=mappings, **more)
    return cloud.client("Images").Register(request, caller=(account or cloud.alice).caller())


def of_root(**more) -> Mapping:
    return Mapping(device_name="/dev/sda1", snapshot_id=ROOT, **more)


def refused(call, *given, **more) -> tuple[Kind, str]:
    with pytest.raises(CloudError) as caught:
        call(*given, **more)
    return caught.value.kind, caught.value.reason or caught.value.noun


def describe(cloud, account=None, **asked) -> list[str]:
    filters = [
        common_pb2.Filter(name=name, values=[value]) for name, value in asked.pop("by", {}).items()
    ]
    request = pb.DescribeImagesRequest(filters=filters, **asked)
    images = cloud.client("Images").Describe(request, caller=(account or cloud.alice).caller())
    return sorted(image.name for image in images.images)


def test_an_image_of_snapshots_is_available_at_once(cloud):
    image = register(
        cloud,
        Mapping(device_name="/dev/sdf", snapshot_id=DATA, volume_type="io1", iops=200),
        Mapping(device_name="/dev/sdg", volume_size_gib=3),
        of_root(volume_size_gib=5, delete_on_termination=False),
        Mapping(device_name="/dev/sdh", virtual_name="ephemeral0"),
    )
    assert (image.state, image.disk_format, image.virtual_size_bytes) == (
        "available",
        "blocks",
        4 * GIB,
    )
    assert image.image_location == f"{cloud.alice.account_id}/mine"
    root, data, blank, store = image.block_devices
    assert (root.device_name, root.snapshot_id, root.volume_size_gib) == ("/dev/sda1", ROOT, 5)
    assert not root.delete_on_termination
    assert (data.snapshot_id, data.volume_size_gib, data.volume_type) == (DATA, 6, "io1")
    assert (data.iops, data.throughput_mibps) == (200, 0)
    assert (blank.snapshot_id, blank.volume_size_gib) == ("", 3)
    assert store.virtual_name == "ephemeral0"
    (made,) = cloud.run_ids(image_id=image.image_id)
    disks = cloud.host.specs[made].disks
    assert [disk.size_bytes // GIB for disk in disks] == [5, 6, 3]
    assert [disk.image.digest[-2:] for disk in disks] == ["01", "02", ""]


@pytest.mark.parametrize("said", [True, False])
def test_what_was_said_of_the_network_card_is_shown(cloud, said):
    word = "simple" if said else ""
    image = register(cloud, of_root(), ena_support=said, sriov_net_support=word)
    assert (image.ena_support, image.sriov_net_support) == (said, word)
    unknown = refused(register, cloud, of_root(), name="other", sriov_net_support="vf")
    assert unknown == (Kind.INVALID, "parameter")


@pytest.mark.parametrize(
    ("mappings", "expected"),
    [
        ([], (Kind.INVALID, "missing-parameter")),
        (
            [Mapping(device_name="/dev/sdf", snapshot_id=ROOT)],
            (Kind.INVALID, "block-device-mapping"),
        ),
        (
            [Mapping(device_name="/dev/sda1", volume_size_gib=9)],
            (Kind.INVALID, "block-device-mapping"),
        ),
        ([of_root(volume_size_gib=3)], (Kind.INVALID, "block-device-mapping")),
        ([of_root(), of_root()], (Kind.INVALID, "block-device-mapping")),
        ([of_root(encrypted=True)], (Kind.UNSUPPORTED, "parameter")),
        ([of_root(volume_type="io2")], (Kind.INVALID, "missing-parameter")),
        (
            [Mapping(device_name="/dev/sda1", snapshot_id=PENDING)],
            (Kind.WRONG_STATE, "snapshot"),
        ),
        ([Mapping(device_name="/dev/sda1", snapshot_id=BOBS)], (Kind.NOT_FOUND, "snapshot")),
        ([of_root(), Mapping(device_name="/dev/sdf")], (Kind.INVALID, "missing-parameter")),
    ],
)
def test_what_ec2_refuses(cloud, mappings, expected):
    assert refused(register, cloud, *mappings) == expected
    assert describe(cloud) == ["demo"]


def test_a_file_has_no_snapshots_beside(cloud):
    for mapping in (of_root(), Mapping(device_name="/dev/sdf", volume_size_gib=1)):
        location = "upload:" + "0" * 64
        found = refused(register, cloud, mapping, image_location=location)
        assert found == (Kind.UNSUPPORTED, "image")


def test_of_a_snapshot_that_is_shared(cloud):
    share = volumes_pb2.ModifySnapshotAttributeRequest(
        snapshot_id=BOBS, add_account_ids=[cloud.alice.account_id]
    )
    cloud.client("Snapshots").ModifyAttribute(share, caller=cloud.bob.caller())
    image = register(cloud, Mapping(device_name="/dev/sda1", snapshot_id=BOBS))
    cloud.run(image_id=image.image_id)
    gone = deregister(cloud, image, delete_associated_snapshots=True)
    assert gone == {BOBS: "missing-permissions"}
    register(cloud, Mapping(device_name="/dev/sda1", snapshot_id=BOBS))
    delete(cloud, BOBS, cloud.bob)  # another's image does not hold it


# --- filters --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("snapshot-id", DATA, ["both"]),
        ("snapshot-id", ROOT, ["both", "root"]),
        ("snapshot-id", "", []),
        ("volume-size", "6", ["both"]),
        ("volume-size", "4", ["both", "root"]),
        ("device-name", "/dev/sdf", ["both"]),
        ("device-name", "/dev/xvda", ["demo"]),
        ("volume-type", "gp3", ["both"]),
        ("delete-on-termination", "false", ["both"]),
        ("delete-on-termination", "true", ["demo", "root"]),
    ],
)
def test_filters_by_block_devices(cloud, name, value, expected):
    data = Mapping(device_name="/dev/sdf", snapshot_id=DATA, volume_type="gp3")
    data.delete_on_termination = False
    register(cloud, of_root(), name="root")
    register(cloud, of_root(delete_on_termination=False), data, name="both")
    assert describe(cloud, by={f"block-device-mapping.{name}": value}) == expected


# --- deregistering --------------------------------------------------------------------------------


def deregister(cloud, image, account=None, **more) -> dict[str, str]:
    request = pb.DeregisterImageRequest(image_id=image.image_id, **more)
    caller = (account or cloud.alice).caller()
    answer = cloud.client("Images").Deregister(request, caller=caller)
    return {one.snapshot_id: one.result for one in answer.snapshots}


def delete(cloud, snapshot_id, account=None) -> None:
    request = volumes_pb2.SnapshotRequest(snapshot_id=snapshot_id)
    cloud.client("Snapshots").Delete(request, caller=(account or cloud.alice).caller())


def test_an_image_holds_its_snapshots_until_it_is_deregistered(cloud):
    image = register(cloud, of_root())
    assert refused(delete, cloud, ROOT) == (Kind.WRONG_STATE, "in-use")
    assert deregister(cloud, image) == {}
    assert describe(cloud) == ["demo"]
    delete(cloud, ROOT)
    assert not cloud.discrepancies()


def test_its_snapshots_go_with_it_but_for_what_another_image_has(cloud):
    data = Mapping(device_name="/dev/sdf", snapshot_id=DATA)
    image = register(cloud, of_root(), data, Mapping(device_name="/dev/sdg", volume_size_gib=1))
    register(cloud, Mapping(device_name="/dev/sda1", snapshot_id=DATA), name="other")
    gone = deregister(cloud, image, delete_associated_snapshots=True)
    assert gone == {ROOT: "success", DATA: "skipped"}
    assert refused(delete, cloud, ROOT) == (Kind.NOT_FOUND, "snapshot")
    assert not cloud.discrepancies()


def test_an_image_is_remembered_as_long_as_an_instance_that_is_shown_has_it(cloud):
    image = register(cloud, of_root())
    (instance,) = cloud.run_ids(image_id=image.image_id)
    deregister(cloud, image)
    hour = 3600 * 1000

    def pass_hours(count):
        for _ in range(count):
            cloud.tasks(later_ms=hour)
            cloud.converge()

    pass_hours(3)
    assert describe(cloud, image_ids=[image.image_id]) == []
    assert refused(cloud.run, image_id=image.image_id) == (Kind.WRONG_STATE, "unavailable")
    cloud.on("Terminate", [instance])
    cloud.converge()
    pass_hours(3)
    asked = {"cloud": cloud, "image_ids": [image.image_id]}
    assert refused(describe, **asked) == (Kind.NOT_FOUND, "image")
    assert refused(cloud.run, image_id=image.image_id) == (Kind.NOT_FOUND, "image")


# --- sharing --------------------------------------------------------------------------------------


def modify(cloud, image, account=None, **more) -> None:
    request = pb.ModifyImageAttributeRequest(image_id=image.image_id, **more)
    caller = (account or cloud.alice).caller()
    cloud.client("Images").ModifyAttribute(request, caller=caller)


def attributes(cloud, image, account=None) -> pb.ImageSharing:
    request = pb.ImageRequest(image_id=image.image_id)
    caller = (account or cloud.alice).caller()
    return cloud.client("Images").DescribeAttribute(request, caller=caller)


def test_who_it_is_shared_with_sees_and_launches_it_without_the_snapshots(cloud):
    image = register(cloud, of_root(), Mapping(device_name="/dev/sdf", snapshot_id=DATA))
    mine = {"image_id": image.image_id, "account": cloud.bob}
    assert describe(cloud, cloud.bob) == ["demo"]
    assert refused(cloud.run, **mine) == (Kind.NOT_FOUND, "image")
    modify(cloud, image, add_account_ids=[cloud.bob.account_id])
    assert describe(cloud, cloud.bob) == ["demo", "mine"]
    cloud.run(**mine)
    of_it = volumes_pb2.DescribeSnapshotsRequest(snapshot_ids=[ROOT])
    snapshots = cloud.client("Snapshots")
    found = refused(snapshots.Describe, of_it, caller=cloud.bob.caller())
    assert found == (Kind.NOT_FOUND, "snapshot")
    modify(cloud, image, remove_account_ids=[cloud.bob.account_id])
    assert refused(cloud.run, **mine) == (Kind.NOT_FOUND, "image")


def test_only_its_owner_changes_it_and_sees_who_may(cloud):
    image = register(cloud, of_root())
    modify(cloud, image, public=True, add_account_ids=["123456789012"], description="new")
    seen = attributes(cloud, image)
    assert (seen.public, seen.account_ids, seen.description) == (True, ["123456789012"], "new")
    assert seen.block_devices[0].snapshot_id == ROOT
    assert describe(cloud, cloud.bob) == ["demo", "mine"]
    for call in (attributes, modify, deregister):
        assert refused(call, cloud, image, cloud.bob) == (Kind.DENIED, "image")
    cloud.client("Images").ResetAttribute(
        pb.ImageRequest(image_id=image.image_id), caller=cloud.alice.caller()
    )
    assert (attributes(cloud, image).public, attributes(cloud, image).account_ids) == (False, [])
    assert attributes(cloud, image).description == "new"
    for call in (attributes, modify, deregister):
        assert refused(call, cloud, image, cloud.bob) == (Kind.NOT_FOUND, "image")


def test_what_launches_of_it_use_can_be_asked_for(cloud):
    image = register(cloud, of_root())
    modify(cloud, image, imds_support="v2.0")
    (made,) = cloud.run_ids(image_id=image.image_id)
    assert cloud.describe(made)[0].metadata_options.http_tokens == "required"
    assert refused(modify, cloud, image, imds_support="v1.0") == (Kind.INVALID, "parameter")
    assert refused(modify, cloud, image, add_account_ids=["bob"]) == (Kind.INVALID, "parameter")
    assert refused(modify, cloud, image, description="x" * 256) == (Kind.INVALID, "parameter")


def test_images_by_who_may_launch_them(cloud):
    bob = cloud.bob.account_id
    image = register(cloud, of_root(), name="for bob")
    modify(cloud, image, add_account_ids=[bob])
    modify(cloud, register(cloud, of_root(), name="for all"), public=True)
    assert describe(cloud, cloud.bob, executable_users=["self"]) == ["for bob"]
    assert describe(cloud, cloud.bob, executable_users=[bob]) == ["for bob"]
    assert describe(cloud, executable_users=[bob]) == ["for bob"]
    assert describe(cloud, executable_users=["self"]) == []
    assert describe(cloud, executable_users=["all"]) == ["demo", "for all"]
    assert describe(cloud, executable_users=["all", bob]) == ["demo", "for all", "for bob"]
    assert describe(cloud, cloud.bob, executable_users=[cloud.alice.account_id]) == []
    assert describe(cloud, cloud.bob, owners=["self"]) == []
    assert refused(describe, cloud, executable_users=["me"]) == (Kind.INVALID, "parameter")
