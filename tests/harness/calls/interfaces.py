"""Calls about network interfaces: made, attached, given more addresses, detached, deleted."""

from protos.cloud.v1 import network_interfaces_pb2 as pb
from tests.harness.customers import Call, Customer
from tests.harness.draw import Draw

MOST_INTERFACES = 6  # attached to nothing; beyond, a customer deletes one instead


def create(d: Draw, me: Customer) -> Call | None:
    if len(_free(me)) > MOST_INTERFACES:
        return delete(d, me)
    known = d.others(me, "subnets") if d.chance(0.04) else me.subnets
    if not known:
        return None
    request = pb.CreateNetworkInterfaceRequest(
        subnet_id=d.one(known),
        client_token=d.fresh(f"interface-{me.name}") if d.chance(0.9) else "",
    )
    if d.chance(0.3):
        request.secondary_private_ip_address_count = d.between(1, 3)
    vpc_id = me.subnets.get(request.subnet_id, "")
    groups = [name for name, at in me.groups.items() if at == vpc_id or d.chance(0.03)]
    if groups and d.chance(0.5):
        request.security_group_ids.extend(d.some(groups, 2))
    return Call("NetworkInterfaces", "Create", request)


def attach(d: Draw, me: Customer) -> Call | None:
    known = me.interfaces if d.chance(0.1) else _free(me)
    fit = [name for name, asked in me.instances.items() if asked != "Terminate"]
    if not known or not fit:
        return create(d, me)
    request = pb.AttachNetworkInterfaceRequest(
        network_interface_id=d.one(known), instance_id=d.one(fit), device_index=d.between(1, 2)
    )
    return Call("NetworkInterfaces", "Attach", request)


def detach(d: Draw, me: Customer) -> Call | None:
    if not me.plugs:
        return None
    request = pb.DetachNetworkInterfaceRequest(attachment_id=d.one(me.plugs), force=d.chance(0.3))
    return Call("NetworkInterfaces", "Detach", request)


def delete(d: Draw, me: Customer) -> Call | None:
    known = me.interfaces if d.chance(0.1) else _free(me)
    if d.chance(0.04):
        known = d.others(me, "interfaces")
    if not known:
        return None
    request = pb.NetworkInterfaceRequest(network_interface_id=d.one(known))
    return Call("NetworkInterfaces", "Delete", request)


def modify(d: Draw, me: Customer) -> Call | None:
    if not me.interfaces:
        return None
    nic_id = d.one(me.interfaces)
    request = pb.ModifyNetworkInterfaceAttributeRequest(network_interface_id=nic_id)
    plugs = [plug for plug, nic in me.plugs.items() if nic == nic_id]
    if plugs and d.chance(0.3):
        request.attachment.attachment_id = d.one(plugs)
        request.attachment.delete_on_termination = d.chance(0.5)
    elif d.chance(0.5) and me.groups:
        request.security_groups.group_ids.extend(d.some(me.groups, 2))
    else:
        request.source_dest_check = d.chance(0.5)
    return Call("NetworkInterfaces", "ModifyAttribute", request)


def assign(d: Draw, me: Customer) -> Call | None:
    if not me.interfaces:
        return None
    request = pb.AssignPrivateAddressesRequest(network_interface_id=d.one(me.interfaces))
    moved = [address for held in me.interfaces.values() for address in held]
    if moved and d.chance(0.3):
        request.private_ip_addresses.extend(d.some(moved, 2))
        request.allow_reassignment = d.chance(0.7)
    else:
        request.count = d.between(1, 2)
    return Call("NetworkInterfaces", "AssignPrivateAddresses", request)


def unassign(d: Draw, me: Customer) -> Call | None:
    known = [name for name, held in me.interfaces.items() if held]
    if not known:
        return None
    nic_id = d.one(known)
    request = pb.UnassignPrivateAddressesRequest(
        network_interface_id=nic_id, private_ip_addresses=d.some(me.interfaces[nic_id], 2)
    )
    return Call("NetworkInterfaces", "UnassignPrivateAddresses", request)


def _free(me: Customer) -> list[str]:
    """Those that she thinks are attached to nothing."""
    return [name for name in me.interfaces if name not in me.plugs.values()]


ACTIONS = (
    (create, 7),
    (attach, 18),
    (detach, 12),
    (delete, 4),
    (modify, 4),
    (assign, 6),
    (unassign, 3),
)
