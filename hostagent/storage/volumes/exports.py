"""Volumes of this host served to guests on other hosts: NBD over TLS, by a qemu-storage-daemon.

    exports = QemuExports(folder, listen, endpoint, tls, volumes, run)
    exports.serve(disk, ["h-2"])      open here and to be had there; again after a daemon's death
    exports.withdraw("vol-1")         nobody has it any more

To the volume manager a daemon is what a guest's QEMU is: it has volumes open, freezes, commits
and grows them (``holder``, ``disks`` and so on are drivers.Hypervisor's). What it serves is
asked of it; to whom is kept in ``folder/served.json``. A node of it is a layer:
"<volume id>.<number>".
"""

import json
import logging
import threading
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import msgspec

from hostagent.kernel.errors import DriverError, NotYet, Unavailable
from hostagent.kernel.shell import Run
from hostagent.storage.drivers import Disk, GuestDisk, Volumes
from hostagent.storage.volumes.storage_daemon import StorageDaemon
from protos.files import write_whole
from protos.rpc import TlsFiles

log = logging.getLogger(__name__)

HOLDER = "the host's NBD server"
RETRY_MS = 300


class NoExports:
    """A host that serves nothing: nobody has a volume open by it."""

    endpoint = ""

    def serve(self, disk: Disk, host_ids: Collection[str]) -> None:
        raise _refusal()

    def withdraw(self, volume_id: str) -> None:
        """There is nothing."""

    def holder(self, volume_id: str) -> str | None:
        return None

    def served(self) -> Collection[str]:
        return ()

    def disks(self, holder: str) -> Sequence[GuestDisk]:
        return ()

    def resize_disk(self, holder: str, volume_id: str, size_bytes: int) -> None:
        raise _refusal()

    def freeze_disks(self, holder: str, layers: Mapping[str, Path], quiesce: bool) -> None:
        raise _refusal()

    def commit_disk(self, holder: str, volume_id: str, lowest: Path, top: Path) -> None:
        raise _refusal()


def _refusal() -> DriverError:
    return DriverError("this host is not configured to serve volumes", transient=False)


