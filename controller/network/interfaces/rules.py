"""Changes interfaces as their instances stop, start, end or get other groups; reads them.

Called by compute/instances (rules, reconcile), compute/attachments and compute/launch inside their
transactions, by describe and by network/addresses/rules.

    stop        give_back_lent      what was lent at launch returns to the pool; elastic ones stay
    start       lend_again          another is lent to interfaces that want one
    terminated  release_interfaces  once nothing is left on any host: those to be deleted go, with
                                    memberships and addresses; the others are available again
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from peewee import JOIN, Case, fn

from controller.hosts.feed import Feed
from controller.hosts.guests import with_attachment, with_guest
from controller.identity.tags import rules as tags
from controller.kernel.database import Session, Transaction
from controller.kernel.owned import Owned
from controller.kernel.prepared import among, prepared
from controller.kernel.rows import columns
from controller.kernel.table import Clause, Select
from controller.network import address_pool as pool
from controller.network.interfaces.create import group_rows
from controller.network.interfaces.launch import DNS_HOSTNAMES, resolve_groups
from controller.network.names import DnsNames
from controller.network.view import InterfaceRow, SecondaryRow, interface_message
from controller.tables.compute import Attachment, Placement
from controller.tables.hosts import Assignment
from controller.tables.network import (
    NetworkInterface,
    NicGroup,
    PublicAddress,
    SecondaryAddress,
    SecurityGroup,
    Vpc,
)
from controller.tables.nouns import INSTANCE, VPC
from protos.cloud.v1 import networks_pb2
from protos.errors import CloudError, Kind

_NIC = NetworkInterface
OWNED = Owned(
    "network-interface",
    _NIC.network_interface_id,
    _NIC.account_id,
    facts={
        "ec2:NetworkInterfaceID": _NIC.network_interface_id,
        "ec2:AvailabilityZone": _NIC.availability_zone,
        "ec2:Subnet": ("subnet", _NIC.subnet_id),
        "ec2:Vpc": ("vpc", _NIC.vpc_id),
    },
)
_INTERFACE = (
    *columns(InterfaceRow, _NIC),
    Attachment.instance_id,
    Attachment.attachment_id,
    Attachment.position.alias("device_index"),
    Attachment.delete_on_termination,
    Attachment.attached_ms,
    Attachment.revision.alias("attach_revision"),
    Attachment.detaching,
    Attachment.busy,
    Attachment.message.alias("attach_message"),
    PublicAddress.allocation_id,
    Placement.devices_revision,
    Assignment.observed,
    DNS_HOSTNAMES,
)


class OneNic(NamedTuple):
    network_interface_id: str
    vpc_id: str
    instance_id: str | None


class GoneNic(NamedTuple):
    network_interface_id: str
    account_id: str
    vpc_id: str
    public_ip: str | None
    delete_on_termination: bool
    detaching: bool


@dataclass(frozen=True)
class Released:
    """What the end of instances took with it: VPCs whose groups have lost members, and how many
    interfaces of each account."""

    vpc_ids: list[str]
    gone: dict[str, int]


def interfaces_query() -> Select:
    """All interfaces, each an InterfaceRow."""
    query = _NIC.select(*_INTERFACE).join(
        PublicAddress, JOIN.LEFT_OUTER, on=PublicAddress.public_ip == _NIC.public_ip
    )
    query = with_attachment(query, _NIC.network_interface_id)
    return with_guest(query, Attachment.instance_id).join(Vpc, on=Vpc.vpc_id == _NIC.vpc_id)


def messages(
    session: Session, rows: Sequence[InterfaceRow], names: DnsNames
) -> list[networks_pb2.NetworkInterface]:
    """Interfaces as messages, with groups, tags and other addresses: three
    statements."""
    nic_ids = [row.network_interface_id for row in rows]
    groups, tagged = groups_of(session, nic_ids), tags.tags_of(session, nic_ids)
    more = secondary_of(session, nic_ids)
    return [
        interface_message(row, names, groups[nic_id], tagged[nic_id], more[nic_id])
        for nic_id, row in zip(nic_ids, rows, strict=True)
    ]


def secondary_of(session: Session, nic_ids: Sequence[str]) -> dict[str, list[SecondaryRow]]:
    """The secondary addresses of many interfaces, in the order in which they came."""
    found: dict[str, list[SecondaryRow]] = defaultdict(list)
    if nic_ids:
        for row in session.rows(_secondary_query(nic_ids=nic_ids), SecondaryRow):
            found[row.network_interface_id].append(row)
    return found


@prepared
def _secondary_query(nic_ids: Sequence[str]) -> Select:
    more = SecondaryAddress
    return (
        more.select(*columns(SecondaryRow, more), PublicAddress.allocation_id)
        .join(PublicAddress, JOIN.LEFT_OUTER, on=PublicAddress.public_ip == more.public_ip)
        .where(among(more.network_interface_id, nic_ids))
        .order_by(more.network_interface_id, more.position)
    )


def groups_of(
    session: Session, nic_ids: Sequence[str]
) -> dict[str, list[networks_pb2.GroupIdentifier]]:
    """The groups of many interfaces, in the order in which they were asked for."""
    found: dict[str, list[networks_pb2.GroupIdentifier]] = defaultdict(list)
    if nic_ids:
        query = _groups_query(nic_ids=nic_ids)
        for nic_id, group_id, group_name in session.tuples(query):
            found[nic_id].append(
                networks_pb2.GroupIdentifier(group_id=group_id, group_name=group_name)
            )
    return found


@prepared
def _groups_query(nic_ids: Sequence[str]) -> Select:
    return (
        NicGroup.select(
            NicGroup.network_interface_id, SecurityGroup.group_id, SecurityGroup.group_name
        )
        .join(SecurityGroup, on=SecurityGroup.group_id == NicGroup.group_id)
        .where(among(NicGroup.network_interface_id, nic_ids))
        .order_by(NicGroup.network_interface_id, NicGroup.position)
    )


def set_groups(tx: Transaction, feed: Feed, instance_id: str, group_ids: Sequence[str]) -> None:
    """Other security groups for an instance's only interface. The instance is the caller's.

    Raises INVALID (none; another VPC's; several interfaces), MALFORMED_ID, NOT_FOUND, QUOTA.
    """
    replace_groups(tx, feed, _only_interface(tx, instance_id), group_ids)


def replace_groups(tx: Transaction, feed: Feed, nic: OneNic, group_ids: Sequence[str]) -> None:
    """Other security groups for an interface."""
    if not group_ids:
        raise CloudError(
            Kind.INVALID, "You must specify at least one security group", noun="parameter"
        )
    groups = resolve_groups(tx, tx.call.account_id, nic.vpc_id, group_ids)
    tx.delete(NicGroup, NicGroup.network_interface_id == nic.network_interface_id)
    tx.insert(NicGroup, group_rows(nic.network_interface_id, groups))
    tell_hosts(tx, feed, nic.vpc_id, nic.instance_id)


def set_source_dest_check(tx: Transaction, feed: Feed, instance_id: str, check: bool) -> None:
    """Whether the instance's only interface may carry others' addresses.

    The instance is the caller's. Raises INVALID (several interfaces).
    """
    nic = _only_interface(tx, instance_id)
    tx.advance(
        _NIC,
        {"source_dest_check": check},
        _NIC.network_interface_id == nic.network_interface_id,
    )
    feed.revise(tx, INSTANCE, [instance_id])


def tell_hosts(tx: Transaction, feed: Feed, vpc_id: str | None, instance_id: str | None) -> None:
    """An interface's groups or addresses changed: its instance's host is told at once, and those of
    its VPC (whose rules may name its groups) by their next report."""
    feed.revise(tx, VPC, [vpc_id] if vpc_id else [], at_once=False)
    feed.revise(tx, INSTANCE, [instance_id] if instance_id else [])


def of_instances(instance_ids: Sequence[str]) -> Clause:
    """The condition that an interface is attached to one of these."""
    attached = Attachment.select(Attachment.device_id).where(
        Attachment.instance_id.in_(list(instance_ids)), Attachment.kind == "network_interface"
    )
    return _NIC.network_interface_id.in_(attached)


def give_back_lent(tx: Transaction, instance_ids: Sequence[str]) -> list[str]:
    """Returns addresses lent to instances that stop to the pool. One to three statements.

    Answers the instances that had one; the caller tells their hosts.
    """
    query = _NIC.select(_NIC.public_ip, Attachment.instance_id).join(
        Attachment, on=Attachment.device_id == _NIC.network_interface_id
    )
    lent = _NIC.public_ip.is_null(False), _NIC.association_id == ""
    rows = tx.tuples(query.where(Attachment.instance_id.in_(list(instance_ids)), *lent))
    if rows:
        tx.advance(_NIC, {"public_ip": None}, of_instances(instance_ids), *lent)
        pool.give_back(tx, [public_ip for public_ip, _ in rows])
    return list(dict.fromkeys(instance_id for _, instance_id in rows))


def lend_again(tx: Transaction, account_id: str, instance_ids: Sequence[str]) -> None:
    """Lends public addresses to interfaces of instances that start, where wanted and missing.

    As EC2 has it, not where an instance has several interfaces, or an elastic address on a
    secondary one. Raises NO_CAPACITY. The caller tells the hosts.
    """
    query = _NIC.select(_NIC.network_interface_id).where(
        of_instances(instance_ids),
        _NIC.auto_public,
        _NIC.public_ip.is_null(),
        may_be_lent_another(),
    )
    waiting = tx.column(query, str)
    if waiting:
        lent = zip(waiting, pool.lend(tx, account_id, len(waiting)), strict=True)
        tx.advance(
            _NIC,
            {"public_ip": Case(_NIC.network_interface_id, list(lent))},
            _NIC.network_interface_id.in_(waiting),
        )


def may_be_lent_another() -> Clause:
    """The condition under which an attached interface that wants a public address is lent a new
    one: its instance has no other, and it carries no elastic address."""
    mine, other, more = Attachment.alias("mine"), Attachment.alias("other"), SecondaryAddress
    others = (
        other.select(other.device_id)
        .join(mine, on=mine.instance_id == other.instance_id)
        .where(
            mine.device_id == _NIC.network_interface_id,
            other.kind == mine.kind,
            other.device_id != mine.device_id,
        )
    )
    elastic = more.select(more.private_ip).where(
        more.network_interface_id == _NIC.network_interface_id, more.public_ip.is_null(False)
    )
    condition: Clause = ~fn.EXISTS(others) & ~fn.EXISTS(elastic)
    return condition


def release_interfaces(tx: Transaction, instance_ids: Sequence[str]) -> Released:
    """The instances are gone from every host: their interfaces go, and what these carried; those
    that were to stay, or were on their way out already, are available again.

    The caller removes the attachments, tells the hosts and refunds. Five to seven statements.
    """
    rows = tx.rows(
        _NIC.select(*columns(GoneNic, _NIC), Attachment.delete_on_termination, Attachment.detaching)
        .join(Attachment, on=Attachment.device_id == _NIC.network_interface_id)
        .where(Attachment.instance_id.in_(list(instance_ids))),
        GoneNic,
    )
    if not rows:
        return Released([], {})
    going = [row for row in rows if row.delete_on_termination and not row.detaching]
    staying = [row for row in rows if row.detaching or not row.delete_on_termination]
    detached(tx, [row.network_interface_id for row in staying])
    remove(tx, {row.network_interface_id: row.public_ip for row in going})
    gone = Counter(row.account_id for row in going)
    return Released(sorted({row.vpc_id for row in rows}), dict(gone))


def remove(tx: Transaction, nics: Mapping[str, str | None]) -> None:
    """Interfaces (id -> public address) go for good, with memberships, addresses and tags. Elastic
    addresses stay their account's."""
    if not nics:
        return
    nic_ids = list(nics)
    tx.delete(NicGroup, NicGroup.network_interface_id.in_(nic_ids))
    tx.delete(_NIC, _NIC.network_interface_id.in_(nic_ids))
    pool.give_back(tx, [public_ip for public_ip in nics.values() if public_ip])
    tags.remove_all(tx, nic_ids)


def detached(tx: Transaction, nic_ids: Sequence[str]) -> None:
    """Gives back what was lent to detached interfaces; elastic addresses stay."""
    if not nic_ids:
        return
    named = _NIC.network_interface_id.in_(list(nic_ids))
    lent = named, _NIC.public_ip.is_null(False), _NIC.association_id == ""
    addresses = tx.column(_NIC.select(_NIC.public_ip).where(*lent), str)
    if addresses:
        tx.advance(_NIC, {"public_ip": None}, *lent)
        pool.give_back(tx, addresses)
    tx.advance(_NIC, {"auto_public": False}, named)


def _only_interface(tx: Transaction, instance_id: str) -> OneNic:
    rows = tx.rows(
        _NIC.select(_NIC.network_interface_id, _NIC.vpc_id, Attachment.instance_id)
        .join(Attachment, on=Attachment.device_id == _NIC.network_interface_id)
        .where(Attachment.instance_id == instance_id)
        .limit(2),
        OneNic,
    )
    if len(rows) > 1:
        raise several_interfaces(instance_id)
    if not rows:
        raise CloudError(
            Kind.WRONG_STATE,
            f"The instance '{instance_id}' has no network interface any more.",
            noun="instance",
            id=instance_id,
        )
    return rows[0]


def in_use(nic_id: str) -> CloudError:
    return CloudError(
        Kind.WRONG_STATE,
        f"Interface: [{nic_id}] in use.",
        noun="network-interface",
        reason="in-use",
        id=nic_id,
    )


def too_many_interfaces(count: int, type_name: str) -> CloudError:
    return CloudError(
        Kind.QUOTA,
        f"Interface count {count} exceeds the limit for {type_name}",
        noun="network-interface-attachment",
    )


def several_interfaces(instance_id: str) -> CloudError:
    return CloudError(
        Kind.INVALID,
        f"There are multiple interfaces attached to instance '{instance_id}'. Please specify an "
        "interface ID for the operation instead.",
        noun="instance",
        reason="several-interfaces",
        id=instance_id,
    )
