"""Calls about elastic addresses."""

from protos.cloud.v1 import networks_pb2
from tests.harness.customers import Call, Customer
from tests.harness.draw import Draw


def allocate(d: Draw, me: Customer) -> Call:
    return Call("Addresses", "Allocate", networks_pb2.AllocateAddressRequest(domain="vpc"))


def associate(d: Draw, me: Customer) -> Call | None:
    if not me.addresses or not me.instances:
        return None
    if me.interfaces and d.chance(0.3):
        nic_id = d.one(me.interfaces)
        request = networks_pb2.AssociateAddressRequest(
            allocation_id=d.one(me.addresses), network_interface_id=nic_id
        )
        if me.interfaces[nic_id] and d.chance(0.6):
            request.private_ip_address = d.one(me.interfaces[nic_id])
        return Call("Addresses", "Associate", request)
    whose = d.others(me) if d.chance(0.05) and d.others(me) else me.instances
    request = networks_pb2.AssociateAddressRequest(
        allocation_id=d.one(me.addresses), instance_id=d.one(whose)
    )
    if d.chance(0.3):
        request.allow_reassociation = d.chance(0.5)
    return Call("Addresses", "Associate", request)


def disassociate(d: Draw, me: Customer) -> Call | None:
    if not me.associations:
        return None
    request = networks_pb2.DisassociateAddressRequest(association_id=d.one(me.associations))
    return Call("Addresses", "Disassociate", request)


def release(d: Draw, me: Customer) -> Call | None:
    if not me.addresses:
        return None
    request = networks_pb2.ReleaseAddressRequest(allocation_id=d.one(me.addresses))
    return Call("Addresses", "Release", request)


ACTIONS = (
    (allocate, 4),
    (associate, 10),
    (disassociate, 4),
    (release, 3),
)
