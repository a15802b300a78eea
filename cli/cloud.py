"""What one cloud is: chosen at its first ``up``, kept in cloud.json, found again by every command.

cloud = load(layout)                  None where there is none yet
cloud = choose(layout, wishes, ...)   the recorded one with the wishes that may change, or new
"""

import dataclasses
import ipaddress
import json
import os
import pwd
import re
import socket
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from pathlib import Path

from cli import services
from cli.errors import CliError
from cli.layout import ROOTS_STATE_DIR, Layout
from protos.files import write_whole

VERSION = 1  # of the state dir; another one is refused, see docs/decisions/0303
MAX_FAKE_HOSTS = 500
MAX_ZONES = 16  # a default VPC has room for so many default subnets
# What no guest can be reached by: this network, loopback, link-local, multicast and beyond.
NOBODYS = [
    ipaddress.IPv4Network(block)
    for block in ("0.0.0.0/8", "127.0.0.0/8", "169.254.0.0/16", "224.0.0.0/3")
]
ANY_REGION = "any"  # for signatures; no region is called so
NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")


@dataclass(frozen=True)
class Wishes:
    """What ``up`` was asked for; None: not said."""

    hypervisor: str | None = None  # auto | kvm | qemu | fake
    listen: str | None = None
    port: int | None = None
    hosts: int | None = None
    region: str | None = None
    zone: str | None = None
    public_cidr: str | None = None
    zones: int | None = None
    sigv2: bool | None = None
    signing_region: str | None = None  # a region's name or "any"


@dataclass(frozen=True)
class Cloud:
    """One cloud on this machine. Ports but the gateway's are taken where they are free."""

    hypervisor: str
    listen: str
    port: int
    hosts: int
    region: str
    zone: str
    public_cidr: str
    transit_cidr: str
    network_prefix: str
    controller_port: int
    join_port: int
    host_port: int
    volume_port: int = 0  # 0: made before there was one; the next ``up`` takes one
    zones: int = 1  # ``zone`` and those after it, all on the same hosts
    sigv2: bool = False
    signing_region: str = ""  # that signatures may name beside the region; "any": every one
    version: int = VERSION

    @property
    def inner_ports(self) -> tuple[int, ...]:
        """Those that the services use among themselves."""
        hosts = range(self.host_port, self.host_port + self.hosts)
        return (self.controller_port, self.join_port, self.volume_port, *hosts)

    @property
    def fake(self) -> bool:
        return self.hypervisor == "fake"

    @property
    def loopback(self) -> bool:
        return is_loopback(self.listen)

    @property
    def address(self) -> str:
        """Where this machine is reached: ``listen``, or its own address where that is any."""
        if ipaddress.ip_address(self.listen).is_unspecified:
            return own_address()
        return self.listen

    @property
    def inside(self) -> str:
        """Where what is for hosts listens: open to other machines where the endpoint is."""
        return "127.0.0.1" if self.loopback else self.listen

    @property
    def endpoint(self) -> str:
        scheme = "http" if self.loopback else "https"
        return f"{scheme}://{bracketed(self.address)}:{self.port}"

    @property
    def zone_ids(self) -> dict[str, str]:
        """Name and id of each zone, the first one first. Ids are abbreviated as AWS does it:
        us-east-1a -> use1-az1, ap-southeast-2b -> apse2-az2."""
        region = _abbreviated(self.region)
        names = _zone_names(self.zone, self.zones)
        return {name: f"{region}-az{_zone_number(name)}" for name in names}


def is_loopback(address: str) -> bool:
    return ipaddress.ip_address(address).is_loopback


def bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


def own_address() -> str:
    """The address that this machine would call from. No packet is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


def load(layout: Layout) -> Cloud | None:
    """The cloud in this state dir. Raises CliError for one of another version."""
    try:
        content = json.loads(layout.cloud.read_text())
    except FileNotFoundError:
        return None
    except PermissionError as failure:
        raise CliError(f"the cloud in {layout.root} is {_owners(layout.cloud)}") from failure
    except (OSError, ValueError) as failure:
        raise CliError(f"{layout.cloud} cannot be read: {failure}") from failure
    version = content.get("version")
    if version != VERSION:
        raise CliError(
            f"the state dir {layout.root} is of version {version}, and this Pileus is for version "
            f"{VERSION}: use the Pileus that made it, or another --state-dir"
        )
    try:
        return Cloud(**content)
    except TypeError as failure:
        raise CliError(f"{layout.cloud} is not what `pileus up` wrote: {failure}") from failure


def require(layout: Layout) -> Cloud:
    """As load; raises CliError where there is no cloud."""
    cloud = load(layout)
    if cloud is None:
        refuse_if_roots_is_meant(layout)
        raise CliError(
            f"there is no cloud in {layout.root}: `./pileus up` makes one{elsewhere(layout)}"
        )
    return cloud


def elsewhere(layout: Layout) -> str:
    """Where clouds run that may be meant, as the end of a sentence."""
    others = " or ".join(map(str, services.running_elsewhere(layout)))
    return f"; one runs in {others} (--state-dir)" if others else ""


def refuse_if_roots_is_meant(layout: Layout, roots: Path = ROOTS_STATE_DIR) -> None:
    """For a command that found no cloud in ``layout``. Raises CliError where a user who is not root
    has named no state dir, and root has a cloud in root's: that is the one."""
    other = Layout(roots, layout.cache)
    if layout.is_default and layout.root != roots and os.access(other.cloud, os.F_OK):
        raise CliError(f"the cloud in {roots} is {_owners(other.cloud)}")


