"""Rows of the network's tables as messages. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from controller.hosts.attachment_states import interface_attachment_state
from controller.network.names import DnsNames
from protos.cloud.v1 import common_pb2, networks_pb2

LENDER = "amazon"  # EC2's owner of addresses that were lent at launch; tools compare with it


class RuleRow(NamedTuple):
    """A rule of a security group; rule_id "": it is not one yet."""

    rule_id: str
    group_id: str
    account_id: str
    egress: bool
    protocol: str
    from_port: int
    to_port: int
    peer_kind: str
    peer: str
    description: str


def rule_message(
    row: RuleRow, tags: Sequence[common_pb2.Tag] = ()
) -> networks_pb2.SecurityGroupRule:
    message = networks_pb2.SecurityGroupRule(
        rule_id=row.rule_id,
        group_id=row.group_id,
        group_owner_id=row.account_id,
        egress=row.egress,
        protocol=row.protocol,
        from_port=row.from_port,
        to_port=row.to_port,
        description=row.description,
        tags=tags,
    )
    if row.peer_kind == "cidr_ipv4":
        message.cidr_ipv4 = row.peer
    elif row.peer_kind == "cidr_ipv6":
        message.cidr_ipv6 = row.peer
    else:
        message.peer_group.group_id = row.peer
        message.peer_group.owner_id = row.account_id
    return message


class InterfaceRow(NamedTuple):
    """A NIC with its attachment, its guest and its public address, or None for these
    (interfaces/rules.interfaces_query)."""

    network_interface_id: str
    account_id: str
    vpc_id: str
    subnet_id: str
    availability_zone: str
    mac_address: str
    private_ip: str
    description: str
    source_dest_check: bool
    public_ip: str | None
    association_id: str
    auto_public: bool
    instance_id: str | None
    attachment_id: str | None
    device_index: int | None
    delete_on_termination: bool | None
    attached_ms: int | None
    attach_revision: int | None
    detaching: bool | None
    busy: bool | None
    attach_message: str | None
    allocation_id: str | None
    devices_revision: int | None
    observed: str | None
    dns_hostnames: bool


class SecondaryRow(NamedTuple):
    """Another address of a NIC."""

    network_interface_id: str
    private_ip: str
    public_ip: str | None
    association_id: str
    allocation_id: str | None


def interface_message(
    row: InterfaceRow,
    names: DnsNames,
    groups: Sequence[networks_pb2.GroupIdentifier],
    tags: Sequence[common_pb2.Tag],
    secondary: Sequence[SecondaryRow] = (),
) -> networks_pb2.NetworkInterface:
    """A NIC; ``secondary``: its other addresses."""
    message = networks_pb2.NetworkInterface(
        network_interface_id=row.network_interface_id,
        owner_id=row.account_id,
        vpc_id=row.vpc_id,
        subnet_id=row.subnet_id,
        availability_zone=row.availability_zone,
        description=row.description,
        status="in-use" if row.instance_id else "available",
        mac_address=row.mac_address,
        private_ip_address=row.private_ip,
        private_dns_name=names.private(row.private_ip),
        source_dest_check=row.source_dest_check,
        groups=groups,
        tags=tags,
    )
    addresses: list[InterfaceRow | SecondaryRow] = [row, *secondary]
    for address in addresses:
        shown = message.private_ip_addresses.add(
            private_ip_address=address.private_ip,
            private_dns_name=names.private(address.private_ip),
            primary=address is row,
        )
        if address.public_ip:
            shown.association.CopyFrom(_association(row, address, names))
    if row.instance_id:
        message.attachment.CopyFrom(attachment_message(row))
    if row.public_ip:
        message.association.CopyFrom(_association(row, row, names))
    return message


def attachment_message(row: InterfaceRow) -> networks_pb2.NetworkInterfaceAttachment:
    return networks_pb2.NetworkInterfaceAttachment(
        attachment_id=row.attachment_id,
        instance_id=row.instance_id,
        instance_owner_id=row.account_id,
        device_index=row.device_index,
        status=interface_attachment_state(row),
        attach_time_ms=row.attached_ms,
        delete_on_termination=row.delete_on_termination,
    )


def _association(
    row: InterfaceRow, address: InterfaceRow | SecondaryRow, names: DnsNames
) -> networks_pb2.NetworkInterfaceAssociation:
    return networks_pb2.NetworkInterfaceAssociation(
        public_ip=address.public_ip,
        public_dns_name=names.public(address.public_ip or "", row.dns_hostnames),
        ip_owner_id=row.account_id if address.association_id else LENDER,
        allocation_id=address.allocation_id or "",
        association_id=address.association_id,
    )
