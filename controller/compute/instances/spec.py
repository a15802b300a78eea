"""What a host should know of instances; registered as the kind's renderer.

Two statements (one of them shared with their VPCs), and one each where their metadata shows tags or
their volumes are on other hosts. Where a list's order means nothing it follows the rows' order,
which is sorted, so that specs of one state compare equal.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from peewee import JOIN

from controller.hosts.kinds import Reading
from controller.kernel.prepared import among, prepared
from controller.kernel.rows import columns
from controller.kernel.table import Select
from controller.network.names import DnsNames
from controller.network.spec import NicRow, interfaces
from controller.storage.volumes import spec as volumes
from controller.storage.volumes.spec import DiskRow
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


class InstanceRow(NamedTuple):
    """An instance with one of its disks (storage/volumes/spec.DiskRow), or None."""

    instance_id: str
    revision: int
    account_id: str
    desired: str
    intent_revision: int
    force_stop: bool
    starts: int
    reboots: int
    instance_type: str
    vcpus: int
    memory_mib: int
    architecture: str
    image_id: str
    reservation_id: str
    ami_launch_index: int
    key_name: str
    public_key: str
    user_data: bytes
    availability_zone: str
    launched_ms: int
    monitoring: bool
    metadata_http_endpoint: str
    metadata_http_tokens: str
    metadata_hop_limit: int
    metadata_tags: str
    metadata_ipv6: str
    volume_id: str | None
    position: int | None
    device_name: str | None
    size_gib: int | None
    iops: int | None
    throughput_mibps: int | None
    delete_on_termination: bool | None
    detaching: bool | None
    forced: bool | None
    attach_revision: int | None
    volume_revision: int | None
    home_host_id: str | None
    source_image_id: str | None
    digest: str | None
    disk_format: str | None
    image_size_bytes: int | None
    image_virtual_size_bytes: int | None


class TagRow(NamedTuple):
    resource_id: str
    key: str
    value: str


class InstanceSpecs:
    """zone_ids: the id of each zone by its name; both are part of guests' metadata."""

    def __init__(self, names: DnsNames, zone_ids: Mapping[str, str]):
        self._names, self._zone_ids = names, zone_ids

    def render(self, reading: Reading) -> Iterable[fleet_pb2.Assignment]:
        """The specs of instances of the host."""
        session, ids = reading.session, set(reading.ids(INSTANCE))
        rows = sorted(
            session.rows(_instances(ids=sorted(ids)), InstanceRow),
            key=lambda row: (row.instance_id, row.position or 0),
        )
        found = {row.instance_id: row for row in rows}
        disks: dict[str, list[DiskRow]] = {}
        for row in rows:
            if row.volume_id is not None:
                disks.setdefault(row.instance_id, []).append(_disk(row))
        nics: dict[str, list[NicRow]] = {}
        for nic in sorted(
            interfaces(reading), key=lambda nic: (nic.device_index, nic.position or 0)
        ):
            nics.setdefault(nic.instance_id, []).append(nic)
        tagged = sorted({row.instance_id for row in rows if row.metadata_tags == "enabled"})
        tags: dict[str, dict[str, str]] = {}
        for tag in session.rows(_tags(ids=tagged), TagRow) if tagged else ():
            tags.setdefault(tag.resource_id, {})[tag.key] = tag.value
        all_disks = [disk for own in disks.values() for disk in own]
        homes = volumes.endpoints(session, reading.host_id, all_disks)
        for one in reading.assigned[INSTANCE.kind]:
            name = one.resource_id
            if instance := found.get(name):
                spec = self._spec(instance, nics.get(name, []), tags.get(name, {}))
                own = disks.get(name, [])
                spec.disks.extend(
                    volumes.disk(disk, reading.host_id, homes) for disk in own if not disk.detaching
                )
                forced = [disk.volume_id for disk in own if disk.detaching and disk.forced]
                spec.forced_device_ids.extend(forced)
                yield one.message(instance.revision, fleet_pb2.Assignment(instance=spec))

    def _spec(
        self, row: InstanceRow, nics: Sequence[NicRow], tags: Mapping[str, str]
    ) -> fleet_pb2.InstanceSpec:
        """Without its disks."""
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
            nics=[
                _nic(list(group)) for _, group in groupby(nics, lambda n: n.network_interface_id)
            ],
            metadata=self._metadata(row, nics, tags),
        )

    def _metadata(
        self, row: InstanceRow, nics: Sequence[NicRow], tags: Mapping[str, str]
    ) -> fleet_pb2.InstanceMetadata:
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
                if nic.network_interface_id == nics[0].network_interface_id
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


def _disk(row: InstanceRow) -> DiskRow:
    return DiskRow._make(row[-len(DiskRow._fields) :])


def _nic(groups: Sequence[NicRow]) -> fleet_pb2.NicSpec:
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


def _each(values: Iterable[str | None]) -> list[str]:
    """Each once, in their order; a join repeats them, and says None for none."""
    return list(dict.fromkeys(value for value in values if value))


@prepared
def _instances(ids: Sequence[str]) -> Select:
    has_disk = (Attachment.instance_id == Instance.instance_id) & (Attachment.kind == "volume")
    return (
        Instance.select(*columns(InstanceRow, Instance), *volumes.DISK_FIELDS)
        .join(Attachment, JOIN.LEFT_OUTER, on=has_disk)
        .join(Volume, JOIN.LEFT_OUTER, on=Volume.volume_id == Attachment.device_id)
        .where(among(Instance.instance_id, ids))
    )


@prepared
def _tags(ids: Sequence[str]) -> Select:
    return Tag.select(*columns(TagRow, Tag)).where(among(Tag.resource_id, ids))
