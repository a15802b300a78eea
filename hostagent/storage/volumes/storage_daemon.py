"""One qemu-storage-daemon of this host: started, found again, told what to do, ended.

    daemon = StorageDaemon(folder, listen, tls, run)
    daemon.ensure()                            runs when it returns; guests elsewhere depend on it
    daemon.allow(["h-2"])                      who may connect; nobody at first
    daemon.tell("block-export-add", id=...)    QMP; DriverError with QEMU's words
    daemon.is_running(), daemon.stop()

It outlives the agent: its control socket in ``folder`` is how it is found again. Other hosts get in
by TLS, with a certificate of this cloud whose name was allowed. Called by exports.
The commands are QEMU's: docs/interop/qemu-storage-daemon-qmp-ref.
"""

import contextlib
import json
import logging
import os
import signal
import socket
import time
from collections.abc import Collection, Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import Any

from hostagent.kernel.errors import DriverError, Unavailable
from hostagent.kernel.shell import Run
from protos.private_files import make_folder
from protos.rpc import TlsFiles, dns_name

log = logging.getLogger(__name__)

ANSWER_TIMEOUT_S = 20.0
KILL_TIMEOUT_S = 10.0
PROGRAM = "qemu-storage-daemon"
_CLOSED = "BLOCK_EXPORT_DELETED"
# As QEMU wants them named; the same folder serves libvirt's QEMU as a client.
TLS_NAMES = {
    "ca-cert.pem": "ca",
    "server-cert.pem": "certificate",
    "server-key.pem": "key",
    "client-cert.pem": "certificate",
    "client-key.pem": "key",
}


class StorageDaemon:
    """See the module's head. Called by one thread at a time."""

    def __init__(self, folder: Path, listen: str, tls: TlsFiles, run: Run):
        self._folder, self._listen, self._tls, self._run = folder, listen, tls, run
        self._socket = folder / "control"
        self._mark = f"path={self._socket},"

    def ensure(self) -> None:
        """Raises Unavailable where it cannot run: what is to be served waits for it."""
        try:
            if self.is_running() and _running(self._mark, f"{self._pid_file()}\0"):
                return
            unfit = f"{PROGRAM} does not listen on {self._listen}"
        except (DriverError, Unavailable) as silent:  # it would keep files and port
            unfit = str(silent)
        if self.pids():
            log.warning("%s: it is killed and started anew", unfit)
            _kill(self.pids())
        self._socket.unlink(missing_ok=True)
        link_tls(self._folder, self._tls)
        try:
            self._begin()
        except DriverError as failure:
            raise Unavailable(f"volumes are not served to others: {failure}") from failure

    def _begin(self) -> None:
        creds = f"id=tls,dir={self._folder},endpoint=server,verify-peer=on"
        with _listening(self._listen) as server:
            address = f"addr.type=fd,addr.str={server.fileno()}"
            self._run(
                [
                    *(PROGRAM, "--daemonize", "--pidfile", self._pid_file()),
                    *("--chardev", f"socket,id=control,path={self._socket},server=on,wait=off"),
                    *("--monitor", "chardev=control"),
                    *("--object", f"tls-creds-x509,{creds}"),
                    *("--object", json.dumps(_allowing(()))),
                    *("--nbd-server", f"{address},tls-creds=tls,tls-authz=hosts,max-connections=0"),
                ],
                pass_fds=[server.fileno()],
            )

    def allow(self, host_ids: Collection[str]) -> None:
        """Who may connect from now on. Who is connected stays; who tries in the moment of a change
        is refused, and tries again.
        """
        wanted = _allowing(host_ids)
        if self.tell("qom-get", path="/objects/hosts", property="rules") == wanted["rules"]:
            return
        self.tell("object-del", id="hosts")
        self.tell("object-add", **wanted)

    def is_running(self) -> bool:
        """Raises Unavailable for one that does not answer."""
        try:
            self.tell("query-version")
        except Unavailable:
            if self.pids():
                raise
            return False
        return True

    def stop(self) -> None:
        """Whoever is connected waits for the next one."""
        pids = self.pids()
        with contextlib.suppress(DriverError, Unavailable):  # then it is made to
            self.tell("quit")
        _kill(pids)
        self._socket.unlink(missing_ok=True)

    def _pid_file(self) -> Path:
        """Its name says where the daemon listens: its command line does not."""
        return self._folder / f"{self._listen}.pid"

    def pids(self) -> list[int]:
        """Of daemons with our control socket."""
        return _running(self._mark)

    def tell(self, command: str, **arguments: object) -> Any:
        """What QEMU returns: JSON, as its reference says."""
        with self._line() as stream:
            return _ask(stream, command, arguments)

    def remove_export(self, export: str) -> None:
        """Whoever is connected is cut off. It is closed when this returns."""
        with self._line() as stream:
            _send(stream, "block-export-del", {"id": export, "mode": "hard"})
            answered = closed = False  # in either order
            while not (answered and closed):
                said = json.loads(stream.readline())
                answered |= "return" in _checked(said, "block-export-del")
                closed |= said.get("event") == _CLOSED and said["data"]["id"] == export

    @contextlib.contextmanager
    def _line(self) -> Iterator[BufferedIOBase]:
        try:
            with socket.socket(socket.AF_UNIX) as line:
                line.settimeout(ANSWER_TIMEOUT_S)
                line.connect(str(self._socket))
                with line.makefile("rwb") as stream:
                    json.loads(stream.readline())  # the greeting
                    _ask(stream, "qmp_capabilities", {})
                    yield stream
        except (OSError, ValueError) as failure:
            raise Unavailable(f"{PROGRAM} does not answer: {failure}") from failure


