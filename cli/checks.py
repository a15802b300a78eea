"""Checks that a cloud can run on this machine.

Called by ``up`` before it changes anything. Every refusal is a CliError that says what is
in the way and what to do.
"""

import errno
import ipaddress
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cli import configs, services
from cli.cloud import Cloud
from cli.errors import CliError
from cli.layout import Layout

NEEDED_COMMANDS = (
    *("libvirtd", "virtlogd", "qemu-img", "qemu-system-x86_64", "qemu-storage-daemon"),
    *("dnsmasq", "nft", "conntrack", "ip"),
)


NOWHERE = ("unreachable", "blackhole", "prohibit")


@dataclass(frozen=True)
class Route:
    network: ipaddress.IPv4Network
    device: str


def may_run(layout: Layout, cloud: Cloud) -> None:
    """Real guests need root and the programs that ./pileus installs."""
    if cloud.fake:
        return
    if os.geteuid() != 0:
        raise CliError(
            "real guests need root (libvirt, network namespaces): run `sudo ./pileus up`, "
            "or try the cloud without guests by `./pileus up --hypervisor fake`"
        )
    _ = layout.libvirt_socket  # may be too long
    missing = [name for name in NEEDED_COMMANDS if not shutil.which(name, path=_path())]
    if missing:
        raise CliError(f"not installed: {', '.join(missing)}; `./pileus up` installs them by apt")
    if cloud.hypervisor == "kvm" and (lacks := kvm_lacks()):
        raise CliError(
            f"--hypervisor kvm: {lacks}, and guests would hang. Use --hypervisor qemu, which "
            "emulates"
        )


def folder_is_free(layout: Layout) -> None:
    """A new cloud fills its state dir and `down --destroy` removes it: it is nobody else's."""
    if foreign := layout.foreign_files():
        raise CliError(
            f"{layout.root} is no cloud's state dir and not empty ({foreign[0]} is in it): "
            "choose another --state-dir"
        )


def address_is_here(address: str) -> None:
    """Whether the machine has the address of the endpoint; 0.0.0.0 and :: are all that it has."""
    port_is_free(0, address)


def endpoint_can_move(
    layout: Layout, known: Cloud, chosen: Cloud, take: Callable[[str], bool]
) -> None:
    """Checks that the new addresses and ports of a cloud that runs are free."""
    moving = [(known.listen, known.port, chosen.listen, chosen.port, "--port")]
    inner = [chosen.controller_port, chosen.join_port]
    inner += [] if chosen.fake else [chosen.volume_port]
    moving += [(known.inside, port, chosen.inside, port, "") for port in inner]
    _refuse_taken(
        layout,
        [
            (to, port, option)
            for at, before, to, port, option in moving
            if (at, before) != (to, port) and not (before == port and _overlap(at, to))
        ],
        take,
    )


def _overlap(one: str, other: str) -> bool:
    """Whether who listens at one address is in the way of another who wants the other."""
    return one == other or any(ipaddress.ip_address(each).is_unspecified for each in (one, other))


def ports_are_free(layout: Layout, cloud: Cloud, take: Callable[[str], bool]) -> None:
    """For a cloud whose services do not run yet. ``take`` claims them (cli/locks)."""
    wanted = [(cloud.listen, cloud.port, "--port")]
    wanted += [(cloud.inside, port, "") for port in (cloud.controller_port, cloud.join_port)]
    if not cloud.fake and not _serves_volumes(layout, cloud):
        wanted.append((cloud.inside, cloud.volume_port, ""))
    wanted += [("127.0.0.1", cloud.host_port + number, "") for number in range(cloud.hosts)]
    _refuse_taken(layout, wanted, take)


def _refuse_taken(
    layout: Layout, wanted: Sequence[tuple[str, int, str]], take: Callable[[str], bool]
) -> None:
    """``wanted``: address, port, and the option that chooses another port, if there is one."""
    for address, port, option in wanted:
        if take(f"port {port}") and port_is_free(port, address):
            continue
        others = _others(layout)
        by = f" (perhaps by the cloud in {others})" if others else ""
        way_out = f"; choose another with {option}" if option else ""
        raise CliError(f"port {port} of {address} is taken{by}{way_out}")