def _owners(file: Path) -> str:
    """ "root's, …: run this by `sudo ./pileus …`" """
    try:
        owner = pwd.getpwuid(file.stat().st_uid).pw_name
    except (OSError, KeyError):
        return "another user's: run this command as that user"
    if owner == "root":
        return "root's: run this command with sudo, as `sudo ./pileus status`"
    return f"{owner}'s: run this command as {owner}"


def save(layout: Layout, cloud: Cloud) -> None:
    write_whole(layout.cloud, json.dumps(asdict(cloud), indent=2) + "\n")


def choose(
    layout: Layout,
    wishes: Wishes,
    port_is_free: Callable[[int], bool],
    routed: Collection[ipaddress.IPv4Network],
    take: Callable[[str], bool] = lambda name: True,
) -> Cloud:
    """The cloud that ``up`` brings up. Raises CliError for a wish that cannot be.

    ``routed`` is what leads somewhere already; ``take`` claims a range (see cli/locks).
    """
    _check(wishes)
    known = load(layout)
    if known is None:
        return _new(layout, wishes, port_is_free, lambda public: _transit(public, routed, take))
    _refuse_what_cannot_change(layout, known, wishes)
    changed = {
        name: getattr(wishes, name)
        for name in ("listen", "port", "zones", "sigv2", "signing_region")
        if getattr(wishes, name) is not None
    }
    if not known.volume_port:
        taken = {wishes.port or known.port}
        changed["volume_port"] = _free(_first_inner_port(layout) + 2, 1, port_is_free, taken)
    chosen = dataclasses.replace(known, **changed)
    if chosen.port in chosen.inner_ports:
        raise CliError(
            f"--port {chosen.port} is one of those that this cloud's services use among "
            "themselves: choose another"
        )
    _zone_names(chosen.zone, chosen.zones)  # there may be no letters for so many
    return chosen


def _refuse_what_cannot_change(layout: Layout, known: Cloud, wishes: Wishes) -> None:
    way_out = (
        "`./pileus down --destroy` ends it, another --state-dir (and --port) makes a second one"
    )
    for fixed in ("hypervisor", "hosts", "region", "zone", "public_cidr"):
        wish, has = getattr(wishes, fixed), getattr(known, fixed)
        if wish is not None and wish != has:
            option = fixed.replace("_", "-")
            raise CliError(
                f"the cloud in {layout.root} was made with --{option} {has}, which cannot change: "
                f"{way_out}"
            )
    if wishes.zones is not None and wishes.zones < known.zones:
        raise CliError(
            f"the cloud in {layout.root} has {known.zones} zones, which can become more but not "
            f"fewer: {way_out}"
        )


def _new(
    layout: Layout,
    wishes: Wishes,
    port_is_free: Callable[[int], bool],
    choose_transit: Callable[[str], str],
) -> Cloud:
    hypervisor = wishes.hypervisor or "auto"
    if (wishes.hosts or 1) > 1 and hypervisor != "fake":
        raise CliError("--hosts is for --hypervisor fake; real hosts join with `host join-token`")
    taken = {wishes.port or 8773}
    first = _first_inner_port(layout)
    controller = _free(first, 1, port_is_free, taken)
    join = _free(controller + 1, 1, port_is_free, taken)
    volumes = _free(join + 1, 1, port_is_free, taken)
    host = _free(first + 10, wishes.hosts or 1, port_is_free, taken)
    region = wishes.region or "us-east-1"
    public = wishes.public_cidr or "100.64.0.0/24"
    zone, zones = wishes.zone or f"{region}a", wishes.zones or 1
    _zone_names(zone, zones)  # there may be no letters for so many
    return Cloud(
        hypervisor=hypervisor,
        listen=wishes.listen or "127.0.0.1",
        port=wishes.port or 8773,
        hosts=wishes.hosts or 1,
        region=region,
        zone=zone,
        public_cidr=public,
        transit_cidr=choose_transit(public),
        network_prefix="pileus" if layout.is_default else f"pil{layout.tag}",
        controller_port=controller,
        join_port=join,
        host_port=host,
        volume_port=volumes,
        zones=zones,
        sigv2=bool(wishes.sigv2),
        signing_region=wishes.signing_region or "",
    )


