"""Interfaces in the life of their instances: read, given other groups, stopped, started, gone.

Called by compute/instances/rules and fleet inside their transactions, by describe and by addresses.

    stop        give_back_lent      what was lent at launch returns to the pool; elastic ones stay
    start       lend_again          another is lent to interfaces that want one
    terminated  release_interfaces  once nothing is left on any host: those to be deleted go, with
                                    memberships and addresses; the others are available again
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from peewee import JOIN, Case, fn

from controller.hosts.feed import Feed
from controller.hosts.guests import with_attachment, with_guest
from controller.identity.tags import rules as tags
from controller.kernel.database import Session, Transaction
from controller.kernel.owned import Owned
from controller.kernel.prepared import among, prepared
from controller.network import address_pool as pool
from controller.network.interfaces.create import group_rows
from controller.network.interfaces.launch import DNS_HOSTNAMES, resolve_groups
from controller.network.names import DnsNames
from controller.network.view import interface_message
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
        "ec2:NetworkInterfaceID": NetworkInterface.network_interface_id,
        "ec2:AvailabilityZone": NetworkInterface.availability_zone,
        "ec2:Subnet": ("subnet", NetworkInterface.subnet_id),
        "ec2:Vpc": ("vpc", NetworkInterface.vpc_id),
    },
)
INTERFACE_COLUMNS = (
    _NIC.network_interface_id,
    _NIC.account_id,
    _NIC.vpc_id,
    _NIC.subnet_id,
    _NIC.availability_zone,
    _NIC.mac_address,
    _NIC.private_ip,
    _NIC.description,
    _NIC.source_dest_check,
    Attachment.instance_id,
    Attachment.attachment_id,
    Attachment.position.alias("device_index"),
    Attachment.delete_on_termination,
    Attachment.attached_ms,
    Attachment.revision.alias("attach_revision"),
    Attachment.detaching,
    _NIC.public_ip,
    _NIC.association_id,
    PublicAddress.allocation_id,
    Placement.devices_revision,
    Assignment.observed,
    DNS_HOSTNAMES,
)


@dataclass(frozen=True)
class Released:
    """What the end of instances took with it: VPCs whose groups have lost members, and how many
    interfaces of each account."""

    vpc_ids: list[str]
    gone: dict[str, int]


def interfaces_query(*more):
    """All interfaces with the columns that ``messages`` takes."""
    query = _NIC.select(*INTERFACE_COLUMNS, *more).join(
        PublicAddress, JOIN.LEFT_OUTER, on=PublicAddress.public_ip == _NIC.public_ip
    )
    query = with_attachment(query, _NIC.network_interface_id)
    return with_guest(query, Attachment.instance_id).join(Vpc, on=Vpc.vpc_id == _NIC.vpc_id)


def messages(
    session: Session, rows: Sequence, names: DnsNames
) -> list[networks_pb2.NetworkInterface]:
    """Rows of ``interfaces_query`` as messages, with groups, tags and other addresses: three
    statements."""
    nic_ids = [row.network_interface_id for row in rows]
    groups, tagged = groups_of(session, nic_ids), tags.tags_of(session, nic_ids)
    more = secondary_of(session, nic_ids)
    return [
        interface_message(row, names, groups[nic_id], tagged[nic_id], more[nic_id])
        for nic_id, row in zip(nic_ids, rows, strict=True)
    ]


def secondary_of(session: Session, nic_ids: Sequence[str]) -> dict[str, list]:
    """The secondary addresses of many interfaces, in the order in which they came."""
    found: dict[str, list] = defaultdict(list)
    if nic_ids:
        for row in session.rows(_secondary_query(nic_ids=nic_ids)):
            found[row.network_interface_id].append(row)
    return found


@prepared
def _secondary_query(nic_ids):
    more = SecondaryAddress
    return (
        more.select(
            more.network_interface_id,
            more.private_ip,
            more.public_ip,
            more.association_id,
            PublicAddress.allocation_id,
        )
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
def _groups_query(nic_ids):
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


def replace_groups(tx: Transaction, feed: Feed, nic, group_ids: Sequence[str]) -> None:
    """Other security groups for an interface (network_interface_id, vpc_id, instance_id)."""
    if not group_ids:
        raise CloudError(
            Kind.INVALID, "You must specify at least one security group", noun="parameter"
        )
    groups = resolve_groups(tx, tx.call.account_id, nic.vpc_id, group_ids)
    tx.delete(NicGroup, NicGroup.network_interface_id == nic.network_interface_id)
    tx.insert(NicGroup, group_rows(nic.network_interface_id, groups))
    tell_hosts(tx, feed, nic)


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


def tell_hosts(tx: Transaction, feed: Feed, nic) -> None:
    """An interface's groups or addresses changed: its instance's host is told at once, and those of
    its VPC (whose rules may name its groups) by their next report."""
    feed.revise(tx, VPC, [nic.vpc_id], at_once=False)
    if nic.instance_id:
        feed.revise(tx, INSTANCE, [nic.instance_id])


def of_instances(instance_ids: Sequence[str]):
    """The condition that an interface is attached to one of these."""
    attached = Attachment.select(Attachment.device_id).where(
        Attachment.instance_id.in_(list(instance_ids)), Attachment.kind == "network_interface"
    )
    return _NIC.network_interface_id.in_(attached)


def give_back_lent(tx: Transaction, instance_ids: Sequence[str]) -> list[str]:
    """The instances stop: addresses lent to them return to the pool. One to three statements.

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
    """The instances start: their interfaces that want a public address and have none are lent one.

    As EC2 has it, not where an instance has several interfaces, or an elastic address on a
    secondary one. Raises NO_CAPACITY. The caller tells the hosts.
    """
    query = _NIC.select(_NIC.network_interface_id).where(
        of_instances(instance_ids),
        _NIC.auto_public,
        _NIC.public_ip.is_null(),
        may_be_lent_another(),
    )
    waiting = [row[0] for row in tx.tuples(query)]
    if waiting:
        lent = zip(waiting, pool.lend(tx, account_id, len(waiting)), strict=True)
        tx.advance(
            _NIC,
            {"public_ip": Case(_NIC.network_interface_id, list(lent))},
            _NIC.network_interface_id.in_(waiting),
        )


