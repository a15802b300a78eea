"""Volumes of their own: made, attached, detached, deleted; what is refused and given back."""

import pytest

from controller.call import system_call
from controller.db.schema import Host, Quota, Volume
from protos.cloud.v1 import common_pb2, fleet_pb2, instances_pb2, volumes_pb2
from protos.errors import CloudError, Kind
from tests.unit.controller.cloud import Cloud

ZONE = "us-east-1a"


@pytest.fixture
def cloud(tmp_path):
    return Cloud(tmp_path)


def call(cloud, method, account=None, dry_run=False, **fields):
    kinds = {
        "Create": volumes_pb2.CreateVolumeRequest,
        "Describe": volumes_pb2.DescribeVolumesRequest,
        "DescribeStatus": volumes_pb2.DescribeVolumesRequest,
        "Delete": volumes_pb2.VolumeRequest,
        "Attach": volumes_pb2.AttachVolumeRequest,
        "Detach": volumes_pb2.DetachVolumeRequest,
    }
    caller = (account or cloud.alice).caller(dry_run=dry_run)
    return getattr(cloud.client("Volumes"), method)(kinds[method](**fields), caller=caller)


def create(cloud, size_gib=10, **more) -> str:
    fields = {"availability_zone": ZONE, "size_gib": size_gib} | more
    return call(cloud, "Create", **fields).volume_id


def created(cloud, size_gib=10, **more) -> str:
    volume_id = create(cloud, size_gib, **more)
    cloud.settle()
    return volume_id


def attach(cloud, volume_id, instance_id, device="/dev/sdf"):
    fields = {"volume_id": volume_id, "instance_id": instance_id, "device": device}
    return call(cloud, "Attach", **fields)


def seen(cloud, volume_id) -> volumes_pb2.Volume:
    (volume,) = call(cloud, "Describe", volume_ids=[volume_id]).volumes
    return volume


def states(cloud, volume_id) -> tuple[str, list[str]]:
    volume = seen(cloud, volume_id)
    return volume.state, [one.state for one in volume.attachments]


def found(cloud, **filters) -> set[str]:
    asked = [
        common_pb2.Filter(name=name.replace("_", "-").replace("--", "."), values=[value])
        for name, value in filters.items()
    ]
    return {one.volume_id for one in call(cloud, "Describe", filters=asked).volumes}


def refused(act, *args, **more) -> CloudError:
    with pytest.raises(CloudError) as caught:
        act(*args, **more)
    return caught.value


def why(act, *args, **more) -> tuple[Kind, str, str]:
    refusal = refused(act, *args, **more)
    return refusal.kind, refusal.noun, refusal.reason


def used(cloud) -> dict[str, int]:
    with cloud.db.read() as session:
        own = Quota.account_id == cloud.alice.account_id
        quotas = dict(session.tuples(Quota.select(Quota.name, Quota.used).where(own)))
        host = session.value(Host.select(Host.disk_gib_used))
    return {"volumes": quotas["volumes"], "gigabytes": quotas["gigabytes"], "claimed": host}


def row(cloud, volume_id):
    with cloud.db.read() as session:
        return session.one(Volume.select().where(Volume.volume_id == volume_id))


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
    cloud.settle()
    assert states(cloud, made.volume_id) == ("available", [])
    assert found(cloud, status="available") == {made.volume_id}
    assert used(cloud) == {"volumes": 1, "gigabytes": 20, "claimed": 20}
    assert not cloud.discrepancies()