def _check(wishes: Wishes) -> None:
    if wishes.hosts is not None and not 1 <= wishes.hosts <= MAX_FAKE_HOSTS:
        raise CliError(f"--hosts is 1 to {MAX_FAKE_HOSTS}")
    if wishes.zones is not None and not 1 <= wishes.zones <= MAX_ZONES:
        raise CliError(f"--zones is 1 to {MAX_ZONES}")
    names = {
        "region": wishes.region,
        "zone": wishes.zone,
        "signing-region": wishes.signing_region,
    }
    for option, name in names.items():
        if name is not None and not NAME.fullmatch(name):
            raise CliError(f"--{option} {name!r}: small letters, digits and dashes, at most 32")
    if wishes.region == ANY_REGION:
        raise CliError(f"--region {ANY_REGION}: no region can have this name")
    if wishes.listen is not None and not _is_a_machines(wishes.listen):
        raise CliError(f"--listen {wishes.listen!r} is not the IP address of a machine")
    if wishes.public_cidr is not None:
        try:
            network = ipaddress.IPv4Network(wishes.public_cidr)
        except ValueError as mistake:
            raise CliError(f"--public-cidr: {mistake}") from None
        if not 16 <= network.prefixlen <= 28:
            raise CliError(f"--public-cidr {network}: a /28 at least, a /16 at most")
        if any(map(network.overlaps, NOBODYS)):
            raise CliError(f"--public-cidr {network}: no machine can have these addresses")


def _is_a_machines(address: str) -> bool:
    """No name, nobody's and no group's. One with a scope (fe80::1%eth0) is in no certificate."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return not (parsed.is_multicast or address == "255.255.255.255" or "%" in address)


def _first_inner_port(layout: Layout) -> int:
    """7701, and elsewhere for further clouds of the machine, so that each finds its own free after
    a while of being down. Below the ports of outgoing connections (32768)."""
    return 7701 if layout.is_default else 20000 + int(layout.tag, 16) % 10000


def _free(first: int, count: int, port_is_free: Callable[[int], bool], taken: set[int]) -> int:
    """The first of ``count`` free ports in a row; noted in ``taken``."""
    for start in range(first, first + 2000):
        wanted = range(start, start + count)
        if not taken.intersection(wanted) and all(port_is_free(port) for port in wanted):
            taken.update(wanted)
            return start
    raise CliError(f"no {count} free ports in a row from {first} on")


def _transit(
    public: str, routed: Collection[ipaddress.IPv4Network], take: Callable[[str], bool]
) -> str:
    """The cables between the host and its VPCs' routers: nobody outside sees these addresses."""
    taken = [ipaddress.IPv4Network(public), *routed]
    for second in range(65, 128):
        candidate = ipaddress.IPv4Network(f"100.{second}.0.0/16")
        if not any(map(candidate.overlaps, taken)) and take(f"addresses {candidate}"):
            return str(candidate)
    raise CliError("every /16 of 100.64.0.0/10 is routed somewhere; no room for the VPCs' cables")


def _abbreviated(region: str) -> str:
    directions = {"north": "n", "south": "s", "east": "e", "west": "w", "central": "c"}
    match = re.fullmatch(r"([a-z]{2})-((?:north|south|east|west|central)+)-(\d+)", region)
    if match is None:
        return region.replace("-", "")
    words = re.findall("|".join(directions), match[2])
    return match[1] + "".join(directions[word] for word in words) + match[3]


def _zone_names(first: str, count: int) -> list[str]:
    """us-east-1a, us-east-1b ... Raises CliError where the alphabet ends too early."""
    if count == 1:
        return [first]
    letter = ord(first[-1])
    if not ord("a") <= letter <= ord("z") + 1 - count:
        raise CliError(
            f"--zones {count}: no {count} zones can be counted from {first}; the first one's name "
            "ends in a letter, as in us-east-1a"
        )
    return [first[:-1] + chr(letter + number) for number in range(count)]


def _zone_number(zone: str) -> int:
    letter = zone[-1]
    return ord(letter) - ord("a") + 1 if letter.isalpha() else 1
