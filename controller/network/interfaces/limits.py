"""How many interfaces, and addresses on each, an instance of a type can have."""

from collections.abc import Sequence
from typing import NamedTuple

from controller.hosts.attachment_states import INTERFACE
from controller.kernel.database import Transaction
from controller.network.interfaces import attributes as interface_rules
from controller.network.interfaces.create import check_address_count
from controller.network.interfaces.rules import too_many_interfaces
from controller.tables.compute import Attachment


class TypeRow(NamedTuple):
    """An instance type: what its interfaces may be."""

    name: str
    maximum_network_interfaces: int
    ipv4_addresses_per_interface: int


def check_type(tx: Transaction, instance_id: str, kind: TypeRow) -> None:
    """An instance of this type can have the interfaces that this one has. Raises
    QUOTA."""
    query = Attachment.select(Attachment.device_id).where(
        Attachment.instance_id == instance_id, Attachment.kind == INTERFACE
    )
    nic_ids = tx.column(query, str)
    check_limits(tx, kind, len(nic_ids), nic_ids)


def check_limits(tx: Transaction, kind: TypeRow, count: int, nic_ids: Sequence[str]) -> None:
    """``count`` interfaces, among them these, fit an instance of the type. Raises QUOTA."""
    if count > kind.maximum_network_interfaces:
        raise too_many_interfaces(count, kind.name)
    for nic_id in nic_ids:
        held = 1 + len(interface_rules.secondary_ips(tx, nic_id))
        check_address_count(held, kind.ipv4_addresses_per_interface)
