"""A cloud's files, as ``pileus up`` would lay them out: certificates, keys, a TOML file a service.

    files = Installation(folder, hosts=2)      ports are free ones of the loopback interface
    files.controller_toml, files.gateway_toml, files.host_tomls[0]
    files.prepare()                            ``python -m controller init`` and a token per host

Used by clouds in threads (wired.py) and in processes (processes.py) alike, so that the files that
real services read are what tests run on.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

from protos.rpc import TlsFiles
from tests.harness.pki import Authority

ROOT = Path(__file__).resolve().parents[2]
REGION = "us-east-1"
COMMAND_LIMIT_S = 60


class Installation:
    """See the module's head. ``controller``, ``gateway`` and ``host`` are TOML text to add."""

    def __init__(
        self,
        folder: Path,
        *,
        hosts: int = 1,
        controller: str = "",
        gateway: str = "",
        host: str = "",
    ):
        self.folder, self.hosts = folder, hosts
        self.controller_toml = folder / "controller.toml"
        self.gateway_toml = folder / "gateway.toml"
        self.host_tomls = [folder / f"host-{number}.toml" for number in range(1, hosts + 1)]
        self.credentials_file = folder / "operator.json"
        ports = free_ports(3 + hosts)
        self.controller_address, self.join_address, self._listen = (
            f"127.0.0.1:{port}" for port in ports[:3]
        )
        self.endpoint = f"http://{self._listen}"
        self._host_ports, self._host_added = ports[3:], host
        authority = Authority.make(folder / "pki")
        self._write_controller(authority.issue("controller"), controller)
        self._write_gateway(authority.issue("gateway"), gateway)

    def prepare(self) -> None:
        """Makes the database, the operator's account and the hosts' join tokens."""
        self._controller("init", "--credentials-file", str(self.credentials_file))
        for number, path in enumerate(self.host_tomls, 1):
            token = self._controller("join-token", "--host-name", f"host-{number}").strip()
            self._write_host(path, number, token)

    @property
    def operator(self) -> dict[str, str]:
        """account_id, access_key_id and secret_access_key."""
        return json.loads(self.credentials_file.read_text())

    def _controller(self, *words: str) -> str:
        command = ["-m", "controller", "--config", str(self.controller_toml), *words]
        ended = subprocess.run(
            [sys.executable, *command],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=COMMAND_LIMIT_S,
        )
        assert ended.returncode == 0, ended.stderr
        return ended.stdout

    def _write_controller(self, tls: TlsFiles, added: str) -> None:
        hosts = "" if "[hosts]" in added else "[hosts]\nreport_interval_ms = 500\n"
        self.controller_toml.write_text(f"""\
state_dir = "{self.folder / "controller"}"
master_key_file = "{self.folder / "master.key"}"
listen = "{self.controller_address}"
join_listen = "{self.join_address}"
socket = "{self.folder / "controller.sock"}"
{added}
[tls]
ca = "{tls.ca}"
certificate = "{tls.certificate}"
key = "{tls.key}"
ca_key = "{self.folder / "pki" / "ca.key"}"
{hosts}""")

    def _write_gateway(self, tls: TlsFiles, added: str) -> None:
        self.gateway_toml.write_text(f"""\
listen = "{self._listen}"
controller = "{self.controller_address}"
controller_socket = "{self.folder / "controller.sock"}"
region = "{REGION}"
ca = "{tls.ca}"
certificate = "{tls.certificate}"
key = "{tls.key}"
{added}
""")

    def _write_host(self, path: Path, number: int, token: str) -> None:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(f"""\
name = "host-{number}"
state_dir = "{self.folder / f"host-{number}"}"
listen = "127.0.0.1:{self._host_ports[number - 1]}"
availability_zone = "us-east-1a"
hypervisor = "fake"
join_token = "{token}"
threads = 4
{self._host_added}
""")


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now, held until all are known, so that none is twice."""
    held = [socket.socket() for _ in range(count)]
    try:
        for one in held:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in held]
    finally:
        for one in held:
            one.close()
