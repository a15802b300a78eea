"""A network that makes nothing and keeps count: for ``--hypervisor fake``, tests, simulations.

It trips over what the real one would (plugging into a VPC that is not there, or what has no tap),
so that a wrong order of steps fails here too; ``strict`` also renders every specification with the
real rule set, routes, DHCP and metadata code, so that one that makes no sense fails here too. What
it holds stands for the host's kernel: it outlives the agent as long as the object does, or its
``path``; ``lose_power`` takes what a reboot would.
"""

import json
import random
import threading
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TypeVar

from google.protobuf.message import Message

from hostagent.kernel.errors import DriverError
from hostagent.network import dhcp, firewall, metadata_tree, routes
from hostagent.network.config import Names
from hostagent.network.drivers import Port
from hostagent.network.guests import guests_of
from hostagent.network.sense import sensible
from protos.cloud.v1 import fleet_pb2
from protos.files import write_whole

MTU = 1500
M = TypeVar("M", bound=Message)


class FakeNetwork:
    """``failures`` is the probability that a call fails this time, decided by ``rng``; a call that
    fails may have done its work, as a real one that dies at its end.

    ``made``, ``tenants`` and ``ports`` are for invariants: VPC id -> what it was made as, VPC id ->
    the instances that it was made for, network interface id -> plugged? ``mute`` is a test's to
    fill: network interface ids of guests that do not answer, or "*".
    """

    def __init__(
        self,
        rng: random.Random | None = None,
        failures: float = 0.0,
        path: Path | None = None,
        *,
        strict: bool = False,
    ):
        self._rng, self.failures, self._path = rng or random.Random(0), failures, path
        self._strict, self._lock = strict, threading.RLock()
        self.made: dict[str, fleet_pb2.VpcSpec] = {}
        self.tenants: dict[str, list[fleet_pb2.InstanceSpec]] = {}
        self.ports: dict[str, bool] = {}
        self.mute: set[str] = set()
        self._homes: dict[str, str] = {}  # network interface id -> VPC id
        self._written = ""
        if path is not None and path.exists():
            kept = json.loads(path.read_text())
            self.made = {name: fleet_pb2.VpcSpec(vpc_id=name) for name in kept["vpcs"]}
            self.ports, self._homes = kept["ports"], kept["homes"]

    def ensure_host(self) -> None:
        """All VPCs here share nothing."""

    def ensure_vpc(
        self, vpc: fleet_pb2.VpcSpec, instances: Sequence[fleet_pb2.InstanceSpec]
    ) -> Sequence[str]:
        """Raises DriverError, not transient, in ``strict`` for what cannot be rendered."""
        problems = _render(vpc, instances) if self._strict else []
        with self._lock:
            self._maybe_fail()
            self.made[vpc.vpc_id] = _copy(vpc)
            self.tenants[vpc.vpc_id] = [_copy(instance) for instance in instances]
            known = {nic.network_interface_id for each in instances for nic in each.nics}
            for port, home in list(self._homes.items()):
                if home == vpc.vpc_id and port not in known:
                    self._drop_port(port)
            self._keep()
            self._maybe_fail()
        return problems

    def ensure_port(self, nic: fleet_pb2.NicSpec) -> Port:
        with self._lock:
            self._maybe_fail()
            self.ports[nic.network_interface_id] = False
            self._homes[nic.network_interface_id] = nic.vpc_id
            self._keep()
            self._maybe_fail()
            tap = "tap" + nic.network_interface_id.removeprefix("eni-")[-11:]
            return Port(nic.network_interface_id, tap, nic.mac_address, MTU, nic.device_index)

    def plug(self, nic: fleet_pb2.NicSpec) -> None:
        with self._lock:
            self._maybe_fail()
            self._require_vpc(nic)
            if nic.network_interface_id not in self.ports:
                raise DriverError(
                    f"{nic.network_interface_id} has no tap: the domain has lost it",
                    transient=False,
                )
            self.ports[nic.network_interface_id] = True
            self._keep()
            self._maybe_fail()

    def is_plugged(self, nic: fleet_pb2.NicSpec) -> bool:
        with self._lock:
            return self.ports.get(nic.network_interface_id, False)

    def reached(self, nic: fleet_pb2.NicSpec, *, anew: bool) -> bool:
        """Who is plugged answers at once, however it is asked, but for the ``mute``."""
        with self._lock:
            self._maybe_fail()
            return self.is_plugged(nic) and not {"*", nic.network_interface_id} & self.mute

    def remove_port(self, nic: fleet_pb2.NicSpec) -> None:
        with self._lock:
            self._maybe_fail()
            self._drop_port(nic.network_interface_id)
            self._keep()
            self._maybe_fail()

    def remove_vpc(self, vpc_id: str) -> None:
        """Plugged taps go with the namespace; one that still lies on the host stays there."""
        with self._lock:
            self._maybe_fail()
            self.made.pop(vpc_id, None)
            self.tenants.pop(vpc_id, None)
            for port, home in list(self._homes.items()):
                if home == vpc_id and self.ports[port]:
                    self._drop_port(port)
            self._keep()
            self._maybe_fail()

    def vpcs(self) -> Collection[str]:
        with self._lock:
            return sorted(self.made)

    def lose_power(self) -> None:
        """All of it lives in the kernel."""
        with self._lock:
            self.made, self.tenants, self.ports, self._homes = {}, {}, {}, {}
            self._keep()

    def _require_vpc(self, nic: fleet_pb2.NicSpec) -> None:
        if nic.vpc_id not in self.made:
            raise DriverError(f"{nic.vpc_id} is not on this host yet", transient=False)

    def _drop_port(self, network_interface_id: str) -> None:
        self.ports.pop(network_interface_id, None)
        self._homes.pop(network_interface_id, None)

    def _keep(self) -> None:
        if self._path is not None:
            kept = {"vpcs": sorted(self.made), "ports": self.ports, "homes": self._homes}
            if (text := json.dumps(kept)) == self._written:
                return  # a VPC made anew is the commonest change, and is kept by its name alone
            write_whole(self._path, text)
            self._written = text

    def _maybe_fail(self) -> None:
        if self.failures and self._rng.random() < self.failures / 2:
            raise DriverError("the network did not do as it was told")


def _render(vpc: fleet_pb2.VpcSpec, instances: Sequence[fleet_pb2.InstanceSpec]) -> list[str]:
    names = Names("fake")
    try:
        vpc, instances, problems = sensible(vpc, instances, names)
        guests = guests_of(vpc, instances, names)
        firewall.render(vpc, guests, "100.65.0.3")
        routes.routes_of(vpc, guests)
        dhcp.render(vpc, guests, Path("/"), mtu=MTU, domain="internal", resolvers=(), user="fake")
        for guest in guests:
            metadata_tree.tree_of(vpc, guest, region="fake")
        return problems
    except (ValueError, IndexError) as error:
        raise DriverError(
            f"the specification of {vpc.vpc_id} makes no sense: {error}", transient=False
        ) from error


def _copy(message: M) -> M:
    """The controller's and the ledger's messages are theirs to change."""
    copied = type(message)()
    copied.CopyFrom(message)
    return copied
