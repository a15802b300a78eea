"""A second real host on this machine, joined to a real cloud: an agent, a libvirtd and networks of
its own.

    with SecondHost(cloud, folder) as host:     up, as the controller sees it
        host.kill()                             its agent; `start` brings the next one
        host.findings()                         what is on it and should not be

Both share one table of routes, so its guests can have no public address, which the first host
would take for another machine's; they are reached inside their VPC's namespace. ``folder`` is
short and empty.
"""

import ipaddress
import os
import re
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from cli.configs import toml
from hostagent.network.config import Names
from hostagent.storage.volumes.storage_daemon import link_tls
from protos.rpc import TlsFiles
from tests.harness.installation import free_ports
from tests.real.libvirtd import PrivateLibvirtd
from tests.real.real_cloud import COMMAND_TIMEOUT_S, ROOT, RealCloud, eventually

NAME = "host-2"
# Half is its pool, half its cables; no other cloud of these tests takes it.
RANGE = ipaddress.IPv4Network(f"100.97.{os.getpid() % 256}.0/24")


class SecondHost:
    """See the module's head."""

    def __init__(self, cloud: RealCloud, folder: Path):
        self.cloud, self.state_dir = cloud, folder / NAME
        self._config, self._log = folder / "host.toml", folder / "agent.log"
        self._process: subprocess.Popen | None = None
        self._closing = ExitStack()

    def __enter__(self) -> "SecondHost":
        with ExitStack() as closing:
            self.libvirtd = closing.enter_context(PrivateLibvirtd())
            pki = self.state_dir / "pki"
            tls = TlsFiles(pki / "ca.crt", pki / "host.crt", pki / "host.key")
            link_tls(self.libvirtd.folder / "nbd", tls)
            token = self.cloud.pileus("host", "join-token", NAME).stdout.strip()
            self._config.write_text(self._toml(token))
            # Until the controller knows, it may put a volume there.
            closing.callback(eventually, lambda: not self.is_up(), f"{NAME} is missed", 60)
            closing.callback(self._destroy)
            self.start()
            eventually(self.is_up, f"{NAME} is up", 60)
            self._closing = closing.pop_all()
        return self

    def __exit__(self, *failure) -> None:
        self._closing.close()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(self._command(), cwd=ROOT, stdout=log, stderr=log)

    def kill(self) -> None:
        """kill -9."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def is_up(self) -> bool:
        """As the controller sees it."""
        listed = self.cloud.pileus("host", "list").stdout
        return re.search(rf"^{NAME} +\S+ +up ", listed, re.M) is not None

    def runs(self, instance_id: str) -> bool:
        return (self.state_dir / "instances" / f"{instance_id}.log").exists()

    def namespace(self, vpc_id: str) -> str:
        return Names(self._prefix()).namespace(vpc_id)

    def files_of(self, volume_id: str) -> list[Path]:
        return sorted((self.state_dir / "volumes").glob(f"{volume_id}.*"))

    def findings(self) -> list[str]:
        done = subprocess.run(
            self._command("--audit"), cwd=ROOT, capture_output=True, text=True, timeout=60
        )
        return [] if done.returncode == 0 else done.stdout.splitlines()

    def _destroy(self) -> None:
        """All of it goes; the agent first."""
        if self._process is not None:
            self.kill()
        print(f"--- {self._log.name} of {NAME}\n{self._log.read_text()[-4000:]}")
        subprocess.run(self._command("--destroy"), cwd=ROOT, check=True, timeout=COMMAND_TIMEOUT_S)

    def _command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "hostagent", "--config", str(self._config), *words]

    def _prefix(self) -> str:
        return f"{self.cloud.settings.network_prefix}b"

    def _toml(self, token: str) -> str:
        settings = self.cloud.settings
        pool, transit = RANGE.subnets()
        listen, volumes = (f"127.0.0.1:{port}" for port in free_ports(2))
        tables = {
            "libvirt": {"uri": self.libvirtd.uri},
            "volumes": {"listen": volumes},
            "network": {
                "prefix": self._prefix(),
                "pool": str(pool),
                "transit": str(transit),
            },
        }
        top = {
            "name": NAME,
            "state_dir": str(self.state_dir),
            "listen": listen,
            "availability_zone": settings.zone,
            "hypervisor": settings.hypervisor,
            "join_token": token,
        }
        return toml(top | tables)
