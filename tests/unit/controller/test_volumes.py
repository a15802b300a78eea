"""Volumes of their own: made, deleted, left by instances; what is refused and given back."""

import pytest

from protos.cloud.v1 import common_pb2, fleet_pb2, instances_pb2
from protos.errors import Kind
from tests.unit.controller.cloud import Cloud
from tests.unit.controller.refusals import error_of
from tests.unit.controller.volume_calls import (
    ZONE,
    attach,
    attached,
    call,
    create,
    created,
    found,
    row,
    seen,
    states,
    used,
    why,
)


@pytest.fixture
def cloud(tmp_path):
    return Cloud(tmp_path)


# --- made -----------------------------------------------------------------------------------------


def test_a_volume_is_creating_until_its_home_has_it(cloud):
    made = call(
        cloud,
        "Create",
        availability_zone=ZONE,
        size_gib=20,
        volume_type="gp3",
        tag_specifications=[
            common_pb2.TagSpecification(
                resource_type="volume", tags=[common_pb2.Tag(key="Name", value="data")]
            )
        ],
    )
    assert (made.state, made.size_gib, made.iops, made.throughput_mibps) == (
        "creating",
        20,
        3000,
        125,
    )
    assert made.tags[0].value == "data"
    assert found(cloud, status="creating") == {made.volume_id}
    cloud.app.dispatch_pending()
    (spec,) = cloud.host.volumes.values()
    assert (spec.volume_id, spec.size_bytes) == (made.volume_id, 20 * 1024**3)
    assert spec.desired == fleet_pb2.VOLUME_PRESENT and not spec.HasField("source")
    cloud.converge()
    assert states(cloud, made.volume_id) == ("available", [])
    assert found(cloud, status="available") == {made.volume_id}
    assert used(cloud) == {"volumes": 1, "gigabytes": 20, "claimed": 20}
    assert not cloud.discrepancies()


def test_a_volume_that_cannot_be_made_is_in_error_and_can_be_deleted(cloud):
    volume_id = create(cloud)
    cloud.host.fails.add(volume_id)
    cloud.converge()
    assert states(cloud, volume_id) == ("error", [])
    assert found(cloud, status="error") == {volume_id}
    call(cloud, "Delete", volume_id=volume_id)
    cloud.converge()
    assert why(seen, cloud, volume_id) == (Kind.NOT_FOUND, "volume", "")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"size_gib": None}, (Kind.INVALID, "parameter", "missing-parameter")),
        ({"size_gib": 0}, (Kind.INVALID, "parameter", "")),
        ({"size_gib": 16385}, (Kind.INVALID, "parameter", "")),
        ({"volume_type": "gp9"}, (Kind.INVALID, "parameter", "")),
        ({"volume_type": "st1"}, (Kind.INVALID, "parameter", "")),
        ({"volume_type": "standard", "size_gib": 1025}, (Kind.INVALID, "parameter", "")),
        ({"volume_type": "io1"}, (Kind.INVALID, "parameter", "missing-parameter")),
        ({"volume_type": "io1", "iops": 501}, (Kind.INVALID, "parameter", "")),
        ({"volume_type": "gp3", "iops": 2999}, (Kind.INVALID, "parameter", "")),
        ({"volume_type": "gp3", "iops": 5001}, (Kind.INVALID, "parameter", "")),
        ({"volume_type": "gp3", "throughput_mibps": 751}, (Kind.INVALID, "parameter", "")),
        ({"iops": 100}, (Kind.INVALID, "parameter", "parameter-combination")),
        ({"throughput_mibps": 125}, (Kind.INVALID, "parameter", "parameter-combination")),
        ({"availability_zone": "mars-1a"}, (Kind.NOT_FOUND, "availability-zone", "zone")),
        ({"availability_zone": ""}, (Kind.INVALID, "parameter", "missing-parameter")),
        ({"snapshot_id": "snap-0123456789abcdef0"}, (Kind.NOT_FOUND, "snapshot", "")),
        ({"size_gib": 501}, (Kind.NO_CAPACITY, "volume", "")),
    ],
)
def test_what_cannot_be_a_volume_is_refused_and_leaves_nothing(cloud, fields, expected):
    assert why(create, cloud, **fields) == expected
    assert used(cloud) == {"volumes": 0, "gigabytes": 0, "claimed": 0}


