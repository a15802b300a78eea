"""What the network driver is told once, and the names that follow from it.

Every name is a pure function of the prefix and an id, so that after a crash the same call finds
what an earlier one made, and so that two agents with different prefixes share a machine. Called by
every file of this room.
"""

import hashlib
import re
from collections.abc import Sequence
from ipaddress import IPv4Network
from pathlib import Path

from msgspec.structs import force_setattr

from protos import network_values
from protos.config import Positive, Section

METADATA_ADDRESS = "169.254.169.254"
RESOLVER_ADDRESS = (
    "169.254.169.253"  # the resolver's second address; the first is the VPC's base + 2
)
OWN_RESOLVER = "AmazonProvidedDNS"  # EC2's word for the VPC's own
UPLINK = "uplink"  # the router's side of the cable to the host, inside every namespace

_PREFIX = re.compile(r"[a-z][a-z0-9-]{0,11}")
_VPC_ID = re.compile(r"vpc-[0-9a-f]{8,17}")
_ID = re.compile(r"[a-z]+(?:-[a-z]+)*-[0-9a-f]{8,17}")


class NetworkConfig(Section, frozen=True):
    """``run_dir`` holds what lives as long as the namespaces do (DHCP files). The DHCP server reads
    it as its own user, so every folder on the way must be open to be walked through (o+x). Unless
    said it is /run/PREFIX-network, which goes at a reboot, as namespaces do.

    ``pool`` are the public addresses, its first is the host's own. ``transit`` numbers the cables
    between the host and the VPCs' routers. Neither may overlap a route or a resolver of the host
    (``addresses.check_ranges``). ``mtu`` None follows the device of the default route.
    ``route_pool``: the pool is routed to this host by the network outside, so that what leaves from
    a public address keeps it; otherwise it leaves under the host's own.
    """

    prefix: str = "pileus"
    pool: str = "100.64.0.0/24"
    transit: str = "100.65.0.0/16"
    region: str = "us-east-1"
    dns_suffix: str = "ec2.internal"
    nameservers: tuple[str, ...] = ()
    mtu: Positive | None = None
    route_pool: bool = False
    run_dir: Path = Path()
    dhcp_user: str = "dnsmasq"
    resolv_conf: Path = Path("/etc/resolv.conf")

    def __post_init__(self) -> None:
        if not _PREFIX.fullmatch(self.prefix):
            raise ValueError(
                f"prefix {self.prefix!r}: at most 12 of a-z, 0-9 and -, a letter first"
            )
        if self.run_dir == Path():
            force_setattr(self, "run_dir", Path("/run") / f"{self.prefix}-network")
        for field, least in (("pool", 4), ("transit", 4)):
            network = IPv4Network(getattr(self, field))
            if network.num_addresses < least:
                raise ValueError(f"{field} {network} is too small")
        network_values.domain(self.dns_suffix)
        for nameserver in self.nameservers:
            network_values.address(nameserver)
        if IPv4Network(self.pool).overlaps(IPv4Network(self.transit)):
            raise ValueError(f"pool {self.pool} and transit {self.transit} overlap")

    @property
    def pool_gateway(self) -> str:
        """The host's address in the pool: what guests see of the host."""
        return str(IPv4Network(self.pool)[1])

    @property
    def transit_gateway(self) -> str:
        """Where every VPC's router sends what it has no route for."""
        return str(IPv4Network(self.transit)[1])


class Names:
    """All names that this agent gives to things of the kernel."""

    def __init__(self, prefix: str):
        self.prefix = prefix
        self.tag = hashlib.sha256(prefix.encode()).hexdigest()[:3]
        self.bridge = f"{prefix}0"  # holds the pool's gateway address
        self.table = f"{prefix}-host"  # nft table in the root namespace
        self.metric = 0x10000 + int(self.tag, 16)  # of the routes that reserve our ranges
        self.taps = f"tap{self.tag}"
        self.cables = f"pv{self.tag}"

    def namespace(self, vpc_id: str) -> str:
        return f"{self.prefix}-{checked(vpc_id)}"

    def vpc_of_namespace(self, name: str) -> str | None:
        vpc_id = name.removeprefix(f"{self.prefix}-")
        return vpc_id if vpc_id != name and _VPC_ID.fullmatch(vpc_id) else None

    def cable(self, vpc_id: str) -> str:
        """The host's side of a VPC's cable."""
        return f"{self.cables}{_digits(vpc_id, 9)}"

    def tap(self, network_interface_id: str) -> str:
        return f"{self.taps}{_digits(network_interface_id, 9)}"


def bridge_of(subnet_id: str) -> str:
    """A subnet's bridge, inside its VPC's namespace."""
    return f"br{_digits(subnet_id, 13)}"


def mac_of(what: str) -> str:
    """A locally administered unicast address that stays the same on every host and after every
    restart: a router that changes its address leaves guests with stale neighbours.
    """
    digest = hashlib.sha256(what.encode()).digest()
    return ":".join(f"{byte:02x}" for byte in (0x06, *digest[:5]))


def router_of(cidr_block: str) -> str:
    """A subnet's router: its first address, as in a VPC of EC2."""
    return str(IPv4Network(cidr_block)[1])


def resolver_of(cidr_blocks: Sequence[str]) -> str:
    """A VPC's resolver: base + 2 of its first range, as in EC2."""
    return str(IPv4Network(cidr_blocks[0])[2])


def checked(identifier: str) -> str:
    """The id, which goes into names and rule sets, if it has an id's shape; else ValueError."""
    if not _ID.fullmatch(identifier):
        raise ValueError(f"{identifier!r} is not an id")
    return identifier


def _digits(identifier: str, count: int) -> str:
    return checked(identifier).rpartition("-")[2][-count:]
