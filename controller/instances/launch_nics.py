"""The interfaces of a launch's instances: made or taken, and shown without being read again.

Called by instances/launch_rows inside RunInstances' transaction. Where an interface was there
before, it is read once more for the answer: a launch that names none costs no statement for it.
"""

import random
from collections.abc import Sequence
from types import SimpleNamespace

from controller.db.schema import NetworkInterface
from controller.db.session import Transaction
from controller.instances.launch_interfaces import Planned
from controller.networks import interfaces
from controller.networks.launch import LaunchSubnet
from controller.networks.names import DnsNames
from controller.networks.new_interfaces import NewInterface, create_interfaces
from controller.networks.view import interface_message
from protos.cloud.v1 import common_pb2, networks_pb2
from protos.ids import new_id

_NIC = NetworkInterface


class LaunchNics:
    def __init__(self, rng: random.Random, names: DnsNames):
        self._rng, self._names = rng, names

    def write(
        self,
        tx: Transaction,
        planned: Sequence[Planned],
        zone: str,
        instance_ids: Sequence[str],
        tags: Sequence[common_pb2.Tag],
    ) -> tuple[list[list[networks_pb2.NetworkInterface]], list[str]]:
        """The interfaces of each instance, and the ids of those that are new. Raises WRONG_STATE
        (in-use) and what create_interfaces raises."""
        shown: list[list[networks_pb2.NetworkInterface]] = [[] for _ in instance_ids]
        made: list[str] = []
        for one in planned:
            if one.existing:
                shown[0].append(self._take(tx, one, instance_ids[0]))
                continue
            subnet = one.network.subnet_in(zone)
            new = create_interfaces(tx, self._rng, one.network, subnet, instance_ids, one.wish)
            made += [nic.network_interface_id for nic in new]
            for nics, nic in zip(shown, new, strict=True):
                nics.append(self._message(tx, one, subnet, nic, tags))
        return shown, made

    def _take(
        self, tx: Transaction, one: Planned, instance_id: str
    ) -> networks_pb2.NetworkInterface:
        is_it = _NIC.network_interface_id == one.existing
        changes = {
            "instance_id": instance_id,
            "attachment_id": new_id("network-interface-attachment", self._rng),
            "device_index": one.wish.device_index,
            "delete_on_termination": False,
            "attached_ms": tx.call.now_ms,
        }
        if not tx.advance(_NIC, changes, is_it, _NIC.instance_id.is_null()):
            raise interfaces.in_use(one.existing)
        rows = tx.rows(interfaces.interfaces_query().where(is_it))
        return interfaces.messages(tx, rows, self._names)[0]

    def _message(
        self,
        tx: Transaction,
        one: Planned,
        subnet: LaunchSubnet,
        nic: NewInterface,
        tags: Sequence[common_pb2.Tag],
    ) -> networks_pb2.NetworkInterface:
        groups = [
            networks_pb2.GroupIdentifier(group_id=group_id, group_name=name)
            for group_id, name in one.network.groups.items()
        ]
        row = SimpleNamespace(
            network_interface_id=nic.network_interface_id,
            account_id=tx.call.account_id,
            vpc_id=one.network.vpc_id,
            subnet_id=subnet.subnet_id,
            availability_zone=subnet.availability_zone,
            mac_address=nic.mac_address,
            private_ip=nic.private_ip,
            description=one.wish.description,
            source_dest_check=True,
            instance_id=nic.instance_id,
            attachment_id=nic.attachment_id,
            device_index=one.wish.device_index,
            delete_on_termination=one.wish.delete_on_termination,
            attached_ms=tx.call.now_ms,
            attach_generation=0,
            detaching=False,
            devices_generation=0,
            observed="unseen",
            public_ip=nic.public_ip,
            association_id="",
            allocation_id=None,
            dns_hostnames=one.network.dns_hostnames,
        )
        secondary = [
            SimpleNamespace(
                private_ip=private_ip, public_ip=None, association_id="", allocation_id=None
            )
            for private_ip in nic.secondary_ips
        ]
        return interface_message(row, self._names, groups, tags, secondary)
