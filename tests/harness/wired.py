"""A whole cloud in this process, with real threads, sockets, mutual TLS and HTTP; fake guests.

    with WiredCloud(folder, hosts=2) as cloud:
        alice = cloud.account("alice")
        alice.ec2.run_instances(ImageId=cloud.image_id, MinCount=1, MaxCount=1)
        cloud.hosts[0].hypervisor.crash("i-...")       a fault, where the guest is

The services are the real ones, started from the same files as ``pileus up`` writes. What each was
built of can be reached: ``cloud.controller`` (the wired app), ``cloud.gateway``, ``cloud.hosts``.
"""

import contextlib
from dataclasses import dataclass, field
from pathlib import Path

from controller import config as controller_config
from controller import server as controller_server
from gateway import config as gateway_config
from gateway.server import Gateway
from hostagent import config as host_config
from hostagent.compute.drivers import Power
from hostagent.compute.hypervisors.fake import FakeHypervisor
from hostagent.compute.hypervisors.fake_guests import FakeState, Faults
from hostagent.kernel.agent import Agent
from hostagent.ledger import HostLedger
from hostagent.network.fake import FakeNetwork
from hostagent.service import Service
from hostagent.storage.volumes.fake import FakeVolumes
from tests.harness.accounts import Account, Accounts
from tests.harness.installation import Installation
from tests.harness.records import Records
from tests.harness.waiting import wait_until

ALIVE = (Power.PAUSED.value, Power.RUNNING.value, Power.SHUTTING_DOWN.value)


@dataclass
class WiredHost:
    """A host agent in this process, and the fakes behind it: ``hypervisor.crash(id)``,
    ``hypervisor.power_off_inside(id)``, ``hypervisor.faults = Faults(...)``."""

    service: Service

    @property
    def host_id(self) -> str:
        return self.service.identity.host_id

    # What invariants (tests/harness/invariants) look at, as in the simulation's hosts.

    @property
    def state(self) -> FakeState:
        return self.hypervisor.state

    @property
    def agent(self) -> Agent:
        return self.service.agent

    @property
    def ledger(self) -> HostLedger:
        return self.service.ledger

    @property
    def consoles(self) -> Path:
        return self.service.consoles

    alive = True

    def living(self) -> list[str]:
        return [name for name, guest in list(self.state.guests.items()) if guest.power in ALIVE]

    def behave(self) -> None:
        """The hypervisor's faults end."""
        self.hypervisor.faults = Faults()

    @property
    def hypervisor(self) -> FakeHypervisor:
        return self.service.drivers.hypervisor

    @property
    def network(self) -> FakeNetwork:
        return self.service.drivers.network

    @property
    def volumes(self) -> FakeVolumes:
        return self.service.drivers.volumes


@dataclass
class World:
    """A wired cloud as invariants see it."""

    records: Records
    hosts: list[WiredHost]
    ratios: dict[str, float] = field(
        default_factory=lambda: {"vcpus": 16.0, "memory_mib": 1.5, "disk_gib": 1.0}
    )
    seen: dict = field(default_factory=dict)


class WiredCloud:
    """See the module's head. ``added`` is TOML text for "controller", "gateway" or "host"."""

    def __init__(self, folder: Path, *, hosts: int = 1, **added: str):
        self.files = Installation(folder, hosts=hosts, **added)
        self.hosts: list[WiredHost] = []
        self.image_id = ""

    def __enter__(self) -> "WiredCloud":
        with contextlib.ExitStack() as started:
            self._start(started)
            self._started = started.pop_all()  # all is well: __exit__ is to end it, not this block
        return self

    def __exit__(self, *failure) -> None:
        self._started.close()

    def _start(self, started: contextlib.ExitStack) -> None:
        self.files.prepare()
        config = controller_config.load(self.files.controller_toml)
        database = controller_server.open_database(config)
        self.controller = controller_server.build_app(config, database)
        server = controller_server.Server(config, self.controller)
        server.start()
        started.callback(server.stop)
        self.gateway = Gateway(gateway_config.load(self.files.gateway_toml))
        self.gateway.start()
        started.callback(self.gateway.stop)
        for path in self.files.host_tomls:
            service = Service(host_config.load(path))
            started.callback(service.stop)
            service.start()
            self.hosts.append(WiredHost(service))
        self.accounts = Accounts(self.files.endpoint, self.files.operator)
        self.image_id = self.accounts.add_image()
        wait_until("a host", self.accounts.is_ready)

    @property
    def endpoint(self) -> str:
        return self.files.endpoint

    @property
    def operator(self) -> Account:
        return self.accounts.operator

    def account(self, name: str) -> Account:
        """The account of that name, made at the first time that it is asked for."""
        return self.accounts.account(name)

    def host_of(self, instance_id: str) -> WiredHost:
        """The host that has the instance's domain."""
        return next(host for host in self.hosts if instance_id in host.hypervisor.domains())

    def world(self) -> "World":
        """What invariants look at. Its Records are the calling thread's."""
        return World(Records(self.files.folder / "controller" / "pileus.db"), self.hosts)
