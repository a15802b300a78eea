"""One supervisor (supervisord, from PyPI) over the cloud's services: it restarts what dies.

    write_configuration(layout, programs)       before the supervisor starts
    ensure_supervisor(layout)                   started, or found
    ensure_running(layout, programs, ...)       all of them, with newest code and configuration
    states(layout)                              {"gateway": State(...)}; {} where none supervises
    stop(layout)

A service that keeps dying is started again and again, each time a second later than before. Should
the supervisor itself be killed, its services get SIGTERM from the kernel (setpriv). Called by
``up``, ``down`` and ``status``. Decision and alternatives: docs/decisions/0300.
"""

import contextlib
import hashlib
import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from supervisor.xmlrpc import SupervisorTransport

from cli.errors import CliError
from cli.layout import Layout
from protos import private_files
from protos.files import write_whole

ROOT = Path(__file__).resolve().parent.parent
# glibc keeps what threads have freed; with these it gives more back (docs/decisions/0105). Not
# for the host agent: what it starts, such as the storage daemon, would inherit them.
FRUGAL = {"MALLOC_ARENA_MAX": "2", "MALLOC_TRIM_THRESHOLD_": "65536"}
FRUGAL_SERVICES = ("gateway", "controller")
LOG_BYTES, LOG_BACKUPS = 10 * 1024 * 1024, 2
START_TIMEOUT_S, STOP_TIMEOUT_S = 20.0, 60.0
TAIL_BYTES = 1500


@dataclass(frozen=True)
class Program:
    """One service. ``inputs`` are files whose change means that it must start anew."""

    name: str
    command: Sequence[str]
    priority: int
    inputs: tuple[Path, ...] = ()
    start_s: int = 3  # what ends earlier has not started: the next try waits longer
    stop_wait_s: int = 15
    ours: bool = False  # runs this repository's code
    environment: Mapping[str, str] = field(default_factory=dict)  # beside the supervisor's

    def fingerprint(self) -> str:
        asked = [*self.command, *self.environment.items()]
        digest = hashlib.sha256(json.dumps(asked).encode())
        for path in self.inputs:
            digest.update(path.read_bytes() if path.exists() else b"absent")
        if self.ours:
            digest.update(_code_fingerprint())
        return digest.hexdigest()


@dataclass(frozen=True)
class State:
    """As supervisord says it: RUNNING, STARTING, BACKOFF, FATAL, STOPPED, EXITED ..."""

    name: str
    state: str
    pid: int
    since: int

    @property
    def running(self) -> bool:
        return self.state == "RUNNING"


def python_service(layout: Layout, module: str, config: str, priority: int) -> Program:
    """``python -m gateway --config FILE``."""
    path = layout.config(config)
    command = [sys.executable, "-m", module, "--config", str(path)]
    environment = FRUGAL if module in FRUGAL_SERVICES else {}
    return Program(module, command, priority, (path,), ours=True, environment=environment)


def write_configuration(layout: Layout, programs: Sequence[Program]) -> None:
    sections = [
        "[supervisord]",
        f"logfile = {_text(layout.logs / 'supervisord.log')}",
        "logfile_maxbytes = 1MB",
        "logfile_backups = 1",
        f"pidfile = {_text(layout.run / 'supervisord.pid')}",
        f"identifier = pileus-{layout.tag}",
        f"directory = {_text(ROOT)}",
        "nodaemon = true",
        "silent = true",
        f"umask = {private_files.UMASK:03o}",
        *(["user = root"] if os.geteuid() == 0 else []),
        f"environment = {_environment({'PYTHONPATH': str(ROOT), 'PYTHONUNBUFFERED': '1'})}",
        "[unix_http_server]",
        f"file = {_text(layout.supervisor_socket)}",
        "chmod = 0700",
        "[rpcinterface:supervisor]",
        "supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface",
    ]
    for program in programs:
        sections += _section(layout, program)
    write_whole(_configuration(layout), "\n".join(sections) + "\n")


def _section(layout: Layout, program: Program) -> list[str]:
    return [
        f"[program:{program.name}]",
        f"command = {_text(shlex.join([*_with_parent(), *program.command]))}",
        f"priority = {program.priority}",
        "autostart = true",
        "autorestart = true",
        f"startsecs = {program.start_s}",
        "startretries = 1000000",
        f"stopwaitsecs = {program.stop_wait_s}",
        *([f"environment = {_environment(program.environment)}"] if program.environment else []),
        "redirect_stderr = true",
        f"stdout_logfile = {_text(layout.logs / (program.name + '.log'))}",
        f"stdout_logfile_maxbytes = {LOG_BYTES}",
        f"stdout_logfile_backups = {LOG_BACKUPS}",
    ]


def _environment(variables: Mapping[str, str]) -> str:
    return ",".join(f"{name}={_quoted(value)}" for name, value in variables.items())


def _with_parent() -> list[str]:
    return ["setpriv", "--pdeathsig", "TERM"] if shutil.which("setpriv") else []


def ensure_supervisor(layout: Layout) -> bool:
    """Answers whether it had to be started. Raises CliError where it does not come up."""
    if is_supervised(layout):
        return False
    stop(layout)  # one that an `up` left behind which was killed: it may never listen
    with open(layout.logs / "supervisord.out", "ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "supervisor.supervisord", "-c", str(_configuration(layout))],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            cwd="/",
            start_new_session=True,
        )
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if is_supervised(layout):
            return True
        if process.poll() is not None:
            break
        time.sleep(0.05)
    stop(layout)
    said = tail(layout.logs / "supervisord.out") or tail(layout.logs / "supervisord.log")
    raise CliError(f"the supervisor does not come up:\n{said}")


