"""The network of this host, for real: drivers.Network on namespaces, nftables and dnsmasq.

    network = LinuxNetwork(NetworkConfig(...), run=shell.run, settings=lambda: ledger.settings)
    network.start()      refuses ranges that are in use; the host's side made, what all VPCs share
    network.ensure_vpc(...), ensure_port, plug, ...      see drivers.Network
    network.stop()       the agent ends; VPCs stay, but for the metadata service

Called by the agent's steps, from any thread; calls for one VPC take turns. Keeps nothing on disk
that it would have to believe after a crash: the truth is in the kernel, names say whose it is.
"""

import json
import logging
import random
import shutil
import socket
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from hostagent.kernel.errors import DriverError
from hostagent.kernel.shell import Run
from hostagent.network import (
    addresses,
    dhcp,
    dnsmasq,
    firewall,
    inventory,
    metadata_tree,
    namespaces,
    neighbours,
    ports,
    router,
    routes,
    uplink,
)
from hostagent.network.config import (
    METADATA_ADDRESS,
    Names,
    NetworkConfig,
    bridge_of,
    checked,
    mac_of,
)
from hostagent.network.drivers import Port
from hostagent.network.guests import Guest, guests_of
from hostagent.network.metadata_http import Caller
from hostagent.network.metadata_server import MetadataServer, open_listener
from hostagent.network.metadata_tokens import Tokens
from hostagent.network.sense import sensible
from protos.cloud.v1 import fleet_pb2

log = logging.getLogger(__name__)

METADATA_PORT = 80


@dataclass(frozen=True)
class Seen:
    """What the VPC's rules translate, and who has which address: whose flows may be in its
    namespace.
    """

    public: Mapping[str, str]  # public address -> private
    owners: Mapping[str, int]  # private address -> number of the NIC


