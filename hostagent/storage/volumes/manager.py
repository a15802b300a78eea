"""What may be done to a volume whether or not a guest has it open, and one thing at a time.

    volumes.make(disk) -> Disk             made where it is not here, for a domain to open
    with volumes.held(["vol-1"]):          nobody else changes its layers: while a guest opens it
    volumes.freeze("vol-1", 3)             layer 3 is frozen when this returns, with all below it
    volumes.freeze_all({"vol-1": 3, ...})  several, at one moment where one guest has them
    volumes.commit("vol-1", 3)             layers up to 3 become one; NotYet while that goes on
    volumes.grow("vol-1", size_bytes)      also under a running guest
    volumes.serve(disk, ["h-2"])           to guests on other hosts
    volumes.remove("vol-1")                DriverError while a guest has it open, or a copy reads it

Called by the steps, the instances' and the volumes' workers and the copier of snapshots. Every verb
looks before it acts: after any cut the truth is in the domain's definition (which layer the guest
writes) and in the files (what stands on what), and the same call again goes on from there.
"""

import contextlib
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path

from hostagent.kernel.errors import DriverError, NotYet
from hostagent.kernel.records import Records
from hostagent.storage.drivers import Disk, Exports, GuestDisk, Images, Layer, Volumes, VolumeUser
from hostagent.storage.volumes.disk_specs import is_here
from hostagent.storage.volumes.exports import NoExports
from hostagent.storage.volumes.kind import VolumeProgress
from protos.cloud.v1 import fleet_pb2

BUSY_RETRY_MS = 500


