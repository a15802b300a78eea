"""The DHCP and DNS server of one VPC: a dnsmasq in its namespace that outlives the agent.

    server = Dnsmasq(namespace, folder, run, user)
    server.ensure(files)      running with exactly these files: left alone, told to read its hosts
                              again (SIGHUP), or started anew
    server.remove()           stopped, its folder gone

It is found again by its pid file and known by its command line and namespace, not by a number
alone. It begins as root and goes on as ``user``: what it reads again is that user's, all else is
root's, and the folder can be walked through, not listed. Called by the driver, one call at a time
for a VPC.
"""

import os
import pwd
import select
import shutil
import signal
from pathlib import Path

from hostagent.kernel.errors import DriverError
from hostagent.kernel.shell import Run
from hostagent.network import namespaces
from hostagent.network.dhcp import Files

STOP_TIMEOUT_S = 5.0


class Dnsmasq:
    """The dnsmasq of one namespace; its files are in ``folder``."""

    def __init__(self, namespace: str, folder: Path, run: Run, user: str):
        self._namespace, self._folder, self._run, self._user = namespace, folder, run, user
        self._config = folder / "dnsmasq.conf"
        self._told: tuple[int | None, str, str] | None = None  # pid, hosts, names that it has read

    def ensure(self, files: Files) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._folder.chmod(0o711)
        self._keep_leases_private()
        reader = _uid_of(self._user)
        _write(self._folder / "hosts", files.hosts, reader)
        _write(self._folder / "names", files.names, reader)
        pid, stale = self.pid(), self._stale_leases(files)
        if pid is None or stale or _read(self._config) != files.config:
            self._start(files, stale)
            self._told = (self.pid(), files.hosts, files.names)
        elif self._told != (pid, files.hosts, files.names):
            _signal(pid, signal.SIGHUP)
            self._told = (pid, files.hosts, files.names)

    def _start(self, files: Files, stale: list[str]) -> None:
        self.stop()
        if stale:
            kept = [line for line in self._leases() if line not in stale]
            _write(self._folder / "leases", "".join(f"{line}\n" for line in kept))
        _write(self._config, files.config)
        self._run(["dnsmasq", f"--conf-file={self._config}"], netns=self._namespace)

    def remove(self) -> None:
        self.stop()
        if self._folder.exists():
            shutil.rmtree(self._folder)

    def stop(self) -> None:
        """Every dnsmasq that runs with our configuration, also one whose pid file is lost."""
        for pid in running(self._config):
            _end(pid)

    def pid(self) -> int | None:
        """Of the dnsmasq that serves this namespace now, None where none does."""
        text = _read(self._folder / "pid").strip()
        if not text.isdigit() or not _runs_with(int(text), self._config):
            return None
        try:
            inode = os.stat(f"/proc/{text}/ns/net").st_ino
        except FileNotFoundError:
            return None
        return int(text) if inode == namespaces.inode(self._namespace) else None

    def _keep_leases_private(self) -> None:
        """It opens them as root, by a umask of its own where they are not there yet."""
        leases = self._folder / "leases"
        leases.touch(mode=0o600)
        leases.chmod(0o600)

    def _leases(self) -> list[str]:
        return _read(self._folder / "leases").splitlines()

    def _stale_leases(self, files: Files) -> list[str]:
        """Lines of leases that belong to no guest of today: dnsmasq would not give such an address
        to its new owner.
        """
        rows = [(line, line.split()) for line in self._leases()]
        return [
            line for line, row in rows if len(row) > 2 and (row[1], row[2]) not in files.bindings
        ]


def running(config: Path | None, under: Path | None = None) -> list[int]:
    """Pids of dnsmasq processes with this configuration file, or with any ``under`` a folder."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            theirs = _config_of(int(entry))
            if theirs is None:
                continue
            if theirs == config or (under is not None and theirs.is_relative_to(under)):
                found.append(int(entry))
    return sorted(found)


def stop_all(under: Path) -> None:
    """Every dnsmasq with a configuration below the folder."""
    for pid in running(None, under):
        _end(pid)


def _end(pid: int) -> None:
    if not (_signal(pid, signal.SIGTERM) or _signal(pid, signal.SIGKILL)):
        raise DriverError(f"the DHCP server with pid {pid} does not stop")


def _runs_with(pid: int, config: Path) -> bool:
    return _config_of(pid) == config


def _config_of(pid: int) -> Path | None:
    """The configuration file of a dnsmasq, None for any other process and for a zombie."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except (FileNotFoundError, ProcessLookupError):
        return None
    if os.path.basename(words[0]) != b"dnsmasq":
        return None
    for word in words[1:]:
        if word.startswith(b"--conf-file="):
            return Path(os.fsdecode(word.removeprefix(b"--conf-file=")))
    return None


def _signal(pid: int, number: signal.Signals) -> bool:
    """Sends a signal to this very process, whoever gets its number later; for one that ends a
    process, answers whether it has ended within STOP_TIMEOUT_S.
    """
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return True  # it went by itself
    try:
        signal.pidfd_send_signal(handle, number)
        if number is signal.SIGHUP:
            return True
        waiting = select.poll()
        waiting.register(handle, select.POLLIN)
        return bool(waiting.poll(STOP_TIMEOUT_S * 1000))
    except ProcessLookupError:
        return True
    finally:
        os.close(handle)


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")  # torn by a power failure: not what is wanted
    except FileNotFoundError:
        return ""


def _uid_of(user: str) -> int:
    try:
        return pwd.getpwnam(user).pw_uid
    except KeyError:
        raise DriverError(
            f"there is no user {user!r} for the DHCP server", transient=False
        ) from None


def _write(path: Path, text: str, reader: int = 0) -> None:
    """Whole or not at all, for the eyes of one user."""
    if path.exists():
        status = path.stat()
        if (status.st_uid, status.st_mode & 0o777) == (reader, 0o400) and _read(path) == text:
            return
    unfinished = path.with_name(path.name + ".new")
    unfinished.unlink(missing_ok=True)
    with open(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400), "w") as file:
        file.write(text)
        os.fchown(file.fileno(), reader, -1)
    unfinished.replace(path)
