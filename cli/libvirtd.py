"""A libvirtd of the cloud's own, beside any that the machine has: same program, other folders.

libvirtd's folders are fixed (/etc/libvirt, /run/libvirt ...), so it starts in a mount namespace
where the state dir's lie over them (cli/in-libvirt-namespace). The machine's own configuration and
guests are neither read nor changed. Decision and alternatives: docs/decisions/0301.

    prepare(layout, ...)       writes its configuration; called by ``up`` before it is started
    programs(layout)           what the supervisor runs
    await_socket(layout)       until it answers
    stop_logging(layout)       ends virtlogd, which outlives the supervisor for the guests' consoles
"""

import os
import shutil
import signal
import socket
import time
import uuid
from pathlib import Path

from cli.errors import CliError
from cli.layout import Layout
from cli.services import Program, tail
from protos.files import write_whole
from protos.private_files import make_folder

NAMESPACE = Path(__file__).with_name("in-libvirt-namespace")
VIRTLOGD_SCRIPT = Path(__file__).with_name("keep-virtlogd")
CONSOLE_BYTES = 256 * 1024  # of a guest's console before virtlogd begins a new file; one is kept

QEMU_CONF = """\
# The guests run as root inside QEMU's own seccomp sandbox; there is no other libvirt to share with.
security_driver = "none"
user = "root"
group = "root"
dynamic_ownership = 0
remember_owner = 0
seccomp_sandbox = 1
# No machine-wide cgroups and no /dev of a guest's own: neither exists on every machine.
cgroup_controllers = [ ]
namespaces = [ ]
# Consoles through virtlogd, which bounds them.
stdio_handler = "logd"
vnc_listen = "127.0.0.1"
# What the agent proves itself with to hosts whose volumes its guests have.
nbd_tls_x509_cert_dir = "{certificates}"
"""
LIBVIRTD_CONF = """\
listen_tls = 0
auth_unix_rw = "none"
unix_sock_rw_perms = "0700"
unix_sock_ro_perms = "0700"
log_outputs = "3:stderr"
host_uuid = "{host_uuid}"
"""
VIRTLOGD_CONF = f"""\
log_outputs = "3:stderr"
max_size = {CONSOLE_BYTES}
max_backups = 1
"""


def prepare(layout: Layout, certificates: Path, boot_id: str) -> None:
    """Folders and configuration. What a real /run loses at a boot of the machine goes as well.

    ``certificates``: the folder where the agent links them (configs.nbd_folder).
    """
    make_folder(layout.libvirt)
    for folder in ("etc", "run", "lib", "log"):
        (layout.libvirt / folder).mkdir(exist_ok=True)
    # QEMU's capabilities cost eight seconds to find out: kept where the next cloud finds them.
    (layout.cache / "libvirt").mkdir(parents=True, exist_ok=True)
    seen = layout.libvirt / "boot-id"
    if not seen.exists() or seen.read_text() != boot_id:
        _empty(layout.libvirt / "run")
        write_whole(seen, boot_id)
    make_folder(certificates)  # libvirtd does not start without it
    etc = layout.libvirt / "etc"
    (etc / "qemu.conf").write_text(QEMU_CONF.format(certificates=certificates))
    (etc / "virtlogd.conf").write_text(VIRTLOGD_CONF)
    if not (etc / "libvirtd.conf").exists():
        text = LIBVIRTD_CONF.format(host_uuid=uuid.uuid4())
        write_whole(etc / "libvirtd.conf", text, mode=0o644)


def boot_id() -> str:
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def programs(layout: Layout) -> list[Program]:
    """libvirtd, and the script that keeps virtlogd running."""
    enter = [
        *("unshare", "--mount", "--propagation", "slave"),
        *("sh", str(NAMESPACE), str(layout.libvirt), str(layout.cache / "libvirt")),
    ]
    return [
        Program("virtlogd", [*enter, "sh", str(VIRTLOGD_SCRIPT)], priority=10),
        Program(
            "libvirtd",
            [*enter, "libvirtd", "--pid-file", "/run/libvirt/libvirtd.pid"],
            priority=20,
            inputs=(layout.libvirt / "etc" / "qemu.conf",),
            stop_wait_s=20,
        ),
    ]


def await_socket(layout: Layout, timeout_s: float = 20.0) -> None:
    """Raises CliError where libvirtd does not listen within the time."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(str(layout.libvirt_socket)) == 0:
                return
        time.sleep(0.05)
    said = tail(layout.logs / "libvirtd.log")
    raise CliError(f"libvirtd does not listen:\n{said}")


def stop_logging(layout: Layout, timeout_s: float = 5.0) -> None:
    """Ends the virtlogd that its script left behind, if it is there."""
    pid_file = layout.libvirt / "run" / "virtlogd.pid"
    try:
        pid = int(pid_file.read_text())
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except (OSError, ValueError):
        return
    if name != "virtlogd":
        return
    os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + timeout_s
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