def may_be_lent_another():
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
    return ~fn.EXISTS(others) & ~fn.EXISTS(elastic)


def release_interfaces(tx: Transaction, instance_ids: Sequence[str]) -> Released:
    """The instances are gone from every host: their interfaces go, and what these carried; those
    that were to stay, or were on their way out already, are available again.

    The caller removes the attachments, tells the hosts and refunds. Five to seven statements.
    """
    rows = tx.rows(
        _NIC.select(
            _NIC.network_interface_id,
            _NIC.account_id,
            _NIC.vpc_id,
            _NIC.public_ip,
            Attachment.delete_on_termination,
            Attachment.detaching,
        )
        .join(Attachment, on=Attachment.device_id == _NIC.network_interface_id)
        .where(Attachment.instance_id.in_(list(instance_ids)))
    )
    if not rows:
        return Released([], {})
    going = [row for row in rows if row.delete_on_termination and not row.detaching]
    staying = [row for row in rows if row.detaching or not row.delete_on_termination]
    detached(tx, [row.network_interface_id for row in staying])
    remove(tx, going)
    gone = Counter(row.account_id for row in going)
    return Released(sorted({row.vpc_id for row in rows}), dict(gone))


def remove(tx: Transaction, rows: Sequence) -> None:
    """Interfaces (network_interface_id, public_ip) go for good, with memberships, addresses and
    tags. Elastic addresses stay their account's."""
    if not rows:
        return
    nic_ids = [row.network_interface_id for row in rows]
    tx.delete(NicGroup, NicGroup.network_interface_id.in_(nic_ids))
    tx.delete(_NIC, _NIC.network_interface_id.in_(nic_ids))
    pool.give_back(tx, [row.public_ip for row in rows if row.public_ip])
    tags.remove_all(tx, nic_ids)


def detached(tx: Transaction, nic_ids: Sequence[str]) -> None:
    """Interfaces are attached to nothing any more; a lent address goes back, elastic ones stay."""
    if not nic_ids:
        return
    named = _NIC.network_interface_id.in_(list(nic_ids))
    lent = named, _NIC.public_ip.is_null(False), _NIC.association_id == ""
    addresses = [row[0] for row in tx.tuples(_NIC.select(_NIC.public_ip).where(*lent))]
    if addresses:
        tx.advance(_NIC, {"public_ip": None}, *lent)
        pool.give_back(tx, addresses)
    tx.advance(_NIC, {"auto_public": False}, named)


def _only_interface(tx: Transaction, instance_id: str):
    rows = tx.rows(
        _NIC.select(_NIC.network_interface_id, _NIC.vpc_id, Attachment.instance_id)
        .join(Attachment, on=Attachment.device_id == _NIC.network_interface_id)
        .where(Attachment.instance_id == instance_id)
        .limit(2)
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