def ensure_running(layout: Layout, programs: Sequence[Program], fresh: bool) -> list[str]:
    """Starts what is not running, anew what has changed since it was started; answers with those.

    ``fresh``: the supervisor was started just now, with all programs.
    """
    server = _server(layout)
    now = {program.name: program.fingerprint() for program in programs}
    before = _read_fingerprints(layout)
    changed = []
    if not fresh:
        added, _, removed = server.reloadConfig()[0]
        for name in removed:
            server.stopProcessGroup(name)
            server.removeProcessGroup(name)
        for name in added:
            server.addProcessGroup(name)
        running = states(layout)
        for program in programs:
            name = program.name
            if before.get(name) != now[name]:
                _replace(server, name)
                changed.append(name)
            elif name in running and running[name].state not in ("RUNNING", "STARTING"):
                _replace(server, name)
    remember(layout, programs)
    return changed


def remember(layout: Layout, programs: Sequence[Program]) -> None:
    """Notes that the programs that run are of today's code and configuration."""
    now = {program.name: program.fingerprint() for program in programs}
    write_whole(_fingerprints(layout), json.dumps(now))


def _replace(server: Any, name: str) -> None:
    """The program with its newest command line; supervisord reads it when the group is added."""
    server.stopProcessGroup(name)
    server.removeProcessGroup(name)
    server.addProcessGroup(name)


def states(layout: Layout) -> dict[str, State]:
    if not is_supervised(layout):
        return {}
    return {
        info["name"]: State(info["name"], info["statename"], info["pid"], info["start"])
        for info in _server(layout).getAllProcessInfo()
    }


def is_supervised(layout: Layout) -> bool:
    path = layout.supervisor_socket
    if not path.exists() or path.stat().st_uid != os.geteuid():
        return False
    with socket.socket(socket.AF_UNIX) as probe:
        probe.settimeout(2)
        try:
            probe.connect(str(path))
        except OSError:
            return False
    try:
        return bool(_server(layout).getState()["statename"] == "RUNNING")
    except (OSError, xmlrpc.client.Error):
        return False


def exists(layout: Layout) -> bool:
    """Whether a supervisor of this cloud is there, also one that does not listen (yet)."""
    return bool(_supervisors_of(layout))


def stop(layout: Layout) -> bool:
    """Stops the supervisor and what it supervises. Answers whether there was one.

    It is found by its command line: also when it has not begun to listen, or its socket is gone.
    """
    pids = _supervisors_of(layout)
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT_S
    while alive := [pid for pid in pids if _alive(pid)]:
        if time.monotonic() > deadline:
            raise CliError(
                f"the supervisor (process {alive[0]}) has not ended within {STOP_TIMEOUT_S:.0f} s"
            )
        time.sleep(0.05)
    return bool(pids)


def _alive(pid: int) -> bool:
    try:
        # One that nobody has waited for yet is dead, too.
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False


def running_elsewhere(layout: Layout) -> list[Path]:
    """State dirs of the other clouds whose supervisors run on this machine."""
    return sorted({root for _, _, root in _supervisors() if not _is_same(root, layout.root)})


def _supervisors_of(layout: Layout) -> list[int]:
    own = os.geteuid()
    return [
        pid for pid, owner, root in _supervisors() if owner == own and _is_same(root, layout.root)
    ]


def _supervisors() -> list[tuple[int, int, Path]]:
    """(process, its owner, state dir) of every supervisor on this machine."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes().decode(errors="replace").split("\0")
            owner = path.stat().st_uid
        except OSError:
            continue  # it ended meanwhile
        if "supervisor.supervisord" in words and words[-2].endswith("/run/supervisord.conf"):
            found.append((int(path.parent.name), owner, Path(words[-2]).parent.parent))
    return found


def _is_same(one: Path, other: Path) -> bool:
    """Also by another path; one that has been removed is the same by its path only."""
    return one == other or (one.exists() and other.exists() and one.samefile(other))


def tail(log: Path) -> str:
    """The last lines of a log; "" where there is none."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - TAIL_BYTES))
            return file.read().decode(errors="replace").strip()
    except OSError:
        return ""


def _server(layout: Layout) -> Any:
    """The supervisor's methods by name (supervisord.org/api.html)."""
    transport = SupervisorTransport(None, None, f"unix://{layout.supervisor_socket}")
    return xmlrpc.client.ServerProxy("http://127.0.0.1", transport=transport).supervisor


def _configuration(layout: Layout) -> Path:
    return layout.run / "supervisord.conf"


def _fingerprints(layout: Layout) -> Path:
    return layout.run / "started.json"


def _read_fingerprints(layout: Layout) -> dict[str, str]:
    try:
        return dict(json.loads(_fingerprints(layout).read_text()))
    except (OSError, ValueError):
        return {}


def _code_fingerprint() -> bytes:
    digest = hashlib.sha256()
    for room in ("protos", "gateway", "controller", "hostagent"):
        for path in sorted((ROOT / room).rglob("*")):
            if path.suffix in (".py", ".proto") and not path.stem.endswith(("_pb2", "_pb2_grpc")):
                status = path.stat()
                digest.update(f"{path} {status.st_size} {status.st_mtime_ns}\n".encode())
    return digest.digest()


def _text(value: object) -> str:
    """supervisord expands %(...)s everywhere."""
    return str(value).replace("%", "%%")


def _quoted(value: str) -> str:
    return '"' + _text(value).replace('"', '\\"') + '"'
