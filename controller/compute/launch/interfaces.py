"""The interfaces that each instance of a launch is to have: checked, and their places found.

Called by compute/launch/launcher and launch_plan inside RunInstances' transaction. A launch that
says nothing of interfaces has one, from the instance's own subnet, groups and address: one
statement. What EC2 allows is in its API Reference (InstanceNetworkInterfaceSpecification).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce

from peewee import fn

from controller.kernel.database import Transaction
from controller.kernel.lookup import check_ids, check_there
from controller.network.interfaces.create import Wish, check_address_count, check_wish
from controller.network.interfaces.launch import LaunchNetwork, LaunchSubnet, find_launch_network
from controller.network.interfaces.rules import in_use, too_many_interfaces
from controller.tables.compute import Attachment
from controller.tables.network import NetworkInterface, SecondaryAddress, Subnet
from protos.cloud.v1 import instances_pb2
from protos.errors import CloudError, Kind, invalid_parameter

_NIC = NetworkInterface


@dataclass(frozen=True)
class Planned:
    """An interface of each instance. ``existing``: the id of one that is there; "" for new ones."""

    wish: Wish
    network: LaunchNetwork
    existing: str = ""


@dataclass(frozen=True)
class Limits:
    """What an instance type can have."""

    type_name: str
    interfaces: int
    addresses: int  # of each interface


def check_interfaces(request: instances_pb2.RunInstancesRequest) -> None:
    """What can be said of the request by itself. Raises INVALID, MALFORMED_ID. Pure."""
    asked = request.network_interfaces
    named = request.private_ip_address or any(
        one.private_ip_address or one.secondary_private_ip_addresses for one in asked
    )
    if named and request.max_count > 1:
        raise _combination(
            "The parameter privateIpAddress cannot be used when launching more than one instance"
        )
    if not asked:
        return
    for value, what in (
        (request.subnet_id, "subnet ID"),
        (request.security_group_ids or request.security_group_names, "security groups"),
        (request.private_ip_address, "private address"),
    ):
        if value:
            raise _combination(
                f"Network interfaces and an instance-level {what} may not be specified on the same"
                " request"
            )
    indexes = [one.device_index for one in asked]
    if len(set(indexes)) < len(indexes):
        raise _combination("Each network interface requires a unique device index.")
    if 0 not in indexes:
        raise invalid_parameter(
            "The first network interface of an instance has the device index 0."
        )
    ids = [one.network_interface_id for one in asked if one.network_interface_id]
    check_ids("network-interface", ids)
    if len(set(ids)) < len(ids):
        raise _combination("A network interface may be specified only once.")
    for one in asked:
        if one.network_interface_id:
            _check_existing(one, request.max_count)
        if one.HasField("associate_public_ip_address") and len(asked) > 1:
            raise _combination(
                "The associatePublicIPAddress parameter cannot be specified when launching with "
                "multiple network interfaces."
            )


def _check_existing(one: instances_pb2.LaunchInterface, max_count: int) -> None:
    for value, what in (
        (one.subnet_id, "a subnet"),
        (one.security_group_ids, "security groups"),
        (one.private_ip_address or one.secondary_private_ip_addresses, "a private address"),
        (one.secondary_private_ip_address_count, "a count of secondary private addresses"),
        (one.description, "a description"),
        (one.HasField("associate_public_ip_address"), "associatePublicIPAddress"),
        (one.delete_on_termination, "deleteOnTermination"),
    ):
        if value:
            raise _combination(
                f"A network interface may not specify both a network interface ID and {what}"
            )
    if max_count > 1:
        raise _combination(
            "A network interface ID cannot be used when launching more than one instance"
        )


def plan_interfaces(
    tx: Transaction, request: instances_pb2.RunInstancesRequest, limits: Limits
) -> tuple[Planned, ...]:
    """By device index. Raises NOT_FOUND, MALFORMED_ID, INVALID, UNSUPPORTED, WRONG_STATE (in-use),
    QUOTA (more than the type has)."""
    asked = sorted(request.network_interfaces, key=lambda one: one.device_index)
    if len(asked) > limits.interfaces:
        raise too_many_interfaces(len(asked), limits.type_name)
    if not asked:
        return (_plan_new(tx, request, _of_instance(request), limits, alone=True),)
    there = _existing(tx, [one.network_interface_id for one in asked if one.network_interface_id])
    planned = tuple(
        _plan_existing(there[one.network_interface_id], request, one, limits)
        if one.network_interface_id
        else _plan_new(tx, request, one, limits, alone=len(asked) == 1)
        for one in asked
    )
    if len({one.network.vpc_id for one in planned}) > 1:
        raise CloudError(
            Kind.UNSUPPORTED,
            "Network interfaces of several VPCs on one instance are not supported.",
            noun="parameter",
        )
    if not common_zones(planned):
        raise _combination(
            "The network interfaces of an instance must be in the same Availability Zone"
        )
    return planned


def common_zones(planned: Sequence[Planned]) -> frozenset[str]:
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
    limits: Limits,
    *,
    alone: bool,
) -> Planned:
    """``alone``: the instance's only interface, which may have a public address."""
    public = False
    if alone:
        said = one.HasField("associate_public_ip_address")
        public = one.associate_public_ip_address if said else None
    keeps = one.HasField("delete_on_termination") and not one.delete_on_termination
    wish = Wish(
        private_ip=one.private_ip_address,
        secondary=tuple(one.secondary_private_ip_addresses),
        secondary_count=one.secondary_private_ip_address_count,
        public=public,
        description=one.description,
        device_index=one.device_index,
        delete_on_termination=not keeps,
    )
    check_wish(wish, limits.addresses)
    network = find_launch_network(
        tx,
        tx.call.account_id,
        subnet_id=one.subnet_id,
        availability_zone=request.availability_zone,
        group_ids=one.security_group_ids,
        group_names=request.security_group_names,
    )
    return Planned(wish, network)