def _others(own: Layout) -> str:
    """Where the clouds are that run here too: one of them may be in the way."""
    return " or ".join(map(str, services.running_elsewhere(own)))


def _serves_volumes(layout: Layout, cloud: Cloud) -> bool:
    """Whether the agent's storage daemon still runs: it outlives ``down``, as guests do."""
    with socket.socket(socket.AF_UNIX) as probe:
        control = configs.nbd_folder(layout, cloud) / "control"
        return probe.connect_ex(str(control)) == 0


def port_is_free(port: int, address: str = "127.0.0.1") -> bool:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # As the services bind: a connection of theirs in TIME_WAIT is no hindrance.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((address, port))
    except OSError as failure:
        if failure.errno in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
            raise CliError(
                f"--listen {address}: this machine has no such address (`ip address` shows those "
                "that it has; 0.0.0.0 is all of them)"
            ) from failure
        if failure.errno == errno.EACCES:
            raise CliError(f"port {port} is for root only; choose one above 1023") from failure
        return False
    return True


def pool_is_free(cloud: Cloud, own: Layout, take: Callable[[str], bool]) -> None:
    """The public pool must be nobody's: what lies in it would no longer be reached from here.

    ``take`` claims it (cli/locks): its routes are made only when the agent starts.
    """
    pool = ipaddress.IPv4Network(cloud.public_cidr)
    if not take(f"addresses {pool}"):
        raise CliError(
            f"--public-cidr {pool} is what another cloud takes that comes up just now; "
            "choose a range that nothing here uses"
        )
    for route in routes():
        if route.network.prefixlen and route.network.overlaps(pool):
            others = _others(own)
            by = f", perhaps of the cloud in {others}" if others else ""
            raise CliError(
                f"--public-cidr {pool} overlaps the route to {route.network} by "
                f"{route.device}{by}; choose a range that nothing here uses"
            )
    for resolver in resolvers():
        if resolver in pool:
            raise CliError(f"--public-cidr {pool} holds this machine's resolver {resolver}")


def routes() -> list[Route]:
    """IPv4 routes of the main table; none where there is no `ip` to ask (a fake cloud)."""
    if not shutil.which("ip", path=_path()):
        return []
    shown = subprocess.run(
        ("ip", "-4", "route", "show", "table", "main"),
        capture_output=True,
        text=True,
        timeout=10,
        check=False,
        env={**os.environ, "PATH": _path()},
    )
    return [route for line in shown.stdout.splitlines() if (route := _route(line.split()))]


def _route(words: Sequence[str]) -> Route | None:
    """A range that leads nowhere ("unreachable ...") is somebody's too: so do the agents of other
    clouds mark theirs."""
    device = words[words.index("dev") + 1] if "dev" in words else "?"
    kind, *rest = words
    target = rest[0] if kind in NOWHERE and rest else kind
    try:
        return Route(ipaddress.IPv4Network("0.0.0.0/0" if target == "default" else target), device)
    except ValueError:
        return None  # of a kind that no host has by itself


def resolvers(path: Path = Path("/etc/resolv.conf")) -> list[ipaddress.IPv4Address]:
    found = []
    try:
        lines = path.read_text().splitlines()
    except OSError:
        return []
    for line in lines:
        words = line.split()
        if words[:1] == ["nameserver"] and len(words) > 1 and "." in words[1]:
            found.append(ipaddress.IPv4Address(words[1]))
    return found


def hypervisor(asked: str, lacks: Callable[[], str]) -> tuple[str, str]:
    """(what ``auto`` means on this machine, why). Anything else asked for is taken."""
    if asked != "auto":
        return asked, ""
    missing = lacks()
    return ("qemu", missing) if missing else ("kvm", "")


def kvm_lacks(cpuinfo: Path = Path("/proc/cpuinfo"), device: Path = Path("/dev/kvm")) -> str:
    """What this machine lacks for KVM, as a clause; "" where guests would run.

    The device alone proves nothing: it is there, too, where the CPU has not what it needs.
    """
    if {"vmx", "svm"}.isdisjoint(cpuinfo.read_text().split()):
        return "this CPU shows no vmx or svm flag"
    try:
        os.close(os.open(device, os.O_RDWR))
    except OSError as failure:
        return f"{device} cannot be opened ({failure.strerror})"
    return ""


def _path() -> str:
    return os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
