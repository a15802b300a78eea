"""What of a VPC's specification makes sense: one bad item never stops the rest of its VPC. Pure.

    vpc, instances, problems = sensible(vpc, instances, names)

What is left out allows and leads to nothing: a rule, a route, an option, an address, an interface.
``problems`` says each in a sentence for the operator. The controller accepts by the same rules
(protos/network_values), so that all of this is for one that is older, or has a defect. Called by
the drivers before they make anything; ValueError where nothing can be made at all.
"""

from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Network
from typing import Any, TypeVar

from hostagent.network import firewall
from hostagent.network.config import OWN_RESOLVER, Names, checked
from hostagent.network.guests import addresses_of, check_nic
from protos import network_values
from protos.cloud.v1 import fleet_pb2

T = TypeVar("T")


def sensible(
    vpc: fleet_pb2.VpcSpec, instances: Sequence[fleet_pb2.InstanceSpec], names: Names
) -> tuple[fleet_pb2.VpcSpec, list[fleet_pb2.InstanceSpec], list[str]]:
    """See the module's head."""
    found = _Sense(vpc, names)
    return found.vpc, [found.instance(one) for one in instances], found.problems


class _Sense:
    def __init__(self, told: fleet_pb2.VpcSpec, names: Names):
        self._names, self.problems = names, list[str]()
        self.vpc = vpc = fleet_pb2.VpcSpec()
        vpc.CopyFrom(told)
        checked(vpc.vpc_id)
        if not vpc.cidr_blocks:
            raise ValueError(f"{vpc.vpc_id} has no range")
        for one in vpc.cidr_blocks:
            IPv4Network(one)
        self._only(vpc.subnets, lambda subnet: (checked(subnet.subnet_id), _range_of(subnet)))
        for subnet in vpc.subnets:
            self._only(subnet.routes, _check_route)
        self._only(vpc.security_groups, lambda group: checked(group.group_id))
        for group in vpc.security_groups:
            self._only(group.rules, firewall.check_rule)
            self._only(group.member_addresses, network_values.address)
        self._only(vpc.public_addresses, _check_public)
        self._names_of(vpc.public_addresses)
        self._dhcp(vpc.dhcp_options)
        self._subnets = {one.subnet_id: IPv4Network(one.cidr_block) for one in vpc.subnets}
        self._taken: set[str] = set()  # addresses, MACs and taps of the interfaces so far

    def instance(self, told: fleet_pb2.InstanceSpec) -> fleet_pb2.InstanceSpec:
        instance = fleet_pb2.InstanceSpec()
        instance.CopyFrom(told)
        self._only(instance.nics, self._check_nic)
        return instance

    def _only(self, items: Any, check: Callable[[Any], object]) -> None:
        """Of a message's repeated field, those that pass."""
        kept = list(self._passing(items, check))
        if len(kept) < len(items):
            del items[:]
            items.extend(kept)

    def _passing(self, items: Iterable[T], check: Callable[[T], object]) -> Iterable[T]:
        for item in items:
            try:
                check(item)
            except ValueError as mistake:
                self.problems.append(f"{self.vpc.vpc_id}: {mistake}: left out")
            else:
                yield item

    def _dhcp(self, told: fleet_pb2.DhcpSpec) -> None:
        self._only(told.domain_name_servers, _check_server)
        self._only(told.ntp_servers, network_values.address)
        self._only(told.netbios_name_servers, network_values.address)
        if told.domain_name and not list(self._passing([told.domain_name], network_values.domain)):
            told.domain_name = ""

    def _names_of(self, addresses: Iterable[fleet_pb2.PublicAddress]) -> None:
        for one in addresses:
            named = one.dns_name not in ("", one.public_ip)
            if named and not list(self._passing([one.dns_name], network_values.domain)):
                one.dns_name = ""

    def _check_nic(self, nic: fleet_pb2.NicSpec) -> None:
        """Of another VPC it is another's to check."""
        if nic.vpc_id != self.vpc.vpc_id:
            return
        check_nic(nic, self._subnets)
        addresses, tap = addresses_of(nic), self._names.tap(nic.network_interface_id)
        own = {nic.mac_address.lower(), tap, *addresses}
        if len(own) < 2 + len(addresses) or own & self._taken:
            raise ValueError(f"{nic.network_interface_id} has what another interface has")
        self._taken |= own


def _range_of(subnet: fleet_pb2.SubnetSpec) -> IPv4Network:
    return IPv4Network(subnet.cidr_block)


def _check_route(route: fleet_pb2.RouteSpec) -> None:
    network_values.canonical_block(route.destination_cidr_block)
    if route.WhichOneof("target") == "private_ip_address":
        network_values.address(route.private_ip_address)


def _check_server(name: str) -> None:
    if name != OWN_RESOLVER:
        network_values.address(name)


def _check_public(one: fleet_pb2.PublicAddress) -> None:
    network_values.address(one.public_ip)
    network_values.address(one.private_ip)
