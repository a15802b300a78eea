"""What a host should know of instances; registered as the kind's renderer.

Two statements (one of them shared with their VPCs), and one each where their metadata shows tags or
their volumes are on other hosts. Where a list's order means nothing it follows the rows' order,
which is sorted, so that specs of one state compare equal.
"""

from collections.abc import Iterable, Mapping
from itertools import groupby

from peewee import JOIN

from controller.hosts.kinds import Reading
from controller.kernel.prepared import among, prepared
from controller.network.names import DnsNames
from controller.network.spec import interfaces
from controller.storage.volumes import spec as volumes
from controller.tables.compute import Attachment, Instance
from controller.tables.identity import Tag
from controller.tables.nouns import INSTANCE
from controller.tables.storage import Volume
from protos.cloud.v1 import fleet_pb2, instances_pb2

DESIRED = {
    "running": fleet_pb2.RUNNING,
    "stopped": fleet_pb2.STOPPED,
    "terminated": fleet_pb2.TERMINATED,
}


class InstanceSpecs:
    """zone_ids: the id of each zone by its name; both are part of guests' metadata."""

    def __init__(self, names: DnsNames, zone_ids: Mapping[str, str]):
        self._names, self._zone_ids = names, zone_ids

    def render(self, reading: Reading) -> Iterable[fleet_pb2.Assignment]:
        """The specs of instances of the host."""
        session, ids = reading.session, set(reading.ids(INSTANCE))
        rows = sorted(
            session.rows(_instances(ids=sorted(ids))),
            key=lambda row: (row.instance_id, row.position or 0),
        )
        disks = {name: list(group) for name, group in groupby(rows, lambda row: row.instance_id)}
        nics: dict[str, list] = {}
        for row in sorted(
            interfaces(reading), key=lambda row: (row.device_index, row.position or 0)
        ):
            nics.setdefault(row.instance_id, []).append(row)
        tagged = sorted({row.instance_id for row in rows if row.metadata_tags == "enabled"})
        tags: dict[str, dict[str, str]] = {}
        for row in session.rows(_tags(ids=tagged)) if tagged else ():
            tags.setdefault(row.resource_id, {})[row.key] = row.value
        homes = volumes.endpoints(session, reading.host_id, rows)
        for one in reading.assigned[INSTANCE.kind]:
            name = one.resource_id
            if own := disks.get(name):
                spec = self._spec(
                    own, nics.get(name, []), tags.get(name, {}), reading.host_id, homes
                )
                yield one.message(own[0].revision, instance=spec)

    def _spec(
        self, disks: list, nics: list, tags: dict, host_id: str, homes: Mapping[str, str]
    ) -> fleet_pb2.InstanceSpec:
        """disks: a row for each volume, those on their way out among them."""
        row = disks[0]
        return fleet_pb2.InstanceSpec(
            instance_id=row.instance_id,
            desired=DESIRED[row.desired],
            intent_revision=row.intent_revision,
            force_stop=row.force_stop,
            starts=row.starts,
            reboots=row.reboots,
            account_id=row.account_id,
            instance_type=row.instance_type,
            vcpus=row.vcpus,
            memory_mib=row.memory_mib,
            architecture=row.architecture,
            disks=[
                volumes.disk(disk, host_id, homes)
                for disk in disks
                if disk.volume_id is not None and not disk.detaching
            ],
            forced_device_ids=[disk.volume_id for disk in disks if disk.detaching and disk.forced],
            nics=[
                _nic(list(group)) for _, group in groupby(nics, lambda n: n.network_interface_id)
            ],
            metadata=self._metadata(row, nics, tags),
        )

    def _metadata(self, row, nics: list, tags: dict) -> fleet_pb2.InstanceMetadata:
        primary = nics[0] if nics else None
        return fleet_pb2.InstanceMetadata(
            image_id=row.image_id,
            reservation_id=row.reservation_id,
            ami_launch_index=row.ami_launch_index,
            key_name=row.key_name,
            public_key=row.public_key,
            user_data=bytes(row.user_data),
            availability_zone=row.availability_zone,
            availability_zone_id=self._zone_ids.get(row.availability_zone, ""),
            private_dns_name=self._names.private(primary.private_ip) if primary else "",
            public_dns_name=self._names.public(primary.public_ip or "", primary.dns_hostnames)
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


@prepared
def _instances(ids):
    has_disk = (Attachment.instance_id == Instance.instance_id) & (Attachment.kind == "volume")
    return (
        Instance.select(Instance, *volumes.DISK_FIELDS)
        .join(Attachment, JOIN.LEFT_OUTER, on=has_disk)
        .join(Volume, JOIN.LEFT_OUTER, on=Volume.volume_id == Attachment.device_id)
        .where(among(Instance.instance_id, ids))
    )


@prepared
def _tags(ids):
    return Tag.select(Tag.resource_id, Tag.key, Tag.value).where(among(Tag.resource_id, ids))
