"""A laboratory for the network driver: guests without QEMU, an outside without a wire.

A guest is a namespace of its own whose eth0 is a tap, joined in user space to the tap that the
driver made, which the laboratory holds open as QEMU would. So every step of the driver is the real
one, and a hostile guest can put any frame on its wire (``inject``) and see all that reaches it
(``seen``).
"""

import os
from collections.abc import Callable

from hostagent.kernel import shell
from hostagent.network import namespaces
from hostagent.network.config import NetworkConfig
from hostagent.network.linux import LinuxNetwork
from protos.cloud.v1 import fleet_pb2, instances_pb2
from tests.real.network_guests import Guest, Wire, open_tap

POOL, TRANSIT = "100.126.7.0/24", "100.127.0.0/16"
ANYWHERE = "0.0.0.0/0"
OUTSIDE = fleet_pb2.RouteSpec(destination_cidr_block=ANYWHERE, internet_gateway=True)


class Lab:
    """A driver with names of its own, its VPCs, guests, and an outside beyond the host."""

    def __init__(self, prefix: str):
        self.config = NetworkConfig(
            prefix=prefix,
            pool=POOL,
            transit=TRANSIT,
            nameservers=("198.18.77.2",),
        )
        self.network = self.driver()
        self.wire = Wire()
        self.vpcs: dict[str, fleet_pb2.VpcSpec] = {}
        self.guests: list[Guest] = []
        self._closing: list[Callable[[], None]] = []
        self.network.start()

    def driver(self, run: Callable = shell.run) -> LinuxNetwork:
        """Another agent's driver after the first one's end, with no memory of it."""
        return LinuxNetwork(self.config, run=run)

    def restart(self, run: Callable = shell.run) -> None:
        """As kill -9 and a new agent: sockets close, memory is lost, the rest stays. ``run`` runs
        its commands."""
        self.network.stop()
        self.network = self.driver(run)
        self.network.start()

    def close(self) -> None:
        for guest in list(self.guests):
            self.power_off(guest)
        self.wire.close()
        self.network.stop()
        self.network.destroy_all()
        for undo in reversed(self._closing):
            undo()

    def add_outside(self) -> str:
        """A namespace beyond the host's own interface. Answers its name; its address is .2."""
        name = f"{self.config.prefix}-outside"
        near, far = f"{self.config.prefix}-out"[:15], "eth0"
        shell.run(["ip", "netns", "add", name])
        self._closing.append(lambda: shell.run(["ip", "netns", "delete", name]))
        shell.run(["ip", "link", "add", near, "type", "veth", "peer", "name", far, "netns", name])
        # By itself it would go, with its address, only when the last socket in there has.
        self._closing.append(lambda: shell.run(["ip", "link", "delete", near]))
        shell.run(["ip", "address", "add", "198.18.77.1/30", "dev", near])
        shell.run(["ip", "link", "set", near, "up"])
        for words in ("link set lo up", "link set eth0 up", "address add 198.18.77.2/30 dev eth0"):
            shell.run(["ip", *words.split()], netns=name)
        return name

    def vpc(
        self,
        number: int,
        cidr: str = "172.31.0.0/16",
        subnets: int = 2,
        routes: tuple[fleet_pb2.RouteSpec, ...] = (OUTSIDE,),
    ) -> str:
        vpc_id = f"vpc-{number:017x}"
        first, second = cidr.split(".")[:2]
        self.vpcs[vpc_id] = fleet_pb2.VpcSpec(
            vpc_id=vpc_id,
            cidr_blocks=[cidr],
            subnets=[
                fleet_pb2.SubnetSpec(
                    subnet_id=subnet_id(number, n),
                    cidr_block=f"{first}.{second}.{n * 16}.0/20",
                    routes=routes,
                )
                for n in range(subnets)
            ],
        )
        return vpc_id

    def group(self, vpc_id: str, number: int, *rules: fleet_pb2.RuleSpec) -> str:
        """Makes the group, or replaces its rules."""
        group_id = f"sg-{number:017x}"
        vpc = self.vpcs[vpc_id]
        found = [group for group in vpc.security_groups if group.group_id == group_id]
        group = found[0] if found else vpc.security_groups.add(group_id=group_id)
        group.group_name = f"group-{number}"
        del group.rules[:]
        group.rules.extend(rules)
        return group_id

    def start(self, vpc_id: str, number: int, groups: list[str], **nic) -> Guest:
        """A guest as the agent brings one up: VPC, port, domain, plug. It has asked for no address
        yet; ``configure`` gives it the one that DHCP would.
        """
        user_data = nic.pop("user_data", b"")
        options = nic.pop("options", instances_pb2.MetadataOptions())
        vpc_number = int(vpc_id[-4:], 16)
        spec = self._nic(vpc_id, number, groups, **nic)
        instance = fleet_pb2.InstanceSpec(
            instance_id=f"i-{vpc_number * 1000 + number:017x}", nics=[spec], account_id="1" * 12
        )
        instance.metadata.MergeFrom(
            fleet_pb2.InstanceMetadata(
                image_id="ami-1", key_name="mykey", public_key="ssh-rsa AAAA"
            )
        )
        instance.metadata.user_data = user_data
        instance.metadata.options.CopyFrom(options)
        guest = Guest(spec, instance, f"{self.config.prefix}-g-{vpc_number}-{number}", -1, -1)
        self.guests.append(guest)
        self._membership(vpc_id)
        self.ensure(vpc_id)
        self.power_on(guest)
        return guest

    def _nic(self, vpc_id: str, number: int, groups, **nic) -> fleet_pb2.NicSpec:
        subnet = self.vpcs[vpc_id].subnets[nic.pop("subnet", 0)]
        start = ".".join(subnet.cidr_block.split(".")[:3])
        vpc_number = int(vpc_id[-4:], 16)
        return fleet_pb2.NicSpec(
            network_interface_id=f"eni-{vpc_number * 1000 + number:017x}",
            mac_address=f"02:16:3e:00:{vpc_number:02x}:{number:02x}",
            private_ip_address=f"{start}.{number}",
            subnet_id=subnet.subnet_id,
            vpc_id=vpc_id,
            security_group_ids=groups,
            source_dest_check=nic.pop("source_dest_check", True),
            secondary_private_ip_addresses=[f"{start}.{n}" for n in nic.pop("secondary", ())],
            **nic,
        )

    def power_on(self, guest: Guest) -> None:
        port = self.network.ensure_port(guest.nic)
        guest.tap = open_tap(port.tap)
        shell.run(["ip", "netns", "add", guest.namespace])
        guest.eth0 = namespaces.inside(guest.namespace, lambda: open_tap("eth0"))
        for words in (
            f"link set eth0 address {guest.nic.mac_address}",
            f"link set eth0 mtu {port.mtu}",
            "link set lo up",
            "link set eth0 up",
        ):
            guest.run("ip", *words.split())
        self.network.plug(guest.nic)
        self.wire.join(guest.tap, guest.eth0, guest.seen)

    def attach(self, guest: Guest, number: int, **nic) -> fleet_pb2.NicSpec:
        """Another interface, hot-plugged as the agent does it; it has its address at once."""
        vpc_id, name = guest.nic.vpc_id, f"eth{len(guest.instance.nics)}"
        spec = self._nic(vpc_id, number, guest.nic.security_group_ids, **nic)
        spec.device_index = len(guest.instance.nics)
        guest.instance.nics.append(spec)
        self._membership(vpc_id)
        self.ensure(vpc_id)
        tap = open_tap(self.network.ensure_port(spec).tap)
        inside = namespaces.inside(guest.namespace, lambda: open_tap(name))
        guest.run("ip", "link", "set", name, "address", spec.mac_address)
        guest.run("ip", "link", "set", name, "up")
        guest.run("ip", "address", "add", f"{spec.private_ip_address}/20", "dev", name)
        self.network.plug(spec)
        self.wire.join(tap, inside, guest.seen)
        guest.further[spec.network_interface_id] = (tap, inside)
        return spec

    def detach(self, guest: Guest, spec: fleet_pb2.NicSpec) -> None:
        self.unplug(guest, spec)
        self.ensure(guest.nic.vpc_id)
        self.network.remove_port(spec)

    def unplug(self, guest: Guest, spec: fleet_pb2.NicSpec) -> None:
        """The guest has it no longer; the driver has not heard of it yet."""
        kept = [n for n in guest.instance.nics if n is not spec and n != spec]
        del guest.instance.nics[:]
        guest.instance.nics.extend(kept)
        self._cut(*guest.further.pop(spec.network_interface_id))
        self._membership(guest.nic.vpc_id)

    def _cut(self, *ends: int) -> None:
        self.wire.cut(*ends)
        for end in ends:
            os.close(end)

    def power_off(self, guest: Guest) -> None:
        for service in guest.services:
            service.close()
        for ends in ((guest.tap, guest.eth0), *guest.further.values()):
            self._cut(*ends)
        shell.run(["ip", "netns", "delete", guest.namespace])
        self.guests.remove(guest)

    def configure(self, guest: Guest) -> Guest:
        router = guest.address.rpartition(".")[0] + ".1"
        guest.run("ip", "address", "add", f"{guest.address}/20", "dev", "eth0")
        guest.run("ip", "route", "add", "default", "via", router)
        return guest

    def ensure(self, vpc_id: str) -> None:
        here = [guest.instance for guest in self.guests if guest.nic.vpc_id == vpc_id]
        self.network.ensure_vpc(self.vpcs[vpc_id], here)

    def associate(self, guest: Guest, public: str, private: str = "", name: str = "") -> None:
        vpc, private = self.vpcs[guest.nic.vpc_id], private or guest.address
        kept = [p for p in vpc.public_addresses if public != p.public_ip]
        kept = [p for p in kept if p.private_ip != private]
        del vpc.public_addresses[:]
        vpc.public_addresses.extend(kept)
        vpc.public_addresses.add(public_ip=public, private_ip=private, dns_name=name)
        if private == guest.address:
            guest.nic.public_ip_address = public
            guest.instance.nics[0].public_ip_address = public
        self.ensure(guest.nic.vpc_id)

    def route(self, vpc_id: str, subnet: int, *routes_wanted: str) -> None:
        """Routes of a subnet in place of its former ones, each a range and a target: "internet",
        "blackhole" or an address.
        """
        routes = self.vpcs[vpc_id].subnets[subnet].routes
        del routes[:]
        for text in routes_wanted:
            destination, target = text.split()
            route = routes.add(destination_cidr_block=destination)
            if target == "internet":
                route.internet_gateway = True
            elif target == "blackhole":
                route.blackhole = True
            else:
                route.private_ip_address = target
        self.ensure(vpc_id)

    def _membership(self, vpc_id: str) -> None:
        for group in self.vpcs[vpc_id].security_groups:
            del group.member_addresses[:]
            group.member_addresses.extend(
                address
                for guest in self.guests
                for nic in guest.instance.nics
                if nic.vpc_id == vpc_id and group.group_id in nic.security_group_ids
                for address in (nic.private_ip_address, *nic.secondary_private_ip_addresses)
            )


def subnet_id(vpc: int, number: int) -> str:
    return f"subnet-{vpc * 16 + number:017x}"


def allow(protocol: str, first: int = -1, last: int | None = None, *, peer: str = ANYWHERE):
    """An ingress rule; ``peer`` is a CIDR or a group's id."""
    return _rule(False, protocol, first, last, peer)


def allow_out(protocol: str, first: int = -1, last: int | None = None, *, peer: str = ANYWHERE):
    return _rule(True, protocol, first, last, peer)


def _rule(egress: bool, protocol: str, first: int, last: int | None, peer: str):
    where = {"group_id": peer} if peer.startswith("sg-") else {"cidr_ipv4": peer}
    to = first if last is None else last
    return fleet_pb2.RuleSpec(
        egress=egress, protocol=protocol, from_port=first, to_port=to, **where
    )


EVERYTHING_OUT = allow_out("-1")
