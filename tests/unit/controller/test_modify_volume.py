"""ModifyVolume: volumes grow and change their type and limits; one modification at a time."""

import pytest

from protos.cloud.v1 import common_pb2, fleet_pb2, volumes_pb2
from protos.errors import Kind
from tests.unit.controller.cloud import Cloud
from tests.unit.controller.refusals import error_of
from tests.unit.controller.volume_calls import (
    attach,
    attached,
    call,
    create,
    created,
    row,
    seen,
    states,
    used,
    why,
)


@pytest.fixture
def cloud(tmp_path):
    return Cloud(tmp_path)


def modify(cloud, volume_id, **fields) -> volumes_pb2.VolumeModification:
    request = volumes_pb2.ModifyVolumeRequest(volume_id=volume_id, **fields)
    return cloud.client("Volumes").Modify(request, caller=cloud.alice.caller())


def listed(cloud, *volume_ids, **filters):
    asked = [
        common_pb2.Filter(name=name.replace("_", "-"), values=[value])
        for name, value in filters.items()
    ]
    request = volumes_pb2.DescribeVolumesRequest(volume_ids=volume_ids, filters=asked)
    answer = cloud.client("Volumes").DescribeModifications(request, caller=cloud.alice.caller())
    return list(answer.modifications)


def test_a_volume_grows_where_it_is(cloud):
    volume_id = created(cloud)
    answer = modify(cloud, volume_id, size_gib=30)
    assert (answer.modification_state, answer.progress) == ("modifying", 0)
    assert (answer.original_size_gib, answer.target_size_gib) == (10, 30)
    assert (answer.original_iops, answer.target_iops) == (100, 100)
    assert used(cloud) == {"volumes": 1, "gigabytes": 30, "claimed": 30}
    assert listed(cloud, modification_state="modifying")
    cloud.converge()
    assert cloud.host.volumes[volume_id].size_bytes == 30 * 1024**3
    (done,) = listed(cloud, volume_id)
    assert (done.modification_state, done.progress) == ("completed", 100)
    assert done.end_time_ms >= done.start_time_ms
    assert seen(cloud, volume_id).size_gib == 30
    assert not cloud.discrepancies()


def test_a_guest_gets_the_new_size_and_limits_while_it_runs(cloud):
    instance, volume_id = attached(cloud)
    modify(cloud, volume_id, size_gib=20, volume_type="gp3", iops=4000, throughput_mibps=200)
    cloud.app.dispatch_pending()
    disk = cloud.host.specs[instance].disks[1]
    assert (disk.size_bytes, disk.iops, disk.throughput_mibps) == (20 * 1024**3, 4000, 200)
    assert listed(cloud, volume_id)[0].modification_state == "modifying"
    assert states(cloud, volume_id)[0] == "in-use"
    cloud.converge()
    assert listed(cloud, volume_id)[0].modification_state == "completed"
    shown = seen(cloud, volume_id)
    assert (shown.volume_type, shown.iops, shown.throughput_mibps) == ("gp3", 4000, 200)


def test_a_root_disk_that_grew_goes_with_its_instance(cloud):
    (instance,) = cloud.run_ids()
    root = cloud.describe(instance)[0].block_devices[0].volume_id
    modify(cloud, root, size_gib=5)
    cloud.converge()
    cloud.on("Terminate", [instance])
    cloud.converge()
    assert why(seen, cloud, root) == (Kind.NOT_FOUND, "volume", "")
    assert used(cloud) == {"volumes": 0, "gigabytes": 0, "claimed": 0}


def test_limits_of_a_volume_that_nobody_has_change_at_once(cloud):
    volume_id = created(cloud)
    answer = modify(cloud, volume_id, volume_type="gp3")
    assert (answer.modification_state, answer.target_iops) == ("completed", 3000)
    (instance,) = cloud.run_ids()
    cloud.on("Stop", [instance])
    cloud.converge()
    attach(cloud, volume_id, instance)
    assert modify(cloud, volume_id, iops=3500).modification_state == "completed"


def test_what_cannot_grow_is_as_it_was(cloud):
    volume_id = created(cloud)
    cloud.host.fails.add(volume_id)
    modify(cloud, volume_id, size_gib=40, volume_type="gp3")
    cloud.converge()
    (failed,) = listed(cloud, volume_id)
    assert failed.modification_state == "failed"
    shown = seen(cloud, volume_id)
    assert (shown.size_gib, shown.volume_type, shown.state) == (10, "gp2", "available")
    assert used(cloud) == {"volumes": 1, "gigabytes": 10, "claimed": 10}
    assert not cloud.discrepancies()


def test_a_guest_that_cannot_have_the_limits_keeps_the_old_ones(cloud):
    instance, volume_id = attached(cloud)
    failure = fleet_pb2.DeviceFailure(id=volume_id, message="no throttling")
    cloud.host.device_failures[instance] = [failure]
    modify(cloud, volume_id, volume_type="gp3")
    cloud.app.dispatch_pending()
    cloud.host.work()
    cloud.host.heartbeat()
    (failed,) = listed(cloud, volume_id)
    assert (failed.modification_state, failed.status_message) == ("failed", "no throttling")
    assert seen(cloud, volume_id).volume_type == "gp2"
    cloud.host.device_failures.clear()
    cloud.converge()
    assert states(cloud, volume_id) == ("in-use", ["attached"])
    assert not row(cloud, volume_id).attach_message


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, (Kind.INVALID, "parameter", "missing-parameter")),
        ({"size_gib": 9}, (Kind.INVALID, "parameter", "")),
        ({"size_gib": 20000}, (Kind.INVALID, "parameter", "")),
        ({"size_gib": 600}, (Kind.NO_CAPACITY, "volume", "")),
        ({"volume_type": "io1"}, (Kind.INVALID, "parameter", "missing-parameter")),
        ({"volume_type": "st1"}, (Kind.INVALID, "parameter", "")),
        ({"volume_type": "gp9"}, (Kind.INVALID, "parameter", "")),
        ({"volume_type": "standard"}, (Kind.INVALID, "parameter", "")),
        ({"iops": 3000}, (Kind.INVALID, "parameter", "parameter-combination")),
    ],
)
def test_what_cannot_be_meant_is_refused_and_changes_nothing(cloud, fields, expected):
    volume_id = created(cloud)
    assert why(modify, cloud, volume_id, **fields) == expected
    assert used(cloud) == {"volumes": 1, "gigabytes": 10, "claimed": 10}
    assert listed(cloud) == []


def test_one_modification_at_a_time_and_not_before_it_is_made(cloud):
    volume_id = create(cloud)
    assert error_of(modify, cloud, volume_id, size_gib=11).kind is Kind.WRONG_STATE
    cloud.converge()
    modify(cloud, volume_id, size_gib=11)
    again = why(modify, cloud, volume_id, size_gib=12)
    assert again == (Kind.WRONG_STATE, "volume", "modifying")
    cloud.converge()
    modify(cloud, volume_id, size_gib=12)
    cloud.converge()
    (newest,) = listed(cloud, volume_id)
    assert (newest.original_size_gib, newest.target_size_gib) == (11, 12)
    call(cloud, "Delete", volume_id=volume_id)
    cloud.converge()
    assert why(listed, cloud, volume_id) == (Kind.NOT_FOUND, "volume", "")
