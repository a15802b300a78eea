"""Network interfaces with a life of their own: made, attached, detached, changed, deleted."""

from contextlib import contextmanager

import pytest

from controller.config import Config, RegionConfig, Zone
from protos.cloud.v1 import common_pb2, fleet_pb2, instances_pb2, quotas_pb2
from protos.cloud.v1 import network_interfaces_pb2 as nics_pb2
from protos.cloud.v1 import networks_pb2 as pb
from protos.errors import CloudError, Kind
from tests.unit.controller.cloud import Account, Cloud


@pytest.fixture
def cloud(tmp_path):
    made = Cloud(tmp_path)
    yield made
    assert made.discrepancies() == []


def ask(cloud, method, request, service="NetworkInterfaces", account=None):
    caller = (account or cloud.alice).caller()
    return getattr(cloud.client(service), method)(request, caller=caller)


def subnet_of(cloud, zone="us-east-1a"):
    answer = ask(cloud, "DescribeSubnets", pb.DescribeSubnetsRequest(), "Networks")
    return next(one for one in answer.subnets if one.availability_zone == zone)


def make(cloud, **more):
    more.setdefault("subnet_id", subnet_of(cloud).subnet_id)
    return ask(cloud, "Create", nics_pb2.CreateNetworkInterfaceRequest(**more))


def shown(cloud, nic_id, account=None):
    request = pb.DescribeNetworkInterfacesRequest(network_interface_ids=[nic_id])
    answer = ask(cloud, "DescribeNetworkInterfaces", request, "Networks", account)
    return answer.network_interfaces[0]


def found(cloud, name, *values):
    request = pb.DescribeNetworkInterfacesRequest(
        filters=[common_pb2.Filter(name=name, values=values)]
    )
    answer = ask(cloud, "DescribeNetworkInterfaces", request, "Networks")
    return {one.network_interface_id for one in answer.network_interfaces}


def attach(cloud, nic, instance_id, index=1):
    request = nics_pb2.AttachNetworkInterfaceRequest(
        network_interface_id=nic.network_interface_id, instance_id=instance_id, device_index=index
    )
    return ask(cloud, "Attach", request).attachment_id


def detach(cloud, attachment_id, force=False):
    request = nics_pb2.DetachNetworkInterfaceRequest(attachment_id=attachment_id, force=force)
    ask(cloud, "Detach", request)


def delete(cloud, nic):
    ask(cloud, "Delete", nics_pb2.NetworkInterfaceRequest(network_interface_id=nic))


def used(cloud):
    request = quotas_pb2.ListQuotasRequest(account_id=cloud.alice.account_id)
    operator = Account(cloud.alice.account_id, operator=True)
    answer = ask(cloud, "List", request, "Quotas", operator)
    return {one.name: one.used for one in answer.quotas}["network_interfaces"]


@contextmanager
def refused(kind, noun=None, reason=None):
    with pytest.raises(CloudError) as caught:
        yield
    error = caught.value
    assert error.kind is kind, error
    assert noun in (None, error.noun), error
    assert reason in (None, error.reason), error


def test_made_read_and_deleted(cloud):
    made = make(cloud, description="web", secondary_private_ip_address_count=2)
    assert (made.status, made.description) == ("available", "web")
    assert [one.primary for one in made.private_ip_addresses] == [True, False, False]
    assert len({one.private_ip_address for one in made.private_ip_addresses}) == 3
    assert [group.group_name for group in made.groups] == ["default"]
    assert not made.HasField("attachment")
    assert shown(cloud, made.network_interface_id) == made
    assert used(cloud) == 1
    free = subnet_of(cloud).available_ip_address_count
    delete(cloud, made.network_interface_id)
    assert subnet_of(cloud).available_ip_address_count == free + 3
    assert used(cloud) == 0
    with refused(Kind.NOT_FOUND, "network-interface"):
        shown(cloud, made.network_interface_id)


def test_one_token_one_interface(cloud):
    one = make(cloud, client_token="t", description="d")
    assert make(cloud, client_token="t", description="d") == one
    with refused(Kind.EXISTS, "client-token"):
        make(cloud, client_token="t", description="other")
    assert used(cloud) == 1