class LinuxNetwork:
    """See the module's head. ``run`` is hostagent.kernel.shell.run; ``settings`` answers what the
    controller last said of region, DNS suffix and resolvers (empty fields: the configuration's).
    """

    def __init__(
        self,
        config: NetworkConfig,
        *,
        run: Run,
        settings: Callable[[], fleet_pb2.HostSettings] = fleet_pb2.HostSettings,
        monotonic_ms: Callable[[], int] = lambda: time.monotonic_ns() // 1_000_000,
        rng: random.Random | None = None,
        token_secret: bytes = b"",
    ):
        rng = rng or random.SystemRandom()
        self.config, self.names = config, Names(config.prefix)
        self._run, self._settings = run, settings
        tokens = Tokens(token_secret or rng.randbytes(32), monotonic_ms, rng.randbytes)
        self._metadata = MetadataServer(tokens)
        self._host_lock = threading.Lock()
        self._locks: dict[str, threading.RLock] = defaultdict(threading.RLock)
        self._dhcp: dict[str, dnsmasq.Dnsmasq] = {}
        self._listening: dict[str, int] = {}  # vpc id -> inode of the namespace
        self._seen: dict[str, Seen] = {}  # by vpc id

    def start(self) -> None:
        """Raises DriverError, not transient, where the pool or the transit range is in use."""
        taken = addresses.host_ranges(self.config)
        problems = addresses.check_ranges(
            self.config.pool, self.config.transit, taken, addresses.resolvers_of(self.config)
        )
        if problems:
            raise DriverError(" ".join(problems), transient=False)
        self._check_run_dir()
        self.ensure_host()

    def stop(self) -> None:
        self._metadata.stop()

    # -- drivers.Network ---------------------------------------------------------------------------

    def ensure_host(self) -> None:
        with self._host_lock:
            uplink.ensure_host(self.config, self.names, self._resolvers(), self._run)

    def ensure_vpc(
        self, vpc: fleet_pb2.VpcSpec, instances: Sequence[fleet_pb2.InstanceSpec]
    ) -> Sequence[str]:
        """The firewall comes first, then links, then what leads here from outside, then
        services.
        """
        with _sense_of(vpc):
            vpc, instances, problems = sensible(vpc, instances, self.names)
        guests = guests_of(vpc, instances, self.names)
        with self._locks[vpc.vpc_id]:
            namespace = self.names.namespace(vpc.vpc_id)
            mtu = self._mtu()
            if namespaces.ensure(namespace, self._run):
                self._seen[vpc.vpc_id] = Seen({}, {})  # nothing flows in it yet
            router.prepare(namespace)
            with self._host_lock:  # transit addresses are claimed one at a time
                transit = uplink.ensure_cable(self.config, self.names, vpc.vpc_id, mtu)
            before = self._seen_before(vpc.vpc_id, namespace)
            self._load_rules(vpc, guests, namespace, transit)
            plan = router.Router(namespace, mac_of(f"host {vpc.vpc_id}"), transit, mtu)
            self._route(vpc, guests, plan)
            ports.sweep(vpc.vpc_id, {guest.tap for guest in guests}, self.names)
            self._ensure_public(vpc, guests, namespace, transit, before)
            self._ensure_dhcp(vpc, guests, namespace, mtu)
            self._ensure_metadata(vpc, guests, namespace)
        return problems

    def ensure_port(self, nic: fleet_pb2.NicSpec) -> Port:
        with self._locks[nic.vpc_id]:
            mtu = self._mtu()
            tap = ports.ensure(nic, self.names, mtu)
            return Port(nic.network_interface_id, tap, nic.mac_address, mtu, nic.device_index)

    def plug(self, nic: fleet_pb2.NicSpec) -> None:
        with self._locks[nic.vpc_id]:
            ports.plug(nic, self.names, self._mtu())

    def is_plugged(self, nic: fleet_pb2.NicSpec) -> bool:
        return ports.is_plugged(nic, self.names)

    def reached(self, nic: fleet_pb2.NicSpec, *, anew: bool) -> bool:
        return neighbours.reached(nic, self.names, anew=anew)

    def remove_port(self, nic: fleet_pb2.NicSpec) -> None:
        """The next owner of its address inherits no flow of this one."""
        with self._locks[nic.vpc_id]:
            ports.remove(nic, self.names)
            namespace = self.names.namespace(nic.vpc_id)
            if namespaces.exists(namespace):
                addresses = (nic.private_ip_address, *nic.secondary_private_ip_addresses)
                for address in filter(None, addresses):
                    self._forget_address(namespace, address)

    def remove_vpc(self, vpc_id: str) -> None:
        """Services first, then the cable (with it all routes to it), then what is inside."""
        with self._locks[vpc_id]:
            namespace = self.names.namespace(vpc_id)
            self._metadata.close(vpc_id)
            self._listening.pop(vpc_id, None)
            self._seen.pop(vpc_id, None)
            self._dnsmasq(vpc_id).remove()
            self._dhcp.pop(vpc_id, None)
            uplink.remove_cable(self.names, vpc_id)
            if namespaces.exists(namespace):
                namespaces.netlink(namespace, inventory.remove_links)
            namespaces.remove(namespace, self._run)

    def vpcs(self) -> Collection[str]:
        """Also of VPCs that only part of is left of: a cable alone has no id, and is in the
        inventory.
        """
        found = {self.names.vpc_of_namespace(name) for name in namespaces.listed()}
        if self.config.run_dir.is_dir():
            found |= {
                self.names.vpc_of_namespace(f"{self.names.prefix}-{folder.name}")
                for folder in self.config.run_dir.iterdir()
            }
        return sorted(vpc_id for vpc_id in found if vpc_id)

    # -- for the operator --------------------------------------------------------------------------

    def inventory(self) -> inventory.Inventory:
        """All that is here by the name of this driver, for the audit."""
        return inventory.take(self.config, self.names, self._run)

    def destroy_all(self) -> None:
        """Nothing of ours is left, guests' taps included. For ``pileus down --destroy``."""
        for vpc_id in self.vpcs():
            self.remove_vpc(vpc_id)
        inventory.remove_strays(self.config, self.names)
        with self._host_lock:
            uplink.remove_host(self.config, self.names, self._run)
        if self.config.run_dir.is_dir():
            shutil.rmtree(self.config.run_dir)

    # -- parts of start and ensure_vpc -------------------------------------------------------------

    def _check_run_dir(self) -> None:
        """The DHCP server reads its hosts again after it has given up root's rights."""
        self.config.run_dir.mkdir(parents=True, exist_ok=True)
        self.config.run_dir.chmod(0o711)
        closed = [
            folder
            for folder in (self.config.run_dir, *self.config.run_dir.parents)
            if not folder.stat().st_mode & 0o001
        ]
        if closed:
            raise DriverError(
                f"{closed[0]} is closed to the DHCP server's user {self.config.dhcp_user}: "
                "choose another run_dir, or open it (chmod o+x)",
                transient=False,
            )

    def _load_rules(
        self, vpc: fleet_pb2.VpcSpec, guests: list[Guest], namespace: str, transit: str
    ) -> None:
        with _sense_of(vpc):
            text = firewall.render(vpc, guests, uplink.nat_address(transit))
        self._run(["nft", "-f", "-"], input=text, netns=namespace)

    def _route(self, vpc: fleet_pb2.VpcSpec, guests: list[Guest], plan: router.Router) -> None:
        """Links and routes. What a subnet's former routes had allowed ends; this is done before
        they are forgotten, so that a call that is killed here is made good by the next.
        """
        with _sense_of(vpc):
            wanted = routes.routes_of(vpc, guests)
        replaced = router.converge(vpc, plan, self.config, wanted)
        if not replaced:
            return
        marks = {bridge_of(s.subnet_id): routes.mark_of(s.cidr_block) for s in vpc.subnets}
        for bridge in sorted(set(replaced.values()) & set(marks)):
            self._forget_flows(plan.namespace, "--mark", str(marks[bridge]))
        router.sweep(plan, list(replaced))

    def _ensure_public(
        self,
        vpc: fleet_pb2.VpcSpec,
        guests: list[Guest],
        namespace: str,
        transit: str,
        before: Seen,
    ) -> None:
        """Routes to the VPC's public addresses. Flows under an address that moved end, as in EC2:
        their translation would lead to the former owner for as long as they last.
        """
        now = Seen(
            firewall.public_addresses(vpc, guests),
            {address: guest.number for guest in guests for address in guest.addresses},
        )
        uplink.ensure_public_routes(self.config, self.names, vpc.vpc_id, transit, now.public)
        moved = set(before.public.items()) ^ set(now.public.items())
        if before.owners:  # somebody was here whose flows could be concerned
            for public in sorted({public for public, _ in moved}):
                self._forget_flows(namespace, "--orig-dst", public)
        for private in sorted({private for _, private in moved} & set(before.owners)):
            self._forget_flows(namespace, "--src-nat", "--orig-src", private)
        for private, owner in before.owners.items():
            if now.owners.get(private) != owner:
                self._forget_address(namespace, private)
        self._seen[vpc.vpc_id] = now

    def _seen_before(self, vpc_id: str, namespace: str) -> Seen:
        """The translation and owners in force; after a restart, as the kernel has them."""
        if vpc_id not in self._seen:
            public = self._listed(namespace, "map", "to_private")
            bound = self._listed(namespace, "set", "bound")
            owners = {each["concat"][1]: each["concat"][0] for each in bound}
            return Seen({public: private for public, private in public}, owners)
        return self._seen[vpc_id]

    def _listed(self, namespace: str, kind: str, name: str) -> list[Any]:
        """Elements of a set or map of the rules in force."""
        command = ["nft", "-j", "list", kind, "ip", firewall.TABLE, name]
        listed = self._run(command, netns=namespace, accept=(0, 1))  # 1: no such table yet
        entries = json.loads(listed.stdout)["nftables"] if listed.returncode == 0 else []
        return [element for entry in entries for element in entry.get(kind, {}).get("elem", [])]

    def _ensure_dhcp(
        self, vpc: fleet_pb2.VpcSpec, guests: list[Guest], namespace: str, mtu: int
    ) -> None:
        with _sense_of(vpc):
            files = dhcp.render(
                vpc,
                guests,
                self.config.run_dir / vpc.vpc_id,
                mtu=mtu,
                domain=self._settings().dns_suffix or self.config.dns_suffix,
                resolvers=self._resolvers(),
                user=self.config.dhcp_user,
            )
        self._dnsmasq(vpc.vpc_id).ensure(files)

    def _ensure_metadata(self, vpc: fleet_pb2.VpcSpec, guests: list[Guest], namespace: str) -> None:
        region = self._settings().region or self.config.region
        callers = {
            address: Caller(
                guest.instance.instance_id,
                metadata_tree.tree_of(vpc, guest, region=region),
                guest.instance.metadata.options,
            )
            for guest in guests
            for address in guest.addresses
        }
        self._metadata.update(vpc.vpc_id, callers)
        inode = namespaces.inode(namespace)
        if self._listening.get(vpc.vpc_id) != inode:
            self._metadata.listen(vpc.vpc_id, self._open_listener(namespace))
            self._listening[vpc.vpc_id] = inode

    def _open_listener(self, namespace: str) -> socket.socket:
        try:
            return namespaces.inside(
                namespace, lambda: open_listener(METADATA_ADDRESS, METADATA_PORT)
            )
        except OSError as error:
            raise DriverError(
                f"the metadata service cannot listen in {namespace} ({error.strerror}): "
                "does another agent with the same prefix run?"
            ) from error

    def _dnsmasq(self, vpc_id: str) -> dnsmasq.Dnsmasq:
        if vpc_id not in self._dhcp:
            folder = self.config.run_dir / checked(vpc_id)
            self._dhcp[vpc_id] = dnsmasq.Dnsmasq(
                self.names.namespace(vpc_id), folder, self._run, self.config.dhcp_user
            )
        return self._dhcp[vpc_id]

    def _forget_address(self, namespace: str, private: str) -> None:
        """The address has another owner from now on, or none."""
        for end in ("--orig-src", "--orig-dst", "--reply-src"):
            self._forget_flows(namespace, end, private)

    def _forget_flows(self, namespace: str, *which: str) -> None:
        """conntrack(8) ends with 1 where no flow matches."""
        self._run(["conntrack", "-D", "-f", "ipv4", *which], netns=namespace, accept=(0, 1))

    def _resolvers(self) -> list[str]:
        return addresses.resolvers_of(self.config, self._settings().nameservers)

    def _mtu(self) -> int:
        return addresses.mtu_outside(self.config)


@contextmanager
def _sense_of(vpc: fleet_pb2.VpcSpec) -> Iterator[None]:
    """What is malformed stays so until the controller sends something else."""
    try:
        yield
    except ValueError as error:
        raise DriverError(
            f"the specification of {vpc.vpc_id} makes no sense: {error}", transient=False
        ) from error