class VolumeManager:
    """See the module's head. One a host: its locks are all that keeps two apart."""

    def __init__(
        self,
        volumes: Volumes,
        guests: VolumeUser,
        images: Images,
        records: Records[fleet_pb2.VolumeSpec, VolumeProgress],
        exports: Exports | None = None,
        is_copied: Callable[[str], bool] = lambda volume_id: False,
    ):
        self._volumes, self._exports = volumes, exports or NoExports()
        self._guests = guests
        self._images, self._records, self._is_copied = images, records, is_copied
        self._guard = threading.Lock()
        self._held: dict[str, int] = {}  # volume -> the thread that is at it

    @contextlib.contextmanager
    def held(self, volume_ids: Iterable[str]) -> Iterator[None]:
        """Raises NotYet where another thread is at one of them (a commit may take minutes)."""
        me = threading.get_ident()
        with self._guard:
            wanted = {name for name in volume_ids if self._held.get(name) != me}
            for name in sorted(wanted & self._held.keys()):
                raise NotYet(f"{name} is being worked on", retry_ms=BUSY_RETRY_MS)
            self._held.update(dict.fromkeys(wanted, me))
        try:
            yield
        finally:
            with self._guard:
                for name in wanted:
                    del self._held[name]

    def base(self, disk: fleet_pb2.DiskSpec) -> Path | None:
        """The file that the volume stands on, or will; None: on nothing, or not here. Raises NotYet
        while it is on its way.
        """
        source = self._source(disk)
        return self._images.ensure(source) if is_here(disk) and source.digest else None

    def make(self, disk: fleet_pb2.DiskSpec) -> Disk:
        """As large as ``disk`` says at least. One that was here before is never made anew, blank.
        Raises NotYet; only for a volume that no domain has open.
        """
        if not is_here(disk):
            return _remote(disk)
        base, name = self.base(disk), disk.volume_id
        with self.held([name]):
            record = self._records.get(name)
            if record is not None and record.spec.desired == fleet_pb2.VOLUME_DELETED:
                raise DriverError(f"{name} is deleted", transient=False)
            if record is not None and record.progress.made and not self._volumes.chain(name):
                raise DriverError(f"{name}: its files are lost", transient=False)
            made = fleet_pb2.DiskSpec()
            made.CopyFrom(disk)
            made.image.CopyFrom(self._source(disk))
            return self._volumes.ensure(made, base)

    def find(self, disk: fleet_pb2.DiskSpec) -> Disk:
        """One that was made, as it is now. To be called while it is held."""
        found = self._volumes.find(disk) if is_here(disk) else _remote(disk)
        if found is None:
            raise DriverError(f"{disk.volume_id} is not on this host")
        return found

    def _source(self, disk: fleet_pb2.DiskSpec) -> fleet_pb2.ImageSource:
        record = self._records.get(disk.volume_id)
        if disk.image.digest or record is None:
            return disk.image
        return record.spec.source

    def top(self, volume_id: str) -> Layer:
        """The layer that is written, by a guest or by nobody. DriverError: not here."""
        return self._look(volume_id)[2]

    def chain(self, volume_id: str) -> list[Layer]:
        """All its layers, the lowest first; [] where it is not here."""
        return self._volumes.chain(volume_id)

    def guest(self, volume_id: str) -> str | None:
        """The guest of this host that has it open."""
        return self._guests.holder(volume_id)

    def freeze(self, volume_id: str, number: int, *, quiesce: bool = False) -> None:
        """Does nothing where ``number`` is frozen already. To be cut-proof, note ``top().number``
        first and call this with it until it returns.
        """
        self.freeze_all({volume_id: number}, quiesce=quiesce)

    def freeze_all(self, numbers: Mapping[str, int], *, quiesce: bool = False) -> None:
        """Volume -> the layer to be frozen. Those that one guest has are frozen at one moment."""
        with self.held(numbers):
            moves: dict[str, tuple[VolumeUser, dict[str, Path]]] = {}
            for volume_id, number in numbers.items():
                holder, at, top, _ = self._look(volume_id)
                if top.number > number:
                    continue
                if top.number < number:
                    raise DriverError(f"{volume_id} has no layer {number}", transient=False)
                layer = self._volumes.add_layer(volume_id, number)
                if holder is not None:
                    moves.setdefault(holder, (at, {}))[1][volume_id] = layer
            for holder, (at, layers) in moves.items():
                at.freeze_disks(holder, layers, quiesce)

    def commit(self, volume_id: str, number: int) -> None:
        """Does nothing where they are one already. Who reads a layer below ``number`` must have
        ended; the highest stays as it is.
        """
        with self.held([volume_id]):
            holder, at, top, chain = self._look(volume_id)
            frozen = [layer for layer in chain if layer.number <= min(number, top.number - 1)]
            if frozen and holder is not None:
                at.commit_disk(holder, volume_id, frozen[0].path, frozen[-1].path)
            elif len(frozen) > 1:
                self._volumes.commit(volume_id, frozen[-1].number)
            self._volumes.drop_unused(volume_id, top.number)

    def serve(self, disk: fleet_pb2.DiskSpec, host_ids: Collection[str]) -> None:
        """To guests on these hosts (docs/decisions/0207 says who else could). Raises DriverError
        while a guest here has it open.
        """
        name = disk.volume_id
        with self.held([name]):
            if not host_ids:
                self._exports.withdraw(name)
                return
            guest = self.guest(name)
            if guest is not None:
                raise DriverError(f"{name} is open in {guest}: it cannot be served as well")
            self._exports.serve(self.find(disk), host_ids)

    def grow(self, volume_id: str, size_bytes: int) -> int:
        """Answers its size, which is never smaller than it was."""
        with self.held([volume_id]):
            holder, at, top, _ = self._look(volume_id)
            if holder is None:
                self._volumes.grow(volume_id, size_bytes)
            elif top.size_bytes < size_bytes:
                # A layer that it was not moved to would stay small, and hide what it writes.
                self._volumes.drop_unused(volume_id, top.number)
                at.resize_disk(holder, volume_id, size_bytes)
            return max(top.size_bytes, size_bytes)

    def remove(self, volume_id: str) -> None:
        with self.held([volume_id]):
            holder, _ = self._holder(volume_id)
            if holder is not None:
                raise DriverError(f"{volume_id} is open in {holder}")
            if self._is_copied(volume_id):
                raise DriverError(f"a snapshot of {volume_id} is being copied")
            self._volumes.remove(volume_id)

    def _holder(self, volume_id: str) -> tuple[str | None, VolumeUser]:
        """A guest here, or the server that guests elsewhere have it from."""
        for at in (self._guests, self._exports):
            holder = at.holder(volume_id)
            if holder is not None:
                return holder, at
        return None, self._guests

    def _look(self, volume_id: str) -> tuple[str | None, VolumeUser, Layer, list[Layer]]:
        """Who has it open, the layer that is written, and the chain up to that one."""
        holder, at = self._holder(volume_id)
        chain = self._volumes.chain(volume_id)
        if not chain:
            raise DriverError(f"{volume_id} is not on this host", transient=False)
        if holder is None:
            return None, at, chain[-1], chain
        written = _held_disk(at, holder, volume_id).path
        for count, layer in enumerate(chain, 1):
            if layer.path == written:
                return holder, at, layer, chain[:count]
        raise DriverError(f"{volume_id}: {holder} writes {written}, which is not in its chain")


def _held_disk(at: VolumeUser, holder: str, volume_id: str) -> GuestDisk:
    for disk in at.disks(holder):
        if disk.volume_id == volume_id and disk.path is not None:
            return disk
    raise DriverError(f"{volume_id}: {holder} has just let go of it")


def _remote(disk: fleet_pb2.DiskSpec) -> Disk:
    """Another host has its files."""
    return Disk(
        disk.volume_id,
        disk.device_name,
        Path(),
        "raw",
        iops=disk.iops,
        throughput_mibps=disk.throughput_mibps,
        size_bytes=disk.size_bytes,
        remote=disk.remote,
        position=disk.position,
    )
