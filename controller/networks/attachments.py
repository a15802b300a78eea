"""Attaching network interfaces to instances, and detaching them.

Called by the door (interfaces_rpc). An attachment is columns of the interface. Coming and going are
changes of the instance's devices, stamped with the generation of its host that says so; once its
guest has the devices of that generation the one is attached and the other let go (attach_settle,
docs/decisions/0600). Nothing waits for a guest that is not there. ``check_type`` is called by
instances/attributes.
"""

import random
from collections.abc import Sequence
from types import SimpleNamespace

from controller.db.schema import Host, InstanceType, NetworkInterface
from controller.db.session import Transaction
from controller.fleet.changes import Changes
from controller.instances.rest import is_at_rest
from controller.instances.rules import find as find_instances
from controller.instances.rules import wrong_state
from controller.instances.state import RUNNING, STOPPED
from controller.instances.view import state_of
from controller.networks import interface_rules
from controller.networks.interfaces import in_use, let_go, too_many_interfaces
from controller.networks.new_interfaces import check_address_count
from protos.cloud.v1 import network_interfaces_pb2
from protos.errors import CloudError, Kind, invalid_parameter
from protos.ids import new_id

_NIC = NetworkInterface


def attach(
    tx: Transaction,
    rng: random.Random,
    changes: Changes,
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
    is_it = _NIC.network_interface_id == nic.network_interface_id
    attachment = {
        "instance_id": instance.instance_id,
        "attachment_id": new_id("network-interface-attachment", rng),
        "device_index": request.device_index,
        "delete_on_termination": False,
        "attached_ms": tx.call.now_ms,
    }
    tx.advance(_NIC, attachment, is_it, _NIC.instance_id.is_null())
    generation = changes.devices(tx, [instance.instance_id])[instance.host_id]
    tx.advance(_NIC, {"attach_generation": generation}, is_it)
    changes.vpc(tx, nic.vpc_id, at_once=False)


def _check_fits(tx: Transaction, nic, instance, device_index: int) -> None:
    if device_index < 0:
        raise invalid_parameter(f"Value ({device_index}) for parameter deviceIndex is invalid.")
    if nic.availability_zone != instance.availability_zone:
        raise invalid_parameter(
            "You may not attach a network interface to an instance if they are not in the same "
            "availability zone",
            "parameter-combination",
        )
    others = tx.rows(
        _NIC.select(_NIC.device_index, _NIC.vpc_id).where(_NIC.instance_id == instance.instance_id)
    )
    if any(other.vpc_id != nic.vpc_id for other in others):
        raise CloudError(
            Kind.UNSUPPORTED,
            "Network interfaces of several VPCs on one instance are not supported.",
            noun="parameter",
        )
    if device_index in {other.device_index for other in others}:
        raise invalid_parameter(
            f"Instance '{instance.instance_id}' already has an interface attached at device index "
            f"'{device_index}'."
        )
    kind = tx.one(InstanceType.select().where(InstanceType.name == instance.instance_type))
    _check_limits(tx, kind, len(others) + 1, [nic.network_interface_id])


def check_type(tx: Transaction, instance_id: str, kind) -> None:
    """An instance of this type (its row) can have the interfaces that this one has. Raises
    QUOTA."""
    query = _NIC.select(_NIC.network_interface_id).where(_NIC.instance_id == instance_id)
    nic_ids = [row[0] for row in tx.tuples(query)]
    _check_limits(tx, kind, len(nic_ids), nic_ids)


def _check_limits(tx: Transaction, kind, count: int, nic_ids: Sequence[str]) -> None:
    if count > kind.maximum_network_interfaces:
        raise too_many_interfaces(count, kind.name)
    for nic_id in nic_ids:
        held = 1 + len(interface_rules.secondary_ips(tx, nic_id))
        check_address_count(held, kind.ipv4_addresses_per_interface)


def detach(
    tx: Transaction,
    changes: Changes,
    request: network_interfaces_pb2.DetachNetworkInterfaceRequest,
) -> None:
    """Gone already where no guest runs. Asked again, the guest is asked again; ``force`` lets go
    where the host does not answer or the guest did not let go.

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
    instance = find_instances(tx, tx.call.account_id, [nic.instance_id])[0]
    begin_detach(tx, changes, nic)
    if is_at_rest(instance) or (request.force and _is_stuck(tx, nic, instance)):
        let_go(tx, [nic])


def begin_detach(tx: Transaction, changes: Changes, nic) -> None:
    """The guest is to lose the interface (network_interface_id, instance_id, vpc_id)."""
    is_it = _NIC.network_interface_id == nic.network_interface_id
    going = {"detaching": True, "busy": False, "failed": False, "attach_message": ""}
    tx.advance(_NIC, going, is_it)
    moved = changes.devices(tx, [nic.instance_id])
    if moved:
        tx.advance(_NIC, {"attach_generation": max(moved.values())}, is_it)
    changes.vpc(tx, nic.vpc_id, at_once=False)


def _is_stuck(tx: Transaction, nic, instance: SimpleNamespace) -> bool:
    if nic.busy or nic.attach_message:
        return True
    health = Host.select(Host.health).where(Host.host_id == instance.host_id)
    return tx.value(health) != "up"
