"""Configuration: one TOML file as frozen structs. A key that is not known refuses to start.

    state_dir = "/var/lib/pileus/controller"     pileus.db and images/ live here
    master_key_file = "/var/lib/pileus/master.key"
    listen = "127.0.0.1:7701"                    gRPC of gateways and hosts, mutual TLS
    join_listen = "127.0.0.1:7702"               where a new host joins with its token
    socket = "/run/pileus/controller.sock"       where a gateway of this machine calls, too
    endpoint = "…"  join_endpoint = "…"          what hosts are told to call, if not the above
    [tls]        ca, certificate, key, ca_key: PEM files
    [region]     name, dns_suffix and zones:
                 [[region.zones]] name = "us-east-1b"  id = "use1-az2"
                 hosts_of = "us-east-1a"         whose hosts stand for this zone too
    [networks]   public_pool, nameservers
    [images]     max_bytes, sources: prefixes of the URLs that images may be registered from
    [snapshots]  scrub_mib_per_s
    [quotas]     defaults of every account
    [instances]  default_type, keep_terminated_ms
    [scheduler]  name, filters, weighers, ratios …
    [hosts]      report_interval_ms, silent_after_ms, lost_after_ms …

``load(path)`` raises ConfigError with a sentence for the operator (protos/config.py). Tests make
``Config(...)`` directly.
"""

from pathlib import Path

from msgspec import field

from protos import config, network_values
from protos.config import NotNegative, Positive, Ratio, Seconds, Section
from protos.nouns import QUOTAS


class TlsConfig(Section, frozen=True):
    """PEM files. ca_key signs the certificates of joining hosts; without it nobody can join
    here."""

    ca: Path = Path("ca.crt")
    certificate: Path = Path("controller.crt")
    key: Path = Path("controller.key")
    ca_key: Path | None = None


class Zone(Section, frozen=True):
    """hosts_of: another zone, whose hosts stand for this one too; empty: this one has only its
    own."""

    name: str = "us-east-1a"
    id: str = "use1-az1"
    hosts_of: str = ""

    @property
    def homes(self) -> frozenset[str]:
        """Names of the zones whose hosts take what is asked for in this one."""
        return frozenset({self.name, self.hosts_of or self.name})


class RegionConfig(Section, frozen=True):
    name: str = "us-east-1"
    zones: tuple[Zone, ...] = (Zone(),)
    dns_suffix: str = ""  # of private names; "": as EC2's are in the region
    public_dns_suffix: str = ""  # where the operator serves a zone of names ec2-1-2-3-4.<suffix>

    def __post_init__(self) -> None:
        network_values.domain(self.name)  # it is part of private names, as hosts tell them
        for suffix in filter(None, (self.dns_suffix, self.public_dns_suffix)):
            network_values.domain(suffix)
        with_own_hosts = {zone.name for zone in self.zones if not zone.hosts_of}
        for zone in self.zones:
            if zone.hosts_of and zone.hosts_of not in with_own_hosts:
                raise ValueError(
                    f"zones: hosts_of = {zone.hosts_of!r} of {zone.name} names no zone that has "
                    "hosts of its own"
                )


class NetworksConfig(Section, frozen=True):
    """public_pool: the block that public addresses are lent and allocated from. nameservers: what
    guests may ask; empty: those of their host."""

    public_pool: str = "100.64.0.0/24"
    nameservers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        network_values.block(self.public_pool)
        for nameserver in self.nameservers:
            network_values.address(nameserver)


class ImagesConfig(Section, frozen=True):
    max_bytes: Positive = 64 * 1024**3
    max_virtual_bytes: Positive = 2 * 1024**4
    sources: tuple[str, ...] = ()


class SnapshotsConfig(Section, frozen=True):
    """scrub_mib_per_s: how much of the store is read over in a second; 0: nothing, and what a
    medium loses by itself is found when somebody restores it."""

    scrub_mib_per_s: NotNegative = 8


class InstancesConfig(Section, frozen=True):
    """keep_terminated_ms: how long a terminated instance stays to be seen (EC2: about an hour).
    pending_limit_ms: how long a launch or a start may take; 0: for ever."""

    default_type: str = "t2.micro"
    keep_terminated_ms: NotNegative = 3_600_000
    pending_limit_ms: NotNegative = 1_800_000
    max_per_call: Positive = 1000


class SchedulerConfig(Section, frozen=True):
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
    cpu_ratio: Ratio = 16.0
    ram_ratio: Ratio = 1.5
    disk_ratio: Ratio = 1.0
    isolated_hosts: tuple[str, ...] = ()
    isolated_images: tuple[str, ...] = ()


class HostsConfig(Section, frozen=True):
    """When a host that says nothing counts as silent, then lost; how its agent is called.

    given_up_after_ms: how long a launch, a start or a new volume waits for a host that says
    nothing; 0: for ever. Five minutes is longer than a server takes to boot, and shorter than tools
    wait for a launch (Terraform: ten minutes)."""

    report_interval_ms: Positive = 5_000
    silent_after_ms: Positive = 15_000
    lost_after_ms: Positive = 60_000
    given_up_after_ms: NotNegative = 300_000
    apply_timeout_s: Seconds = 5.0
    console_timeout_s: Seconds = 5.0
    dispatch_threads: Positive = 8
    join_token_valid_s: Positive = 3600
    certificate_days: Positive = 3650


class Config(Section, frozen=True):
    state_dir: Path = Path(".")
    master_key_file: Path = Path("master.key")
    listen: str = "127.0.0.1:7701"
    join_listen: str = "127.0.0.1:7702"
    socket: Path | None = None  # for this user's processes alone (protos/unix_socket.py)
    endpoint: str = ""
    join_endpoint: str = ""
    log_level: str = "INFO"
    rpc_threads: Positive = 16
    task_interval_ms: Positive = 1_000
    statement_limit_s: Seconds = 5.0  # of one for an account (kernel/deadline)
    tls: TlsConfig = TlsConfig()
    region: RegionConfig = RegionConfig()
    networks: NetworksConfig = NetworksConfig()
    images: ImagesConfig = ImagesConfig()
    snapshots: SnapshotsConfig = SnapshotsConfig()
    quotas: dict[str, NotNegative] = field(default_factory=dict)  # others than protos/nouns has
    instances: InstancesConfig = InstancesConfig()
    scheduler: SchedulerConfig = SchedulerConfig()
    hosts: HostsConfig = HostsConfig()

    def __post_init__(self) -> None:
        if unknown := sorted(self.quotas.keys() - QUOTAS.keys()):
            raise ValueError(f"quotas: unknown: {', '.join(unknown)}; known: {', '.join(QUOTAS)}")

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
    """The configuration in a TOML file. Raises ConfigError."""
    return config.load(path, Config)