def test_a_volume_that_cannot_be_made_is_in_error_and_can_be_deleted(cloud):
    volume_id = create(cloud)
    cloud.host.fails.add(volume_id)
    cloud.settle()
    assert states(cloud, volume_id) == ("error", [])
    assert found(cloud, status="error") == {volume_id}
    call(cloud, "Delete", volume_id=volume_id)
    cloud.settle()
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
    refusal = refused(
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


# --- attached -------------------------------------------------------------------------------------


def test_attached_once_the_guest_has_it(cloud):
    (instance,) = cloud.run_ids()
    volume_id = created(cloud)
    answer = attach(cloud, volume_id, instance)
    assert (answer.state, answer.device, answer.instance_id) == ("attaching", "/dev/sdf", instance)
    assert states(cloud, volume_id) == ("in-use", ["attaching"])
    assert found(cloud, attachment__status="attaching") == {volume_id}
    cloud.app.dispatch_pending()
    disks = cloud.host.specs[instance].disks
    assert [disk.device_name for disk in disks] == ["/dev/xvda", "/dev/sdf"]
    assert not disks[1].delete_on_termination and not disks[1].HasField("remote")
    assert states(cloud, volume_id) == ("in-use", ["attaching"])
    cloud.settle()
    assert states(cloud, volume_id) == ("in-use", ["attached"])
    (shown,) = cloud.describe(instance)
    assert [(one.device_name, one.status) for one in shown.block_devices] == [
        ("/dev/xvda", "attached"),
        ("/dev/sdf", "attached"),
    ]
    assert volume_id in found(cloud, attachment__status="attached")
    assert found(cloud, attachment__device="/dev/sdf") == {volume_id}


def test_attached_to_a_stopped_instance_at_once(cloud):
    (instance,) = cloud.run_ids()
    cloud.on("Stop", [instance])
    cloud.settle()
    volume_id = created(cloud)
    attach(cloud, volume_id, instance)
    assert states(cloud, volume_id) == ("in-use", ["attached"])
    call(cloud, "Detach", volume_id=volume_id)
    assert states(cloud, volume_id) == ("available", [])


def test_what_cannot_be_attached(cloud):
    (instance,) = cloud.run_ids()
    volume_id = create(cloud)
    assert why(attach, cloud, volume_id, instance) == (Kind.WRONG_STATE, "volume", "")
    cloud.settle()
    for device in ("", "/dev/null", "nonsense"):
        assert refused(attach, cloud, volume_id, instance, device).kind is Kind.INVALID
    for device in ("/dev/xvda", "xvda"):
        assert "already in use" in refused(attach, cloud, volume_id, instance, device).message
    missing = "i-0123456789abcdef0"
    assert why(attach, cloud, volume_id, missing) == (Kind.NOT_FOUND, "instance", "")
    attach(cloud, volume_id, instance)
    assert why(attach, cloud, volume_id, instance) == (Kind.WRONG_STATE, "volume", "in-use")
    other = created(cloud)
    cloud.host.obeys = False
    pending = cloud.run().instances[0].instance_id
    assert why(attach, cloud, other, pending) == (Kind.WRONG_STATE, "instance", "not-running")
    cloud.host.obeys = True
    cloud.settle()


def test_another_zone_and_another_account(cloud):
    (instance,) = cloud.run_ids()
    cloud.add_host(5, zone="us-east-1b")
    volume_id = created(cloud)
    with cloud.db.write(system_call(cloud.now_ms)) as tx:
        zone = {"availability_zone": "us-east-1b"}
        tx.advance(Volume, zone, Volume.volume_id == volume_id)
    assert why(attach, cloud, volume_id, instance) == (Kind.INVALID, "volume", "zone-mismatch")
    theirs = refused(call, cloud, "Delete", account=cloud.bob, volume_id=volume_id)
    assert (theirs.kind, theirs.noun) == (Kind.NOT_FOUND, "volume")


def test_no_more_than_an_instance_can_have(cloud):
    (instance,) = cloud.run_ids()
    names = [f"/dev/xvdb{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
    volumes = [create(cloud, 1) for _ in names]
    cloud.settle()
    for volume_id, name in zip(volumes[:25], names[:25], strict=True):
        attach(cloud, volume_id, instance, name)
    assert why(attach, cloud, volumes[25], instance, names[25]) == (Kind.QUOTA, "attachment", "")


def test_a_guest_that_cannot_have_it_does_not_keep_it(cloud):
    (instance,) = cloud.run_ids()
    volume_id = created(cloud)
    attach(cloud, volume_id, instance)
    failure = fleet_pb2.DeviceFailure(id=volume_id, message="no slot")
    cloud.host.device_failures[instance] = [failure]
    cloud.app.dispatch_pending()
    cloud.host.work()
    cloud.host.heartbeat()
    assert row(cloud, volume_id).detaching
    del cloud.host.device_failures[instance]
    cloud.last_seen.pop(instance)
    cloud.settle()
    assert states(cloud, volume_id) == ("available", [])
    assert [disk.device_name for disk in cloud.host.specs[instance].disks] == ["/dev/xvda"]


# --- detached -------------------------------------------------------------------------------------


def attached(cloud) -> tuple[str, str]:
    (instance,) = cloud.run_ids()
    volume_id = created(cloud)
    attach(cloud, volume_id, instance)
    cloud.settle()
    return instance, volume_id


def test_detached_once_the_guest_has_let_go(cloud):
    instance, volume_id = attached(cloud)
    answer = call(cloud, "Detach", volume_id=volume_id)
    assert (answer.state, answer.instance_id) == ("detaching", instance)
    assert states(cloud, volume_id) == ("in-use", ["detaching"])
    assert found(cloud, attachment__status="detaching") == {volume_id}
    cloud.settle()
    assert states(cloud, volume_id) == ("available", [])
    spec = cloud.host.specs[instance]
    assert len(spec.disks) == 1 and not spec.forced_device_ids
    attach(cloud, volume_id, instance, "/dev/sdg")
    cloud.settle()
    assert states(cloud, volume_id) == ("in-use", ["attached"])
    assert not cloud.discrepancies()


def test_a_guest_that_holds_it_is_busy_until_forced(cloud):
    instance, volume_id = attached(cloud)
    call(cloud, "Detach", volume_id=volume_id)
    failure = fleet_pb2.DeviceFailure(id=volume_id, message="in use", busy=True)
    cloud.host.device_failures[instance] = [failure]
    cloud.settle()
    assert states(cloud, volume_id) == ("in-use", ["busy"])
    assert found(cloud, attachment__status="busy") == {volume_id}
    call(cloud, "Detach", volume_id=volume_id, force=True)
    assert states(cloud, volume_id) == ("in-use", ["detaching"])
    cloud.app.dispatch_pending()
    assert list(cloud.host.specs[instance].forced_device_ids) == [volume_id]
    cloud.host.device_failures.clear()
    cloud.settle()
    assert states(cloud, volume_id) == ("available", [])


def test_a_guest_that_stops_lets_go(cloud):
    instance, volume_id = attached(cloud)
    failure = fleet_pb2.DeviceFailure(id=volume_id, message="in use", busy=True)
    cloud.host.device_failures[instance] = [failure]
    call(cloud, "Detach", volume_id=volume_id)
    cloud.settle()
    cloud.on("Stop", [instance], force=True)
    cloud.settle()
    assert states(cloud, volume_id) == ("available", [])


def test_what_cannot_be_detached(cloud):
    (instance,) = cloud.run_ids()
    volume_id = created(cloud)
    wrong = (Kind.WRONG_STATE, "volume", "")
    assert why(call, cloud, "Detach", volume_id=volume_id) == wrong
    (shown,) = cloud.describe(instance)
    root = shown.block_devices[0].volume_id
    assert why(call, cloud, "Detach", volume_id=root) == (Kind.WRONG_STATE, "volume", "root")
    attach(cloud, volume_id, instance)
    elsewhere = (Kind.NOT_FOUND, "volume", "attachment")
    other = {"volume_id": volume_id, "instance_id": "i-0123456789abcdef0"}
    assert why(call, cloud, "Detach", **other) == elsewhere
    device = {"volume_id": volume_id, "device": "/dev/sdz"}
    assert why(call, cloud, "Detach", **device) == elsewhere


def test_a_root_disk_goes_and_comes_back_while_its_instance_is_stopped(cloud):
    (instance,) = cloud.run_ids()
    cloud.on("Stop", [instance])
    cloud.settle()
    root = cloud.describe(instance)[0].block_devices[0].volume_id
    call(cloud, "Detach", volume_id=root)
    assert not cloud.describe(instance)[0].block_devices
    refusal = refused(cloud.on, "Start", [instance])
    assert "attached at root" in refusal.message
    attach(cloud, root, instance, "/dev/xvda")
    cloud.on("Start", [instance])
    cloud.settle()
    assert cloud.states(instance) == ["running"]
    assert cloud.host.specs[instance].disks[0].volume_id == root


# --- on other hosts -------------------------------------------------------------------------------


def test_a_volume_at_home_elsewhere_is_served_to_the_guests_host(tmp_path):
    cloud = Cloud(tmp_path, disk_gib=50)
    (instance,) = cloud.run_ids()
    home = cloud.add_host(1, disk_gib=500)
    volume_id = created(cloud)
    refusal = refused(attach, cloud, volume_id, instance)
    assert refusal.kind is Kind.UNSUPPORTED, "its home serves no volumes"
    home.facts.volume_endpoint = "192.0.2.9:10809"
    home.heartbeat(facts=home.facts)
    attach(cloud, volume_id, instance)
    cloud.settle()
    assert states(cloud, volume_id) == ("in-use", ["attached"])
    remote = cloud.host.specs[instance].disks[1].remote
    assert (remote.host_id, remote.host, remote.port, remote.export_name) == (
        home.host_id,
        "192.0.2.9",
        10809,
        volume_id,
    )
    assert list(home.volumes[volume_id].served_to_host_ids) == [cloud.host.host_id]
    call(cloud, "Detach", volume_id=volume_id)
    cloud.settle()
    assert not home.volumes[volume_id].served_to_host_ids
    assert states(cloud, volume_id) == ("available", [])


# --- deleted --------------------------------------------------------------------------------------


def test_deleted_once_its_home_has_nothing_of_it(cloud):
    volume_id = created(cloud)
    call(cloud, "Delete", volume_id=volume_id)
    assert states(cloud, volume_id) == ("deleting", [])
    assert found(cloud, status="deleting") == {volume_id}
    assert used(cloud)["claimed"] == 10
    call(cloud, "Delete", volume_id=volume_id)
    cloud.settle()
    assert why(seen, cloud, volume_id) == (Kind.NOT_FOUND, "volume", "")
    assert used(cloud) == {"volumes": 0, "gigabytes": 0, "claimed": 0}
    again = refused(call, cloud, "Delete", volume_id=volume_id)
    assert (again.kind, again.noun) == (Kind.NOT_FOUND, "volume")


def test_one_in_use_or_not_made_yet_is_not_deleted(cloud):
    volume_id = create(cloud)
    assert why(call, cloud, "Delete", volume_id=volume_id) == (Kind.WRONG_STATE, "volume", "")
    cloud.settle()
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
    cloud.settle()
    assert states(cloud, volume_id) == ("available", [])
    assert used(cloud) == {"volumes": 1, "gigabytes": 10, "claimed": 10}
    assert not cloud.discrepancies()


def test_one_attached_later_goes_with_its_instance_where_it_should(cloud):
    instance, volume_id = attached(cloud)
    delete_with_instance(cloud, instance, "/dev/sdf")
    assert seen(cloud, volume_id).attachments[0].delete_on_termination
    cloud.settle()
    disk = cloud.host.specs[instance].disks[1]
    assert not disk.delete_on_termination, "its own spec deletes it"
    cloud.on("Terminate", [instance])
    cloud.settle()
    assert why(seen, cloud, volume_id) == (Kind.NOT_FOUND, "volume", "")
    assert used(cloud) == {"volumes": 0, "gigabytes": 0, "claimed": 0}


def test_a_root_disk_that_was_kept_can_be_used_and_deleted(cloud):
    (instance,) = cloud.run_ids()
    root = cloud.describe(instance)[0].block_devices[0].volume_id
    delete_with_instance(cloud, instance, "/dev/xvda", False)
    cloud.on("Terminate", [instance])
    cloud.settle()
    assert states(cloud, root) == ("available", [])
    assert not cloud.host.volumes, "no spec of its own until something happens to it"
    call(cloud, "Delete", volume_id=root)
    cloud.settle()
    assert why(seen, cloud, root) == (Kind.NOT_FOUND, "volume", "")
    assert used(cloud) == {"volumes": 0, "gigabytes": 0, "claimed": 0}


def test_a_launchs_disks_count_in_the_quotas(cloud):
    (instance,) = cloud.run_ids()
    assert used(cloud) == {"volumes": 1, "gigabytes": 1, "claimed": 1}
    cloud.on("Terminate", [instance])
    cloud.settle()
    assert used(cloud) == {"volumes": 0, "gigabytes": 0, "claimed": 0}


# --- looked at ------------------------------------------------------------------------------------


def test_its_status_is_its_homes(cloud):
    volume_id = create(cloud)

    def status() -> tuple[str, str]:
        (one,) = call(cloud, "DescribeStatus", volume_ids=[volume_id]).statuses
        return one.status, one.io_enabled

    assert status() == ("insufficient-data", "insufficient-data")
    cloud.settle()
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
        assert refused(call, cloud, method, filters=asked).kind is Kind.INVALID


def test_a_database_older_than_what_the_host_knows_says_volumes_again(cloud):
    _, volume_id = attached(cloud)
    cloud.host.generation = 1000
    cloud.host.volumes.clear()
    cloud.last_seen.clear()
    cloud.host.heartbeat()
    assert cloud.host.volumes[volume_id].generation == 1001
    assert states(cloud, volume_id) == ("in-use", ["attaching"])
    cloud.settle()
    assert states(cloud, volume_id) == ("in-use", ["attached"])
