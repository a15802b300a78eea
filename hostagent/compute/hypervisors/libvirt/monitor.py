"""What a running guest's QEMU itself says, past libvirt's memory of it. It is asked through
libvirt, which marks the domain for that ("tainted: custom-monitor").

    monitor = QemuMonitor(domain)
    monitor.devices(), monitor.drives()    what the guest has
    monitor.sweep(kept)                    what nobody uses is closed
    monitor.ask("blockdev-del", ...)

While QEMU answers, libvirt is in the middle of nothing that changes it. Called by recovery
and nics. The commands are QEMU's: docs/interop/qemu-qmp-ref of QEMU 7.2.
"""

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import libvirt
import libvirt_qemu

from hostagent.kernel.errors import DriverError

# As libvirt names them; and those that stand in for a volume's layer (recovery).
_NODE = re.compile(r"libvirt-\d+-(?:storage|format)|vol-[0-9a-f]+\.\d+")
_TLS = re.compile(r"obj(libvirt-\d+-storage)_tls\d+")  # a node's credentials
_NETDEV = re.compile(r"^(host\S+): ", re.MULTILINE)  # of no device: those of one are indented
_DEVICES = "/machine/peripheral"
_DEVICE_GONE = "DeviceNotFound"
_ASKED_ALREADY = "in the process of unplug"  # QEMU's words; it has no code for these
_NO_FILE = "not found"


@dataclass(frozen=True)
class Drive:
    """What a disk's device writes."""

    node: str
    path: Path
    size_bytes: int


class QemuMonitor:
    """See the module's head."""

    def __init__(self, domain: libvirt.virDomain):
        self._domain = domain

    def ask(self, command: str, **arguments: object) -> Any:
        """What QEMU returns, JSON. DriverError has QEMU's words, and its class as ``because``."""
        question = json.dumps({"execute": command, "arguments": arguments})
        said = json.loads(libvirt_qemu.qemuMonitorCommand(self._domain, question, 0))
        if "error" in said:
            error = said["error"]
            message = f"{self._domain.name()}: QEMU: {command}: {error['desc']}"
            raise DriverError(message, because=error["class"])
        return said["return"]

    def devices(self) -> set[str]:
        """By their aliases."""
        told = self.ask("qom-list", path=_DEVICES)
        return {one["name"] for one in told if one["type"].startswith("child<")}

    def drives(self) -> Mapping[str, Drive]:
        """Of all disks, by their devices' aliases."""
        found = {}
        for block in self.ask("query-block"):
            node, device = block.get("inserted"), block.get("qdev", "")
            if node and device.startswith(f"{_DEVICES}/"):
                image = node["image"]
                alias = device.removeprefix(f"{_DEVICES}/").partition("/")[0]
                drive = Drive(node["node-name"], Path(image["filename"]), image["virtual-size"])
                found[alias] = drive
        return found

    def nodes(self) -> set[str]:
        return {one["node-name"] for one in self.ask("query-named-block-nodes", flat=True)}

    def put(self, device: str, node: str) -> None:
        """The disk's device goes on with another node."""
        self.ask("qom-set", path=f"{_DEVICES}/{device}", property="drive", value=node)

    def let_go(self, device: str) -> None:
        """Asks the guest, and does not wait."""
        try:
            self.ask("device_del", id=device)
        except DriverError as failure:
            if failure.because != _DEVICE_GONE and _ASKED_ALREADY not in str(failure):
                raise

    def drop_file(self, name: str) -> None:
        """One that was handed to it and that nothing has taken; there may be none."""
        try:
            self.ask("closefd", fdname=name)
        except DriverError as failure:
            if _NO_FILE not in str(failure):
                raise

    def sweep(self, kept: Collection[str]) -> set[str]:
        """Closes what was opened and no device uses, but these nodes. Answers which other nodes are
        open still: a device that is gone uses them a moment longer.
        """
        while unused := self._unused_nodes() - set(kept):
            for node in sorted(unused):  # what only they used is unused then
                self.ask("blockdev-del", **{"node-name": node})
        objects = self.ask("qom-list", path="/objects")  # before the nodes: libvirt opens one later
        open_nodes = self.nodes()
        for one in objects:
            match = _TLS.fullmatch(one["name"])
            if match and match[1] not in open_nodes:  # QEMU would let one go that is in use
                self.ask("object-del", id=one["name"])
        told = libvirt_qemu.qemuMonitorCommand(
            self._domain, "info network", libvirt_qemu.VIR_DOMAIN_QEMU_MONITOR_COMMAND_HMP
        )
        for netdev in _NETDEV.findall(told.replace("\r", "")):
            self.ask("netdev_del", id=netdev)
        return {name for name in open_nodes if _NODE.fullmatch(name)} - set(kept)

    def _unused_nodes(self) -> set[str]:
        graph = self.ask("x-debug-query-block-graph")
        used = {edge["child"] for edge in graph["edges"]}
        names = {one["name"] for one in graph["nodes"] if one["id"] not in used}
        return {name for name in names if _NODE.fullmatch(name)}
