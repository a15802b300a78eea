"""CreateImage: what is made of an instance, when it becomes available, and what is refused."""

import pytest

from controller.kernel.call import system_call
from controller.tables.identity import Quota
from controller.tables.storage import Image
from protos.cloud.v1 import fleet_pb2, volumes_pb2
from protos.cloud.v1 import images_pb2 as pb
from protos.cloud.v1.instances_pb2 import BlockDeviceMapping as Mapping
from protos.errors import CloudError, Kind
from tests.unit.controller.cloud import IMAGE_ID, Cloud
from tests.unit.controller.obedient import told
from tests.unit.controller.resource_world import tag_specification

GIB = 1024**3


@pytest.fixture
def cloud(tmp_path):
    return Cloud(tmp_path, hosts=2)


@pytest.fixture
def instance(cloud):
    """With a data disk that outlives it."""
    disk = Mapping(
        device_name="/dev/sdf", volume_size_gib=3, volume_type="gp3", delete_on_termination=False
    )
    return cloud.run_ids(block_device_mappings=[disk])[0]


def create(cloud, instance_id, name="mine", account=None, **more) -> pb.Image:
    request = pb.CreateImageRequest(instance_id=instance_id, name=name, **more)
    caller = (account or cloud.alice).caller()
    image = cloud.client("Images").Create(request, caller=caller)
    cloud.app.dispatch_pending()
    return image


def describe(cloud, account=None, **asked) -> list[pb.Image]:
    request = pb.DescribeImagesRequest(**asked)
    caller = (account or cloud.alice).caller()
    return list(cloud.client("Images").Describe(request, caller=caller).images)


def shown(cloud, image) -> pb.Image:
    return describe(cloud, image_ids=[image.image_id])[0]


def snapshots(cloud, *ids) -> list[volumes_pb2.Snapshot]:
    request = volumes_pb2.DescribeSnapshotsRequest(snapshot_ids=ids, owners=["self"])
    return list(cloud.client("Snapshots").Describe(request, caller=cloud.alice.caller()).snapshots)


def host_of(cloud, image):
    """The host that copies the image's snapshots, which has been told of them."""
    wanted = image.block_devices[0].snapshot_id
    return next(host for host in cloud.hosts.values() if wanted in host.snapshots)


def end_all(cloud, image) -> None:
    host = host_of(cloud, image)
    for one in snapshots(cloud, *host.snapshots):
        host.end_snapshot(one.snapshot_id, one.volume_size_gib)
    cloud.converge()


def refused(cloud, instance_id, **more) -> tuple[Kind, str]:
    before = len(snapshots(cloud))
    with pytest.raises(CloudError) as caught:
        create(cloud, instance_id, **more)
    assert len(snapshots(cloud)) == before and not cloud.discrepancies()
    return caught.value.kind, caught.value.reason or caught.value.noun


# --- what is made ---------------------------------------------------------------------------------


def test_an_image_has_a_snapshot_of_each_volume_and_then_becomes_available(cloud, instance):
    image = create(
        cloud,
        instance,
        description="all of it",
        tag_specifications=[
            *tag_specification("image", Name="i"),
            *tag_specification("snapshot", Name="s"),
        ],
    )
    assert (image.state, image.source_instance_id) == ("pending", instance)
    assert (image.owner_id, image.description) == (cloud.alice.account_id, "all of it")
    assert image.image_location == f"{cloud.alice.account_id}/mine"
    assert [tag.value for tag in image.tags] == ["i"]
    root, data = image.block_devices
    assert (root.device_name, root.volume_size_gib, root.volume_type) == ("/dev/xvda", 1, "gp2")
    assert (data.device_name, data.volume_size_gib, data.volume_type) == ("/dev/sdf", 3, "gp3")
    assert (data.iops, data.throughput_mibps) == (3000, 125)
    assert [root.delete_on_termination, data.delete_on_termination] == [True, False]
    taken = snapshots(cloud, root.snapshot_id, data.snapshot_id)
    words = f"Created by CreateImage({instance}) for {image.image_id}"
    assert [one.description for one in taken] == [words, words]
    assert [one.tags[0].value for one in taken] == ["s", "s"]

    host = host_of(cloud, image)
    host.end_snapshot(root.snapshot_id)
    assert shown(cloud, image).state == "pending"
    host.end_snapshot(data.snapshot_id, size_gib=3)
    done = shown(cloud, image)
    assert (done.state, done.disk_format, done.virtual_size_bytes) == ("available", "blocks", GIB)
    assert list(done.block_devices) == [root, data]


