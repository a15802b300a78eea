"""An agent as it runs for real: enrolled, its drivers as configured, the core, its threads, its
server.

    service = Service(config)        enrols where needed; raises what makes starting senseless
    service.start(); service.stop()  guests, VPCs and disks stay as they are
    Service(config, only_look=True).audit() -> findings      what should not be on this host

Called by ``__main__``. The core itself is wired in app.build.
"""

import fcntl
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TextIO

from hostagent import facts
from hostagent.app import Parts, build, host_of
from hostagent.audit import Audit, Finding
from hostagent.config import Config
from hostagent.driver_factory import make_drivers
from hostagent.enrolment import EnrolmentError, enrol
from hostagent.kernel.loops import Heartbeat, Pump
from hostagent.ledger import HostLedger, open_file
from hostagent.server import HostAgent, guard
from protos import rpc
from protos.cloud.v1 import fleet_pb2_grpc
from protos.private_files import make_folder

log = logging.getLogger(__name__)

RPC_THREADS = 4


def wall_ms() -> int:
    return time.time_ns() // 1_000_000


def hold(state_dir: Path) -> TextIO:
    """Held as long as it is open. Two agents on one ledger would undo each other's work."""
    file = (state_dir / "lock").open("w")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as taken:
        raise OSError(f"another agent runs on {state_dir}") from taken
    return file


class Service:
    """See the module's head. ``agent`` is there once it has started."""

    def __init__(self, config: Config, *, only_look: bool = False):
        self._config = config
        self.consoles = config.state_dir / "instances"
        for folder in (config.state_dir, self.consoles, config.state_dir / "run"):
            make_folder(folder)
        self._lock = None if only_look else hold(config.state_dir)
        self.identity = enrol(config.pki, config.join_token, config.name, config.availability_zone)
        controller = config.controller or self.identity.controller
        if not controller:
            raise EnrolmentError("neither the config nor the join says where the controller is")
        self._channel = rpc.connect(controller, self.identity.tls, "controller")
        self._fleet = rpc.Client(self._channel, fleet_pb2_grpc.FleetStub)
        self.ledger = HostLedger(
            open_file(config.state_dir / "ledger.db"),
            self.identity.host_id,
            now_ms=wall_ms(),
            boot_id=facts.boot_id(),
            only_look=only_look,
        )
        self.drivers = make_drivers(
            config, self.ledger, self.identity.host_id, self._fleet, wall_ms
        )
        self._stops: list[Callable[[], object]] = []

    def start(self) -> None:
        """Raises DriverError or OSError where this host cannot work at all."""
        config, on = self._config, self.drivers
        on.start()
        self._stops.append(on.stop)
        endpoint = config.endpoint or config.listen
        host_facts = facts.host_facts(
            on.hypervisor.facts(),
            config.name,
            endpoint,
            config.availability_zone,
            config.state_dir,
        )
        host_facts.volume_endpoint = on.exports.endpoint
        self.agent = agent = build(
            Parts(
                ledger=self.ledger,
                hypervisor=on.hypervisor,
                network=on.network,
                images=on.images,
                volumes=on.volumes,
                consoles=self.consoles,
                clock=wall_ms,
                facts=lambda: host_facts,
                usage=lambda: facts.host_usage(config.state_dir),
                limits=config.limits,
                exports=on.exports,
                blocks=on.blocks,
                copiers=on.copiers,
            )
        )
        pump = Pump(agent, config.threads)
        heartbeat = Heartbeat(agent, self._fleet, config.report_interval_ms)
        host_id = self.identity.host_id
        servicer = HostAgent(agent, self.ledger, self.consoles, config.console_bytes)
        services = [(fleet_pb2_grpc.add_HostAgentServicer_to_server, servicer)]
        server = rpc.serve(
            config.listen, services, self.identity.tls, guard, max_workers=RPC_THREADS
        )
        for loop in (pump, heartbeat):
            loop.start()
            self._stops.append(loop.stop)
        self._stops.append(lambda: server.stop(grace=1).wait())
        log.info("host %s (%s) serves on %s", host_id, host_facts.hypervisor, config.listen)

    def stop(self) -> None:
        """The server first, then the loops, then the drivers."""
        while self._stops:
            self._stops.pop()()
        self._channel.close()
        if self._lock is not None:
            self._lock.close()

    def audit(self) -> list[Finding]:
        """Raises DriverError where the host cannot be looked over."""
        on = self.drivers
        for connect in on.connects:
            connect()
        drivers = host_of(on, self.ledger, self.consoles, self._config.limits)
        findings = Audit(self.ledger, drivers).findings()
        if not drivers.vpcs.wanted():
            for kind, names in on.strays().items():
                findings += [Finding(kind, str(name), ours=True) for name in names]
        return findings
