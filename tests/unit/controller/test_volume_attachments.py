"""Volumes attached and detached: at home beside the guest and elsewhere."""

import pytest

from controller.kernel.call import system_call
from controller.tables.storage import Volume
from protos.cloud.v1 import fleet_pb2
from protos.errors import Kind
from tests.unit.controller.cloud import Cloud
from tests.unit.controller.refusals import error_of
from tests.unit.controller.volume_calls import (
    attach,
    attached,
    call,
    create,
    created,
    found,
    row,
    states,
    why,
)


@pytest.fixture
def cloud(tmp_path):
    return Cloud(tmp_path)


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
    cloud.converge()
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
    cloud.converge()
    volume_id = created(cloud)
    attach(cloud, volume_id, instance)
    assert states(cloud, volume_id) == ("in-use", ["attached"])
    call(cloud, "Detach", volume_id=volume_id)
    assert states(cloud, volume_id) == ("available", [])


def test_a_disk_keeps_its_position_and_the_next_takes_the_first_that_is_free(cloud):
    """As a guest's kernel gives names: a disk has after a stop what it had when it came."""
    (instance,) = cloud.run_ids()

    def positions() -> dict[str, int]:
        cloud.converge()
        return {disk.device_name: disk.position for disk in cloud.host.specs[instance].disks}

    one, two, three = (created(cloud) for _ in range(3))
    attach(cloud, one, instance, "/dev/sdh")
    attach(cloud, two, instance, "/dev/sdg")
    assert positions() == {"/dev/xvda": 0, "/dev/sdh": 1, "/dev/sdg": 2}
    call(cloud, "Detach", volume_id=one)
    assert positions() == {"/dev/xvda": 0, "/dev/sdg": 2}
    attach(cloud, three, instance, "/dev/sdf")
    kept = {"/dev/xvda": 0, "/dev/sdf": 1, "/dev/sdg": 2}
    assert positions() == kept
    cloud.on("Stop", [instance])
    cloud.converge()
    cloud.on("Start", [instance])
    assert positions() == kept


def test_what_cannot_be_attached(cloud):
    (instance,) = cloud.run_ids()
    volume_id = create(cloud)
    assert why(attach, cloud, volume_id, instance) == (Kind.WRONG_STATE, "volume", "")
    cloud.converge()
    for device in ("", "/dev/null", "nonsense"):
        assert error_of(attach, cloud, volume_id, instance, device).kind is Kind.INVALID
    for device in ("/dev/xvda", "xvda"):
        assert "already in use" in error_of(attach, cloud, volume_id, instance, device).message
    missing = "i-0123456789abcdef0"
    assert why(attach, cloud, volume_id, missing) == (Kind.NOT_FOUND, "instance", "")
    attach(cloud, volume_id, instance)
    assert why(attach, cloud, volume_id, instance) == (Kind.WRONG_STATE, "volume", "in-use")
    other = created(cloud)
    cloud.host.obeys = False
    pending = cloud.run().instances[0].instance_id
    assert why(attach, cloud, other, pending) == (Kind.WRONG_STATE, "instance", "not-running")
    cloud.host.obeys = True
    cloud.converge()


def test_another_zone_and_another_account(cloud):
    (instance,) = cloud.run_ids()
    cloud.add_host(5, zone="us-east-1b")
    volume_id = created(cloud)
    with cloud.db.write(system_call(cloud.now_ms)) as tx:
        zone = {"availability_zone": "us-east-1b"}
        tx.advance(Volume, zone, Volume.volume_id == volume_id)
    assert why(attach, cloud, volume_id, instance) == (Kind.INVALID, "volume", "zone-mismatch")
    theirs = error_of(call, cloud, "Delete", account=cloud.bob, volume_id=volume_id)
    assert (theirs.kind, theirs.noun) == (Kind.NOT_FOUND, "volume")


