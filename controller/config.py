"""Configuration: one TOML file as frozen dataclasses. A key that is not known refuses to start.

    state_dir = "/var/lib/pileus/controller"     pileus.db and images/ live here
    master_key_file = "/var/lib/pileus/master.key" listen = "127.0.0.1:7701"                    gRPC
    of gateways and hosts, mutual TLS join_listen = "127.0.0.1:7702"               where a new host
    joins with its token endpoint = "…"  join_endpoint = "…"          what hosts are told to call,
    where it is not the above [tls]        ca, certificate, key, ca_key: PEM files [region]
    name, dns_suffix and zones: [[region.zones]] name = "us-east-1b" id = "use1-az2"
    hosts_of = "us-east-1a" (whose hosts stand for this zone too) [networks]
    public_pool, nameservers [images]     max_bytes, sources: prefixes of the URLs that images may
    be registered from [quotas]     defaults of every account [instances]  default_type,
    keep_terminated_ms [scheduler]  name, filters, weighers, ratios … [hosts]
    report_interval_ms, silent_after_ms, lost_after_ms …

``load(path)`` raises ConfigError with a sentence for the operator. Tests make ``Config(...)``
directly.
"""

import dataclasses
import tomllib
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path


class ConfigError(Exception):
    """The file cannot be what was meant; the message says where and why."""


@dataclass(frozen=True)
class TlsConfig:
    """PEM files. ca_key signs the certificates of joining hosts; without it nobody can join
    here."""

    ca: Path = Path("ca.crt")
    certificate: Path = Path("controller.crt")
    key: Path = Path("controller.key")
    ca_key: Path | None = None


@dataclass(frozen=True)
class Zone:
    """hosts_of: another zone, whose hosts stand for this one too; empty: this one has only its
    own."""

    name: str = "us-east-1a"
    id: str = "use1-az1"
    hosts_of: str = ""

    @property
    def homes(self) -> frozenset[str]:
        """Names of the zones whose hosts take what is asked for in this one."""
        return frozenset({self.name, self.hosts_of or self.name})


@dataclass(frozen=True)
class RegionConfig:
    name: str = "us-east-1"
    zones: tuple[Zone, ...] = (Zone(),)
    dns_suffix: str = ""  # of private names; "": as EC2's are in the region
    public_dns_suffix: str = ""  # where the operator serves a zone of names ec2-1-2-3-4.<suffix>

    def __post_init__(self):
        with_own_hosts = {zone.name for zone in self.zones if not zone.hosts_of}
        for zone in self.zones:
            if zone.hosts_of and zone.hosts_of not in with_own_hosts:
                raise ConfigError(
                    f"region.zones: hosts_of = {zone.hosts_of!r} of {zone.name} names no zone "
                    "that has hosts of its own"
                )


@dataclass(frozen=True)
class NetworksConfig:
    """public_pool: the block that public addresses are lent and allocated from. nameservers: what
    guests may ask; empty: those of their host."""

    public_pool: str = "100.64.0.0/24"
    nameservers: tuple[str, ...] = ()


@dataclass(frozen=True)
class ImagesConfig:
    max_bytes: int = 64 * 1024**3
    max_virtual_bytes: int = 2 * 1024**4
    sources: tuple[str, ...] = ()


@dataclass(frozen=True)
class QuotaLimits:
    """What an account may have where the operator says nothing else about it."""

    instances: int = 100
    vcpus: int = 200
    memory_mib: int = 512 * 1024
    addresses: int = 20
    key_pairs: int = 500
    security_groups: int = 500
    network_interfaces: int = 5000
    volumes: int = 500
    gigabytes: int = 50 * 1024
    snapshots: int = 10_000
    rules_per_group: int = 60
    vpcs: int = 5
    subnets_per_vpc: int = 200
    internet_gateways: int | None = None  # as many as VPCs
    route_tables_per_vpc: int = 200
    routes_per_table: int = 50


@dataclass(frozen=True)
class InstancesConfig:
    """keep_terminated_ms: how long a terminated instance stays to be seen (EC2: about an hour).
    pending_limit_ms: how long a launch or a start may take; 0: for ever."""

    default_type: str = "t2.micro"
    keep_terminated_ms: int = 3_600_000
    pending_limit_ms: int = 1_800_000
    max_per_call: int = 1000


