"""Rows of the network's tables as messages. Pure.

``rule_message`` and ``interface_message`` take a row's columns by name, so that the statements
that read them stay with their callers.
"""

from collections.abc import Sequence

from controller.hosts.attachment_states import interface_attachment_state
from controller.network.names import DnsNames
from protos.cloud.v1 import common_pb2, networks_pb2

LENDER = "amazon"  # EC2's owner of addresses that were lent at launch; tools compare with it


def rule_message(
    *,
    rule_id: str,
    group_id: str,
    account_id: str,
    egress: bool,
    protocol: str,
    from_port: int,
    to_port: int,
    peer_kind: str,
    peer: str,
    description: str,
    tags: Sequence[common_pb2.Tag] = (),
) -> networks_pb2.SecurityGroupRule:
    message = networks_pb2.SecurityGroupRule(
        rule_id=rule_id,
        group_id=group_id,
        group_owner_id=account_id,
        egress=egress,
        protocol=protocol,
        from_port=from_port,
        to_port=to_port,
        description=description,
        tags=tags,
    )
    if peer_kind == "cidr_ipv4":
        message.cidr_ipv4 = peer
    elif peer_kind == "cidr_ipv6":
        message.cidr_ipv6 = peer
    else:
        message.peer_group.group_id = peer
        message.peer_group.owner_id = account_id
    return message


def interface_message(
    row,
    names: DnsNames,
    groups: Sequence[networks_pb2.GroupIdentifier],
    tags,
    secondary: Sequence = (),
) -> networks_pb2.NetworkInterface:
    """A NIC. ``row`` has the columns of interfaces.INTERFACE_COLUMNS, ``secondary`` are rows of its
    other addresses (private_ip, public_ip, association_id, allocation_id)."""
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
    for address in (row, *secondary):
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


def attachment_message(row) -> networks_pb2.NetworkInterfaceAttachment:
    return networks_pb2.NetworkInterfaceAttachment(
        attachment_id=row.attachment_id,
        instance_id=row.instance_id,
        instance_owner_id=row.account_id,
        device_index=row.device_index,
        status=interface_attachment_state(row),
        attach_time_ms=row.attached_ms,
        delete_on_termination=row.delete_on_termination,
    )


def _association(row, address, names: DnsNames) -> networks_pb2.NetworkInterfaceAssociation:
    return networks_pb2.NetworkInterfaceAssociation(
        public_ip=address.public_ip,
        public_dns_name=names.public(address.public_ip, row.dns_hostnames),
        ip_owner_id=row.account_id if address.association_id else LENDER,
        allocation_id=address.allocation_id or "",
        association_id=address.association_id,
    )
