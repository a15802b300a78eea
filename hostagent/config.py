"""Configuration: one TOML file as frozen structs. A key that is not known refuses to start.

    name = "host-1"                     as the join token says
    state_dir = "/var/lib/pileus/hosts/host-1"     ledger, pki/, images/, volumes/, instances/
    listen = "127.0.0.1:7711"           where the controller calls; ``endpoint`` where it calls
                                        another address for that
    controller = "10.0.0.1:7701"        empty: as the join said
    join_token = "pileus-join:..."      used while there is no certificate in pki/
    hypervisor = "auto"                 auto | kvm | qemu | fake
    [limits]                            compute/limits: how long things may take
    [images] [network] [faults]         the cache; the VPCs; what a fake hypervisor does wrong
    [volumes]                           where they are served to other hosts

``load(path)`` raises ConfigError with a sentence for the operator (protos/config.py).
"""

import ipaddress
from pathlib import Path
from typing import Any, Literal

from msgspec.structs import replace

from hostagent.compute.hypervisors.fake_guests import Faults
from hostagent.compute.limits import Limits
from hostagent.network.config import NetworkConfig
from protos import config
from protos.config import ConfigError, NotNegative, Positive, Section


class ImagesConfig(Section, frozen=True):
    """The cache is kept below ``cache_gib`` where what is in use allows it."""

    cache_gib: NotNegative = 50
    max_virtual_gib: Positive = 2048  # of an image that may be used at all
    fetches: Positive = 2  # at once


class VolumesConfig(Section, frozen=True):
    """Where other hosts' guests have this host's volumes from (NBD over TLS): ``listen`` is
    ADDRESS:PORT, ``endpoint`` what they call where that is another one. Empty: it serves none.
    libvirt's QEMU is a client with ``nbd_tls_x509_cert_dir = "<state_dir>/run/nbd"``.
    """

    listen: str = ""
    endpoint: str = ""

    def __post_init__(self) -> None:
        if not self.listen:
            return
        address, _, port = self.listen.rpartition(":")
        try:
            everywhere = ipaddress.ip_address(address.strip("[]")).is_unspecified
        except ValueError:
            raise ValueError("listen is ADDRESS:PORT") from None
        if not port.isdigit():
            raise ValueError("listen is ADDRESS:PORT")
        if everywhere and not self.endpoint:
            raise ValueError("listen is any address: volumes.endpoint says which")


class LibvirtConfig(Section, frozen=True):
    """How domains are made. ``cache`` is QEMU's cache mode of the disks; ``writeback`` survives a
    guest's flush like any disk does, ``none`` bypasses the host's page cache."""

    uri: str = "qemu:///system"
    cache: str = "writeback"
    tcg_translation_mib: Positive = 32  # translated code per guest without KVM; QEMU's own is 1 GiB
    machine: str = "pc"


class Config(Section, frozen=True):
    """See the module's head. ``hosts`` > 1 runs so many fake agents in one process: the n-th has
    ``-n`` on its name and state_dir, the n-th port from ``listen`` on, and the n-th join token."""

    name: str
    state_dir: Path
    listen: str = "127.0.0.1:7711"
    endpoint: str = ""
    controller: str = ""
    availability_zone: str = ""
    join_token: str = ""
    join_tokens: tuple[str, ...] = ()
    hypervisor: Literal["auto", "kvm", "qemu", "fake"] = "auto"
    hosts: Positive = 1
    threads: Positive = 8  # instances worked on at once
    copies: Positive = 2  # of snapshots, at once
    report_interval_ms: Positive = 5_000  # until the controller says otherwise
    console_bytes: Positive = 64 * 1024  # of a console's tail that may be read at once
    log_level: str = "INFO"
    fake_seed: int = 0
    limits: Limits = Limits()
    images: ImagesConfig = ImagesConfig()
    volumes: VolumesConfig = VolumesConfig()
    libvirt: LibvirtConfig = LibvirtConfig()
    faults: Faults = Faults()
    network: NetworkConfig = NetworkConfig()

    def __post_init__(self) -> None:
        if self.hosts > 1 and self.hypervisor != "fake":
            raise ValueError("only fake hosts can be several in one process")
        if not self.listen.rpartition(":")[2].isdigit():
            raise ValueError("listen is ADDRESS:PORT")

    @property
    def pki(self) -> Path:
        return self.state_dir / "pki"

    def each(self) -> list["Config"]:
        """The hosts that this file describes."""
        tokens = self.join_tokens or (self.join_token,) * self.hosts
        if len(tokens) != self.hosts:
            raise ConfigError(f"{self.hosts} hosts need as many join_tokens")
        if self.hosts == 1:
            return [replace(self, join_token=tokens[0])]
        address, _, port = self.listen.rpartition(":")
        return [
            replace(
                self,
                name=f"{self.name}-{number}",
                state_dir=self.state_dir.with_name(f"{self.state_dir.name}-{number}"),
                listen=f"{address}:{int(port) + number - 1}",
                join_token=tokens[number - 1],
                hosts=1,
                fake_seed=self.fake_seed + number,
            )
            for number in range(1, self.hosts + 1)
        ]


def load(path: Path) -> Config:
    """Raises ConfigError."""
    return config.load(path, Config)


def parse(table: dict[str, Any], where: str = "config") -> Config:
    """A table as TOML gives it. Raises ConfigError."""
    return config.parse(table, Config, where)