def _existing(tx: Transaction, nic_ids: Sequence[str]) -> dict:
    """The caller's interfaces of these ids, by id. Raises NOT_FOUND."""
    if not nic_ids:
        return {}
    more = SecondaryAddress.select(fn.COUNT(SecondaryAddress.private_ip)).where(
        SecondaryAddress.network_interface_id == _NIC.network_interface_id
    )
    rows = tx.rows(
        _NIC.select(
            _NIC.network_interface_id,
            _NIC.vpc_id,
            _NIC.subnet_id,
            _NIC.availability_zone,
            Attachment.instance_id,
            Subnet.cidr_block,
            more.alias("secondary_count"),
        )
        .join(Subnet, on=Subnet.subnet_id == _NIC.subnet_id)
        .left_outer_join(Attachment, on=Attachment.device_id == _NIC.network_interface_id)
        .where(_NIC.network_interface_id.in_(nic_ids), _NIC.account_id == tx.call.account_id)
    )
    there = {row.network_interface_id: row for row in rows}
    check_there("network-interface", nic_ids, there)
    return there


def _plan_existing(
    row,
    request: instances_pb2.RunInstancesRequest,
    one: instances_pb2.LaunchInterface,
    limits: Limits,
) -> Planned:
    """``row``: one of ``_existing``."""
    nic_id = one.network_interface_id
    if row.instance_id:
        raise in_use(nic_id)
    if request.availability_zone not in ("", row.availability_zone):
        raise _combination(
            f"The network interface '{nic_id}' is in {row.availability_zone}, "
            f"not in {request.availability_zone}."
        )
    check_address_count(1 + row.secondary_count, limits.addresses)
    subnet = LaunchSubnet(row.subnet_id, row.cidr_block, row.availability_zone, False)
    wish = Wish(device_index=one.device_index, delete_on_termination=False)
    return Planned(wish, LaunchNetwork(row.vpc_id, (subnet,), {}), nic_id)


def _combination(message: str) -> CloudError:
    return invalid_parameter(message, "parameter-combination")
