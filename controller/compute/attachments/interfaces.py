"""Attaching network interfaces to instances, and detaching them.

Called by the service NetworkInterfaces. What an attachment is, and what becomes of it:
compute/attachments/rules.
"""

import random
from typing import NamedTuple

from controller.compute.attachments import rules
from controller.compute.instances.rules import find as find_instances
from controller.compute.instances.rules import wrong_state
from controller.compute.instances.state import RUNNING, STOPPED
from controller.compute.instances.view import InstanceRow, state_of
from controller.hosts.attachment_states import INTERFACE
from controller.hosts.feed import Feed
from controller.hosts.guests import is_quiesced
from controller.kernel.database import Transaction
from controller.kernel.rows import columns
from controller.network.interfaces import attributes as interface_rules
from controller.network.interfaces.limits import TypeRow, check_limits
from controller.network.interfaces.rules import in_use
from controller.network.view import InterfaceRow
from controller.tables.compute import Attachment, InstanceType
from controller.tables.hosts import Host
from controller.tables.network import NetworkInterface
from protos.cloud.v1 import network_interfaces_pb2
from protos.errors import CloudError, Kind, invalid_parameter
from protos.ids import new_id

_NIC = NetworkInterface


class OtherNic(NamedTuple):
    position: int
    vpc_id: str


class InterfaceAttachments:
    def __init__(self, rng: random.Random, feed: Feed):
        self._rng, self._feed = rng, feed

    def attach(
        self,
        tx: Transaction,
        request: network_interfaces_pb2.AttachNetworkInterfaceRequest,
    ) -> None:
        """Raises INVALID, MALFORMED_ID, NOT_FOUND, WRONG_STATE (in-use; the instance's), QUOTA,
        UNSUPPORTED (another VPC's)."""
        nic = interface_rules.find(tx, request.network_interface_id)
        instance = find_instances(tx, tx.call.account_id, [request.instance_id])[0]
        if state_of(instance) not in (RUNNING, STOPPED):
            raise wrong_state(instance, "given a network interface")
        if nic.instance_id:
            raise in_use(nic.network_interface_id)
        _check_fits(tx, nic, instance, request.device_index)
        rules.attach(
            *(tx, self._feed, INTERFACE, nic.network_interface_id, instance.instance_id),
            attachment_id=new_id("network-interface-attachment", self._rng),
            position=request.device_index,
        )

    def detach(
        self,
        tx: Transaction,
        request: network_interfaces_pb2.DetachNetworkInterfaceRequest,
    ) -> None:
        """Detaches an interface; it is gone at once where no guest runs. Asked again, the guest is
        asked again; ``force`` lets go where the host does not answer or the guest did not let go.

        Raises INVALID, MALFORMED_ID, NOT_FOUND, WRONG_STATE (primary).
        """
        nic = interface_rules.find_attachment(tx, request.attachment_id)
        if nic.device_index == 0:
            raise CloudError(
                Kind.WRONG_STATE,
                "The network interface at device index 0 cannot be detached.",
                noun="network-interface-attachment",
                reason="primary",
                id=request.attachment_id,
            )
        instance = find_instances(tx, tx.call.account_id, [nic.instance_id or ""])[0]
        let_go = is_quiesced(instance) or (request.force and _is_stuck(tx, nic, instance))
        rules.detach(tx, self._feed, nic.network_interface_id, let_go=let_go)


def _check_fits(
    tx: Transaction, nic: InterfaceRow, instance: InstanceRow, device_index: int
) -> None:
    if device_index < 0:
        raise invalid_parameter(f"Value ({device_index}) for parameter deviceIndex is invalid.")
    if nic.availability_zone != instance.availability_zone:
        raise invalid_parameter(
            "You may not attach a network interface to an instance if they are not in the same "
            "availability zone",
            "parameter-combination",
        )
    others = tx.rows(
        _NIC.select(Attachment.position, _NIC.vpc_id)
        .join(Attachment, on=Attachment.device_id == _NIC.network_interface_id)
        .where(Attachment.instance_id == instance.instance_id),
        OtherNic,
    )
    if any(other.vpc_id != nic.vpc_id for other in others):
        raise CloudError(
            Kind.UNSUPPORTED,
            "Network interfaces of several VPCs on one instance are not supported.",
            noun="parameter",
        )
    if device_index in {other.position for other in others}:
        raise invalid_parameter(
            f"Instance '{instance.instance_id}' already has an interface attached at device index "
            f"'{device_index}'."
        )
    query = InstanceType.select(*columns(TypeRow, InstanceType))
    (kind,) = tx.rows(query.where(InstanceType.name == instance.instance_type), TypeRow)
    check_limits(tx, kind, len(others) + 1, [nic.network_interface_id])


def _is_stuck(tx: Transaction, nic: InterfaceRow, instance: InstanceRow) -> bool:
    if nic.busy or nic.attach_message:
        return True
    health = Host.select(Host.health).where(Host.host_id == instance.host_id)
    return tx.value(health, str) != "up"