@dataclass(frozen=True)
class SchedulerConfig:
    """name: filter | chance | simple. A weigher's number is its multiplier. *_ratio: how far a host
    may be oversold."""

    name: str = "filter"
    filters: tuple[str, ...] = (
        "availability_zone",
        "compute",
        "core",
        "ram",
        "disk",
        "isolated_hosts_images",
        "different_host",
        "same_host",
        "simple_cidr_affinity",
    )
    weighers: dict[str, float] = field(
        default_factory=lambda: {"spread": 1.0, "image_locality": 2.0}
    )
    cpu_ratio: float = 16.0
    ram_ratio: float = 1.5
    disk_ratio: float = 1.0
    isolated_hosts: tuple[str, ...] = ()
    isolated_images: tuple[str, ...] = ()


@dataclass(frozen=True)
class HostsConfig:
    """When a host that says nothing counts as silent, then lost; how its agent is called.

    given_up_after_ms: how long a launch, a start or a new volume waits for a host that says
    nothing; 0: for ever. Five minutes is longer than a server takes to boot, and shorter than tools
    wait for a launch (Terraform: ten minutes)."""

    report_interval_ms: int = 5_000
    silent_after_ms: int = 15_000
    lost_after_ms: int = 60_000
    given_up_after_ms: int = 300_000
    apply_timeout_s: float = 5.0
    console_timeout_s: float = 5.0
    dispatch_threads: int = 8
    join_token_valid_s: int = 3600
    certificate_days: int = 3650


@dataclass(frozen=True)
class Config:
    state_dir: Path = Path(".")
    master_key_file: Path = Path("master.key")
    listen: str = "127.0.0.1:7701"
    join_listen: str = "127.0.0.1:7702"
    endpoint: str = ""
    join_endpoint: str = ""
    log_level: str = "INFO"
    rpc_threads: int = 16
    task_interval_ms: int = 1_000
    tls: TlsConfig = TlsConfig()
    region: RegionConfig = RegionConfig()
    networks: NetworksConfig = NetworksConfig()
    images: ImagesConfig = ImagesConfig()
    quotas: QuotaLimits = QuotaLimits()
    instances: InstancesConfig = InstancesConfig()
    scheduler: SchedulerConfig = SchedulerConfig()
    hosts: HostsConfig = HostsConfig()

    @property
    def database(self) -> Path:
        return self.state_dir / "pileus.db"

    @property
    def image_dir(self) -> Path:
        return self.state_dir / "images"

    @property
    def snapshot_dir(self) -> Path:
        return self.state_dir / "snapshots"


def load(path: Path) -> Config:
    """The configuration in a TOML file."""
    try:
        content = tomllib.loads(path.read_text())
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as failure:
        raise ConfigError(f"{path}: {failure}") from failure
    return _read(Config, content, str(path))


def _read(kind, value, where: str):
    """``value`` as ``kind``: a dataclass, tuple, dict, Path, number or text; ConfigError where it
    is something else."""
    if dataclasses.is_dataclass(kind):
        return _read_section(kind, value, where)
    origin = typing.get_origin(kind)
    if origin is types.UnionType:
        return _read(typing.get_args(kind)[0], value, where)
    if origin is tuple and isinstance(value, list):
        return tuple(_read(typing.get_args(kind)[0], one, where) for one in value)
    if origin is dict and isinstance(value, dict):
        one = typing.get_args(kind)[1]
        return {key: _read(one, item, f"{where}.{key}") for key, item in value.items()}
    if kind is Path and isinstance(value, str):
        return Path(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if origin is None and type(value) is kind:
        return value
    raise ConfigError(f"{where}: {value!r} is not what is expected here ({kind})")


def _read_section(kind, value, where: str):
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: expected a table")
    known = typing.get_type_hints(kind)
    if unknown := sorted(value.keys() - known.keys()):
        raise ConfigError(f"{where}: unknown key {unknown[0]!r}; known: {', '.join(known)}")
    return kind(**{key: _read(known[key], one, f"{where}: {key}") for key, one in value.items()})
