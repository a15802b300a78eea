"""The interfaces of a launch's instances: made or taken, and shown without being read again.

Called by compute/launch/rows inside RunInstances' transaction. Where an interface was there
before, it is read once more for the answer: a launch that names none costs no statement for it.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace

from controller.compute.launch.interfaces import Planned
from controller.kernel.database import Transaction
from controller.network.interfaces import rules as interfaces
from controller.network.interfaces.create import NewInterface, attachment_row, create_interfaces
from controller.network.interfaces.launch import LaunchSubnet
from controller.network.names import DnsNames
from controller.network.view import interface_message
from controller.tables.network import NetworkInterface
from protos.cloud.v1 import common_pb2, networks_pb2
from protos.ids import new_id

_NIC = NetworkInterface


@dataclass(frozen=True)
class LaunchedNics:
    """What was made: the interfaces of each instance as its owner sees them, the ids of the new
    ones, and the rows that attach all of them."""

    shown: list[list[networks_pb2.NetworkInterface]]
    made: list[str] = field(default_factory=list)
    attachments: list[dict] = field(default_factory=list)


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
    ) -> LaunchedNics:
        """The caller inserts the attachments. Raises what create_interfaces raises."""
        done = LaunchedNics([[] for _ in instance_ids])
        for one in planned:
            if one.existing:
                done.shown[0].append(self._take(tx, one, instance_ids[0], done))
                continue
            subnet = one.network.subnet_in(zone)
            new = create_interfaces(tx, self._rng, one.network, subnet, instance_ids, one.wish)
            for nics, nic in zip(done.shown, new, strict=True):
                done.made.append(nic.network_interface_id)
                done.attachments.append(attachment_row(tx, nic, one.wish))
                nics.append(self._message(tx, one, subnet, nic, tags))
        return done

    def _take(
        self, tx: Transaction, one: Planned, instance_id: str, done: LaunchedNics
    ) -> networks_pb2.NetworkInterface:
        """One that was there before; its plan found it attached to nothing."""
        attachment = {
            "kind": "network_interface",
            "device_id": one.existing,
            "attachment_id": new_id("network-interface-attachment", self._rng),
            "instance_id": instance_id,
            "position": one.wish.device_index,
            "delete_on_termination": False,
            "attached_ms": tx.call.now_ms,
        }
        done.attachments.append(attachment)
        query = interfaces.interfaces_query().where(_NIC.network_interface_id == one.existing)
        rows = [
            row._replace(
                instance_id=instance_id,
                attachment_id=attachment["attachment_id"],
                device_index=one.wish.device_index,
                delete_on_termination=False,
                attached_ms=tx.call.now_ms,
                attach_revision=0,
                detaching=False,
            )
            for row in tx.rows(query)
        ]
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
            attach_revision=0,
            detaching=False,
            devices_revision=0,
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
