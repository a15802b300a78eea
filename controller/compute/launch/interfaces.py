"""The interfaces of each instance of a launch: planned from what the caller says, made, and shown.

    plan_interfaces   PlannedInterface, one for each of an instance    called by plan
    make_interfaces   MadeInterfaces, of all instances                 called by run
    show_interfaces   the messages of the answer                       called by run

A launch that says nothing of interfaces has one, from the instance's own subnet, groups and
address: one statement. What EC2 allows is in its API Reference
(InstanceNetworkInterfaceSpecification).
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import NamedTuple

from peewee import fn

from controller.compute.launch.request import LaunchType, bad_combination
from controller.kernel.database import Transaction
from controller.kernel.lookup import check_there
from controller.network.interfaces import rules as interfaces
from controller.network.interfaces.create import (
    NewInterface,
    Wish,
    attachment_row,
    check_address_count,
    check_wish,
    create_interfaces,
)
from controller.network.interfaces.launch import LaunchNetwork, LaunchSubnet, find_launch_network
from controller.network.names import DnsNames
from controller.network.view import InterfaceRow, SecondaryRow, interface_message
from controller.tables.compute import Attachment
from controller.tables.network import NetworkInterface, SecondaryAddress, Subnet
from protos.cloud.v1 import common_pb2, instances_pb2, networks_pb2
from protos.errors import CloudError, Kind
from protos.ids import new_id

_NIC = NetworkInterface


@dataclass(frozen=True)
class PlannedInterface:
    """An interface of each instance. ``existing``: the id of one that is there; "" for new ones."""

    wish: Wish
    network: LaunchNetwork
    existing: str = ""


class ExistingInterface(NamedTuple):
    """An interface that the request names, with its subnet."""

    network_interface_id: str
    vpc_id: str
    subnet_id: str
    availability_zone: str
    cidr_block: str
    instance_id: str | None  # None: it is attached to nothing
    secondary_count: int


@dataclass(frozen=True)
class MadeInterfaces:
    """The new interfaces of each planned one, an instance each, and the rows that attach these and
    the existing ones."""

    new: list[tuple[PlannedInterface, list[NewInterface]]] = field(default_factory=list)
    attachments: list[dict[str, object]] = field(default_factory=list)

    @property
    def new_ids(self) -> list[str]:
        return [nic.network_interface_id for _, nics in self.new for nic in nics]


def plan_interfaces(
    tx: Transaction, request: instances_pb2.RunInstancesRequest, instance_type: LaunchType
) -> tuple[PlannedInterface, ...]:
    """By device index. Raises NOT_FOUND, MALFORMED_ID, INVALID, UNSUPPORTED, WRONG_STATE (in-use),
    QUOTA (more than the type has)."""
    asked = sorted(request.network_interfaces, key=lambda one: one.device_index)
    if len(asked) > instance_type.maximum_network_interfaces:
        raise interfaces.too_many_interfaces(len(asked), instance_type.name)
    if not asked:
        return (_plan_new(tx, request, _of_instance(request), instance_type, alone=True),)
    there = _find_existing(
        tx, [one.network_interface_id for one in asked if one.network_interface_id]
    )
    planned = tuple(
        _plan_existing(there[one.network_interface_id], request, one, instance_type)
        if one.network_interface_id
        else _plan_new(tx, request, one, instance_type, alone=len(asked) == 1)
        for one in asked
    )
    if len({one.network.vpc_id for one in planned}) > 1:
        raise CloudError(
            Kind.UNSUPPORTED,
            "Network interfaces of several VPCs on one instance are not supported.",
            noun="parameter",
        )
    if not common_zones(planned):
        raise bad_combination(
            "The network interfaces of an instance must be in the same Availability Zone"
        )
    return planned


def common_zones(planned: Sequence[PlannedInterface]) -> frozenset[str]:
    """Where all of them can be."""
    zones = [
        frozenset(subnet.availability_zone for subnet in one.network.subnets) for one in planned
    ]
    return reduce(lambda one, other: one & other, zones)


def _of_instance(request: instances_pb2.RunInstancesRequest) -> instances_pb2.LaunchInterface:
    """The one interface of a launch that says nothing of interfaces."""
    one = instances_pb2.LaunchInterface(
        subnet_id=request.subnet_id,
        security_group_ids=request.security_group_ids,
        description=request.network_interface_description,
        private_ip_address=request.private_ip_address,
    )
    if request.HasField("associate_public_ip_address"):
        one.associate_public_ip_address = request.associate_public_ip_address
    if request.HasField("delete_network_interface_on_termination"):
        one.delete_on_termination = request.delete_network_interface_on_termination
    return one


def _plan_new(
    tx: Transaction,
    request: instances_pb2.RunInstancesRequest,
    one: instances_pb2.LaunchInterface,
    instance_type: LaunchType,
    *,
    alone: bool,
) -> PlannedInterface:
    """``alone``: the instance's only interface, which may have a public address."""
    said = one.HasField("associate_public_ip_address")
    as_subnet = alone and not said
    keeps = one.HasField("delete_on_termination") and not one.delete_on_termination
    wish = Wish(
        private_ip=one.private_ip_address,
        secondary=tuple(one.secondary_private_ip_addresses),
        secondary_count=one.secondary_private_ip_address_count,
        public=None if as_subnet else one.associate_public_ip_address,
        description=one.description,
        device_index=one.device_index,
        delete_on_termination=not keeps,
    )
    check_wish(wish, instance_type.ipv4_addresses_per_interface)
    network = find_launch_network(
        tx,
        tx.call.account_id,
        subnet_id=one.subnet_id,
        availability_zone=request.availability_zone,
        group_ids=one.security_group_ids,
        group_names=request.security_group_names,
    )
    return PlannedInterface(wish, network)