class QemuExports:
    """drivers.Exports. See the module's head. Thread-safe."""

    def __init__(
        self,
        folder: Path,
        listen: str,
        endpoint: str,
        tls: TlsFiles,
        volumes: Volumes,
        run: Run,
    ):
        self.endpoint, self._volumes, self._lock = endpoint or listen, volumes, threading.RLock()
        folder = folder.absolute()
        self._daemon = StorageDaemon(folder, listen, tls, run)
        self._kept = folder / "served.json"

    def start(self) -> None:
        """Where it cannot serve (the port is another's) it has no endpoint, and all else works."""
        try:
            self._daemon.ensure()
        except (DriverError, Unavailable) as failure:
            log.error("volumes of this host are not served to others: %s", failure)
            self.endpoint = ""

    def stop(self) -> None:
        """For good: guests elsewhere lose their volumes. A restart of the agent does not do it."""
        with self._lock:
            self._daemon.stop()

    # -- drivers.Exports -----------------------------------------------------------------------

    def serve(self, disk: Disk, host_ids: Collection[str]) -> None:
        with self._lock:
            served = self._keep(disk.volume_id, host_ids)
            self._daemon.ensure()
            self._daemon.allow(served)
            if disk.volume_id in self._exports():
                return
            self._hear_of_job(disk.volume_id)
            self._close(disk.volume_id)
            self._open(disk)
            self._export(disk.volume_id, _node(disk.path))

    def withdraw(self, volume_id: str) -> None:
        """Whoever is still connected is cut off."""
        with self._lock:
            served = self._keep(volume_id, ())
            if self._daemon.is_running():
                self._daemon.allow(served)
                self._hear_of_job(volume_id)
                if volume_id in self._exports():
                    self._daemon.remove_export(volume_id)
                self._close(volume_id)

    def served(self) -> Collection[str]:
        with self._lock:
            return sorted(self._exports()) if self._daemon.is_running() else []

    # -- what a guest's QEMU does too ----------------------------------------------------------

    def holder(self, volume_id: str) -> str | None:
        """A volume that is told to be served and whose daemon is dead is open nowhere."""
        return HOLDER if volume_id in self.served() else None

    def disks(self, holder: str) -> Sequence[GuestDisk]:
        with self._lock:
            sizes = {
                node["node-name"]: node["image"]["virtual-size"]
                for node in self._daemon.tell("query-named-block-nodes", flat=True)
            }
            return [
                GuestDisk(volume_id, self._path(node), sizes[node])
                for volume_id, node in self._exports().items()
            ]

    def resize_disk(self, holder: str, volume_id: str, size_bytes: int) -> None:
        """QEMU resizes nothing that is exported: who is connected comes again in a moment, and sees
        the new size then, when its own disk is resized.
        """
        with self._lock:
            self._hear_of_job(volume_id)
            node = self._exports()[volume_id]
            self._daemon.remove_export(volume_id)
            self._daemon.tell("block_resize", **{"node-name": node, "size": size_bytes})
            self._export(volume_id, node)

    def freeze_disks(self, holder: str, layers: Mapping[str, Path], quiesce: bool) -> None:
        """Nobody here can ask the guest: it is another host's."""
        with self._lock:
            for volume_id in layers:
                self._hear_of_job(volume_id)
            written, moves = self._exports(), []
            for volume_id, layer in layers.items():
                node = _node(layer)
                if node in self._nodes(volume_id):  # of a try that was cut
                    self._daemon.tell("blockdev-del", **{"node-name": node})
                self._daemon.tell("blockdev-add", **_layer(layer, None, writable=True))
                move = {"node": written[volume_id], "overlay": node}
                moves.append({"type": "blockdev-snapshot", "data": move})
            self._daemon.tell("transaction", actions=moves)

    def commit_disk(self, holder: str, volume_id: str, lowest: Path, top: Path) -> None:
        with self._lock:
            if failure := self._end_job(volume_id):
                raise DriverError(f"{volume_id}: its commit failed: {failure}")
            chain = [layer.path for layer in self._volumes.chain(volume_id)]
            if top == lowest or top not in chain:
                open_nodes = self._nodes(volume_id) - {f"{volume_id}.base"}
                self._delete(open_nodes - {_node(path) for path in chain})
                return
            self._daemon.tell(
                "block-commit",
                **{"job-id": volume_id, "device": self._exports()[volume_id]},
                **{"base-node": _node(lowest), "top-node": _node(top)},
                **{"backing-file": str(lowest), "auto-dismiss": False},
            )
            raise NotYet(f"{volume_id}: committing", retry_ms=RETRY_MS)

    # -- inside --------------------------------------------------------------------------------

    def _hear_of_job(self, volume_id: str) -> None:
        """Before anything else is done to the layers. Raises NotYet while it goes on."""
        if failure := self._end_job(volume_id):
            log.warning("%s: its commit failed: %s", volume_id, failure)

    def _end_job(self, volume_id: str) -> str:
        """A commit that is over stays with the daemon, and its layers are in use, until this was
        called: so one that failed is heard of. Answers why it did; raises NotYet while it goes on.
        """
        for job in self._daemon.tell("query-jobs"):
            if job["id"] != volume_id:
                continue
            if job["status"] != "concluded":
                raise NotYet(f"{volume_id}: committing", retry_ms=RETRY_MS)
            self._daemon.tell("job-dismiss", id=volume_id)
            return str(job.get("error", ""))
        return ""

    def _exports(self) -> dict[str, str]:
        """Volume -> the node that is written."""
        told = self._daemon.tell("query-block-exports")
        return {export["id"]: export["node-name"] for export in told}

    def _export(self, volume_id: str, node: str) -> None:
        """``writethrough``: what was answered is in the file, not in the daemon's memory, and
        outlives it (docs/decisions/0208).
        """
        self._daemon.tell(
            "block-export-add",
            **{"type": "nbd", "id": volume_id, "name": volume_id},
            **{"node-name": node, "writable": True, "writethrough": True},
        )

    def _nodes(self, volume_id: str) -> set[str]:
        told = self._daemon.tell("query-named-block-nodes", flat=True)
        names = {node["node-name"] for node in told}
        return {name for name in names if name.startswith(f"{volume_id}.")}

    def _open(self, disk: Disk) -> None:
        """All layers by name, the lowest first, so that each can be committed."""
        below = None
        if disk.backing is not None:
            below = f"{disk.volume_id}.base"
            base = _layer(disk.backing, None, writable=False, disk_format=disk.backing_format)
            self._daemon.tell("blockdev-add", **(base | {"node-name": below}))
        for path in reversed(disk.frozen):
            self._daemon.tell("blockdev-add", **_layer(path, below, writable=False))
            below = _node(path)
        self._daemon.tell("blockdev-add", **_layer(disk.path, below, writable=True))

    def _close(self, volume_id: str) -> None:
        self._delete(self._nodes(volume_id))

    def _delete(self, nodes: Collection[str]) -> None:
        """The highest first; the base's name is no number."""

        def height(node: str) -> int:
            number = node.rpartition(".")[2]
            return int(number) if number.isdigit() else -1

        for node in sorted(nodes, key=height, reverse=True):
            self._daemon.tell("blockdev-del", **{"node-name": node})

    def _keep(self, volume_id: str, host_ids: Collection[str]) -> set[str]:
        """Keeps to whom the volume is served; answers all hosts that are served anything."""
        served = self._read_kept()
        wanted = {name: hosts for name, hosts in served.items() if name != volume_id}
        if host_ids:
            wanted[volume_id] = sorted(host_ids)
        if wanted != served:
            write_whole(self._kept, json.dumps(wanted))
        return {host for hosts in wanted.values() for host in hosts}

    def _read_kept(self) -> dict[str, list[str]]:
        """By volume, the hosts that it is served to. Where that cannot be read it is gathered anew:
        each volume that is served is told again and again (volumes.worker)."""
        try:
            return msgspec.json.decode(self._kept.read_bytes(), type=dict[str, list[str]])
        except FileNotFoundError:
            return {}
        except (OSError, msgspec.DecodeError) as failure:
            log.error("%s cannot be read, and is made anew: %s", self._kept, failure)
            return {}

    def _path(self, node: str) -> Path | None:
        """None where its volume's layers cannot be read: that is no other volume's trouble."""
        volume_id, _, number = node.rpartition(".")
        try:
            chain = self._volumes.chain(volume_id)
        except (DriverError, OSError) as failure:
            log.error("%s is served, and its layers cannot be read: %s", volume_id, failure)
            return None
        return next((layer.path for layer in chain if str(layer.number) == number), None)


def _node(path: Path) -> str:
    """A layer's file without its ending; QEMU takes 31 characters of such a name."""
    return path.name.removesuffix(".qcow2")


def _layer(
    path: Path, below: str | None, *, writable: bool, disk_format: str = "qcow2"
) -> dict[str, object]:
    options: dict[str, object] = {
        "driver": disk_format,
        "node-name": _node(path),
        "read-only": not writable,
        "discard": "unmap",
        "file": {"driver": "file", "filename": str(path), "discard": "unmap"},
    }
    if disk_format == "qcow2":
        options["backing"] = below
    return options
