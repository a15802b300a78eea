"""Configuration: one TOML file as frozen dataclasses. A key that is not known refuses to start.

    name = "host-1"                     as the join token says
    state_dir = "/var/lib/pileus/hosts/host-1"     ledger, pki/, images/, volumes/, instances/
    listen = "127.0.0.1:7711"           where the controller calls; ``endpoint`` where it calls
                                        another address for that
    controller = "10.0.0.1:7701"        empty: as the join said
    join_token = "pileus-join:..."      used while there is no certificate in pki/
    hypervisor = "auto"                 auto | kvm | qemu | fake
    [limits]                            limits.Limits: how long things may take
    [images] [network] [faults]         the cache; the VPCs; what a fake hypervisor does wrong
    [volumes]                           where they are served to other hosts

``load(path)`` raises ConfigError with a sentence for the operator.
"""

import dataclasses
import ipaddress
import tomllib
import types
import typing
from dataclasses import dataclass, field, replace
from pathlib import Path

from hostagent.compute.hypervisors.fake import Faults
from hostagent.compute.limits import Limits
from hostagent.network.config import NetworkConfig

HYPERVISORS = ("auto", "kvm", "qemu", "fake")


class ConfigError(Exception):
    """The file cannot be what was meant; the message says where and why."""


@dataclass(frozen=True)
class ImagesConfig:
    """The cache is kept below ``cache_gib`` where what is in use allows it."""

    cache_gib: int = 50
    max_virtual_gib: int = 2048  # of an image that may be used at all
    fetches: int = 2  # at once


@dataclass(frozen=True)
class VolumesConfig:
    """Where other hosts' guests have this host's volumes from (NBD over TLS): ``listen`` is
    ADDRESS:PORT, ``endpoint`` what they call where that is another one. Empty: it serves none.
    libvirt's QEMU is a client with ``nbd_tls_x509_cert_dir = "<state_dir>/run/nbd"``.
    """

    listen: str = ""
    endpoint: str = ""


@dataclass(frozen=True)
class LibvirtConfig:
    """How domains are made. ``cache`` is QEMU's cache mode of the disks; ``writeback`` survives a
    guest's flush like any disk does, ``none`` bypasses the host's page cache."""

    uri: str = "qemu:///system"
    cache: str = "writeback"
    tcg_translation_mib: int = 32  # translated code per guest without KVM; QEMU's own is 1 GiB
    machine: str = "pc"


@dataclass(frozen=True)
class Config:
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
    hypervisor: str = "auto"
    hosts: int = 1
    threads: int = 8  # instances worked on at once
    copies: int = 2  # of snapshots, at once
    report_interval_ms: int = 5_000  # until the controller says otherwise
    console_bytes: int = 64 * 1024  # of a console's tail that may be read at once
    log_level: str = "INFO"
    fake_seed: int = 0
    limits: Limits = field(default_factory=Limits)
    images: ImagesConfig = field(default_factory=ImagesConfig)
    volumes: VolumesConfig = field(default_factory=VolumesConfig)
    libvirt: LibvirtConfig = field(default_factory=LibvirtConfig)
    faults: Faults = field(default_factory=Faults)
    network: NetworkConfig = field(default_factory=NetworkConfig)

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
    try:
        table = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError) as failure:
        raise ConfigError(f"{path}: {failure}") from failure
    return parse(table, str(path))


def parse(table: dict, where: str = "config") -> Config:
    """A table as TOML gives it. Raises ConfigError."""
    config = _build(Config, table, where)
    if config.hypervisor not in HYPERVISORS:
        raise ConfigError(f"{where}: hypervisor is one of {', '.join(HYPERVISORS)}")
    if config.hosts < 1 or (config.hosts > 1 and config.hypervisor != "fake"):
        raise ConfigError(f"{where}: only fake hosts can be several in one process")
    if not config.listen.rpartition(":")[2].isdigit():
        raise ConfigError(f"{where}: listen is ADDRESS:PORT")
    _check_volumes(config.volumes, where)
    if config.threads < 1 or config.copies < 1:
        raise ConfigError(f"{where}: threads and copies are at least 1")
    return config


def _check_volumes(volumes: VolumesConfig, where: str) -> None:
    address, _, port = volumes.listen.rpartition(":")
    if not volumes.listen:
        return
    try:
        everywhere = ipaddress.ip_address(address.strip("[]")).is_unspecified
    except ValueError:
        raise ConfigError(f"{where}: volumes.listen is ADDRESS:PORT") from None
    if not port.isdigit():
        raise ConfigError(f"{where}: volumes.listen is ADDRESS:PORT")
    if everywhere and not volumes.endpoint:
        raise ConfigError(f"{where}: volumes.listen is any address: volumes.endpoint says which")


def _build(cls: type, table: dict, where: str):
    hints = typing.get_type_hints(cls)
    unknown = sorted(set(table) - set(hints))
    if unknown:
        raise ConfigError(f"{where}: unknown: {', '.join(unknown)}")
    values = {key: _value(hints[key], value, f"{where}: {key}") for key, value in table.items()}
    try:
        return cls(**values)
    except (TypeError, ValueError) as failure:
        raise ConfigError(f"{where}: {failure}") from failure


def _value(wanted, value, where: str):
    """``value`` as the type that the field declares; nothing is guessed but int for float."""
    if isinstance(wanted, types.UnionType):
        (wanted,) = (part for part in wanted.__args__ if part is not types.NoneType)
    if dataclasses.is_dataclass(wanted):
        if not isinstance(value, dict):
            raise ConfigError(f"{where} is a table")
        return _build(wanted, value, where)
    if typing.get_origin(wanted) is tuple:
        if not isinstance(value, list):
            raise ConfigError(f"{where} is a list")
        return tuple(_value(typing.get_args(wanted)[0], item, where) for item in value)
    if wanted is Path and isinstance(value, str):
        return Path(value)
    if wanted is float and type(value) is int:
        return float(value)
    if type(value) is not wanted:
        raise ConfigError(f"{where} is of type {wanted.__name__}, not {type(value).__name__}")
    return value
