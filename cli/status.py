"""``pileus status``: what runs, and whether a launch would succeed. Called by cli/__main__."""

from dataclasses import dataclass

from cli import cloud, services, up
from cli.api import Api
from cli.errors import CliError
from cli.layout import Layout
from cli.progress import Progress


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
            hosts = api.every("/v1/hosts", "hosts")
            readiness = api.call("GET", "/v1/readiness")
        except CliError as failure:
            self.progress.print(f"not ready  {failure.format_message()}")
            self.progress.print("           `./pileus up` starts it; guests that ran still run")
            return False
        for host in hosts:
            self.progress.print(f"host       {described(host)}")
        for reason in readiness["reasons"]:
            self.progress.print(f"not ready  {reason}")
        if readiness["ready"]:
            self.progress.print("ready      a launch would succeed")
        return readiness["ready"]


def described(host: dict) -> str:
    """One host in a line."""
    line = (
        f"{host['name']} ({host['host_id']}): {host['health']}, {host['hypervisor']}, "
        f"{host['availability_zone']}, "
        f"{host['instances']} instance{'s' * (host['instances'] != 1)}, "
        f"{host['vcpus_used']}/{host['vcpus']} vCPUs, "
        f"{host['memory_mib_used']}/{host['memory_mib']} MiB, "
        f"{host['disk_gib_used']}/{host['disk_gib']} GiB"
    )
    if host["orphans"]:
        line += f"; unknown domains: {', '.join(host['orphans'])}"
    return line
