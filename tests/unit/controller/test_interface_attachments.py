"""Network interfaces attached and detached, and what becomes of them when an instance ends."""

import pytest

from controller.config import Config, RegionConfig, Zone
from protos.cloud.v1 import fleet_pb2, instances_pb2
from protos.cloud.v1 import network_interfaces_pb2 as nics_pb2
from protos.errors import Kind
from tests.unit.controller.cloud import Cloud
from tests.unit.controller.interface_calls import (
    ask,
    assign,
    attach,
    delete,
    detach,
    found,
    make,
    modify,
    shown,
    subnet_of,
    used,
)
from tests.unit.controller.refusals import refused


@pytest.fixture
def cloud(tmp_path):
    made = Cloud(tmp_path)
    yield made
    assert made.discrepancies() == []


def test_attaching_and_detaching_while_the_guest_runs(cloud):
    (instance_id,) = cloud.run_ids()
    nic = make(cloud)
    attachment_id = attach(cloud, nic, instance_id)
    seen = shown(cloud, nic.network_interface_id)
    assert (seen.status, seen.attachment.status) == ("in-use", "attaching")
    assert (seen.attachment.device_index, seen.attachment.delete_on_termination) == (1, False)
    assert found(cloud, "attachment.status", "attaching") == {nic.network_interface_id}
    cloud.converge()
    assert shown(cloud, nic.network_interface_id).attachment.status == "attached"
    spec = cloud.host.specs[instance_id]
    assert [one.device_index for one in spec.nics] == [0, 1]
    assert spec.nics[1].network_interface_id == nic.network_interface_id
    (instance,) = cloud.describe(instance_id)
    assert [one.attachment.device_index for one in instance.network_interfaces] == [0, 1]
    assert instance.private_ip_address == spec.nics[0].private_ip_address

    with refused(Kind.WRONG_STATE, "network-interface", "in-use"):
        delete(cloud, nic.network_interface_id)
    with refused(Kind.WRONG_STATE, "network-interface", "in-use"):
        attach(cloud, nic, instance_id, 2)

    detach(cloud, attachment_id)
    assert shown(cloud, nic.network_interface_id).attachment.status == "detaching"
    assert found(cloud, "attachment.status", "detaching") == {nic.network_interface_id}
    cloud.converge()
    seen = shown(cloud, nic.network_interface_id)
    assert seen.status == "available"
    assert not seen.HasField("attachment")
    assert [one.device_index for one in cloud.host.specs[instance_id].nics] == [0]
    with refused(Kind.NOT_FOUND, "network-interface-attachment"):
        detach(cloud, attachment_id)
    delete(cloud, nic.network_interface_id)


def test_a_stopped_instance_waits_for_nobody(cloud):
    (instance_id,) = cloud.run_ids()
    cloud.on("Stop", [instance_id])
    cloud.converge()
    nic = make(cloud)
    attachment_id = attach(cloud, nic, instance_id)
    assert shown(cloud, nic.network_interface_id).attachment.status == "attached"
    detach(cloud, attachment_id)
    assert shown(cloud, nic.network_interface_id).status == "available"
    attach(cloud, nic, instance_id)
    cloud.on("Start", [instance_id])
    cloud.converge()
    assert len(cloud.host.specs[instance_id].nics) == 2
    assert shown(cloud, nic.network_interface_id).attachment.status == "attached"


def test_a_start_that_was_given_up_may_have_its_guest(cloud):
    """Its host was told to start it, and has not said yet that it did not."""
    (instance_id,) = cloud.run_ids()
    nic = make(cloud)
    attachment_id = attach(cloud, nic, instance_id)
    cloud.on("Stop", [instance_id])
    cloud.converge()
    cloud.host.obeys = False
    cloud.on("Start", [instance_id])
    cloud.converge()
    cloud.tasks(later_ms=1_801_000)
    detach(cloud, attachment_id)
    assert shown(cloud, nic.network_interface_id).attachment.status == "detaching"
    cloud.host.obeys = True
    cloud.converge()
    assert shown(cloud, nic.network_interface_id).status == "available"


