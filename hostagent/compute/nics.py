"""The network interfaces of one running guest: a part of ``devices``.

    wanted, not there    its VPC knows it (the firewall first); a tap, attached, in its subnet
    there, not wanted    its VPC knows it no more: nothing passes; the guest is asked to let go
    gone                 its tap goes

A tap that nobody takes away any more, because the agent died in between, goes with the next look at
its VPC.
"""

from collections.abc import Mapping
from functools import partial

from hostagent.compute.devices import DevicePart, Round
from hostagent.compute.drivers import GuestNic
from hostagent.compute.host import Drivers
from hostagent.compute.limits import Limits
from protos.cloud.v1 import fleet_pb2


class NicPart(DevicePart[GuestNic, fleet_pb2.NicSpec]):
    """devices.Part, for network interfaces."""

    def __init__(self, on: Drivers, limits: Limits):
        super().__init__(on, limits)
        self._leaving: set[str] = set()  # asked to let go; the taps are still there

    def reconcile(self, spec: fleet_pb2.InstanceSpec, round: Round) -> None:
        super().reconcile(spec, round)
        self._leaving -= self._wanted(spec).keys()
        for name in sorted(self._leaving - self._there(spec.instance_id).keys()):
            self._try(name, round, partial(self._remove_port, spec, name))

    def _there(self, instance_id: str) -> Mapping[str, GuestNic]:
        return {nic.network_interface_id: nic for nic in self._on.hypervisor.nics(instance_id)}

    def _wanted(self, spec: fleet_pb2.InstanceSpec) -> Mapping[str, fleet_pb2.NicSpec]:
        return {nic.network_interface_id: nic for nic in spec.nics}

    def _ask(self, instance_id: str, name: str) -> None:
        self._leaving.add(name)
        self._on.hypervisor.detach_nic(instance_id, name)

    def _give(self, instance_id: str, nic: fleet_pb2.NicSpec, have: GuestNic | None) -> None:
        on = self._on
        if have is None:
            on.vpcs.ensure(nic.vpc_id)
            on.hypervisor.attach_nic(instance_id, on.network.ensure_port(nic))
        on.vpcs.plug(nic)

    def _remove_port(self, spec: fleet_pb2.InstanceSpec, name: str) -> None:
        """All interfaces of an instance are in one VPC."""
        vpc_id = spec.nics[0].vpc_id
        self._on.network.remove_port(fleet_pb2.NicSpec(network_interface_id=name, vpc_id=vpc_id))
        self._leaving.discard(name)
