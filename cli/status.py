"""``pileus status``: what runs, and whether a launch would succeed. Called by cli/__main__."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from cli import cloud, services, up
from cli.api import Api, Json
from cli.errors import CliError
from cli.layout import Layout
from cli.progress import Progress

NAMED_HOSTS = 10  # more are counted, not listed


@dataclass(frozen=True)
class Status:
    layout: Layout
    progress: Progress

    def show(self) -> bool:
        """Prints the services, hosts and reasons; answers whether a launch would succeed."""
        chosen = cloud.require(self.layout)
        found = services.states(self.layout)
        self.progress.print(f"cloud      {self.layout.root}, {chosen.endpoint}")
        for program in up.programs(self.layout, chosen):
            state = found.get(program.name)
            shown = f"{state.state.lower()}, process {state.pid}" if state else "not running"
            self.progress.print(f"service    {program.name}: {shown}")
        api = Api(self.layout, chosen)
        try:
            hosts = sorted(api.every("/v1/hosts", "hosts"), key=by_name)
            readiness = api.call("GET", "/v1/readiness")
        except CliError as failure:
            self.progress.print(f"not ready  {failure.format_message()}")
            self.progress.print("           `./pileus up` starts it; guests that ran still run")
            return False
        for line in host_lines(hosts):
            self.progress.print(f"host       {line}")
        for reason in readiness["reasons"]:
            self.progress.print(f"not ready  {reason}")
        if readiness["ready"]:
            self.progress.print("ready      a launch would succeed")
        return bool(readiness["ready"])


def host_lines(hosts: list[Json]) -> Iterator[str]:
    """A line each; of many hosts how many are in which state and what is used of all, then by name
    those that somebody should look at."""
    if len(hosts) <= NAMED_HOSTS:
        yield from map(described, hosts)
        return
    health = Counter(host["health"] for host in hosts)
    states = ", ".join(f"{count} {word}" for word, count in sorted(health.items()))
    instances = sum(int(host["instances"]) for host in hosts)
    yield f"{len(hosts)} hosts: {states}; {instances} instances, {_usage(*hosts)}"
    odd = [host for host in hosts if host["health"] != "up" or _troubles(host)]
    for host in odd[:NAMED_HOSTS]:
        yield described(host)
    if len(odd) > NAMED_HOSTS:
        yield f"and {len(odd) - NAMED_HOSTS} more: `./pileus host list` shows them"


def described(host: Json) -> str:
    """One host in a line."""
    line = (
        f"{host['name']} ({host['host_id']}): {host['health']}, {host['hypervisor']}, "
        f"{_zones(host)}, {host['instances']} instance{'s' * (host['instances'] != 1)}, "
        f"{_usage(host)}"
    )
    return "; ".join((line, *_troubles(host)))


def _troubles(host: Json) -> list[str]:
    found = []
    if why := host["hypervisor_away"]:
        found.append(f"its hypervisor is away, work there waits: {why}")
    if host["orphans"]:
        found.append(f"unknown domains: {', '.join(host['orphans'])}")
    if unknown := host.get("unknown"):
        found.append(f"not in the database, which is an older copy: {', '.join(unknown)}")
    return found


HOSTS_HEAD = (
    *("NAME", "HOST", "HEALTH", "HYPERVISOR", "ZONES", "INSTANCES"),
    *("VCPUS", "MEMORY MIB", "DISK GIB", "UNKNOWN"),
)


def hosts_row(host: Json) -> tuple[str | int, ...]:
    """What ``host list`` shows of one, under HOSTS_HEAD."""
    used = (f"{host[f'{what}_used']}/{host[what]}" for what in ("vcpus", "memory_mib", "disk_gib"))
    hypervisor = host["hypervisor"] + (" (away)" if host.get("hypervisor_away") else "")
    unknown = " ".join([*host["orphans"], *host.get("unknown", [])])
    return (
        *(host["name"], host["host_id"], host["health"], hypervisor),
        *(_zones(host), int(host["instances"]), *used, unknown),
    )


def by_name(host: Json) -> list[str | int]:
    """For sorting: host-2 before host-10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", host["name"])]


def _zones(host: Json) -> str:
    # A controller of 0.1 that still runs says the one zone only.
    return ",".join(host.get("availability_zones") or [host["availability_zone"]])


def _usage(*hosts: Json) -> str:
    return ", ".join(
        f"{sum(int(host[f'{what}_used']) for host in hosts)}/"
        f"{sum(int(host[what]) for host in hosts)} {unit}"
        for what, unit in (("vcpus", "vCPUs"), ("memory_mib", "MiB"), ("disk_gib", "GiB"))
    )
