"""What hosts are told of volumes: their VolumeSpec, and their DiskSpec in an instance's.

``render`` is registered as the kind's renderer; compute/instances/spec calls the rest. Who deletes
a disk's file is said in one place only: ``delete_on_termination`` tells a host to do it with the
instance, where the host knows the volume by that instance alone; any other is deleted by its
VolumeSpec.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

from controller.hosts.kinds import Reading
from controller.kernel.database import Session
from controller.kernel.prepared import among, prepared
from controller.kernel.table import Select
from controller.kernel.units import GIB
from controller.tables.compute import Attachment
from controller.tables.hosts import Host
from controller.tables.nouns import VOLUME
from controller.tables.storage import Volume
from protos.cloud.v1 import fleet_pb2

# Of an instance's disks, beside the instance (compute/instances/spec).
DISK_FIELDS = (
    Volume.volume_id,
    Attachment.position,
    Attachment.device_name,
    Volume.size_gib,
    Volume.iops,
    Volume.throughput_mibps,
    Attachment.delete_on_termination,
    Attachment.detaching,
    Attachment.forced,
    Attachment.revision.alias("attach_revision"),
    Volume.revision.alias("volume_revision"),
    Volume.host_id.alias("home_host_id"),
    Volume.image_id.alias("source_image_id"),
    Volume.digest,
    Volume.disk_format,
    Volume.image_size_bytes,
    Volume.image_virtual_size_bytes,
)


class Begins(Protocol):
    """What a volume began as."""

    @property
    def source_image_id(self) -> str: ...
    @property
    def digest(self) -> str | None: ...
    @property
    def disk_format(self) -> str: ...
    @property
    def image_size_bytes(self) -> int: ...
    @property
    def image_virtual_size_bytes(self) -> int: ...


class VolumeRow(NamedTuple):
    volume_id: str
    revision: int
    desired: str
    size_gib: int
    served_to: str
    source_image_id: str
    digest: str | None
    disk_format: str
    image_size_bytes: int
    image_virtual_size_bytes: int


class DiskRow(NamedTuple):
    """A disk of an instance: DISK_FIELDS."""

    volume_id: str
    position: int
    device_name: str
    size_gib: int
    iops: int
    throughput_mibps: int
    delete_on_termination: bool
    detaching: bool
    forced: bool
    attach_revision: int
    volume_revision: int
    home_host_id: str
    source_image_id: str
    digest: str | None
    disk_format: str
    image_size_bytes: int
    image_virtual_size_bytes: int


def render(reading: Reading) -> Iterable[fleet_pb2.Assignment]:
    """The specs of volumes at home on the host."""
    rows = reading.session.rows(_query(ids=reading.ids(VOLUME)), VolumeRow)
    found = {row.volume_id: row for row in rows}
    for one in reading.assigned[VOLUME.kind]:
        if row := found.get(one.resource_id):
            yield one.message(row.revision, fleet_pb2.Assignment(volume=_spec(row)))


@prepared
def _query(ids: Sequence[str]) -> Select:
    return Volume.select(
        Volume.volume_id,
        Volume.revision,
        Volume.desired,
        Volume.size_gib,
        Volume.served_to,
        Volume.image_id.alias("source_image_id"),
        Volume.digest,
        Volume.disk_format,
        Volume.image_size_bytes,
        Volume.image_virtual_size_bytes,
    ).where(among(Volume.volume_id, ids))


def endpoints(session: Session, host_id: str, disks: Iterable[DiskRow]) -> Mapping[str, str]:
    """Where the homes of those disks serve them that are not at home on this host: no statement
    where all are."""
    elsewhere = {row.home_host_id for row in disks} - {host_id}
    if not elsewhere:
        return {}
    homes = Host.select(Host.host_id, Host.volume_endpoint)
    return dict(session.tuples(homes.where(Host.host_id.in_(sorted(elsewhere)))))


def _spec(row: VolumeRow) -> fleet_pb2.VolumeSpec:
    deleted = row.desired == "deleted"
    spec = fleet_pb2.VolumeSpec(
        volume_id=row.volume_id,
        desired=fleet_pb2.VOLUME_DELETED if deleted else fleet_pb2.VOLUME_PRESENT,
        size_bytes=row.size_gib * GIB,
        served_to_host_ids=[row.served_to] if row.served_to else [],
    )
    _add_source(spec.source, row)
    return spec


def disk(row: DiskRow, host_id: str, homes: Mapping[str, str]) -> fleet_pb2.DiskSpec:
    """A disk of an instance on this host; homes: what ``endpoints`` found."""
    known_by_it_alone = not row.volume_revision and not row.attach_revision
    spec = fleet_pb2.DiskSpec(
        volume_id=row.volume_id,
        device_name=row.device_name,
        size_bytes=row.size_gib * GIB,
        delete_on_termination=row.delete_on_termination and known_by_it_alone,
        iops=row.iops,
        throughput_mibps=row.throughput_mibps,
        position=row.position,
    )
    _add_source(spec.image, row)
    if row.home_host_id != host_id:
        address, _, port = homes.get(row.home_host_id, "").rpartition(":")
        spec.remote.host_id = row.home_host_id
        spec.remote.host = address.strip("[]")
        spec.remote.port = int(port or 0)
        spec.remote.export_name = row.volume_id
    return spec


def _add_source(source: fleet_pb2.ImageSource, row: Begins) -> None:
    if row.digest:
        source.image_id = row.source_image_id
        source.digest = row.digest
        source.disk_format = row.disk_format
        source.size_bytes = row.image_size_bytes
        source.virtual_size_bytes = row.image_virtual_size_bytes
