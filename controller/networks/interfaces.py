"""Interfaces in the life of their instances: read, given other groups, stopped, started, gone.

Called by instances/rules and fleet inside their transactions, by describe and by addresses.

    stop        give_back_lent      what was lent at launch returns to the pool; elastic ones stay
    start       lend_again          another is lent to interfaces that want one
    terminated  release_interfaces  once nothing is left on any host: rows, memberships, addresses
"""

from collections import defaultdict
from collections.abc import Sequence

from peewee import JOIN, Case

from controller.db.prepared import among, prepared
from controller.db.schema import NetworkInterface, NicGroup, PublicAddress, SecurityGroup
from controller.db.session import Session, Transaction
from controller.fleet.changes import Changes
from controller.networks import pool
from controller.networks.launch import resolve_groups
from controller.networks.names import DnsNames
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
    _NIC.public_ip,
    _NIC.association_id,
    PublicAddress.allocation_id,
)


def interfaces_query():
    """All interfaces with the columns that ``messages`` takes."""
    return _NIC.select(*INTERFACE_COLUMNS).join(
        PublicAddress, JOIN.LEFT_OUTER, on=PublicAddress.public_ip == _NIC.public_ip
    )


def interfaces_of(
    session: Session, instance_ids: Sequence[str], names: DnsNames
) -> dict[str, list[networks_pb2.NetworkInterface]]:
    """The interfaces of many instances, by instance, the first one first: three statements."""
    found: dict[str, list[networks_pb2.NetworkInterface]] = defaultdict(list)
    if instance_ids:
        query = interfaces_query().where(_NIC.instance_id.in_(list(instance_ids)))
        rows = session.rows(query.order_by(_NIC.instance_id, _NIC.device_index))
        for row, message in zip(rows, messages(session, rows, names), strict=True):
            found[row.instance_id].append(message)
    return found


def messages(
    session: Session, rows: Sequence, names: DnsNames
) -> list[networks_pb2.NetworkInterface]:
    """Rows of ``interfaces_query`` as messages, with their groups and tags: two statements."""
    nic_ids = [row.network_interface_id for row in rows]
    groups, tagged = groups_of(session, nic_ids), tags.tags_of(session, nic_ids)
    return [
        interface_message(
            row, names, groups[row.network_interface_id], tagged[row.network_interface_id]
        )
        for row in rows
    ]


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

    Raises INVALID (none; another VPC's), MALFORMED_ID, NOT_FOUND, QUOTA.
    """
    if not group_ids:
        raise CloudError(
            Kind.INVALID, "You must specify at least one security group", noun="parameter"
        )
    nic = _first_interface(tx, instance_id)
    groups = resolve_groups(tx, tx.call.account_id, nic.vpc_id, group_ids)
    tx.delete(NicGroup, NicGroup.network_interface_id == nic.network_interface_id)
    tx.insert(
        NicGroup,
        [
            {
                "network_interface_id": nic.network_interface_id,
                "group_id": group_id,
                "position": position,
            }
            for position, group_id in enumerate(groups)
        ],
    )
    changes.instances(tx, [instance_id])
    changes.vpc(tx, nic.vpc_id, at_once=False)


def set_source_dest_check(tx: Transaction, changes: Changes, instance_id: str, check: bool) -> None:
    """Whether the instance's only interface may carry others' addresses.

    The instance is the caller's.
    """
    nic = _first_interface(tx, instance_id)
    tx.advance(
        _NIC,
        {"source_dest_check": check},
        _NIC.network_interface_id == nic.network_interface_id,
    )
    changes.instances(tx, [instance_id])


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

    Raises NO_CAPACITY. The caller moves the hosts' generations.
    """
    query = _NIC.select(_NIC.network_interface_id).where(
        _NIC.instance_id.in_(list(instance_ids)), _NIC.auto_public, _NIC.public_ip.is_null()
    )
    waiting = [row[0] for row in tx.tuples(query)]
    if waiting:
        lent = zip(waiting, pool.lend(tx, account_id, len(waiting)), strict=True)
        tx.advance(
            _NIC,
            {"public_ip": Case(_NIC.network_interface_id, list(lent))},
            _NIC.network_interface_id.in_(waiting),
        )


def release_interfaces(tx: Transaction, instance_ids: Sequence[str]) -> list[str]:
    """The instances are gone from every host: their interfaces go, and what these carried.

    Answers the VPCs whose groups have lost members; the caller moves their hosts' generations.
    Five statements.
    """
    of_instances = _NIC.instance_id.in_(list(instance_ids))
    rows = tx.rows(
        _NIC.select(_NIC.network_interface_id, _NIC.vpc_id, _NIC.public_ip).where(of_instances)
    )
    if not rows:
        return []
    nic_ids = [row.network_interface_id for row in rows]
    tx.delete(NicGroup, NicGroup.network_interface_id.in_(nic_ids))
    tx.delete(_NIC, _NIC.network_interface_id.in_(nic_ids))
    pool.give_back(tx, [row.public_ip for row in rows if row.public_ip])
    tags.remove_all(tx, nic_ids)
    return sorted({row.vpc_id for row in rows})


def _first_interface(tx: Transaction, instance_id: str):
    nic = tx.one(
        _NIC.select(_NIC.network_interface_id, _NIC.vpc_id)
        .where(_NIC.instance_id == instance_id)
        .order_by(_NIC.device_index)
    )
    if nic is None:
        raise CloudError(
            Kind.WRONG_STATE,
            f"The instance '{instance_id}' has no network interface any more.",
            noun="instance",
            id=instance_id,
        )
    return nic
