"""The fake hypervisor's disks: what its guests have, and what they do to FakeVolumes.

A part of FakeHypervisor (fake.py), by its lock, its faults and its guests. As in libvirt's driver a
guest writes the layer that it was moved to, a commit takes a while (COMMIT_LOOKS looks) in which
nothing else can be done to the disk, and one that does not listen to ACPI lets go of nothing. A
hypervisor made without volumes knows no sizes and commits nothing. A disk that another host serves
is as large as it is there (``served_bytes``); without that, as large as it is told to be.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from hostagent.compute.hypervisors.fake_guests import FakeDisk, FakeGuests, Guest
from hostagent.kernel.errors import DriverError, NotYet, Unavailable
from hostagent.storage.drivers import Disk, GuestDisk
from hostagent.storage.volumes.fake import parse_layer

COMMIT_LOOKS = 2  # at one that is under way, until it is done
COMMIT_RETRY_MS = 200


class FakeDisks(FakeGuests):
    """See the module's head."""

    def disks(self, instance_id: str) -> Sequence[GuestDisk]:
        with self._lock:
            self._maybe_fail()
            guest = self._guest(instance_id)
            if guest is None:
                return []
            return [
                _guest_disk(name, disk, name in guest.forgotten)
                for name, disk in guest.disks.items()
            ]

    def holder(self, volume_id: str) -> str | None:
        with self._lock:
            self._maybe_fail()
            for name in sorted(self.state.guests):
                guest = self._guest(name)
                if guest is not None and volume_id in guest.disks and self._lives(guest):
                    return name
            return None

    def attach_disk(self, instance_id: str, disk: Disk) -> None:
        with self._lock:
            self._maybe_fail()
            guest = self._alive(instance_id)
            self._refuse_forgotten(guest)
            if disk.volume_id not in guest.disks:
                self._give(guest, disk)
                self._plugged(guest, disk.volume_id)

    def detach_disk(self, instance_id: str, volume_id: str) -> None:
        """A guest that does not listen to ACPI does not let go either."""
        with self._lock:
            self._maybe_fail()
            guest = self._alive(instance_id)
            if volume_id in guest.disks and not guest.deaf:
                self._end_commit(volume_id, guest.disks[volume_id])
                del guest.disks[volume_id]
                self._let_go(instance_id, guest, volume_id)

    def resize_disk(self, instance_id: str, volume_id: str, size_bytes: int) -> None:
        with self._lock:
            disk = self._disk(instance_id, volume_id)
            self._end_commit(volume_id, disk)
            if not disk.path:
                size_bytes = self._size_of_served(volume_id, size_bytes)
            elif self._volumes is not None:
                self._volumes.resize(volume_id, Path(disk.path), size_bytes)
            disk.size_bytes = size_bytes
            self.state.keep()

    def tune_disk(self, instance_id: str, volume_id: str, iops: int, throughput_mibps: int) -> None:
        with self._lock:
            disk = self._disk(instance_id, volume_id)
            disk.iops, disk.throughput_mibps = iops, throughput_mibps
            self.state.keep()

    def freeze_disks(self, instance_id: str, layers: Mapping[str, Path], quiesce: bool) -> None:
        with self._lock:
            disks = {volume_id: self._disk(instance_id, volume_id) for volume_id in layers}
            for volume_id, disk in disks.items():
                layer = layers[volume_id]
                if parse_layer(layer)[1] <= parse_layer(Path(disk.path))[1]:
                    message = f"{volume_id}: {layer} is below {disk.path}"
                    raise DriverError(message, transient=False)
            for volume_id, disk in disks.items():
                self._end_commit(volume_id, disk)
            for volume_id, disk in disks.items():
                disk.path = str(layers[volume_id])
            self.state.keep()

    def commit_disk(self, instance_id: str, volume_id: str, lowest: Path, top: Path) -> None:
        with self._lock:
            disk = self._disk(instance_id, volume_id)
            if Path(disk.path) == top:
                raise DriverError(f"{volume_id}: {top} is written", transient=False)
            if self._volumes is None:
                raise DriverError("this fake has no volumes", transient=False)
            self._end_commit(volume_id, disk)
            if top != lowest and top in [layer.path for layer in self._volumes.chain(volume_id)]:
                disk.committing = [parse_layer(layer)[1] for layer in (lowest, top)]
                disk.looks = COMMIT_LOOKS
                raise NotYet(f"{volume_id}: committing", retry_ms=COMMIT_RETRY_MS)

    def _end_commit(self, volume_id: str, disk: FakeDisk) -> None:
        """Raises NotYet while one goes on, DriverError where it failed."""
        if self._volumes is None or not disk.committing:
            return
        disk.looks -= 1
        if disk.looks > 0:
            raise NotYet(f"{volume_id}: committing", retry_ms=COMMIT_RETRY_MS)
        (lowest, highest), disk.committing = disk.committing, []
        if self._happens(self.faults.commit_fails):
            raise DriverError(f"{volume_id}: its commit failed")
        self._volumes.merge(volume_id, lowest, highest)

    def _disk(self, instance_id: str, volume_id: str) -> FakeDisk:
        self._maybe_fail()
        guest = self._alive(instance_id)
        if volume_id not in guest.disks or volume_id in guest.forgotten:
            raise DriverError(f"{instance_id} does not have {volume_id}")
        return guest.disks[volume_id]

    def _plugged(self, guest: Guest, device_id: str) -> None:
        """By a daemon that may die of it."""
        forgets = self._happens(self.faults.forgets)
        if forgets:
            guest.forgotten.append(device_id)
        self.state.keep()
        if forgets:
            raise Unavailable(f"{device_id}: the daemon died as it was plugged in")

    @staticmethod
    def _refuse_forgotten(guest: Guest) -> None:
        if guest.forgotten:
            raise NotYet(f"{guest.forgotten}: the guest has not let go of it yet")

    def _let_go(self, instance_id: str, guest: Guest, device_id: str) -> None:
        if device_id in guest.forgotten:
            guest.forgotten.remove(device_id)
        self._changed(instance_id)

    def _size_of_served(self, volume_id: str, wanted_bytes: int) -> int:
        """QEMU sees the new size when it connects anew; until then it refuses to grow."""
        if self._served_bytes is None:
            return wanted_bytes
        served_bytes = self._served_bytes(volume_id)
        if served_bytes < wanted_bytes:
            raise DriverError(f"{volume_id}: what serves it has {served_bytes} bytes of it")
        return served_bytes

    def _give(self, guest: Guest, disk: Disk) -> None:
        size_bytes = disk.size_bytes
        if disk.remote is not None and self._served_bytes is not None:
            size_bytes = self._served_bytes(disk.volume_id)
        path = "" if disk.remote is not None else str(disk.path)
        guest.disks[disk.volume_id] = FakeDisk(path, size_bytes, disk.iops, disk.throughput_mibps)


def _guest_disk(volume_id: str, disk: FakeDisk, forgotten: bool) -> GuestDisk:
    return GuestDisk(
        volume_id,
        Path(disk.path) if disk.path else None,
        disk.size_bytes,
        disk.iops,
        disk.throughput_mibps,
        forgotten,
    )