def test_no_more_than_an_instance_can_have(cloud):
    (instance,) = cloud.run_ids()
    names = [f"/dev/xvdb{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
    volumes = [create(cloud, 1) for _ in names]
    cloud.converge()
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
    cloud.converge()
    assert states(cloud, volume_id) == ("available", [])
    assert [disk.device_name for disk in cloud.host.specs[instance].disks] == ["/dev/xvda"]


# --- detached -------------------------------------------------------------------------------------


def test_detached_once_the_guest_has_let_go(cloud):
    instance, volume_id = attached(cloud)
    answer = call(cloud, "Detach", volume_id=volume_id)
    assert (answer.state, answer.instance_id) == ("detaching", instance)
    assert states(cloud, volume_id) == ("in-use", ["detaching"])
    assert found(cloud, attachment__status="detaching") == {volume_id}
    cloud.converge()
    assert states(cloud, volume_id) == ("available", [])
    spec = cloud.host.specs[instance]
    assert len(spec.disks) == 1 and not spec.forced_device_ids
    attach(cloud, volume_id, instance, "/dev/sdg")
    cloud.converge()
    assert states(cloud, volume_id) == ("in-use", ["attached"])
    assert not cloud.discrepancies()


def test_a_guest_that_holds_it_is_busy_until_forced(cloud):
    instance, volume_id = attached(cloud)
    call(cloud, "Detach", volume_id=volume_id)
    failure = fleet_pb2.DeviceFailure(id=volume_id, message="in use", busy=True)
    cloud.host.device_failures[instance] = [failure]
    cloud.converge()
    assert states(cloud, volume_id) == ("in-use", ["busy"])
    assert found(cloud, attachment__status="busy") == {volume_id}
    call(cloud, "Detach", volume_id=volume_id, force=True)
    assert states(cloud, volume_id) == ("in-use", ["detaching"])
    cloud.app.dispatch_pending()
    assert list(cloud.host.specs[instance].forced_device_ids) == [volume_id]
    cloud.host.device_failures.clear()
    cloud.converge()
    assert states(cloud, volume_id) == ("available", [])


def test_a_guest_that_stops_lets_go(cloud):
    instance, volume_id = attached(cloud)
    failure = fleet_pb2.DeviceFailure(id=volume_id, message="in use", busy=True)
    cloud.host.device_failures[instance] = [failure]
    call(cloud, "Detach", volume_id=volume_id)
    cloud.converge()
    cloud.on("Stop", [instance], force=True)
    cloud.converge()
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
    cloud.on("Terminate", [instance])
    shutting_down = (Kind.WRONG_STATE, "instance", "")
    assert why(call, cloud, "Detach", volume_id=volume_id) == shutting_down
    cloud.converge()
    assert states(cloud, volume_id) == ("available", [])


def test_a_root_disk_goes_and_comes_back_while_its_instance_is_stopped(cloud):
    (instance,) = cloud.run_ids()
    cloud.on("Stop", [instance])
    cloud.converge()
    root = cloud.describe(instance)[0].block_devices[0].volume_id
    call(cloud, "Detach", volume_id=root)
    assert not cloud.describe(instance)[0].block_devices
    refusal = error_of(cloud.on, "Start", [instance])
    assert "attached at root" in refusal.message
    attach(cloud, root, instance, "/dev/xvda")
    cloud.on("Start", [instance])
    cloud.converge()
    assert cloud.states(instance) == ["running"]
    assert cloud.host.specs[instance].disks[0].volume_id == root


# --- on other hosts -------------------------------------------------------------------------------


def test_a_volume_at_home_elsewhere_is_served_to_the_guests_host(tmp_path):
    cloud = Cloud(tmp_path, disk_gib=50)
    (instance,) = cloud.run_ids()
    home = cloud.add_host(1, disk_gib=500)
    volume_id = created(cloud)
    refusal = error_of(attach, cloud, volume_id, instance)
    assert refusal.kind is Kind.UNSUPPORTED, "its home serves no volumes"
    home.facts.volume_endpoint = "192.0.2.9:10809"
    home.heartbeat(facts=home.facts)
    attach(cloud, volume_id, instance)
    cloud.converge()
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
    cloud.converge()
    assert not home.volumes[volume_id].served_to_host_ids
    assert states(cloud, volume_id) == ("available", [])
