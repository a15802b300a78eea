"""Network interfaces with a life of their own: made, read, changed, deleted."""

import pytest

from protos.cloud.v1 import instances_pb2
from protos.cloud.v1 import network_interfaces_pb2 as nics_pb2
from protos.cloud.v1 import networks_pb2 as pb
from protos.errors import Kind
from tests.unit.controller.cloud import Cloud
from tests.unit.controller.interface_calls import (
    ask,
    attach,
    attributes,
    delete,
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