@pytest.mark.parametrize(
    ("asked", "kind", "noun"),
    [
        ({"subnet_id": ""}, Kind.INVALID, None),
        ({"subnet_id": "subnet-01234567"}, Kind.NOT_FOUND, "subnet"),
        ({"security_group_ids": ["sg-01234567"]}, Kind.NOT_FOUND, "security-group"),
        ({"private_ip_address": "10.0.0.1"}, Kind.INVALID, "parameter"),
        ({"description": "x" * 256}, Kind.INVALID, "parameter"),
        ({"secondary_private_ip_address_count": 50}, Kind.QUOTA, "private-address"),
        ({"secondary_private_ip_address_count": -1}, Kind.INVALID, "parameter"),
        (
            {
                "secondary_private_ip_address_count": 1,
                "secondary_private_ip_addresses": ["172.31.0.9"],
            },
            Kind.INVALID,
            None,
        ),
    ],
)
def test_what_cannot_be_made(cloud, asked, kind, noun):
    with refused(kind, noun):
        make(cloud, **asked)
    assert used(cloud) == 0


def test_no_address_twice(cloud):
    make(cloud, private_ip_address="172.31.0.9", secondary_private_ip_addresses=["172.31.0.10"])
    for asked in (
        {"private_ip_address": "172.31.0.10"},
        {"secondary_private_ip_addresses": ["172.31.0.9"]},
        {"secondary_private_ip_addresses": ["172.31.0.10"]},
    ):
        with refused(Kind.EXISTS, "network-interface"):
            make(cloud, **asked)
    with refused(Kind.INVALID, "parameter"):
        make(cloud, private_ip_address="172.31.0.7", secondary_private_ip_addresses=["172.31.0.7"])


def test_attaching_and_detaching_while_the_guest_runs(cloud):
    (instance_id,) = cloud.run_ids()
    nic = make(cloud)
    attachment_id = attach(cloud, nic, instance_id)
    seen = shown(cloud, nic.network_interface_id)
    assert (seen.status, seen.attachment.status) == ("in-use", "attaching")
    assert (seen.attachment.device_index, seen.attachment.delete_on_termination) == (1, False)
    assert found(cloud, "attachment.status", "attaching") == {nic.network_interface_id}
    cloud.settle()
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
    cloud.settle()
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
    cloud.settle()
    nic = make(cloud)
    attachment_id = attach(cloud, nic, instance_id)
    assert shown(cloud, nic.network_interface_id).attachment.status == "attached"
    detach(cloud, attachment_id)
    assert shown(cloud, nic.network_interface_id).status == "available"
    attach(cloud, nic, instance_id)
    cloud.on("Start", [instance_id])
    cloud.settle()
    assert len(cloud.host.specs[instance_id].nics) == 2
    assert shown(cloud, nic.network_interface_id).attachment.status == "attached"


def test_a_start_that_was_given_up_may_have_its_guest(cloud):
    """Its host was told to start it, and has not said yet that it did not."""
    (instance_id,) = cloud.run_ids()
    nic = make(cloud)
    attachment_id = attach(cloud, nic, instance_id)
    cloud.on("Stop", [instance_id])
    cloud.settle()
    cloud.host.obeys = False
    cloud.on("Start", [instance_id])
    cloud.settle()
    cloud.tasks(later_ms=1_801_000)
    detach(cloud, attachment_id)
    assert shown(cloud, nic.network_interface_id).attachment.status == "detaching"
    cloud.host.obeys = True
    cloud.settle()
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
    cloud.settle()


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
    cloud.settle()
    assert shown(cloud, nic.network_interface_id).status == "available"


def test_a_guest_that_does_not_let_go(cloud):
    (instance_id,) = cloud.run_ids()
    nic = make(cloud)
    attachment_id = attach(cloud, nic, instance_id)
    cloud.settle()
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
    cloud.settle()
    primary = cloud.describe(instance_id)[0].network_interfaces[0].network_interface_id
    cloud.on("Terminate", [instance_id])
    cloud.settle()
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
    cloud.settle()
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
    cloud.settle()
    left = shown(cloud, nic.network_interface_id)
    assert (left.status, left.private_ip_address) == ("available", nic.private_ip_address)
    assert not left.HasField("association")
    again = instances_pb2.LaunchInterface(
        device_index=0, network_interface_id=nic.network_interface_id
    )
    (second,) = cloud.run_ids(network_interfaces=[again])
    assert cloud.describe(second)[0].private_ip_address == nic.private_ip_address


def modify(cloud, nic, **change):
    request = nics_pb2.ModifyNetworkInterfaceAttributeRequest(
        network_interface_id=nic.network_interface_id, **change
    )
    ask(cloud, "ModifyAttribute", request)


def attributes(cloud, nic):
    request = nics_pb2.NetworkInterfaceRequest(network_interface_id=nic.network_interface_id)
    return ask(cloud, "DescribeAttributes", request)


