"""The service NetworkInterfaces: from the wire to the rules and back. Reading is networks_rpc's."""

import random
from typing import Protocol

from controller.hosts.feed import Feed
from controller.identity.quotas.rules import Quotas
from controller.kernel.call import Call
from controller.kernel.database import Database, Session, Transaction
from controller.network.interfaces import attributes as interface_rules
from controller.network.interfaces import secondary_addresses
from controller.network.interfaces.rules import messages
from controller.network.names import DnsNames
from controller.network.view import InterfaceRow, attachment_message
from protos.cloud.v1 import common_pb2, network_interfaces_pb2, networks_pb2


class Attachments(Protocol):
    """How interfaces come to instances and leave them (compute/attachments)."""

    def attach(
        self, tx: Transaction, request: network_interfaces_pb2.AttachNetworkInterfaceRequest
    ) -> None: ...

    def detach(
        self, tx: Transaction, request: network_interfaces_pb2.DetachNetworkInterfaceRequest
    ) -> None: ...


class NetworkInterfacesServicer:
    def __init__(
        self,
        db: Database,
        rng: random.Random,
        quotas: Quotas,
        feed: Feed,
        names: DnsNames,
        attachments: Attachments,
    ):
        self._db, self._rng, self._names = db, rng, names
        self._quotas, self._feed, self._attachments = quotas, feed, attachments

    def Create(
        self, request: network_interfaces_pb2.CreateNetworkInterfaceRequest, call: Call
    ) -> networks_pb2.NetworkInterface:
        with self._db.write(call) as tx:
            nic_id = interface_rules.create(tx, self._rng, self._quotas, self._feed, request)
            return self._message(tx, interface_rules.find(tx, nic_id))

    def Delete(
        self, request: network_interfaces_pb2.NetworkInterfaceRequest, call: Call
    ) -> common_pb2.Empty:
        with self._db.write(call) as tx:
            nic_id = request.network_interface_id
            interface_rules.delete(tx, self._quotas, self._feed, nic_id)
        return common_pb2.Empty()

    def Attach(
        self, request: network_interfaces_pb2.AttachNetworkInterfaceRequest, call: Call
    ) -> networks_pb2.NetworkInterfaceAttachment:
        with self._db.write(call) as tx:
            self._attachments.attach(tx, request)
            return attachment_message(interface_rules.find(tx, request.network_interface_id))

    def Detach(
        self, request: network_interfaces_pb2.DetachNetworkInterfaceRequest, call: Call
    ) -> common_pb2.Empty:
        with self._db.write(call) as tx:
            self._attachments.detach(tx, request)
        return common_pb2.Empty()

    def ModifyAttribute(
        self, request: network_interfaces_pb2.ModifyNetworkInterfaceAttributeRequest, call: Call
    ) -> common_pb2.Empty:
        with self._db.write(call) as tx:
            interface_rules.modify(tx, self._feed, request)
        return common_pb2.Empty()

    def ResetAttribute(
        self, request: network_interfaces_pb2.NetworkInterfaceRequest, call: Call
    ) -> common_pb2.Empty:
        change = network_interfaces_pb2.ModifyNetworkInterfaceAttributeRequest(
            network_interface_id=request.network_interface_id, source_dest_check=True
        )
        return self.ModifyAttribute(change, call)

    def DescribeAttributes(
        self, request: network_interfaces_pb2.NetworkInterfaceRequest, call: Call
    ) -> network_interfaces_pb2.NetworkInterfaceAttributes:
        with self._db.read(call) as session:
            nic_id = request.network_interface_id
            row = interface_rules.find_of(session, call.account_id, nic_id)
            return network_interfaces_pb2.NetworkInterfaceAttributes(
                network_interface=self._message(session, row),
                associate_public_ip_address=row.auto_public,
            )

    def AssignPrivateAddresses(
        self, request: network_interfaces_pb2.AssignPrivateAddressesRequest, call: Call
    ) -> network_interfaces_pb2.PrivateAddressList:
        with self._db.write(call) as tx:
            added = secondary_addresses.assign(tx, self._rng, self._feed, request)
        return network_interfaces_pb2.PrivateAddressList(private_ip_addresses=added)

    def UnassignPrivateAddresses(
        self, request: network_interfaces_pb2.UnassignPrivateAddressesRequest, call: Call
    ) -> common_pb2.Empty:
        with self._db.write(call) as tx:
            secondary_addresses.unassign(tx, self._feed, request)
        return common_pb2.Empty()

    def _message(self, session: Session, row: InterfaceRow) -> networks_pb2.NetworkInterface:
        return messages(session, [row], self._names)[0]