def _find_existing(tx: Transaction, nic_ids: Sequence[str]) -> dict[str, ExistingInterface]:
    """The caller's interfaces of these ids, by id. Raises NOT_FOUND."""
    if not nic_ids:
        return {}
    more = SecondaryAddress.select(fn.COUNT(SecondaryAddress.private_ip)).where(
        SecondaryAddress.network_interface_id == _NIC.network_interface_id
    )
    rows = tx.tuples(
        _NIC.select(
            _NIC.network_interface_id,
            _NIC.vpc_id,
            _NIC.subnet_id,
            _NIC.availability_zone,
            Subnet.cidr_block,
            Attachment.instance_id,
            more.alias("secondary_count"),
        )
        .join(Subnet, on=Subnet.subnet_id == _NIC.subnet_id)
        .left_outer_join(Attachment, on=Attachment.device_id == _NIC.network_interface_id)
        .where(_NIC.network_interface_id.in_(nic_ids), _NIC.account_id == tx.call.account_id)
    )
    there = {row[0]: ExistingInterface(*row) for row in rows}
    check_there("network-interface", nic_ids, there)
    return there


def _plan_existing(
    there: ExistingInterface,
    request: instances_pb2.RunInstancesRequest,
    one: instances_pb2.LaunchInterface,
    instance_type: LaunchType,
) -> PlannedInterface:
    nic_id = one.network_interface_id
    if there.instance_id:
        raise interfaces.in_use(nic_id)
    if request.availability_zone not in ("", there.availability_zone):
        raise bad_combination(
            f"The network interface '{nic_id}' is in {there.availability_zone}, "
            f"not in {request.availability_zone}."
        )
    check_address_count(1 + there.secondary_count, instance_type.ipv4_addresses_per_interface)
    subnet = LaunchSubnet(there.subnet_id, there.cidr_block, there.availability_zone, False)
    wish = Wish(device_index=one.device_index, delete_on_termination=False)
    return PlannedInterface(wish, LaunchNetwork(there.vpc_id, (subnet,), {}), nic_id)


def make_interfaces(
    tx: Transaction,
    rng: random.Random,
    planned: Sequence[PlannedInterface],
    zone: str,
    instance_ids: Sequence[str],
) -> MadeInterfaces:
    """The interfaces of all instances: made, or taken where they exist. The caller inserts the
    attachments. Raises what create_interfaces raises."""
    made = MadeInterfaces()
    for one in planned:
        if one.existing:  # there is one instance only
            attachment_id = new_id("network-interface-attachment", rng)
            ids = (one.existing, attachment_id, instance_ids[0])
            made.attachments.append(attachment_row(tx, *ids, one.wish))
            continue
        subnet = one.network.subnet_in(zone)
        nics = create_interfaces(tx, rng, one.network, subnet, instance_ids, one.wish)
        made.new.append((one, nics))
        for nic, instance_id in zip(nics, instance_ids, strict=True):
            ids = (nic.network_interface_id, nic.attachment_id, instance_id)
            made.attachments.append(attachment_row(tx, *ids, one.wish))
    return made


def show_interfaces(
    tx: Transaction,
    names: DnsNames,
    planned: Sequence[PlannedInterface],
    made: MadeInterfaces,
    zone: str,
    tags: Sequence[common_pb2.Tag],
) -> list[list[networks_pb2.NetworkInterface]]:
    """The interfaces of each instance, after all is written: from what was written, without a
    statement, unless there are existing ones among them, which are read."""
    if any(one.existing for one in planned):
        (instance_id,) = {row["instance_id"] for row in made.attachments}
        own = interfaces.interfaces_query().where(Attachment.instance_id == instance_id)
        rows = tx.rows(own.order_by(Attachment.position), InterfaceRow)
        return [interfaces.messages(tx, rows, names)]
    shown = [
        [_shown(tx, names, one, one.network.subnet_in(zone), nic, tags) for nic in nics]
        for one, nics in made.new
    ]
    return [list(of_instance) for of_instance in zip(*shown, strict=True)]


def _shown(
    tx: Transaction,
    names: DnsNames,
    planned: PlannedInterface,
    subnet: LaunchSubnet,
    nic: NewInterface,
    tags: Sequence[common_pb2.Tag],
) -> networks_pb2.NetworkInterface:
    groups = [
        networks_pb2.GroupIdentifier(group_id=group_id, group_name=name)
        for group_id, name in planned.network.groups.items()
    ]
    row = InterfaceRow(
        network_interface_id=nic.network_interface_id,
        account_id=tx.call.account_id,
        vpc_id=planned.network.vpc_id,
        subnet_id=subnet.subnet_id,
        availability_zone=subnet.availability_zone,
        mac_address=nic.mac_address,
        private_ip=nic.private_ip,
        public_ip=nic.public_ip,
        description=planned.wish.description,
        instance_id=nic.instance_id,
        attachment_id=nic.attachment_id,
        device_index=planned.wish.device_index,
        delete_on_termination=planned.wish.delete_on_termination,
        attached_ms=tx.call.now_ms,
        dns_hostnames=planned.network.dns_hostnames,
        source_dest_check=True,
        association_id="",
        allocation_id=None,
        auto_public=False,
        attach_revision=0,
        detaching=False,
        busy=False,
        attach_message="",
        devices_revision=0,
        observed="unseen",
    )
    secondary = [
        SecondaryRow(nic.network_interface_id, private_ip, None, "", None)
        for private_ip in nic.secondary_ips
    ]
    return interface_message(row, names, groups, tags, secondary)