def test_what_cannot_be_attached(tmp_path):
    zones = Zone("us-east-1a", "use1-az1"), Zone("us-east-1b", "use1-az2")
    cloud = Cloud(tmp_path, config=Config(state_dir=tmp_path, region=RegionConfig(zones=zones)))
    (instance_id,) = cloud.run_ids()
    nic, elsewhere = make(cloud), make(cloud, subnet_id=subnet_of(cloud, "us-east-1b").subnet_id)
    with refused(Kind.INVALID, "parameter", "parameter-combination"):
        attach(cloud, elsewhere, instance_id)
    with refused(Kind.INVALID, "parameter"):
        attach(cloud, nic, instance_id, 0)
    with refused(Kind.NOT_FOUND, "instance"):
        attach(cloud, nic, "i-01234567")
    with refused(Kind.NOT_FOUND, "network-interface"):
        request = nics_pb2.AttachNetworkInterfaceRequest(
            network_interface_id=nic.network_interface_id, instance_id=instance_id, device_index=1
        )
        ask(cloud, "Attach", request, account=cloud.bob)
    attach(cloud, nic, instance_id)
    with refused(Kind.QUOTA, "network-interface-attachment"):  # t2.micro has two
        attach(cloud, make(cloud), instance_id, 2)
    primary = cloud.describe(instance_id)[0].network_interfaces[0]
    with refused(Kind.WRONG_STATE, "network-interface-attachment", "primary"):
        detach(cloud, primary.attachment.attachment_id)
    cloud.on("Terminate", [instance_id])
    with refused(Kind.WRONG_STATE, "instance"):
        attach(cloud, make(cloud), instance_id, 2)
    cloud.converge()


def test_more_addresses_than_the_type_has(cloud):
    (instance_id,) = cloud.run_ids()  # t2.micro: two an interface
    with refused(Kind.QUOTA, "private-address"):
        attach(cloud, make(cloud, secondary_private_ip_address_count=2), instance_id)
    nic = make(cloud, secondary_private_ip_address_count=1)
    attach(cloud, nic, instance_id)
    with refused(Kind.QUOTA, "private-address"):
        assign(cloud, nic, count=1)


def test_one_that_cannot_be_attached_is_taken_back(cloud):
    (instance_id,) = cloud.run_ids()
    nic = make(cloud)
    failure = fleet_pb2.DeviceFailure(id=nic.network_interface_id, message="no slot is left")
    cloud.host.device_failures[instance_id] = [failure]
    attach(cloud, nic, instance_id)
    cloud.app.dispatch_pending()
    cloud.host.work()
    cloud.host.heartbeat()
    assert shown(cloud, nic.network_interface_id).attachment.status == "detaching"
    cloud.host.device_failures.clear()
    cloud.converge()
    assert shown(cloud, nic.network_interface_id).status == "available"


def test_a_guest_that_does_not_let_go(cloud):
    (instance_id,) = cloud.run_ids()
    nic = make(cloud)
    attachment_id = attach(cloud, nic, instance_id)
    cloud.converge()
    failure = fleet_pb2.DeviceFailure(id=nic.network_interface_id, message="held", busy=True)
    cloud.host.device_failures[instance_id] = [failure]
    detach(cloud, attachment_id)
    cloud.app.dispatch_pending()
    cloud.host.work()
    cloud.host.heartbeat()
    assert shown(cloud, nic.network_interface_id).attachment.status == "detaching"
    detach(cloud, attachment_id, force=True)
    assert shown(cloud, nic.network_interface_id).status == "available"


def test_the_end_of_an_instance(cloud):
    (instance_id,) = cloud.run_ids()
    keeps = make(cloud)
    attach(cloud, keeps, instance_id)
    cloud.converge()
    primary = cloud.describe(instance_id)[0].network_interfaces[0].network_interface_id
    cloud.on("Terminate", [instance_id])
    cloud.converge()
    assert shown(cloud, keeps.network_interface_id).status == "available"
    with refused(Kind.NOT_FOUND):
        shown(cloud, primary)
    assert used(cloud) == 1
    (other,) = cloud.run_ids()
    attachment_id = attach(cloud, keeps, other)
    change = nics_pb2.AttachmentChange(attachment_id=attachment_id, delete_on_termination=True)
    modify(cloud, keeps, attachment=change)
    assert shown(cloud, keeps.network_interface_id).attachment.delete_on_termination
    cloud.on("Terminate", [other])
    cloud.converge()
    with refused(Kind.NOT_FOUND):
        shown(cloud, keeps.network_interface_id)
    assert used(cloud) == 0


def test_a_primary_one_that_outlives_its_instance(cloud):
    one = instances_pb2.LaunchInterface(device_index=0, delete_on_termination=False)
    (instance_id,) = cloud.run_ids(network_interfaces=[one])
    nic = cloud.describe(instance_id)[0].network_interfaces[0]
    assert not nic.attachment.delete_on_termination
    assert nic.association.public_ip
    cloud.on("Terminate", [instance_id])
    cloud.converge()
    left = shown(cloud, nic.network_interface_id)
    assert (left.status, left.private_ip_address) == ("available", nic.private_ip_address)
    assert not left.HasField("association")
    again = instances_pb2.LaunchInterface(
        device_index=0, network_interface_id=nic.network_interface_id
    )
    (second,) = cloud.run_ids(network_interfaces=[again])
    assert cloud.describe(second)[0].private_ip_address == nic.private_ip_address
