"""Rows → HostSpec. Pure: no database, no clock; the same rows give the same bytes.

Called with what ``spec_rows.read`` found. Where a list's order means nothing it follows the rows'
order, which is sorted, so that specs of one state compare equal.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby

from controller.networks import spec as network_spec
from controller.networks.names import DnsNames
from controller.snapshots import spec as snapshot_spec
from controller.volumes import spec as volume_spec
from protos.cloud.v1 import fleet_pb2, instances_pb2

DESIRED = {
    "running": fleet_pb2.RUNNING,
    "stopped": fleet_pb2.STOPPED,
    "terminated": fleet_pb2.TERMINATED,
}


@dataclass(frozen=True)
class Surroundings:
    """What every spec says alike: settings for hosts, and names that depend on the region."""

    settings: fleet_pb2.HostSettings
    names: DnsNames = field(default_factory=DnsNames)
    zone_ids: Mapping[str, str] = field(default_factory=dict)


def render(rows, around: Surroundings) -> fleet_pb2.HostSpec:
    """What ``spec_rows.HostRows`` say."""
    host = rows.host
    nics: dict[str, list] = {}
    for row in rows.nics:
        nics.setdefault(row.instance_id, []).append(row)
    tags: dict[str, dict[str, str]] = {}
    for row in rows.tags:
        tags.setdefault(row.resource_id, {})[row.key] = row.value
    return fleet_pb2.HostSpec(
        host_id=host.host_id,
        generation=host.generation,
        base=rows.base,
        acknowledged_epoch=host.epoch,
        acknowledged_sequence=host.sequence,
        settings=around.settings,
        instances=[
            _instance(list(group), nics.get(name, []), tags.get(name, {}), around, rows)
            for name, group in groupby(rows.instances, key=lambda row: row.instance_id)
        ],
        vpcs=[
            _vpc(list(group), [row for row in rows.nics if row.vpc_id == vpc_id], around, rows)
            for vpc_id, group in groupby(rows.vpcs, key=lambda row: row.vpc_id)
        ],
        volumes=map(volume_spec.render, rows.volumes),
        snapshots=map(snapshot_spec.render, rows.snapshots),
    )


def _instance(
    disks: list, nics: list, tags: dict, around: Surroundings, rows
) -> fleet_pb2.InstanceSpec:
    """disks: a row for each volume, those on their way out among them."""
    row = disks[0]
    return fleet_pb2.InstanceSpec(
        instance_id=row.instance_id,
        generation=row.generation,
        desired=DESIRED[row.desired],
        intent_generation=row.intent_generation,
        force_stop=row.force_stop,
        starts=row.starts,
        reboots=row.reboots,
        account_id=row.account_id,
        instance_type=row.instance_type,
        vcpus=row.vcpus,
        memory_mib=row.memory_mib,
        architecture=row.architecture,
        disks=[
            volume_spec.disk(disk, rows.host.host_id, rows.homes)
            for disk in disks
            if disk.volume_id is not None and not disk.detaching
        ],
        forced_device_ids=[disk.volume_id for disk in disks if disk.detaching and disk.forced],
        nics=[_nic(list(group)) for _, group in groupby(nics, lambda n: n.network_interface_id)],
        metadata=_metadata(row, nics, tags, around),
    )


def _nic(groups: list) -> fleet_pb2.NicSpec:
    row = groups[0]
    return fleet_pb2.NicSpec(
        network_interface_id=row.network_interface_id,
        device_index=row.device_index,
        mac_address=row.mac_address,
        private_ip_address=row.private_ip,
        subnet_id=row.subnet_id,
        vpc_id=row.vpc_id,
        security_group_ids=_each(group.group_id for group in groups),
        public_ip_address=row.public_ip or "",
        source_dest_check=row.source_dest_check,
        attachment_id=row.attachment_id,
        secondary_private_ip_addresses=_each(
            row.secondary_ip for row in sorted(groups, key=lambda row: row.secondary_position or 0)
        ),
    )


def _each(values: Iterable) -> list:
    """Each once, in their order; a join repeats them, and says None for none."""
    return list(dict.fromkeys(value for value in values if value))


def _metadata(row, nics: list, tags: dict, around: Surroundings) -> fleet_pb2.InstanceMetadata:
    primary = nics[0] if nics else None
    return fleet_pb2.InstanceMetadata(
        image_id=row.image_id,
        reservation_id=row.reservation_id,
        ami_launch_index=row.ami_launch_index,
        key_name=row.key_name,
        public_key=row.public_key,
        user_data=bytes(row.user_data),
        availability_zone=row.availability_zone,
        availability_zone_id=around.zone_ids.get(row.availability_zone, ""),
        private_dns_name=around.names.private(primary.private_ip) if primary else "",
        public_dns_name=around.names.public(primary.public_ip or "", primary.dns_hostnames)
        if primary
        else "",
        security_group_names=_each(
            nic.group_name
            for nic in nics
            if nic.network_interface_id == primary.network_interface_id
        ),
        options=instances_pb2.MetadataOptions(
            http_endpoint=row.metadata_http_endpoint,
            http_tokens=row.metadata_http_tokens,
            http_put_response_hop_limit=row.metadata_hop_limit,
            instance_metadata_tags=row.metadata_tags,
            http_protocol_ipv6=row.metadata_ipv6,
        ),
        tags=tags,
        launch_time_ms=row.launched_ms,
        monitoring=row.monitoring,
    )


def _vpc(routes: list, nics: list, around: Surroundings, rows) -> fleet_pb2.VpcSpec:
    """routes: a row for each subnet and route."""
    row = routes[0]
    named = any(nic.dns_hostnames for nic in nics)  # all rows say the same: it is the VPC's
    public = {nic.public_ip: nic.private_ip for nic in nics if nic.public_ip}
    public |= {nic.secondary_public_ip: nic.secondary_ip for nic in nics if nic.secondary_public_ip}
    return fleet_pb2.VpcSpec(
        vpc_id=row.vpc_id,
        generation=row.vpc_generation,
        account_id=row.account_id,
        cidr_blocks=[row.vpc_cidr_block],
        subnets=network_spec.subnets(routes),
        dns_disabled=not row.enable_dns_support,
        dhcp_options=network_spec.dhcp(row, rows.dhcp),
        security_groups=_groups([rule for rule in rows.rules if rule.vpc_id == row.vpc_id]),
        public_addresses=[
            fleet_pb2.PublicAddress(
                public_ip=public_ip,
                private_ip=private_ip,
                dns_name=around.names.public(public_ip, named),
            )
            for public_ip, private_ip in sorted(public.items())
        ],
    )


def _groups(rows: list) -> list[fleet_pb2.SecurityGroupSpec]:
    """The groups with their rules, and the groups that rules refer to with their members'
    addresses."""
    groups: dict[str, fleet_pb2.SecurityGroupSpec] = {}
    members: dict[str, dict[str, None]] = {}
    for row in rows:
        spec = groups.setdefault(row.group_id, fleet_pb2.SecurityGroupSpec(group_id=row.group_id))
        spec.group_name = row.group_name
        if row.rule_id is None:
            continue
        spec.rules.append(_rule(row))
        if row.peer_kind == "group":
            members.setdefault(row.peer, {}).update(dict.fromkeys(row.members))
    for group_id, addresses in members.items():
        spec = groups.setdefault(group_id, fleet_pb2.SecurityGroupSpec(group_id=group_id))
        spec.member_addresses.extend(addresses)
    return list(groups.values())


def _rule(row) -> fleet_pb2.RuleSpec:
    rule = fleet_pb2.RuleSpec(
        egress=row.egress, protocol=row.protocol, from_port=row.from_port, to_port=row.to_port
    )
    if row.peer_kind == "cidr_ipv4":
        rule.cidr_ipv4 = row.peer
    elif row.peer_kind == "cidr_ipv6":
        rule.cidr_ipv6 = row.peer
    else:
        rule.group_id = row.peer
    return rule
