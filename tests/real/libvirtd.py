"""A libvirtd of a test's own, beside whatever the machine runs: in a mount namespace, with its own
sockets, configuration, domains and logs; only QEMU's capability cache is shared, for it takes 8 s.

    with PrivateLibvirtd() as daemon: LibvirtHypervisor(daemon.uri, ...)
    daemon.kill_libvirtd(); daemon.start_libvirtd()       guests run on meanwhile
"""

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import libvirt

from tests.harness.waiting import wait_until

QEMU_CONF = """
security_driver = "none"
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
cgroup_controllers = [ ]
namespaces = [ ]
stdio_handler = "logd"
"""
VIRTLOGD_CONF = """
max_size = 65536
max_backups = 1
"""
SCRIPT = """
set -e
mount --make-rprivate /
mkdir -p /etc/libvirt /run/libvirt /var/lib/libvirt /var/log/libvirt /var/cache/libvirt
mount --bind $B/run /run/libvirt
mount --bind $B/etc /etc/libvirt
mount --bind $B/lib /var/lib/libvirt
mount --bind $B/log /var/log/libvirt
echo $$ > $B/holder.new
mv $B/holder.new $B/holder.pid  # whole as soon as it is there
exec sleep infinity
"""


class PrivateLibvirtd:
    """Start and stop as a context manager. ``folder`` is short: a socket's path has 107 bytes."""

    def __enter__(self) -> "PrivateLibvirtd":
        self.folder = Path(tempfile.mkdtemp(prefix="plv-", dir="/tmp"))
        for name in ("run", "etc", "lib", "log", "nbd"):
            (self.folder / name).mkdir()
        tls = f'nbd_tls_x509_cert_dir = "{self.folder}/nbd"\n'
        (self.folder / "etc/qemu.conf").write_text(QEMU_CONF + tls)
        (self.folder / "etc/virtlogd.conf").write_text(VIRTLOGD_CONF)
        (self.folder / "etc/libvirtd.conf").write_text(
            f'auth_unix_rw = "none"\nlog_outputs = "3:file:{self.folder}/libvirtd.log"\n'
        )
        self._holder = subprocess.Popen(
            ["unshare", "--mount", "bash", "-c", SCRIPT],
            env={**os.environ, "B": str(self.folder)},
        )
        wait_until("the namespace has a holder", (self.folder / "holder.pid").exists)
        self._inside(["virtlogd", "-d", "-p", f"{self.folder}/virtlogd.pid"])
        self.start_libvirtd()
        return self

    def __exit__(self, *failure) -> None:
        for pid in self.qemu_pids():
            os.kill(pid, signal.SIGKILL)
        self.kill_libvirtd()
        os.kill(int((self.folder / "virtlogd.pid").read_text()), signal.SIGKILL)
        self._holder.kill()
        self._holder.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def uri(self) -> str:
        return f"qemu:///system?socket={self.folder}/run/libvirt-sock"

    def start_libvirtd(self) -> None:
        pid_file = self.folder / "libvirtd.pid"
        self._inside(["libvirtd", "-d", "-p", str(pid_file)])
        wait_until("libvirtd answers", self._answers)

    def kill_libvirtd(self) -> None:
        """kill -9; returns when the process is gone."""
        pid = int((self.folder / "libvirtd.pid").read_text())
        os.kill(pid, signal.SIGKILL)
        wait_until("it has ended", lambda: not _runs(pid))

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """It is there and answers nobody."""
        pid = int((self.folder / "libvirtd.pid").read_text())
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def qemu_pids(self) -> list[int]:
        """Of the guests of this daemon: they log into its folder."""
        pids = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                words = (process / "cmdline").read_bytes().split(b"\0")
                root = os.readlink(process / "ns/mnt")
            except OSError:
                continue
            if b"qemu-system" in words[0] and root == self._namespace():
                pids.append(int(process.name))
        return pids

    def _namespace(self) -> str:
        return os.readlink(f"/proc/{self._holder.pid}/ns/mnt")

    def _answers(self) -> bool:
        try:
            libvirt.open(self.uri).close()
        except libvirt.libvirtError:
            return False
        return True

    def _inside(self, command: list[str]) -> None:
        pid = (self.folder / "holder.pid").read_text().strip()
        subprocess.run(["nsenter", "-t", pid, "-m", "--", *command], check=True, timeout=30)


def _runs(pid: int) -> bool:
    """Its first thread ends before the others, which keep its files locked."""
    process = Path(f"/proc/{pid}")
    try:
        state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z" or len(list((process / "task").iterdir())) > 1
    except (FileNotFoundError, ProcessLookupError):
        return False
