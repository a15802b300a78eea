"""Where everything of one cloud lies: the folders and files below its state dir.

    cloud.json       what was chosen at the first `up` (cli/cloud.py)
    operator.json    the first account's access key          env    the same as shell exports
    master.key       seals the secrets in the database       pki/   certificates and keys
    controller.toml  gateway.toml  host.toml                 configurations of the services
    controller/      pileus.db, images/
    hosts/<name>/    ledger, pki/, images/, volumes/, instances/, run/
    libvirt/         the private libvirtd: etc/ run/ lib/ log/
    logs/  run/      what the services say; the supervisor's and the controller's sockets

All of it is for its owner's eyes only (docs/decisions/0310), but that other users may walk to
pki/ca.crt, by which clients of theirs know the endpoint, and find out that a cloud is here.
"""

import hashlib
import os
import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path

from cli.errors import CliError
from protos.files import unfinished
from protos.private_files import make_folder

ROOTS_STATE_DIR = Path("/var/lib/pileus")
LONGEST_SOCKET = 95  # of Linux's 107: the supervisor adds a number to its socket's name


def default_state_dir() -> Path:
    if os.geteuid() == 0:
        return ROOTS_STATE_DIR
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "pileus"


def default_cache_dir() -> Path:
    if os.geteuid() == 0:
        return Path("/var/cache/pileus")
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pileus"


@dataclass(frozen=True)
class Layout:
    """Paths of one cloud. ``cache`` is shared by all clouds of a machine and outlives them."""

    root: Path
    cache: Path

    @classmethod
    def of(cls, state_dir: Path | None, cache_dir: Path | None = None) -> "Layout":
        root = (state_dir or default_state_dir()).expanduser().absolute()
        return cls(root, (cache_dir or default_cache_dir()).expanduser().absolute())

    @property
    def is_default(self) -> bool:
        return self.root == default_state_dir().absolute()

    @property
    def option(self) -> str:
        """What a command needs on its line to find this cloud: nothing, or " --state-dir …"."""
        return "" if self.is_default else f" --state-dir {shlex.quote(str(self.root))}"

    @property
    def tag(self) -> str:
        """Six digits that tell this cloud from others on the machine."""
        return hashlib.sha256(str(self.root).encode()).hexdigest()[:6]

    @property
    def cloud(self) -> Path:
        return self.root / "cloud.json"

    @property
    def unfinished_cloud(self) -> Path:
        """All that an ``up`` leaves which was cut off at its very beginning."""
        return unfinished(self.cloud)

    @property
    def operator(self) -> Path:
        return self.root / "operator.json"

    @property
    def env(self) -> Path:
        return self.root / "env"

    @property
    def master_key(self) -> Path:
        return self.root / "master.key"

    @property
    def pki(self) -> Path:
        return self.root / "pki"

    @property
    def ca(self) -> Path:
        return self.pki / "ca.crt"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def libvirt(self) -> Path:
        return self.root / "libvirt"

    @property
    def libvirt_socket(self) -> Path:
        """Raises CliError where no socket can have the path."""
        path = self.libvirt / "run" / "libvirt-sock"
        if len(str(path)) > LONGEST_SOCKET:
            raise CliError(f"the state dir's path is too long for libvirt's socket: {self.root}")
        return path

    @property
    def supervisor_socket(self) -> Path:
        """In the state dir; where that has too long a path, in the folder for temporary files."""
        path = self.run / "supervisor.sock"
        if len(str(path)) <= LONGEST_SOCKET:
            return path
        return Path(tempfile.gettempdir()) / f"pileus-{os.geteuid()}-{self.tag}.sock"

    @property
    def controller_socket(self) -> Path | None:
        """None where its path would be too long: the gateway calls by gRPC then."""
        path = self.run / "controller.sock"
        return path if len(str(path)) <= LONGEST_SOCKET else None

    def config(self, service: str) -> Path:
        """The TOML file of "controller", "gateway" or "host"."""
        return self.root / f"{service}.toml"

    def host(self, name: str) -> Path:
        return self.root / "hosts" / name

    def foreign_files(self) -> list[str]:
        """What is in a state dir that no ``up`` can have put there before it wrote cloud.json."""
        own = ("extra", self.unfinished_cloud.name)
        return sorted(path.name for path in self.root.iterdir() if path.name not in own)

    def make(self) -> None:
        """The folders that everything else is put into."""
        for folder in (self.root / "hosts", self.root / "controller", self.logs, self.run):
            make_folder(folder)
        for folder in (self.root, self.pki):
            folder.mkdir(exist_ok=True)
            folder.chmod(0o711)