def test_one_token_is_one_volume(cloud):
    first = create(cloud, client_token="once")
    assert create(cloud, client_token="once") == first
    assert why(create, cloud, 11, client_token="once") == (Kind.EXISTS, "client-token", "")
    assert used(cloud)["volumes"] == 1


def test_a_rehearsal_makes_nothing(cloud):
    refusal = error_of(
        call, cloud, "Create", dry_run=True, availability_zone=ZONE, size_gib=1, client_token="t"
    )
    assert refusal.kind is Kind.DRY_RUN
    assert used(cloud)["volumes"] == 0
    assert create(cloud, client_token="t")


def test_the_host_with_the_most_free_disk_is_its_home(tmp_path):
    cloud = Cloud(tmp_path, hosts=1, disk_gib=100)
    large = cloud.add_host(1, disk_gib=200)
    elsewhere = cloud.add_host(2, zone="us-east-1b", disk_gib=900)
    volume_id = created(cloud, 90)
    assert row(cloud, volume_id).host_id == large.host_id
    created(cloud, 110)
    assert len(large.volumes) == 2 and not elsewhere.volumes
    assert why(create, cloud, 101) == (Kind.NO_CAPACITY, "volume", "")


# --- deleted --------------------------------------------------------------------------------------


def test_deleted_once_its_home_has_nothing_of_it(cloud):
    volume_id = created(cloud)
    call(cloud, "Delete", volume_id=volume_id)
    assert states(cloud, volume_id) == ("deleting", [])
    assert found(cloud, status="deleting") == {volume_id}
    assert used(cloud)["claimed"] == 10
    call(cloud, "Delete", volume_id=volume_id)
    cloud.converge()
    assert why(seen, cloud, volume_id) == (Kind.NOT_FOUND, "volume", "")
    assert used(cloud) == {"volumes": 0, "gigabytes": 0, "claimed": 0}
    again = error_of(call, cloud, "Delete", volume_id=volume_id)
    assert (again.kind, again.noun) == (Kind.NOT_FOUND, "volume")


def test_one_in_use_or_not_made_yet_is_not_deleted(cloud):
    volume_id = create(cloud)
    assert why(call, cloud, "Delete", volume_id=volume_id) == (Kind.WRONG_STATE, "volume", "")
    cloud.converge()
    (instance,) = cloud.run_ids()
    attach(cloud, volume_id, instance)
    in_use = (Kind.WRONG_STATE, "volume", "in-use")
    assert why(call, cloud, "Delete", volume_id=volume_id) == in_use


# --- with instances -------------------------------------------------------------------------------


def delete_with_instance(cloud, instance_id, device, value=True):
    device = instances_pb2.BlockDeviceMapping(device_name=device, delete_on_termination=value)
    request = instances_pb2.ModifyInstanceAttributeRequest(
        instance_id=instance_id,
        delete_on_termination=instances_pb2.BlockDeviceDeletions(devices=[device]),
    )
    cloud.instances.ModifyAttribute(request, caller=cloud.alice.caller())


def test_one_attached_later_outlives_its_instance(cloud):
    instance, volume_id = attached(cloud)
    cloud.on("Terminate", [instance])
    cloud.converge()
    assert states(cloud, volume_id) == ("available", [])
    assert used(cloud) == {"volumes": 1, "gigabytes": 10, "claimed": 10}
    assert not cloud.discrepancies()


