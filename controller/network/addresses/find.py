"""Finding the caller's elastic addresses, with what carries each. Called by the rules and by
describe.
"""

from typing import NamedTuple

from peewee import fn

from controller.hosts.guests import with_attachment
from controller.kernel.database import Transaction
from controller.kernel.lookup import find_one
from controller.kernel.table import Select
from controller.tables.compute import Attachment
from controller.tables.network import NetworkInterface, PublicAddress, SecondaryAddress
from protos.errors import CloudError, Kind

_NIC, _MORE = NetworkInterface, SecondaryAddress
# An address's association: its secondary private address's, or that of the interface's primary one.
carried_association_id = fn.COALESCE(_MORE.association_id, _NIC.association_id)


class AddressRow(NamedTuple):
    """An allocated address, with the interface that carries it or None."""

    public_ip: str
    allocation_id: str
    network_interface_id: str | None
    association_id: str | None
    instance_id: str | None
    vpc_id: str | None
    subnet_id: str | None
    auto_public: bool | None
    secondary_ip: str | None


def find_address(tx: Transaction, allocation_id: str, public_ip: str) -> AddressRow:
    if allocation_id and public_ip:
        raise either("allocationId", "publicIp")
    own = own_addresses(tx)
    if not public_ip:
        key = PublicAddress.allocation_id
        noun, parameter = "elastic-ip", "allocationId"
        return find_one(tx, own, key, noun, allocation_id, parameter, row=AddressRow)
    found = tx.one(own.where(PublicAddress.public_ip == public_ip), AddressRow)
    if found is None:
        raise no_address(public_ip)
    tx.authorize("elastic-ip", [found.allocation_id])
    return found


def own_addresses(tx: Transaction) -> Select:
    """The caller's allocated addresses, each with the interface that carries it, or NULLs."""
    return with_carriers(
        PublicAddress.select(
            PublicAddress.public_ip,
            PublicAddress.allocation_id,
            _NIC.network_interface_id,
            carried_association_id.alias("association_id"),
            Attachment.instance_id,
            _NIC.vpc_id,
            _NIC.subnet_id,
            _NIC.auto_public,
            _MORE.private_ip.alias("secondary_ip"),
        ).where(
            PublicAddress.account_id == tx.call.account_id,
            PublicAddress.allocation_id.is_null(False),
        )
    )


def with_carriers(query: Select) -> Select:
    """Public addresses with the private address that carries each: the interface, its secondary
    address where it is one, and its attachment."""
    carries = (_NIC.public_ip == PublicAddress.public_ip) | (
        _NIC.network_interface_id == _MORE.network_interface_id
    )
    query = query.left_outer_join(
        _MORE, on=_MORE.public_ip == PublicAddress.public_ip
    ).left_outer_join(_NIC, on=carries)
    return with_attachment(query, _NIC.network_interface_id)


def no_address(*public_ips: str) -> CloudError:
    """The refusal of public addresses that are not the caller's: it names all of them."""
    what = "Address" if len(public_ips) == 1 else "Addresses"
    return CloudError(
        Kind.NOT_FOUND,
        f"{what} '{', '.join(public_ips)}' not found.",
        noun="elastic-ip",
        reason="public-ip",
        id=public_ips[0],
    )


def either(one: str, other: str) -> CloudError:
    return CloudError(
        Kind.INVALID,
        f"The parameter {other} cannot be used with the parameter {one}",
        reason="parameter-combination",
    )
