"""Interfaces in the life of their instances: read, given other groups, stopped, started, gone.

Called by instances/rules and fleet inside their transactions, by describe and by addresses.

    stop        give_back_lent      what was lent at launch returns to the pool; elastic ones stay
    start       lend_again          another is lent to interfaces that want one
    terminated  release_interfaces  once nothing is left on any host: those to be deleted go, with
                                    memberships and addresses; the others are available again
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from peewee import JOIN, Case, fn

from controller.db.prepared import among, prepared
from controller.db.schema import (
    NetworkInterface,
    NicGroup,
    Placement,
    PublicAddress,
    SecondaryAddress,
    SecurityGroup,
    Vpc,
)
from controller.db.session import Session, Transaction
from controller.fleet.changes import Changes
from controller.networks import pool
from controller.networks.launch import DNS_HOSTNAMES, resolve_groups
from controller.networks.names import DnsNames
from controller.networks.new_interfaces import group_rows
from controller.networks.view import interface_message
from controller.tags import rules as tags
from protos.cloud.v1 import networks_pb2
from protos.errors import CloudError, Kind

_NIC = NetworkInterface
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
    _NIC.instance_id,
    _NIC.attachment_id,
    _NIC.device_index,
    _NIC.delete_on_termination,
    _NIC.attached_ms,
    _NIC.attach_generation,
    _NIC.detaching,
    _NIC.public_ip,
    _NIC.association_id,
    PublicAddress.allocation_id,
    Placement.devices_generation,
    Placement.observed,
    DNS_HOSTNAMES,
)
FREE = {
    "instance_id": None,
    "attachment_id": "",
    "device_index": 0,
    "delete_on_termination": True,
    "attached_ms": 0,
    "attach_generation": 0,
    "detaching": False,
    "busy": False,
    "failed": False,
    "attach_message": "",
    "auto_public": False,
}  # attached to nothing


@dataclass(frozen=True)
class Released:
    """What the end of instances took with it: VPCs whose groups have lost members, and how many
    interfaces of each account."""

    vpc_ids: list[str]
    gone: dict[str, int]


def interfaces_query(*more):
    """All interfaces with the columns that ``messages`` takes."""
    return (
        _NIC.select(*INTERFACE_COLUMNS, *more)
        .join(PublicAddress, JOIN.LEFT_OUTER, on=PublicAddress.public_ip == _NIC.public_ip)
        .join(
            Placement,
            JOIN.LEFT_OUTER,
            on=(Placement.instance_id == _NIC.instance_id) & Placement.live,
        )
        .join(Vpc, on=Vpc.vpc_id == _NIC.vpc_id)
    )


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


def set_groups(
    tx: Transaction, changes: Changes, instance_id: str, group_ids: Sequence[str]
) -> None:
    """Other security groups for an instance's only interface. The instance is the caller's.

    Raises INVALID (none; another VPC's; several interfaces), MALFORMED_ID, NOT_FOUND, QUOTA.
    """
    replace_groups(tx, changes, _only_interface(tx, instance_id), group_ids)


def replace_groups(tx: Transaction, changes: Changes, nic, group_ids: Sequence[str]) -> None:
    """Other security groups for an interface (network_interface_id, vpc_id, instance_id)."""
    if not group_ids:
        raise CloudError(
            Kind.INVALID, "You must specify at least one security group", noun="parameter"
        )
    groups = resolve_groups(tx, tx.call.account_id, nic.vpc_id, group_ids)
    tx.delete(NicGroup, NicGroup.network_interface_id == nic.network_interface_id)
    tx.insert(NicGroup, group_rows(nic.network_interface_id, groups))
    tell_hosts(tx, changes, nic)


def set_source_dest_check(tx: Transaction, changes: Changes, instance_id: str, check: bool) -> None:
    """Whether the instance's only interface may carry others' addresses.

    The instance is the caller's. Raises INVALID (several interfaces).
    """
    nic = _only_interface(tx, instance_id)
    tx.advance(
        _NIC,
        {"source_dest_check": check},
        _NIC.network_interface_id == nic.network_interface_id,
    )
    changes.instances(tx, [instance_id])


def tell_hosts(tx: Transaction, changes: Changes, nic) -> None:
    """An interface's groups or addresses changed: its instance's host is told at once, and those of
    its VPC (whose rules may name its groups) by their next report."""
    changes.vpc(tx, nic.vpc_id, at_once=False)
    if nic.instance_id:
        changes.instances(tx, [nic.instance_id])


def give_back_lent(tx: Transaction, instance_ids: Sequence[str]) -> list[str]:
    """The instances stop: addresses lent to them return to the pool. One to three statements.

    Answers the instances that had one; the caller moves their hosts' generations.
    """
    lent = _NIC.instance_id.in_(list(instance_ids)), _NIC.public_ip.is_null(False)
    query = _NIC.select(_NIC.public_ip, _NIC.instance_id)
    rows = tx.tuples(query.where(*lent, _NIC.association_id == ""))
    if rows:
        tx.advance(_NIC, {"public_ip": None}, *lent, _NIC.association_id == "")
        pool.give_back(tx, [public_ip for public_ip, _ in rows])
    return list(dict.fromkeys(instance_id for _, instance_id in rows))


def lend_again(tx: Transaction, account_id: str, instance_ids: Sequence[str]) -> None:
    """The instances start: their interfaces that want a public address and have none are lent one.

    As EC2 has it, not where an instance has several interfaces, or an elastic address on a
    secondary one. Raises NO_CAPACITY. The caller moves the hosts' generations.
    """
    query = _NIC.select(_NIC.network_interface_id).where(
        _NIC.instance_id.in_(list(instance_ids)),
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
    """The condition under which an interface that wants a public address is lent a new one."""
    other, more = _NIC.alias("other"), SecondaryAddress
    others = other.select(other.network_interface_id).where(
        other.instance_id == _NIC.instance_id,
        other.network_interface_id != _NIC.network_interface_id,
    )
    elastic = more.select(more.private_ip).where(
        more.network_interface_id == _NIC.network_interface_id, more.public_ip.is_null(False)
    )
    return ~fn.EXISTS(others) & ~fn.EXISTS(elastic)


def release_interfaces(tx: Transaction, instance_ids: Sequence[str]) -> Released:
    """The instances are gone from every host: their interfaces go, and what these carried; those
    that were to stay, or were on their way out already, are available again.

    The caller moves the hosts' generations and refunds. Five to seven statements.
    """
    of_instances = _NIC.instance_id.in_(list(instance_ids))
    rows = tx.rows(
        _NIC.select(
            _NIC.network_interface_id,
            _NIC.account_id,
            _NIC.vpc_id,
            _NIC.public_ip,
            _NIC.association_id,
            _NIC.delete_on_termination,
            _NIC.detaching,
        ).where(of_instances)
    )
    if not rows:
        return Released([], {})
    going = [row for row in rows if row.delete_on_termination and not row.detaching]
    let_go(tx, [row for row in rows if row.detaching or not row.delete_on_termination])
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


def let_go(tx: Transaction, rows: Sequence) -> None:
    """Interfaces (network_interface_id, public_ip, association_id) are attached to nothing any
    more; a lent address goes back, elastic ones stay."""
    if not rows:
        return
    named = _NIC.network_interface_id.in_([row.network_interface_id for row in rows])
    tx.advance(_NIC, FREE, named)
    lent = [row.public_ip for row in rows if row.public_ip and not row.association_id]
    if lent:
        tx.advance(_NIC, {"public_ip": None}, named, _NIC.association_id == "")
        pool.give_back(tx, lent)


def _only_interface(tx: Transaction, instance_id: str):
    rows = tx.rows(
        _NIC.select(_NIC.network_interface_id, _NIC.vpc_id, _NIC.instance_id)
        .where(_NIC.instance_id == instance_id)
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
