"""What this district needs of the host, as Protocols: the images' cache, volumes, and what has
volumes open. Real and fake drivers stand behind the same ones.

Every ``ensure_*`` looks before it acts and may be called again at any time, also after a crash in
its middle. Every ``remove_*`` succeeds where there is nothing to remove. All raise ``DriverError``.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from protos.cloud.v1 import fleet_pb2

READ_MOST_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Disk:
    """A disk as the hypervisor gets it. ``device_name`` is EC2's; ``position``, among the disks of
    its instance, decides the guest's name.
    """

    volume_id: str
    device_name: str
    path: Path  # the layer that is written
    disk_format: str  # qcow2 | raw
    backing: Path | None = None  # what the lowest layer stands on
    backing_format: str = ""
    frozen: tuple[Path, ...] = ()  # qcow2 layers between path and backing, the highest first
    iops: int = 0  # limits; 0: none
    throughput_mibps: int = 0
    size_bytes: int = 0
    remote: fleet_pb2.RemoteDisk | None = None  # served by another host: path is of no use
    position: int = 0


@dataclass(frozen=True)
class GuestDisk:
    """A disk as a guest has it, whatever the ledger says."""

    volume_id: str
    path: Path | None  # the layer that the guest writes; None: served by another host
    size_bytes: int = 0
    iops: int = 0
    throughput_mibps: int = 0
    untracked: bool = False  # the guest has it and its domain has not: it cannot stay


@dataclass(frozen=True)
class Layer:
    """One layer of a volume's chain. Numbers only grow, and have gaps where layers were committed.
    ``size_bytes`` is the volume's size when the layer was frozen (the highest: now).
    """

    number: int
    path: Path
    size_bytes: int


@dataclass(frozen=True)
class Extent:
    """A range that a layer has a word on; ``zeros``: it reads as zeros."""

    start: int
    length: int
    zeros: bool


class Images(Protocol):
    """The bounded, content-addressed cache of image files."""

    def ensure(self, source: fleet_pb2.ImageSource) -> Path:
        """The image's file, fetched, verified and inspected at most once a host, never evicted
        while in use. Does not wait: raises NotYet while the image is on its way, and DriverError
        (not transient) for one that may not be used.
        """

    def cached(self) -> Collection[str]:
        """Digests that are here, whole and inspected."""

    def watch(self, on_change: Callable[[str], None]) -> None:
        """Calls ``on_change(digest)`` from any thread when an image has come or will not come."""


class VolumeUser(Protocol):
    """Has volumes of this host open: the hypervisor, for guests here, or what serves them to guests
    elsewhere. A *holder* is a guest or a server by its name.
    """

    def holder(self, volume_id: str) -> str | None:
        """Who has the volume open, whatever an instance's spec says."""

    def disks(self, holder: str, /) -> Sequence[GuestDisk]:
        """The disks of a guest as it is now (running or not); none where there is no such guest.
        One that it was asked to let go of is there until it has. One that is ``untracked``, for
        what plugged it in died meanwhile, is to be let go of before it can be attached.
        """

    def resize_disk(self, holder: str, /, volume_id: str, size_bytes: int) -> None:
        """Grows a disk of a running guest, which is told of it."""

    def freeze_disks(self, holder: str, /, layers: Mapping[str, Path], quiesce: bool) -> None:
        """Moves a running guest to these layers (by volume), each an empty one on the layer that it
        writes. Those are frozen when this returns, all at one moment. ``quiesce`` asks the guest's
        agent, where one answers, to quiesce its file systems at that moment.
        """

    def commit_disk(self, holder: str, /, volume_id: str, lowest: Path, top: Path) -> None:
        """Writes the layers above ``lowest`` up to ``top``, all frozen, into ``lowest``. Raises
        NotYet until it is done; the files that nobody needs then are the caller's to remove. The
        same again goes on waiting, but for one DriverError where it failed meanwhile: then it is
        begun anew. While it goes on nothing else is done to the disk: whoever tries waits (NotYet).
        """


class Volumes(Protocol):
    """Volumes at home on this host: chains of layers (docs/decisions/0600). The highest layer is
    written, those below are frozen, the lowest stands on a base (a file of the image cache) or on
    nothing.

    Nothing in here knows of guests. What may be done while a guest has the volume open says so;
    for all else, and to choose between the ways of doing it, there is ``volumes.manager``
    (freeze, commit and grow of any volume, held against a guest that starts meanwhile).
    """

    def ensure(self, disk: fleet_pb2.DiskSpec, base: Path | None) -> Disk:
        """The volume, made where it is not here: on ``base`` (or blank), of the size asked for;
        never smaller than it was. Only for a volume that nobody has open.
        """

    def find(self, disk: fleet_pb2.DiskSpec) -> Disk | None:
        """The volume as it is, for a guest to open; None: not here. Starts no program."""

    def grow(self, volume_id: str, size_bytes: int) -> None:
        """Never smaller than it was. Only for a volume that nobody has open."""

    def remove(self, volume_id: str) -> None: ...

    def volumes(self) -> Collection[str]: ...

    def chain(self, volume_id: str) -> list[Layer]:
        """Its layers, the lowest first; [] where there is no such volume. Also while a guest has it
        open: then the highest layer may be one that the guest has not been moved to.
        """

    def bases(self) -> Collection[Path]:
        """Files that some volume's lowest layer stands on."""

    def add_layer(self, volume_id: str, above: int) -> Path:
        """A new, empty layer, the highest, on layer ``above``, which is frozen when the guest (if
        any) has been moved to the new one. One that is there already is replaced: above ``above``
        nothing was ever written.
        """

    def commit(self, volume_id: str, number: int) -> None:
        """Writes the frozen layers up to ``number`` into the lowest, and drops them. What those
        below ``number`` held can then no longer be read, and the lowest reads as ``number`` did.
        Takes as long as they are large; cut anywhere, it may be called again. Only for a volume
        that nobody has open.
        """

    def drop_unused(self, volume_id: str, top: int) -> None:
        """Removes files of layers that the chain below ``top`` (the layer that is written) does not
        need: those that were committed, and those above ``top``. Also while a guest has it open.
        """

    def extents(self, volume_id: str, number: int) -> list[Extent]:
        """What frozen layer ``number`` itself holds, in order: what was changed while it was the
        highest. What is in no extent is as in the layer below. Also while a guest has it open.
        """

    def base_extents(self, volume_id: str) -> list[Extent]:
        """The same of what its lowest layer stands on: what is in none reads as zeros."""

    def read(self, volume_id: str, number: int, start: int, length: int) -> bytes:
        """A range of the volume as it was when layer ``number`` was frozen, with all below it and
        the base; zeros behind its end. At most READ_MOST_BYTES. Also while a guest has it open.
        """


class Exports(VolumeUser, Protocol):
    """Serves volumes of this host to guests on other ones. It has a volume open as a guest has."""

    endpoint: str  # host:port for other hosts; empty: this host serves nothing

    def serve(self, disk: Disk, host_ids: Collection[str]) -> None:
        """To these hosts, and no host that is served nothing here. The same again is the same, and
        mends what broke.
        """

    def withdraw(self, volume_id: str) -> None:
        """Nobody has it any more when it returns; who still had it is cut off."""

    def served(self) -> Collection[str]: ...


def file_format(source: fleet_pb2.ImageSource) -> str:
    """The format of the file that Images.ensure(source) answers: what it is declared as; one made
    of a snapshot's blocks is raw.
    """
    return "raw" if source.disk_format == "blocks" else source.disk_format
