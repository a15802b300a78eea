"""What libvirtd forgets when it dies in the middle of plugging something in or of freezing disks,
and QEMU does not; put right before anybody believes what the domain says.

    memory = Memory()
    memory.lost()                        libvirtd was away, or this process was
    memory.begin(domain)                 about to be started: libvirt will know all of it
    memory.recalled(domain) -> Left      put right, as far as can be without the guest
    with memory.held(domain) as left:    the same, and nobody else changes its devices meanwhile
    memory.has(domain, "vol-1")          whether the guest may have it, whatever its domain says

    opened, used by no device (block nodes, network back ends, TLS credentials)    closed
    a freeze that QEMU has done and libvirt has not noted         done again, so that libvirt notes
    a device that the guest has and its domain has not            Left: the guest is to let go of it

A domain is looked at once a connection, for only a libvirtd that died forgets, and again while
anything is left. Called by driver. Why so: docs/decisions/0209.
"""

import contextlib
import errno
import logging
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import libvirt
from lxml import etree

from hostagent.compute.drivers import GuestNic
from hostagent.compute.hypervisors.libvirt import disks as libvirt_disks
from hostagent.compute.hypervisors.libvirt.domain_xml import ALIAS
from hostagent.compute.hypervisors.libvirt.monitor import Drive, QemuMonitor
from hostagent.compute.hypervisors.libvirt.xml_elements import child_of
from hostagent.kernel.errors import DriverError, NotYet
from hostagent.storage.drivers import GuestDisk

log = logging.getLogger(__name__)

CLOSED_MS, CLOSED_POLL_S = 500, 0.01  # QEMU closes what a device had shortly after it is gone


@dataclass(frozen=True)
class Left:
    """Devices that a guest has and libvirt knows nothing of."""

    disks: tuple[GuestDisk, ...] = ()
    nics: tuple[GuestNic, ...] = ()
    nodes: frozenset[str] = frozenset()  # open in QEMU, for these devices or for ones just gone

    def is_nothing(self) -> bool:
        return not self.nodes and not self.ids()

    def ids(self) -> list[str]:
        return [
            *(disk.volume_id for disk in self.disks),
            *(nic.network_interface_id for nic in self.nics),
        ]

    def refuse(self) -> None:
        """Before a device is plugged in: libvirt would give it a place that is taken. What the
        guest must let go of first is no failure of the device that waits.
        """
        if self.ids():
            raise NotYet(f"{', '.join(self.ids())}: libvirt forgot it, and the guest has it still")
        if self.nodes:
            raise NotYet(f"QEMU has {', '.join(self.nodes)} open still", retry_ms=CLOSED_MS)

    def let_go(self, domain: libvirt.virDomain, device_id: str) -> bool:
        """Whether it is one of them; then the guest was asked."""
        if device_id not in self.ids():
            return False
        log.warning("%s: libvirt forgot %s: it is to let go", domain.name(), device_id)
        QemuMonitor(domain).let_go(ALIAS + device_id)
        return True


class Memory:
    """See the module's head. Thread-safe."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: defaultdict[str, threading.RLock] = defaultdict(threading.RLock)
        self._whole: set[str] = set()  # UUIDs of domains of which nothing is untracked
        self._losses = 0

    def lost(self) -> None:
        """To be called before a new connection is used."""
        with self._guard:
            self._losses += 1
            self._whole.clear()

    def begin(self, domain: libvirt.virDomain) -> None:
        with self._guard:
            self._whole.add(domain.UUIDString())

    def recalled(self, domain: libvirt.virDomain) -> Left:
        """Raises DriverError where it cannot be put right: then nobody knows what the guest has."""
        if self._is_whole(domain):
            return Left()
        with self.held(domain) as left:
            return left

    @contextlib.contextmanager
    def held(self, domain: libvirt.virDomain) -> Iterator[Left]:
        with self._guard:
            lock = self._locks[domain.UUIDString()]
        with lock:
            yield self._look(domain)

    def has(self, domain: libvirt.virDomain, volume_id: str) -> bool:
        """Puts nothing right: that another guest's cannot be is no hindrance."""
        return not self._is_whole(domain) and ALIAS + volume_id in QemuMonitor(domain).devices()

    def _look(self, domain: libvirt.virDomain) -> Left:
        if self._is_whole(domain):
            return Left()
        with self._guard:
            losses = self._losses
        left = _put_right(domain) if domain.isActive() else Left()
        with self._guard:
            if left.is_nothing() and losses == self._losses:
                self._whole.add(domain.UUIDString())
        return left

    def _is_whole(self, domain: libvirt.virDomain) -> bool:
        with self._guard:
            return domain.UUIDString() in self._whole


@dataclass(frozen=True)
class _Move:
    """A disk that goes on in another layer than its domain says. ``layer`` is the one."""

    volume_id: str
    layer: Path
    drive: Drive

    @property
    def stand_in(self) -> str:
        """The node that stands in for the layer while it is closed: named by it."""
        return self.layer.stem


