"""Which volumes and images this host has to do with, by all that its ledger holds.

Called by the audit, the images' cache and the snapshots' workers.
"""

from collections.abc import Iterator
from typing import Any, Protocol

from hostagent.kernel.records import Records
from hostagent.storage.volumes.disk_specs import is_here
from hostagent.storage.volumes.kind import VolumeProgress
from protos.cloud.v1 import fleet_pb2


class VolumeLedger(Protocol):
    """What is asked of the ledger in here."""

    instances: Records[fleet_pb2.InstanceSpec, Any]
    volumes: Records[fleet_pb2.VolumeSpec, VolumeProgress]


def kept_volumes(ledger: VolumeLedger) -> set[str]:
    """Volumes that are here for no instance of this host."""
    return set(ledger.volumes.all()) - {disk.volume_id for disk in _disks(ledger)}


def volumes_here(ledger: VolumeLedger) -> set[str]:
    """Volumes at home on this host, as far as anybody has said."""
    disks = {disk.volume_id for disk in _disks(ledger) if is_here(disk)}
    return disks | set(ledger.volumes.all())


def images_in_use(ledger: VolumeLedger) -> set[str]:
    """Digests that some disk on this host stands on, or is about to."""
    sources = [disk.image for disk in _disks(ledger)]
    sources += [record.spec.source for record in ledger.volumes.all().values()]
    return {source.digest for source in sources if source.digest}


def source_of(ledger: VolumeLedger, volume_id: str) -> fleet_pb2.ImageSource | None:
    """What the volume began as; None: blank, or not known."""
    record = ledger.volumes.get(volume_id)
    if record is not None and record.spec.HasField("source"):
        return record.spec.source
    for disk in _disks(ledger):
        if disk.volume_id == volume_id and disk.HasField("image"):
            return disk.image
    return None


def _disks(ledger: VolumeLedger) -> Iterator[fleet_pb2.DiskSpec]:
    for record in ledger.instances.all().values():
        yield from record.spec.disks
