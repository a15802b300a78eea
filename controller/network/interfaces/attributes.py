"""Network interfaces by themselves: made, changed, deleted. Attaching them is attachments.

Called by the service (rpc). An interface lives in one subnet for good; it carries its
addresses and groups wherever it is attached.
"""

import random

from controller.hosts.feed import Feed
from controller.identity.quotas.rules import Quotas
from controller.identity.tags import rules as tags
from controller.identity.tags.checks import tags_of_specifications
from controller.kernel.client_tokens import digest_of, made_before
from controller.kernel.database import Session, Transaction
from controller.kernel.lookup import check_ids, find_one, not_found
from controller.kernel.table import Select
from controller.network.interfaces.create import (
    ADDRESSES_PER_INTERFACE_MAX,
    Wish,
    check_description,
    check_wish,
    create_interfaces,
)
from controller.network.interfaces.launch import find_launch_network
from controller.network.interfaces.rules import (
    OneNic,
    in_use,
    interfaces_query,
    remove,
    replace_groups,
)
from controller.network.view import InterfaceRow
from controller.tables.compute import Attachment, InstanceType
from controller.tables.network import NetworkInterface, SecondaryAddress
from controller.tables.nouns import INSTANCE, VPC
from protos.cloud.v1 import network_interfaces_pb2
from protos.errors import CloudError, Kind, missing_parameter

_NIC = NetworkInterface


def create(
    tx: Transaction,
    rng: random.Random,
    quotas: Quotas,
    feed: Feed,
    request: network_interfaces_pb2.CreateNetworkInterfaceRequest,
) -> str:
    """The id of the new interface, or of that which the token made before.

    Raises INVALID, MALFORMED_ID, NOT_FOUND, EXISTS (token, address), QUOTA, NO_CAPACITY.
    """
    account_id = tx.call.account_id
    if not request.subnet_id:
        raise missing_parameter("subnetId")
    digest = digest_of(request)
    if earlier := made_before(tx, _NIC.network_interface_id, request.client_token, digest):
        return earlier
    wanted = tags_of_specifications(request.tag_specifications, "network-interface")
    wish = Wish(
        private_ip=request.private_ip_address,
        secondary=tuple(request.secondary_private_ip_addresses),
        secondary_count=request.secondary_private_ip_address_count,
        public=False,
        description=request.description,
        client_token=request.client_token,
        request_digest=digest,
    )
    check_wish(wish, ADDRESSES_PER_INTERFACE_MAX)
    network = find_launch_network(
        tx, account_id, subnet_id=request.subnet_id, group_ids=request.security_group_ids
    )
    quotas.charge(tx, account_id, {"network_interfaces": 1})
    (made,) = create_interfaces(tx, rng, network, network.subnets[0], [None], wish)
    nic_id = made.network_interface_id
    tags.add(tx, account_id, [("network-interface", [nic_id], wanted["network-interface"])])
    feed.revise(tx, VPC, [network.vpc_id], at_once=False)
    return nic_id


def delete(tx: Transaction, quotas: Quotas, feed: Feed, nic_id: str) -> None:
    """Raises MALFORMED_ID, NOT_FOUND, WRONG_STATE (in-use)."""
    row = find(tx, nic_id)
    if row.instance_id:
        raise in_use(nic_id)
    remove(tx, {row.network_interface_id: row.public_ip})
    quotas.refund(tx, tx.call.account_id, {"network_interfaces": 1})
    feed.revise(tx, VPC, [row.vpc_id])


def modify(
    tx: Transaction,
    feed: Feed,
    request: network_interfaces_pb2.ModifyNetworkInterfaceAttributeRequest,
) -> None:
    """One attribute. Raises INVALID, MALFORMED_ID, NOT_FOUND, QUOTA."""
    row = find(tx, request.network_interface_id)
    attribute = request.WhichOneof("attribute")
    if attribute is None:
        raise CloudError(Kind.INVALID, "No attributes specified.", reason="parameter-combination")
    is_it = _NIC.network_interface_id == row.network_interface_id
    if attribute == "security_groups":
        nic = OneNic(row.network_interface_id, row.vpc_id, row.instance_id)
        replace_groups(tx, feed, nic, list(request.security_groups.group_ids))
    elif attribute == "attachment":
        _set_deletion(tx, row, request.attachment)
    elif attribute == "description":
        check_description(request.description)
        tx.advance(_NIC, {"description": request.description}, is_it)
    else:
        tx.advance(_NIC, {"source_dest_check": request.source_dest_check}, is_it)
        if row.instance_id:
            feed.revise(tx, INSTANCE, [row.instance_id])


def _set_deletion(
    tx: Transaction, row: InterfaceRow, change: network_interfaces_pb2.AttachmentChange
) -> None:
    if not change.attachment_id:
        raise missing_parameter("attachmentId")
    check_ids("network-interface-attachment", [change.attachment_id])
    if row.attachment_id != change.attachment_id:
        raise not_found("network-interface-attachment", change.attachment_id)
    tx.authorize("instance", [row.instance_id] if row.instance_id else [])
    tx.advance(
        Attachment,
        {"delete_on_termination": change.delete_on_termination},
        Attachment.device_id == row.network_interface_id,
    )


def find(tx: Transaction, nic_id: str) -> InterfaceRow:
    """The caller's interface. Raises INVALID, MALFORMED_ID, NOT_FOUND."""
    return find_of(tx, tx.call.account_id, nic_id)


def find_of(session: Session, account_id: str, nic_id: str) -> InterfaceRow:
    own, key, noun = _own(account_id), _NIC.network_interface_id, "network-interface"
    return find_one(session, own, key, noun, nic_id, "networkInterfaceId", row=InterfaceRow)


def find_attachment(tx: Transaction, attachment_id: str) -> InterfaceRow:
    """The caller's interface that is attached so. Raises INVALID, MALFORMED_ID, NOT_FOUND."""
    own, noun = _own(tx.call.account_id), "network-interface-attachment"
    key = Attachment.attachment_id
    found = find_one(tx, own, key, noun, attachment_id, "attachmentId", row=InterfaceRow)
    tx.authorize("network-interface", [found.network_interface_id])
    return found


def _own(account_id: str) -> Select:
    return interfaces_query().where(_NIC.account_id == account_id)


def addresses_max(session: Session, instance_type: str) -> int:
    """How many private addresses an interface of such an instance can have."""
    query = InstanceType.select(InstanceType.ipv4_addresses_per_interface)
    return session.value(query.where(InstanceType.name == instance_type), int) or 0


def secondary_ips(session: Session, nic_id: str) -> list[str]:
    query = SecondaryAddress.select(SecondaryAddress.private_ip).order_by(SecondaryAddress.position)
    return session.column(query.where(SecondaryAddress.network_interface_id == nic_id), str)
