"""Reading elastic addresses, with the filters that EC2 documents for them.

Called by the service (rpc).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from peewee import fn

from controller.identity.tags import rules as tags
from controller.identity.tags.filters import tag_filters
from controller.kernel.database import Session
from controller.kernel.filters import Condition, column, constant, where
from controller.kernel.lookup import check_ids, not_found
from controller.kernel.table import Select
from controller.network.addresses.find import carried_association_id, no_address, with_carriers
from controller.tables.compute import Attachment
from controller.tables.network import NetworkInterface, PublicAddress, SecondaryAddress
from protos.cloud.v1 import networks_pb2

_NIC = NetworkInterface
_PRIVATE_IP = fn.COALESCE(SecondaryAddress.private_ip, _NIC.private_ip)


class AddressRow(NamedTuple):
    """An allocated address, with what carries it or None."""

    allocation_id: str
    public_ip: str
    association_id: str | None
    instance_id: str | None
    network_interface_id: str | None
    interface_owner_id: str | None
    private_ip: str | None


def address_filters(region: str) -> Mapping[str, Condition]:
    return {
        "allocation-id": column(PublicAddress.allocation_id),
        "public-ip": column(PublicAddress.public_ip),
        "domain": constant("vpc"),
        "association-id": column(carried_association_id),
        "instance-id": column(Attachment.instance_id),
        "network-interface-id": column(_NIC.network_interface_id),
        "network-interface-owner-id": column(_NIC.account_id),
        "private-ip-address": column(_PRIVATE_IP),
        "network-border-group": constant(region),
        **tag_filters(PublicAddress.allocation_id),
    }


def describe_addresses(
    session: Session,
    account_id: str,
    filters: Mapping[str, Condition],
    request: networks_pb2.DescribeAddressesRequest,
) -> networks_pb2.DescribeAddressesResponse:
    """By allocation id, by address and by filters; EC2 has no pages here.

    Raises INVALID, MALFORMED_ID, NOT_FOUND.
    """
    query = _addresses(account_id)
    check_ids("elastic-ip", request.allocation_ids)
    if request.allocation_ids:
        query = query.where(PublicAddress.allocation_id.in_(list(request.allocation_ids)))
    if request.public_ips:
        query = query.where(PublicAddress.public_ip.in_(list(request.public_ips)))
    _check_found(session, account_id, request)
    rows = session.rows(query.where(*where(filters, request.filters)), AddressRow)
    return networks_pb2.DescribeAddressesResponse(addresses=_messages(session, rows))


def describe_address(session: Session, allocation_id: str) -> networks_pb2.Address:
    """One address that is allocated."""
    query = _addresses(None).where(PublicAddress.allocation_id == allocation_id)
    return _messages(session, session.rows(query, AddressRow))[0]


def _addresses(account_id: str | None) -> Select:
    query = with_carriers(
        PublicAddress.select(
            PublicAddress.allocation_id,
            PublicAddress.public_ip,
            carried_association_id.alias("association_id"),
            Attachment.instance_id,
            _NIC.network_interface_id,
            _NIC.account_id.alias("interface_owner_id"),
            _PRIVATE_IP.alias("private_ip"),
        )
        .where(PublicAddress.allocation_id.is_null(False))
        .order_by(PublicAddress.allocation_id)
    )
    return query if account_id is None else query.where(PublicAddress.account_id == account_id)


def _check_found(
    session: Session, account_id: str, request: networks_pb2.DescribeAddressesRequest
) -> None:
    """Every address that was named is there, whatever the filters say."""
    named = (
        (PublicAddress.allocation_id, request.allocation_ids),
        (PublicAddress.public_ip, request.public_ips),
    )
    for field, asked in named:
        if not asked:
            continue
        query = PublicAddress.select(field).where(
            PublicAddress.account_id == account_id,
            PublicAddress.allocation_id.is_null(False),
            field.in_(list(asked)),
        )
        there = set(session.column(query, str))
        if missing := [one for one in dict.fromkeys(asked) if one not in there]:
            is_id = field is PublicAddress.allocation_id
            raise not_found("elastic-ip", *missing) if is_id else no_address(*missing)


def _messages(session: Session, rows: Sequence[AddressRow]) -> list[networks_pb2.Address]:
    tagged = tags.tags_of(session, [row.allocation_id for row in rows])
    return [
        networks_pb2.Address(
            allocation_id=row.allocation_id,
            public_ip=row.public_ip,
            association_id=row.association_id or "",
            instance_id=row.instance_id or "",
            network_interface_id=row.network_interface_id or "",
            network_interface_owner_id=row.interface_owner_id or "",
            private_ip_address=row.private_ip or "",
            tags=tagged[row.allocation_id],
        )
        for row in rows
    ]