def test_attributes(cloud):
    nic = make(cloud)
    group = ask(
        cloud,
        "Create",
        pb.CreateSecurityGroupRequest(group_name="web", description="w"),
        "SecurityGroups",
    )
    modify(cloud, nic, description="new")
    modify(cloud, nic, source_dest_check=False)
    chosen = nics_pb2.SecurityGroupIds(group_ids=[group.group_id])
    modify(cloud, nic, security_groups=chosen)
    seen = attributes(cloud, nic).network_interface
    assert (seen.description, seen.source_dest_check) == ("new", False)
    assert [one.group_id for one in seen.groups] == [group.group_id]
    selector = pb.SecurityGroupSelector(group_id=group.group_id)
    with refused(Kind.WRONG_STATE, "security-group", "in-use"):
        ask(cloud, "Delete", selector, "SecurityGroups")
    request = nics_pb2.NetworkInterfaceRequest(network_interface_id=nic.network_interface_id)
    ask(cloud, "ResetAttribute", request)
    assert attributes(cloud, nic).network_interface.source_dest_check
    for change, kind in (
        ({}, Kind.INVALID),
        ({"security_groups": nics_pb2.SecurityGroupIds()}, Kind.INVALID),
        ({"description": "x" * 256}, Kind.INVALID),
        (
            {"attachment": nics_pb2.AttachmentChange(attachment_id="eni-attach-01234567")},
            Kind.NOT_FOUND,
        ),
    ):
        with refused(kind):
            modify(cloud, nic, **change)


def test_an_instance_of_several_is_not_changed_through_itself(cloud):
    (instance_id,) = cloud.run_ids()
    attach(cloud, make(cloud), instance_id)
    for change in (
        {"source_dest_check": False},
        {"security_groups": instances_pb2.GroupIds(group_ids=["sg-01234567"])},
    ):
        request = instances_pb2.ModifyInstanceAttributeRequest(instance_id=instance_id, **change)
        with refused(Kind.INVALID, "instance", "several-interfaces"):
            ask(cloud, "ModifyAttribute", request, "Instances")


# --- private addresses ----------------------------------------------------------------------------


def assign(cloud, nic, *addresses, count=0, again=False):
    request = nics_pb2.AssignPrivateAddressesRequest(
        network_interface_id=nic.network_interface_id,
        private_ip_addresses=addresses,
        count=count,
        allow_reassignment=again,
    )
    return list(ask(cloud, "AssignPrivateAddresses", request).private_ip_addresses)


def unassign(cloud, nic, *addresses):
    request = nics_pb2.UnassignPrivateAddressesRequest(
        network_interface_id=nic.network_interface_id, private_ip_addresses=addresses
    )
    ask(cloud, "UnassignPrivateAddresses", request)


def addresses_of(cloud, nic):
    seen = shown(cloud, nic.network_interface_id)
    return [one.private_ip_address for one in seen.private_ip_addresses]


def test_secondary_addresses_come_and_go(cloud):
    nic, other = make(cloud, private_ip_address="172.31.0.9"), make(cloud)
    assert assign(cloud, nic, "172.31.0.10", "172.31.0.11") == ["172.31.0.10", "172.31.0.11"]
    (drawn,) = assign(cloud, nic, count=1)
    assert addresses_of(cloud, nic) == ["172.31.0.9", "172.31.0.10", "172.31.0.11", drawn]
    assert assign(cloud, nic, "172.31.0.10") == []
    for name, value in (
        ("addresses.private-ip-address", "172.31.0.11"),
        ("private-ip-address", drawn),
        ("addresses.primary", "false"),
    ):
        assert found(cloud, name, value) == {nic.network_interface_id}, name
    with refused(Kind.EXISTS, "network-interface"):
        assign(cloud, other, "172.31.0.10")
    assert assign(cloud, other, "172.31.0.10", "172.31.0.12", again=True) == [
        "172.31.0.10",
        "172.31.0.12",
    ]
    assert addresses_of(cloud, nic) == ["172.31.0.9", "172.31.0.11", drawn]
    with refused(Kind.EXISTS, "network-interface"):  # a primary one never moves
        assign(cloud, other, "172.31.0.9", again=True)
    unassign(cloud, nic, "172.31.0.11")
    assert addresses_of(cloud, nic) == ["172.31.0.9", drawn]
    for wrong in (["172.31.0.9"], ["172.31.0.12"], []):
        with refused(Kind.INVALID):
            unassign(cloud, nic, *wrong)
    with refused(Kind.INVALID):
        assign(cloud, nic)


