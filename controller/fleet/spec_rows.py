"""Reads from the database what a host should know: four statements, whatever changed. ``host_spec``
renders it.

Called by fleet/rpc (the answer to a report) and fleet/dispatch, inside one snapshot.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from peewee import JOIN

from controller.db.prepared import among, prepared
from controller.db.schema import (
    Host,
    HostVpc,
    Instance,
    NetworkInterface,
    NicGroup,
    Placement,
    SecondaryAddress,
    SecurityGroup,
    SecurityGroupRule,
    Tag,
    Volume,
    Vpc,
)
from controller.db.session import Session
from controller.networks import spec as network_spec
from controller.networks.launch import DNS_HOSTNAMES
from controller.snapshots import spec as snapshot_spec
from controller.volumes import spec as volume_spec


@dataclass(frozen=True)
class HostRows:
    """host: its row. instances: instance and placement, a row for each volume. vpcs: VPC and
    host_vpc, a row for each subnet and route. nics: of those instances and VPCs on this host, a row
    for each group and secondary address. rules: of their groups. tags: of instances whose metadata
    shows them."""

    host: object
    base: int
    instances: Sequence = ()
    vpcs: Sequence = ()
    nics: Sequence = ()
    rules: Sequence = ()
    tags: Sequence = field(default_factory=tuple)
    dhcp: Sequence = ()  # options of sets that accounts have made
    homes: Mapping[str, str] = field(default_factory=dict)  # host id → where it serves volumes
    volumes: Sequence = ()  # at home here, in their own right
    snapshots: Sequence = ()  # of volumes at home here


def nothing_new(host) -> HostRows:
    """For a host (host_id, generation, epoch, sequence) that holds all that there is to know."""
    return HostRows(host, host.generation)


def read(session: Session, host_id: str, base: int | None) -> HostRows | None:
    """What changed for the host after ``base`` (0: everything; None: after what its row says that
    it knows).

    None where there is no such host.
    """
    rows = session.rows(
        _host_from_known(host_id=host_id)
        if base is None
        else _host_from(host_id=host_id, base=base)
    )
    if not rows:
        return None
    host = rows[0]
    base = host.known_generation if base is None else base
    if base > host.generation:  # it knows more than we do: reports.take_in makes that right
        base = 0
    if base == host.generation:
        return HostRows(host, base)
    vpcs = [row for row in rows if row.vpc_id is not None]
    # Sorted here: asked to sort, a database may prefer an index that is sorted to one that is
    # small.
    instances = sorted(
        session.rows(_instances(host_id=host_id, base=base)),
        key=lambda row: (row.instance_id, row.position or 0),
    )
    vpc_ids = {row.vpc_id for row in vpcs}
    nics = (
        session.rows(_nics(host_id=host_id, base=base, vpc_ids=sorted(vpc_ids)))
        if vpc_ids or instances
        else []
    )
    nics.sort(key=lambda row: (row.instance_id, row.device_index, row.position or 0))
    groups = {row.group_id for row in nics if row.vpc_id in vpc_ids and row.group_id}
    rules = _folded(session.tuples(_rules(group_ids=sorted(groups)))) if groups else []
    tagged = {row.instance_id for row in instances if row.metadata_tags == "enabled"}
    tags = session.rows(_tags(instance_ids=sorted(tagged))) if tagged else []
    homes = volume_spec.endpoints(session, host_id, instances)
    changed = host.volumes_generation > base
    volumes = volume_spec.read(session, host_id, base) if changed else ()
    snapshots = snapshot_spec.read(session, host_id, base) if changed else ()
    dhcp = network_spec.read_dhcp(session, vpcs)
    return HostRows(host, base, instances, vpcs, nics, rules, tags, dhcp, homes, volumes, snapshots)


class RuleRow(NamedTuple):
    """A rule of a group (rule_id None: the group has none) with the addresses of the members of
    the group that it refers to."""

    group_id: str
    group_name: str
    vpc_id: str
    rule_id: str | None
    egress: bool
    protocol: str
    from_port: int
    to_port: int
    peer_kind: str
    peer: str
    members: Sequence[str]


def _folded(rows: Sequence[tuple]) -> list[RuleRow]:
    """A group may have thousands of members, and each is a row: nothing is made of it but its
    address. Sorted here, as a database would sort the whole rows."""
    members: dict[tuple, set[str]] = {}
    for row in rows:
        members.setdefault(row[:10], set()).update(row[10:])
    return [
        RuleRow(*rule, sorted(filter(None, addresses)))
        for rule, addresses in sorted(members.items(), key=lambda item: (item[0][0], item[0][3]))
    ]


def _host_and_vpcs(host_id, base):
    changed = (HostVpc.host_id == Host.host_id) & (HostVpc.generation > base)
    query = (
        Host.select(
            Host.host_id,
            Host.endpoint,
            Host.generation,
            Host.known_generation,
            Host.volumes_generation,
            Host.epoch,
            Host.sequence,
            HostVpc.vpc_id,
            HostVpc.generation.alias("vpc_generation"),
            *network_spec.VPC_FIELDS,
        )
        .join(HostVpc, JOIN.LEFT_OUTER, on=changed)
        .join(Vpc, JOIN.LEFT_OUTER, on=Vpc.vpc_id == HostVpc.vpc_id)
    )
    return network_spec.with_routes(query).where(Host.host_id == host_id)


_host_from = prepared(_host_and_vpcs, names=("host_id", "base"))
_host_from_known = prepared(lambda host_id: _host_and_vpcs(host_id, Host.known_generation))


@prepared
def _instances(host_id, base):
    return (
        Placement.select(
            Placement.generation,
            Placement.intent_generation,
            Instance,
            *volume_spec.DISK_FIELDS,
        )
        .join(Instance, on=Instance.instance_id == Placement.instance_id)
        .join(Volume, JOIN.LEFT_OUTER, on=Volume.instance_id == Instance.instance_id)
        .where(Placement.host_id == host_id, Placement.live, Placement.generation > base)
    )


@prepared
def _nics(host_id, base, vpc_ids):
    changed = (Placement.generation > base) | among(NetworkInterface.vpc_id, vpc_ids)
    return (
        NetworkInterface.select(
            NetworkInterface.network_interface_id,
            NetworkInterface.instance_id,
            NetworkInterface.device_index,
            NetworkInterface.mac_address,
            NetworkInterface.private_ip,
            NetworkInterface.subnet_id,
            NetworkInterface.vpc_id,
            NetworkInterface.public_ip,
            NetworkInterface.source_dest_check,
            NetworkInterface.attachment_id,
            NicGroup.group_id,
            NicGroup.position,
            SecurityGroup.group_name,
            DNS_HOSTNAMES,
            SecondaryAddress.private_ip.alias("secondary_ip"),
            SecondaryAddress.position.alias("secondary_position"),
            SecondaryAddress.public_ip.alias("secondary_public_ip"),
        )
        .join(Placement, on=Placement.instance_id == NetworkInterface.instance_id)
        .join(
            NicGroup,
            JOIN.LEFT_OUTER,
            on=NicGroup.network_interface_id == NetworkInterface.network_interface_id,
        )
        .join(SecurityGroup, JOIN.LEFT_OUTER, on=SecurityGroup.group_id == NicGroup.group_id)
        .join(Vpc, on=Vpc.vpc_id == NetworkInterface.vpc_id)
        .join(
            SecondaryAddress,
            JOIN.LEFT_OUTER,
            on=SecondaryAddress.network_interface_id == NetworkInterface.network_interface_id,
        )
        .where(Placement.host_id == host_id, Placement.live, changed, ~NetworkInterface.detaching)
    )


@prepared
def _rules(group_ids):
    member, member_group = NetworkInterface.alias("member"), NicGroup.alias("member_group")
    more = SecondaryAddress.alias("more")
    return (
        SecurityGroup.select(
            SecurityGroup.group_id,
            SecurityGroup.group_name,
            SecurityGroup.vpc_id,
            SecurityGroupRule.rule_id,
            SecurityGroupRule.egress,
            SecurityGroupRule.protocol,
            SecurityGroupRule.from_port,
            SecurityGroupRule.to_port,
            SecurityGroupRule.peer_kind,
            SecurityGroupRule.peer,
            member.private_ip.alias("member_address"),
            more.private_ip.alias("other_address"),
        )
        .join(
            SecurityGroupRule,
            JOIN.LEFT_OUTER,
            on=SecurityGroupRule.group_id == SecurityGroup.group_id,
        )
        .join(
            member_group,
            JOIN.LEFT_OUTER,
            on=member_group.group_id == SecurityGroupRule.peer_group_id,
        )
        .join(
            member,
            JOIN.LEFT_OUTER,
            on=member.network_interface_id == member_group.network_interface_id,
        )
        .join(
            more,
            JOIN.LEFT_OUTER,
            on=more.network_interface_id == member_group.network_interface_id,
        )
        .where(among(SecurityGroup.group_id, group_ids))
    )


@prepared
def _tags(instance_ids):
    return Tag.select(Tag.resource_id, Tag.key, Tag.value).where(
        among(Tag.resource_id, instance_ids)
    )