def test_an_instance_is_launched_from_it(cloud, instance):
    image = create(cloud, instance)
    with pytest.raises(CloudError) as early:
        cloud.run(image_id=image.image_id)
    assert early.value.kind is Kind.WRONG_STATE
    end_all(cloud, image)
    (copy,) = cloud.run_ids(image_id=image.image_id)
    spec = next(host.specs[copy] for host in cloud.hosts.values() if copy in host.specs)
    assert [disk.size_bytes // GIB for disk in spec.disks] == [1, 3]
    assert [disk.image.disk_format for disk in spec.disks] == ["blocks", "blocks"]
    assert [disk.image.image_id for disk in spec.disks] == [
        image.image_id,
        image.block_devices[1].snapshot_id,
    ]
    assert not cloud.discrepancies()


def test_all_of_it_is_told_to_the_host_at_once_with_the_reboot(cloud, instance):
    image = create(cloud, instance)
    host = host_of(cloud, image)
    snapshots = told(host.applied[-1], "snapshot").values()
    assert {one.group for one in snapshots} == {image.image_id}
    assert {one.off_instance_id for one in snapshots} == {instance}
    assert not any(one.quiesce for one in snapshots)
    instances = told(host.applied[-1], "instance")
    assert {name: one.reboots for name, one in instances.items()} == {instance: 1}
    assert cloud.states(instance) == ["running"]


def test_without_a_reboot_the_guest_runs_on(cloud, instance):
    image = create(cloud, instance, no_reboot=True)
    snapshots = host_of(cloud, image).snapshots.values()
    assert [(one.group, one.off_instance_id) for one in snapshots] == [(image.image_id, "")] * 2
    assert all(one.quiesce for one in snapshots)
    assert host_of(cloud, image).specs[instance].reboots == 0


def test_one_that_is_stopped_is_not_started(cloud, instance):
    cloud.on("Stop", [instance])
    cloud.converge()
    image = create(cloud, instance)
    end_all(cloud, image)
    assert shown(cloud, image).state == "available"
    assert cloud.states(instance) == ["stopped"]
    host = next(host for host in cloud.hosts.values() if instance in host.specs)
    assert host.specs[instance].reboots == 0


def test_one_that_stops_is_waited_for(cloud, instance):
    cloud.on("Stop", [instance])
    assert cloud.states(instance) == ["stopping"]
    image = create(cloud, instance)
    told = host_of(cloud, image)
    assert {one.off_instance_id for one in told.snapshots.values()} == {instance}
    assert told.specs[instance].reboots == 0


def test_the_image_takes_after_what_it_was_launched_from(cloud, instance):
    with cloud.db.write(_call(cloud)) as tx:
        inherited = {"boot_mode": "uefi-preferred", "imds_support": "v2.0", "ena_support": True}
        tx.advance(Image, inherited, Image.image_id == IMAGE_ID)
    image = create(cloud, instance)
    assert (image.boot_mode, image.imds_support, image.ena_support) == (
        "uefi-preferred",
        "v2.0",
        True,
    )


# --- failing --------------------------------------------------------------------------------------


def test_it_fails_with_the_first_snapshot_that_does(cloud, instance):
    image = create(cloud, instance)
    host = host_of(cloud, image)
    data = image.block_devices[1].snapshot_id
    host.end_snapshot(data, fails="the disk is broken")
    failed = shown(cloud, image)
    assert failed.state == "failed"
    assert failed.state_reason.code == "Server.InternalError"
    assert data in failed.state_reason.message and "broken" in failed.state_reason.message
    host.end_snapshot(image.block_devices[0].snapshot_id)
    assert shown(cloud, image).state == "failed"
    create(cloud, instance)  # its name is free again


def test_what_a_lost_report_leaves_is_reconciled_by_the_task(cloud, instance):
    image = create(cloud, instance)
    end_all(cloud, image)
    with cloud.db.write(_call(cloud)) as tx:  # as if nothing had followed from the report
        tx.advance(Image, {"status": "snapshotting"}, Image.image_id == image.image_id)
    cloud.tasks(1_000)
    assert shown(cloud, image).state == "available"


def test_a_volume_that_grew_before_its_moment_is_as_large_in_the_image(cloud, instance):
    image = create(cloud, instance, no_reboot=True)
    host = host_of(cloud, image)
    root, data = (one.snapshot_id for one in image.block_devices)
    request = volumes_pb2.ModifyVolumeRequest(volume_id=host.snapshots[data].volume_id, size_gib=7)
    cloud.client("Volumes").Modify(request, caller=cloud.alice.caller())
    host.end_snapshot(root)
    host.end_snapshot(data, size_gib=7)
    assert [one.volume_size_gib for one in shown(cloud, image).block_devices] == [1, 7]
    cloud.run(image_id=image.image_id)


# --- mappings -------------------------------------------------------------------------------------


def test_mappings_change_what_the_image_has(cloud, instance):
    earlier = create(cloud, instance, "earlier")
    end_all(cloud, earlier)
    other = earlier.block_devices[1].snapshot_id
    image = create(
        cloud,
        instance,
        block_devices=[
            Mapping(device_name="/dev/xvda", volume_size_gib=5, delete_on_termination=False),
            Mapping(device_name="/dev/sdf", no_device=True),
            Mapping(device_name="/dev/sdg", volume_size_gib=2, volume_type="gp3", iops=4000 - 1000),
            Mapping(device_name="/dev/sdh", snapshot_id=other),
            Mapping(device_name="/dev/sdb", virtual_name="ephemeral0"),
        ],
    )
    root, blank, copied, store = image.block_devices
    assert (root.volume_size_gib, root.delete_on_termination) == (5, False)
    assert (blank.device_name, blank.snapshot_id, blank.volume_size_gib) == ("/dev/sdg", "", 2)
    assert (copied.snapshot_id, copied.volume_size_gib) == (other, 3)
    assert (store.device_name, store.virtual_name) == ("/dev/sdb", "ephemeral0")
    host = host_of(cloud, image)
    assert list(host.snapshots) == [root.snapshot_id]  # of the root disk only
    end_all(cloud, image)
    launched = cloud.run(image_id=image.image_id).instances[0]
    assert [one.device_name for one in launched.block_devices] == [
        "/dev/xvda",
        "/dev/sdg",
        "/dev/sdh",
    ]


@pytest.mark.parametrize(
    "mapping",
    [
        Mapping(device_name="/dev/xvda", no_device=True),
        Mapping(device_name="/dev/sdf", volume_size_gib=2),
        Mapping(device_name="/dev/sdg", virtual_name="instancestore"),
    ],
)
def test_mappings_that_cannot_be(cloud, instance, mapping):
    assert refused(cloud, instance, block_devices=[mapping]) == (
        Kind.INVALID,
        "block-device-mapping",
    )


# --- refusals -------------------------------------------------------------------------------------


def test_only_from_an_instance_of_ones_own_that_is_there(cloud, instance):
    with pytest.raises(CloudError) as others:
        create(cloud, instance, account=cloud.bob)
    assert (others.value.kind, others.value.noun) == (Kind.NOT_FOUND, "instance")
    assert refused(cloud, "i-1")[0] is Kind.MALFORMED_ID


def test_names(cloud, instance):
    assert refused(cloud, instance, name="") == (Kind.INVALID, "missing-parameter")
    assert refused(cloud, instance, name="a?") == (Kind.INVALID, "image-name-malformed")
    create(cloud, instance, "taken")
    assert refused(cloud, instance, name="taken") == (Kind.EXISTS, "image")


def test_not_before_it_runs_nor_after_its_end(cloud):
    made = cloud.run().instances[0].instance_id
    assert cloud.states(made) == ["pending"]
    assert refused(cloud, made) == (Kind.INVALID, "parameter")
    cloud.converge()
    cloud.on("Terminate", [made])
    assert refused(cloud, made) == (Kind.INVALID, "parameter")


def test_without_a_root_disk_there_is_no_image(cloud, instance):
    cloud.on("Stop", [instance])
    cloud.converge()
    root = cloud.describe(instance)[0].block_devices[0].volume_id
    request = volumes_pb2.DetachVolumeRequest(volume_id=root)
    cloud.client("Volumes").Detach(request, caller=cloud.alice.caller())
    cloud.converge()
    assert refused(cloud, instance) == (Kind.INVALID, "parameter")


def test_snapshots_count_in_the_quota_and_nothing_is_left_of_what_is_refused(cloud, instance):
    with cloud.db.write(_call(cloud)) as tx:
        tx.advance(Quota, {"maximum": 1}, Quota.name == "snapshots")
    assert refused(cloud, instance) == (Kind.QUOTA, "snapshot")
    assert [one.name for one in describe(cloud, owners=["self"])] == ["demo"]


def test_a_disk_of_another_host_is_not_seen_to_be_at_rest(cloud, instance):
    """Its host does not know when the guest is off: without a reboot, or of a stopped one."""
    _, other = _given_a_disk_of_another_host(cloud, instance)
    cloud.converge()
    assert refused(cloud, instance)[0] is Kind.UNSUPPORTED
    image = create(cloud, instance, no_reboot=True)
    assert len(other.snapshots) == 1 and len(image.block_devices) == 3
    cloud.on("Stop", [instance])
    cloud.converge()
    create(cloud, instance, "stopped")


def test_a_start_that_was_given_up_may_have_its_guest(cloud, instance):
    """As above: its host was told to start it, and has not said yet that it did not."""
    here, _ = _given_a_disk_of_another_host(cloud, instance)
    cloud.on("Stop", [instance])
    cloud.converge()
    here.obeys = False
    cloud.on("Start", [instance])
    cloud.converge()
    cloud.pass_time(1_820_000)
    assert refused(cloud, instance)[0] is Kind.UNSUPPORTED
    here.obeys = True
    cloud.converge()
    create(cloud, instance, "again")


def _given_a_disk_of_another_host(cloud, instance):
    """Its own host, and the one that its new disk is at home on."""
    here = next(host for host in cloud.hosts.values() if instance in host.specs)
    other = next(host for host in cloud.hosts.values() if host is not here)
    volume = _volume_on(cloud, other)
    request = volumes_pb2.AttachVolumeRequest(
        volume_id=volume, instance_id=instance, device="/dev/sdg"
    )
    cloud.client("Volumes").Attach(request, caller=cloud.alice.caller())
    return here, other


def _volume_on(cloud, host) -> str:
    """A volume at home on this host: the other one is silent for that moment."""
    facts = fleet_pb2.HostFacts()
    facts.CopyFrom(host.facts)
    facts.volume_endpoint = "192.0.2.9:10809"
    host.heartbeat(facts=facts)
    while True:
        request = volumes_pb2.CreateVolumeRequest(availability_zone="us-east-1a", size_gib=1)
        volumes = cloud.client("Volumes")
        made = volumes.Create(request, caller=cloud.alice.caller()).volume_id
        cloud.converge()
        if made in host.volumes:
            return made


def _call(cloud):
    return system_call(cloud.now_ms)
