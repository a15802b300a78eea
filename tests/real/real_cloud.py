"""A real cloud for the tests of this folder, brought up and down by the command that users type.

cloud = RealCloud.up(folder, port)     `pileus up --detach` with own ports, addresses, libvirtd
cloud.ec2(), cloud.ec2(account)        boto3 clients of the operator and of new accounts
cloud.leftovers()                      what a destroyed cloud left on the host
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import boto3
from botocore.config import Config

from cli import services
from cli.cloud import Cloud, load
from cli.layout import Layout
from hostagent.network.config import Names
from tests.harness.waiting import wait_until

ROOT = Path(__file__).resolve().parents[2]
SSH_OPTIONS = (
    *("-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"),
    *("-o", "ConnectTimeout=3", "-o", "BatchMode=yes", "-o", "LogLevel=ERROR"),
    # A guest that is cut off, or dies, in the middle of a session says nothing of it.
    *("-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=3"),
)
COMMAND_TIMEOUT_S = 300


def eventually(look: Callable, what: str, timeout_s: float = 90.0, every_s: float = 0.25):
    """What ``look`` answers as soon as it is true."""
    return wait_until(what, look, timeout_s, look_s=every_s)


@dataclass(frozen=True)
class RealCloud:
    layout: Layout

    @classmethod
    def up(cls, state_dir: Path, *words: str) -> "RealCloud":
        cloud = cls.found(state_dir)
        cloud.pileus("up", "--detach", *words)
        return cloud

    @classmethod
    def found(cls, state_dir: Path) -> "RealCloud":
        return cls(Layout.of(state_dir))

    def up_again(self) -> None:
        self.pileus("up", "--detach")

    def down(self, *words: str) -> None:
        self.pileus("down", *words)

    def pileus(self, *words: str, check: bool = True) -> subprocess.CompletedProcess:
        command = [sys.executable, "-m", "cli", *words, "--state-dir", str(self.layout.root)]
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=COMMAND_TIMEOUT_S
        )
        assert done.returncode == 0 or not check, done.stdout + done.stderr
        return done

    @property
    def settings(self) -> Cloud:
        return load(self.layout)

    def account(self, name: str) -> dict[str, str]:
        """A new account's exports, as `pileus account create` prints them."""
        return _exports(self.pileus("account", "create", name).stdout)

    def ec2(self, exports: dict[str, str] | None = None):
        exports = exports or _exports(self.pileus("env").stdout)
        return boto3.client(
            "ec2",
            endpoint_url=exports["AWS_ENDPOINT_URL"],
            aws_access_key_id=exports["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=exports["AWS_SECRET_ACCESS_KEY"],
            region_name=exports["AWS_DEFAULT_REGION"],
            # A gateway that is being killed refuses connections for a moment.
            config=Config(retries={"max_attempts": 8, "mode": "standard"}, read_timeout=30),
        )

    def pid(self, service: str) -> int:
        """Of a service that runs; waits for one that is being restarted."""

        def running() -> int:
            state = services.states(self.layout).get(service)
            return state.pid if state and state.state in ("RUNNING", "STARTING") else 0

        return eventually(running, f"{service} runs", 30)

    def kill(self, service: str) -> None:
        os.kill(self.pid(service), signal.SIGKILL)

    def processes(self) -> dict[int, str]:
        """Everything that this cloud has running: its folders are on their command lines."""
        marks = (str(self.layout.root), f"{self.settings_prefix()}-network")
        found = {}
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                line = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue  # ended meanwhile
            pid = int(path.parent.name)
            if any(mark in line for mark in marks) and pid != os.getpid():
                found[pid] = line
        return found

    def settings_prefix(self) -> str:
        return f"pil{self.layout.tag}"

    def lose_power(self) -> None:
        """Everything is killed, guests too, and the kernel forgets the networks."""
        settings = self.settings
        supervisor = int((self.layout.run / "supervisord.pid").read_text())
        os.kill(supervisor, signal.SIGKILL)
        pid_files = [self.layout.libvirt / "run" / "virtlogd.pid"]
        for pid in [int(path.read_text()) for path in pid_files if path.exists()]:
            os.kill(pid, signal.SIGKILL)

        def all_dead() -> bool:
            for pid in self._all_processes():
                try:
                    os.kill(pid, signal.SIGKILL)
                except ProcessLookupError:
                    continue
            return not self._all_processes()

        eventually(all_dead, "everything is dead", 20)
        network = ["--prefix", settings.network_prefix, "--pool", settings.public_cidr]
        network += ["--transit", settings.transit_cidr]
        subprocess.run(
            [sys.executable, "-m", "hostagent.network", "destroy", *network],
            cwd=ROOT,
            check=True,
            capture_output=True,
            timeout=COMMAND_TIMEOUT_S,
        )
        (self.layout.libvirt / "boot-id").unlink()

    def _all_processes(self) -> set[int]:
        """Those of processes(), libvirtd, and what lives in the cloud's network namespaces."""
        found = set(self.processes())
        for name in _words("ip", "netns", "list"):
            if name.startswith(f"{self.settings_prefix()}-vpc-"):
                found |= {int(pid) for pid in _words("ip", "netns", "pids", name)}
        return found

    def leftovers(self) -> list[str]:
        """After `down --destroy`: what is still on the host."""
        prefix = self.settings_prefix()
        names = Names(prefix)
        links = [link["ifname"] for link in json.loads(_output("ip", "-json", "link"))]
        ours = (names.taps, names.cables, prefix)
        found = [f"link {name}" for name in links if name.startswith(ours)]
        found += [
            f"namespace {name}" for name in _words("ip", "netns", "list") if name.startswith(prefix)
        ]
        found += [
            f"table {line}"
            for line in _output("nft", "list", "tables").splitlines()
            if prefix in line
        ]
        found += [f"process {pid}: {line}" for pid, line in self.processes().items()]
        folders = (self.layout.root, Path(f"/run/{prefix}-network"))
        return found + [f"folder {path}" for path in folders if path.exists()]


def ssh(
    address: str, key: Path, command: str, user: str = "ec2-user", namespace: str = ""
) -> str | None:
    """What the command says, or None where the guest does not let us in (yet)."""
    inside = ["ip", "netns", "exec", namespace] if namespace else []
    done = subprocess.run(
        [*inside, "ssh", "-i", str(key), *SSH_OPTIONS, f"{user}@{address}", command],
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    return done.stdout if done.returncode == 0 else None


def _exports(text: str) -> dict[str, str]:
    return dict(re.findall(r"^export (\w+)=(.*)$", text, re.MULTILINE))


def _output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=30).stdout


def _words(*command: str) -> list[str]:
    return [word for word in _output(*command).split() if not word.startswith("(")]