def test_one_attached_later_goes_with_its_instance_where_it_should(cloud):
    instance, volume_id = attached(cloud)
    delete_with_instance(cloud, instance, "/dev/sdf")
    assert seen(cloud, volume_id).attachments[0].delete_on_termination
    cloud.converge()
    disk = cloud.host.specs[instance].disks[1]
    assert not disk.delete_on_termination, "its own spec deletes it"
    cloud.on("Terminate", [instance])
    cloud.converge()
    assert why(seen, cloud, volume_id) == (Kind.NOT_FOUND, "volume", "")
    assert used(cloud) == {"volumes": 0, "gigabytes": 0, "claimed": 0}


def test_a_root_disk_that_was_kept_can_be_used_and_deleted(cloud):
    (instance,) = cloud.run_ids()
    root = cloud.describe(instance)[0].block_devices[0].volume_id
    delete_with_instance(cloud, instance, "/dev/xvda", False)
    cloud.on("Terminate", [instance])
    cloud.converge()
    assert states(cloud, root) == ("available", [])
    assert not cloud.host.volumes, "no spec of its own until something happens to it"
    call(cloud, "Delete", volume_id=root)
    cloud.converge()
    assert why(seen, cloud, root) == (Kind.NOT_FOUND, "volume", "")
    assert used(cloud) == {"volumes": 0, "gigabytes": 0, "claimed": 0}


def test_a_launchs_disks_count_in_the_quotas(cloud):
    (instance,) = cloud.run_ids()
    assert used(cloud) == {"volumes": 1, "gigabytes": 1, "claimed": 1}
    cloud.on("Terminate", [instance])
    cloud.converge()
    assert used(cloud) == {"volumes": 0, "gigabytes": 0, "claimed": 0}


# --- looked at ------------------------------------------------------------------------------------


def test_its_status_is_its_homes(cloud):
    volume_id = create(cloud)

    def status() -> tuple[str, str]:
        (one,) = call(cloud, "DescribeStatus", volume_ids=[volume_id]).statuses
        return one.status, one.io_enabled

    assert status() == ("insufficient-data", "insufficient-data")
    cloud.converge()
    assert status() == ("ok", "passed")
    cloud.tasks(20_000)
    assert status() == ("insufficient-data", "insufficient-data")
    cloud.tasks(120_000)
    assert status() == ("impaired", "failed")
    asked = [common_pb2.Filter(name="volume-status.status", values=["impaired"])]
    assert len(call(cloud, "DescribeStatus", filters=asked).statuses) == 1


def test_a_page_costs_three_statements(tmp_path):
    statements = []
    cloud = Cloud(tmp_path, on_statement=statements.append)
    cloud.run_ids()
    for _ in range(6):
        create(cloud, 1)
    for count in (5, 1000):
        statements.clear()
        page = common_pb2.Page(max_results=count)
        answer = call(cloud, "Describe", page=page)
        assert len(answer.volumes) == min(count, 7)
        assert len(statements) <= 3
    assert not answer.next_token


def test_an_unknown_filter_is_refused(cloud):
    for method in ("Describe", "DescribeStatus"):
        asked = [common_pb2.Filter(name="nonsense", values=["x"])]
        assert error_of(call, cloud, method, filters=asked).kind is Kind.INVALID


def test_a_database_older_than_what_the_host_knows_says_volumes_again(cloud):
    _, volume_id = attached(cloud)
    instance, cloud.host.position = seen(cloud, volume_id).attachments[0].instance_id, 1000
    cloud.host.revisions.update({instance: 30, volume_id: 20})
    cloud.host.see(instance, fleet_pb2.OBSERVED_RUNNING)
    cloud.host.see_volume(volume_id, fleet_pb2.VOLUME_HERE)
    cloud.host.heartbeat()
    assert cloud.host.revisions[volume_id] == 21
    assert states(cloud, volume_id) == ("in-use", ["attaching"])
    cloud.converge()
    assert states(cloud, volume_id) == ("in-use", ["attached"])