def stop_all(state_dir: Path) -> None:
    """Every daemon with a control socket in this folder."""
    _kill(_running(f"path={state_dir}/"))


def _listening(listen: str) -> socket.socket:
    """QEMU 7.2 leaves Nagle's algorithm on for those who connect: each read would wait for the
    reader's delayed acknowledgement, 40 ms. They inherit it switched off from the socket that
    listens. Raises DriverError.
    """
    address, _, port = listen.rpartition(":")
    try:
        found = socket.getaddrinfo(address.strip("[]"), int(port), type=socket.SOCK_STREAM)
        family, _, _, _, where = found[0]
        server = socket.create_server(where[:2], family=family)
    except OSError as failure:
        raise DriverError(f"{PROGRAM} cannot listen on {listen}: {failure}") from failure
    server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return server


def _running(*marks: str) -> list[int]:
    """With all of these on their command lines."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # ended meanwhile
            words = entry.read_bytes()
            if words.startswith(PROGRAM.encode()) and all(one.encode() in words for one in marks):
                found.append(int(entry.parent.name))
    return sorted(found)


def _kill(pids: list[int]) -> None:
    """They are dead, and their ports are free, when this returns."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + KILL_TIMEOUT_S
    while any(map(_lives, pids)):
        if time.monotonic() > deadline:
            raise DriverError(f"{PROGRAM} does not die: {pids}")
        time.sleep(0.01)


def _lives(pid: int) -> bool:
    """Its command line goes before its sockets do, and its first thread before the others."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z" or len(list(Path(f"/proc/{pid}/task").iterdir())) > 1
    except OSError:
        return False


def _ask(stream: BufferedIOBase, command: str, arguments: dict[str, object]) -> Any:
    _send(stream, command, arguments)
    while "return" not in (said := _checked(json.loads(stream.readline()), command)):
        """Events come in between."""
    return said["return"]


def _send(stream: BufferedIOBase, command: str, arguments: dict[str, object]) -> None:
    stream.write(json.dumps({"execute": command, "arguments": arguments}).encode() + b"\n")
    stream.flush()


def _checked(said: dict[str, Any], command: str) -> dict[str, Any]:
    if "error" in said:
        raise DriverError(f"{PROGRAM}: {command}: {said['error']['desc']}")
    return said


def _allowing(host_ids: Collection[str]) -> dict[str, object]:
    """QEMU's object. (Its authz-list-file, which would not change, is in no tool of QEMU 7.2.)"""
    names = sorted(dns_name(f"host:{host_id}") for host_id in host_ids)
    rules = [{"match": f"CN={name}", "policy": "allow", "format": "exact"} for name in names]
    return {"qom-type": "authz-list", "id": "hosts", "policy": "deny", "rules": rules}


def link_tls(folder: Path, tls: TlsFiles) -> None:
    """This host's certificate as QEMU looks for it, as server and as client."""
    make_folder(folder)
    for name, field in TLS_NAMES.items():
        link = folder / name
        wanted = getattr(tls, field).absolute()
        if not link.is_symlink() or link.readlink() != wanted:
            link.unlink(missing_ok=True)
            link.symlink_to(wanted)
