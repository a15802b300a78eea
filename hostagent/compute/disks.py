"""The disks of one running guest: a part of ``devices``.

wanted, not there    made where it is not here yet, attached
there, not wanted    the guest is asked to let go; the volume stays
both                 grown and limited as the spec says
"""

from collections.abc import Mapping

from hostagent.compute.devices import DevicePart
from hostagent.storage.drivers import GuestDisk
from hostagent.storage.volumes.disk_specs import is_here
from protos.cloud.v1 import fleet_pb2


class DiskPart(DevicePart[GuestDisk, fleet_pb2.DiskSpec]):
    """devices.Part, for disks."""

    def _tries(self, device: fleet_pb2.DiskSpec) -> int:
        """What serves one from another host may be starting again."""
        return super()._tries(device) if is_here(device) else self._limits.served_attempts

    def _there(self, instance_id: str) -> Mapping[str, GuestDisk]:
        return {disk.volume_id: disk for disk in self._on.hypervisor.disks(instance_id)}

    def _wanted(self, spec: fleet_pb2.InstanceSpec) -> Mapping[str, fleet_pb2.DiskSpec]:
        return {disk.volume_id: disk for disk in spec.disks}

    def _ask(self, instance_id: str, name: str) -> None:
        self._on.hypervisor.detach_disk(instance_id, name)

    def _give(self, instance_id: str, disk: fleet_pb2.DiskSpec, have: GuestDisk | None) -> None:
        hypervisor, manager, name = self._on.hypervisor, self._on.manager, disk.volume_id
        if have is None:
            with manager.held([name]):
                hypervisor.attach_disk(instance_id, manager.make(disk))
            return
        if have.size_bytes < disk.size_bytes:
            if is_here(disk):
                manager.grow(name, disk.size_bytes)
            else:
                hypervisor.resize_disk(instance_id, name, disk.size_bytes)
        if (have.iops, have.throughput_mibps) != (disk.iops, disk.throughput_mibps):
            hypervisor.tune_disk(instance_id, name, disk.iops, disk.throughput_mibps)
