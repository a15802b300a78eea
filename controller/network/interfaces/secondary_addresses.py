"""Secondary private addresses of network interfaces: assigned, moved, taken away.

Called by the service (rpc). A guest learns of them by the metadata service; its host lets
them through. An elastic address goes with the private address that carries it when that moves to
another interface, and is on nothing once that is unassigned.
"""

import random
from collections.abc import Sequence
from typing import NamedTuple

from peewee import fn

from controller.hosts.feed import Feed
from controller.kernel.database import Transaction
from controller.network.interfaces import attributes as interface_rules
from controller.network.interfaces import private_addresses
from controller.network.interfaces.create import (
    ADDRESSES_PER_INTERFACE_MAX,
    check_address_count,
    secondary_rows,
)
from controller.network.interfaces.rules import tell_hosts
from controller.network.view import InterfaceRow
from controller.tables.compute import Attachment, Instance
from controller.tables.network import NetworkInterface, SecondaryAddress, Subnet
from protos.cloud.v1 import network_interfaces_pb2
from protos.errors import CloudError, Kind, invalid_parameter, missing_parameter

_NIC, _MORE = NetworkInterface, SecondaryAddress


class HolderRow(NamedTuple):
    """An interface with one of its secondary addresses."""

    network_interface_id: str
    vpc_id: str
    instance_id: str | None
    private_ip: str


def assign(
    tx: Transaction,
    rng: random.Random,
    feed: Feed,
    request: network_interfaces_pb2.AssignPrivateAddressesRequest,
) -> list[str]:
    """The addresses that the interface has now beside those that it had.

    One that it has already, also as its primary one, is no change: Terraform's AWS provider 2 names
    the primary address of every interface that it has just made.
    Raises INVALID, MALFORMED_ID, NOT_FOUND, EXISTS (in use), QUOTA, NO_CAPACITY.
    """
    nic = interface_rules.find(tx, request.network_interface_id)
    named = list(request.private_ip_addresses)
    if named and request.count:
        raise CloudError(
            Kind.INVALID,
            "The parameter secondaryPrivateIpAddressCount cannot be used with the parameter "
            "privateIpAddress",
            reason="parameter-combination",
        )
    if not named and request.count < 1:
        raise missing_parameter("secondaryPrivateIpAddressCount or privateIpAddress")
    held = interface_rules.secondary_ips(tx, nic.network_interface_id)
    (cidr_block,) = tx.column(
        Subnet.select(Subnet.cidr_block).where(Subnet.subnet_id == nic.subnet_id), str
    )
    has = {nic.private_ip, *held}
    assigned = [private_addresses.check_address(cidr_block, private_ip) for private_ip in named]
    assigned = [private_ip for private_ip in dict.fromkeys(assigned) if private_ip not in has]
    new = len(assigned) if named else request.count
    check_address_count(1 + len(held) + new, _addresses_max(tx, nic))
    place = nic.subnet_id, cidr_block
    if named:
        if request.allow_reassignment:
            _take_from_others(tx, feed, nic, assigned)
        moved = set(interface_rules.secondary_ips(tx, nic.network_interface_id)).difference(held)
        added = [private_ip for private_ip in assigned if private_ip not in moved]
        private_addresses.check_free(tx, *place, added)
    else:
        added = assigned = private_addresses.draw_free(tx, rng, *place, new)
    if added:
        nic_id, first = nic.network_interface_id, _next_position(tx, nic)
        tx.insert(_MORE, secondary_rows(nic.subnet_id, nic_id, added, first))
    if assigned:
        tell_hosts(tx, feed, nic.vpc_id, nic.instance_id)
    return assigned


def unassign(
    tx: Transaction,
    feed: Feed,
    request: network_interfaces_pb2.UnassignPrivateAddressesRequest,
) -> None:
    """Raises INVALID (the primary one; none of the interface's), MALFORMED_ID, NOT_FOUND."""
    nic = interface_rules.find(tx, request.network_interface_id)
    named = list(dict.fromkeys(request.private_ip_addresses))
    if not named:
        raise missing_parameter("privateIpAddress")
    held = interface_rules.secondary_ips(tx, nic.network_interface_id)
    for private_ip in named:
        if private_ip == nic.private_ip:
            raise invalid_parameter(
                f"The primary private address {private_ip} of '{nic.network_interface_id}' cannot "
                "be unassigned."
            )
        if private_ip not in held:
            raise invalid_parameter(
                "Some of the specified addresses are not assigned to interface "
                f"{nic.network_interface_id}"
            )
    tx.delete(_MORE, _MORE.subnet_id == nic.subnet_id, _MORE.private_ip.in_(named))
    tell_hosts(tx, feed, nic.vpc_id, nic.instance_id)


def _take_from_others(tx: Transaction, feed: Feed, nic: InterfaceRow, asked: Sequence[str]) -> None:
    """Those of the addresses that are secondary ones of other interfaces of the account."""
    others = tx.rows(
        _NIC.select(
            _NIC.network_interface_id, _NIC.vpc_id, Attachment.instance_id, _MORE.private_ip
        )
        .join(_MORE, on=_MORE.network_interface_id == _NIC.network_interface_id)
        .left_outer_join(Attachment, on=Attachment.device_id == _NIC.network_interface_id)
        .where(_MORE.subnet_id == nic.subnet_id, _MORE.private_ip.in_(list(asked)))
        .order_by(_NIC.network_interface_id),
        HolderRow,
    )
    first = _next_position(tx, nic)
    for position, other in enumerate(others, first):
        tx.advance(
            _MORE,
            {"network_interface_id": nic.network_interface_id, "position": position},
            _MORE.subnet_id == nic.subnet_id,
            _MORE.private_ip == other.private_ip,
        )
    for other in {other.network_interface_id: other for other in others}.values():
        tell_hosts(tx, feed, other.vpc_id, other.instance_id)


def _next_position(tx: Transaction, nic: InterfaceRow) -> int:
    newest = _MORE.select(fn.MAX(_MORE.position)).where(
        _MORE.network_interface_id == nic.network_interface_id
    )
    found = tx.value(newest, int)
    return 0 if found is None else found + 1


def _addresses_max(tx: Transaction, nic: InterfaceRow) -> int:
    if not nic.instance_id:
        return ADDRESSES_PER_INTERFACE_MAX
    kind = tx.value(
        Instance.select(Instance.instance_type).where(Instance.instance_id == nic.instance_id), str
    )
    return interface_rules.addresses_max(tx, kind or "")