def test_hosts_know_of_secondary_addresses(cloud):
    (instance_id,) = cloud.run_ids()
    nic = cloud.describe(instance_id)[0].network_interfaces[0]
    group_id = nic.groups[0].group_id
    assign(cloud, nic, "172.31.0.10")
    cloud.settle()
    (spec,) = cloud.host.specs[instance_id].nics
    assert list(spec.secondary_private_ip_addresses) == ["172.31.0.10"]
    (vpc,) = cloud.host.vpcs.values()
    (group,) = [one for one in vpc.security_groups if one.group_id == group_id]
    assert list(group.member_addresses) == sorted([nic.private_ip_address, "172.31.0.10"])
    address = ask(cloud, "Allocate", pb.AllocateAddressRequest(), "Addresses")
    associate(cloud, address, nic, "172.31.0.10")
    cloud.settle()
    (vpc,) = cloud.host.vpcs.values()
    public = {one.public_ip: one.private_ip for one in vpc.public_addresses}
    assert public[address.public_ip] == "172.31.0.10"
    assert public[nic.association.public_ip] == nic.private_ip_address
    unassign(cloud, nic, "172.31.0.10")
    cloud.settle()
    (vpc,) = cloud.host.vpcs.values()
    assert [one.public_ip for one in vpc.public_addresses] == [nic.association.public_ip]


def associate(cloud, address, nic, private_ip="", **more):
    request = pb.AssociateAddressRequest(
        allocation_id=address.allocation_id,
        network_interface_id=nic.network_interface_id,
        private_ip_address=private_ip,
        **more,
    )
    return ask(cloud, "Associate", request, "Addresses")


def test_an_elastic_address_on_a_particular_private_one(cloud):
    nic = make(
        cloud, private_ip_address="172.31.0.9", secondary_private_ip_addresses=["172.31.0.8"]
    )
    first, second = (
        ask(cloud, "Allocate", pb.AllocateAddressRequest(), "Addresses") for _ in range(2)
    )
    one = associate(cloud, first, nic, "172.31.0.8")
    two = associate(cloud, second, nic)
    assert (one.private_ip_address, two.private_ip_address) == ("172.31.0.8", "172.31.0.9")
    assert one.network_interface_id == two.network_interface_id == nic.network_interface_id
    seen = shown(cloud, nic.network_interface_id)
    assert [each.association.public_ip for each in seen.private_ip_addresses] == [
        second.public_ip,
        first.public_ip,
    ]
    assert seen.association.public_ip == second.public_ip
    for name, value in (
        ("association.allocation-id", first.allocation_id),
        ("association.association-id", one.association_id),
        ("association.public-ip", first.public_ip),
        ("addresses.association.public-ip", first.public_ip),
        ("association.ip-owner-id", cloud.alice.account_id),
    ):
        assert found(cloud, name, value) == {nic.network_interface_id}, name
    request = pb.DescribeAddressesRequest(
        filters=[common_pb2.Filter(name="private-ip-address", values=["172.31.0.8"])]
    )
    (listed,) = ask(cloud, "Describe", request, "Addresses").addresses
    assert listed == one
    with refused(Kind.EXISTS):
        associate(cloud, second, nic, "172.31.0.8", allow_reassociation=False)
    with refused(Kind.INVALID):
        associate(cloud, second, nic, "172.31.0.7")
    moved = associate(cloud, second, nic, "172.31.0.8")
    assert moved.private_ip_address == "172.31.0.8"
    assert not shown(cloud, nic.network_interface_id).HasField("association")
    request = pb.DisassociateAddressRequest(association_id=moved.association_id)
    ask(cloud, "Disassociate", request, "Addresses")
    assert not found(cloud, "association.public-ip", "*")


def test_an_instance_of_several_names_its_interface(cloud):
    (instance_id,) = cloud.run_ids()
    attach(cloud, make(cloud), instance_id)
    address = ask(cloud, "Allocate", pb.AllocateAddressRequest(), "Addresses")
    request = pb.AssociateAddressRequest(
        allocation_id=address.allocation_id, instance_id=instance_id
    )
    with refused(Kind.INVALID, "instance", "several-interfaces"):
        ask(cloud, "Associate", request, "Addresses")


def test_with_several_interfaces_no_new_address_is_lent(cloud):
    """EC2's rule: only an instance's single interface gets a public address at its start."""
    (instance_id,) = cloud.run_ids()
    assert cloud.describe(instance_id)[0].public_ip_address
    attachment_id = attach(cloud, make(cloud), instance_id)
    for expected in (False, True):
        cloud.settle()
        cloud.on("Stop", [instance_id])
        cloud.settle()
        cloud.on("Start", [instance_id])
        cloud.settle()
        assert bool(cloud.describe(instance_id)[0].public_ip_address) is expected
        if not expected:
            detach(cloud, attachment_id)