def _put_right(domain: libvirt.virDomain) -> Left:
    """QEMU is asked before the domain is: what the domain has was in QEMU before."""
    monitor = QemuMonitor(domain)
    devices, drives = monitor.devices(), monitor.drives()
    tree = libvirt_disks.tree_of(domain)
    moves = list(_moves(libvirt_disks.disks_of(tree), drives))
    if moves:
        _freeze_again(domain, monitor, moves)
        tree = libvirt_disks.tree_of(domain)
    known = {alias.get("name") for alias in tree.iterfind("devices/*/alias")}
    unknown = sorted(name for name in devices - known if name.startswith(ALIAS))
    nodes, deadline = monitor.sweep(_nodes(tree)), time.monotonic() + CLOSED_MS / 1000
    while nodes and not unknown and time.monotonic() < deadline:
        time.sleep(CLOSED_POLL_S)
        nodes = monitor.sweep(_nodes(tree))
    return Left(
        tuple(_disk(name, drives[name]) for name in unknown if name in drives),
        tuple(
            GuestNic(name.removeprefix(ALIAS), untracked=True)
            for name in unknown
            if name not in drives
        ),
        frozenset(nodes),
    )


def _moves(disks: Mapping[str, etree._Element], drives: Mapping[str, Drive]) -> Iterator[_Move]:
    """A file's layers only: what another host serves is frozen there."""
    for volume_id, disk in disks.items():
        drive = drives.get(ALIAS + volume_id)
        if drive is None:
            continue
        source = child_of(disk, "source")
        path = source.get("file")
        if path is None or drive.node in _names(source):
            continue
        told = Path(path)
        is_stand_in = drive.node.startswith(f"{volume_id}.")
        layer = told.with_name(f"{drive.node}.qcow2") if is_stand_in else drive.path
        if layer.parent != told.parent or not layer.name.startswith(f"{volume_id}."):
            raise DriverError(f"{volume_id}: QEMU writes {drive.path}, its domain says {told}")
        yield _Move(volume_id, layer, drive)


def _freeze_again(domain: libvirt.virDomain, monitor: QemuMonitor, moves: Sequence[_Move]) -> None:
    """The guest pauses, its disks' newest layers are closed, and libvirt moves the disks to them as
    it would to new ones. No byte is copied and no frozen layer is touched. Cut anywhere the guest
    stays paused, with a disk that fails every request: the next look goes on.
    """
    names = ", ".join(move.volume_id for move in moves)
    log.warning("%s: libvirt forgot that %s was frozen", domain.name(), names)
    runs = domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING
    if runs:
        domain.suspend()
    try:
        for move in moves:
            _stand_in(monitor, move)
        tree = libvirt_disks.tree_of(domain)
        monitor.sweep(_nodes(tree))
        disks = libvirt_disks.disks_of(tree)
        layers = {
            move.volume_id: move.layer
            for move in moves
            if child_of(disks[move.volume_id], "source").get("file") != str(move.layer)
        }
        if layers:
            libvirt_disks.freeze(domain, layers, quiesce=False)
        disks = libvirt_disks.disks_of(libvirt_disks.tree_of(domain))
        for move in moves:
            node, _ = _names(child_of(disks[move.volume_id], "source"))
            monitor.put(ALIAS + move.volume_id, node)
    finally:
        stand_ins = {move.stand_in for move in moves}
        if runs and stand_ins.isdisjoint(drive.node for drive in monitor.drives().values()):
            domain.resume()
    libvirt_disks.thaw(domain)


def _stand_in(monitor: QemuMonitor, move: _Move) -> None:
    """Its device has it when this returns, and the layer nobody."""
    name = move.stand_in
    if name not in monitor.nodes():
        image = {"driver": "null-co", "size": move.drive.size_bytes}
        fails = [{"event": "none", "errno": errno.EIO}]
        fields = {"driver": "blkdebug", "image": image, "inject-error": fails}
        monitor.ask("blockdev-add", **{"node-name": name, **fields})
    if move.drive.node != name:
        monitor.put(ALIAS + move.volume_id, name)


def _disk(alias: str, drive: Drive) -> GuestDisk:
    path = drive.path if drive.path.is_absolute() else None
    return GuestDisk(alias.removeprefix(ALIAS), path, drive.size_bytes, untracked=True)


def _nodes(tree: etree._Element) -> set[str]:
    """All that the domain knows."""
    return {name for source in tree.iterfind("devices/disk//*[@index]") for name in _names(source)}


def _names(source: etree._Element) -> tuple[str, str]:
    """What libvirt calls a layer's nodes: the one that is read through first."""
    index = source.get("index")
    return f"libvirt-{index}-format", f"libvirt-{index}-storage"
