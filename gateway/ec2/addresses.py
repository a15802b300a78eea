"""Elastic IP addresses: allocate, look at, associate, disassociate, release."""

from collections.abc import Sequence
from typing import Literal

from gateway.aws.renderers import View
from gateway.call import Call
from gateway.ec2.parameters import (
    Filter,
    TagSpecification,
    filters_of,
    invalid,
    tag_specifications_of,
)
from gateway.ec2.views.addresses import POOL, address
from protos.cloud.v1 import networks_pb2
from protos.errors import missing_parameter


def allocate_address(
    call: Call,
    *,
    domain: str = "",
    address: str = "",
    public_ipv4_pool: Literal["amazon"] = POOL,  # the only one that there is
    network_border_group: str = "",
    tag_specifications: Sequence[TagSpecification] = (),
) -> View:
    if network_border_group not in ("", call.region):
        raise invalid(f"Invalid value '{network_border_group}' for networkBorderGroup")
    request = networks_pb2.AllocateAddressRequest(
        domain=domain,
        address=address,
        tag_specifications=tag_specifications_of(tag_specifications, "elastic-ip"),
    )
    made = call.clients.addresses.Allocate(request, caller=call.caller)
    return {
        "PublicIp": made.public_ip,
        "AllocationId": made.allocation_id,
        "Domain": "vpc",
        "PublicIpv4Pool": POOL,
        "NetworkBorderGroup": call.region,
    }


def describe_addresses(
    call: Call,
    *,
    allocation_ids: Sequence[str] = (),
    public_ips: Sequence[str] = (),
    filters: Sequence[Filter] = (),
) -> View:
    request = networks_pb2.DescribeAddressesRequest(
        allocation_ids=allocation_ids, public_ips=public_ips, filters=filters_of(filters)
    )
    answer = call.clients.addresses.Describe(request, caller=call.caller)
    return {"Addresses": [address(each, call.region) for each in answer.addresses]}


def describe_addresses_attribute(
    call: Call,
    *,
    allocation_ids: Sequence[str] = (),
    attribute: Literal["domain-name"] = "domain-name",  # the only one that there is
) -> View:
    """Which addresses have a name in the reverse zone: none here.

    EC2 lists only those that have one, and amazon.aws reads the name of whatever is listed.
    """
    request = networks_pb2.DescribeAddressesRequest(allocation_ids=allocation_ids)
    call.clients.addresses.Describe(request, caller=call.caller)  # refuses what is not there
    return {"Addresses": []}


def associate_address(
    call: Call,
    *,
    allocation_id: str = "",
    public_ip: str = "",
    instance_id: str = "",
    network_interface_id: str = "",
    private_ip_address: str = "",
    allow_reassociation: bool | None = None,
) -> View:
    if not allocation_id and not public_ip:
        raise missing_parameter("AllocationId")
    if not instance_id and not network_interface_id:
        raise missing_parameter("InstanceId")
    request = networks_pb2.AssociateAddressRequest(
        allocation_id=allocation_id,
        public_ip=public_ip,
        instance_id=instance_id,
        network_interface_id=network_interface_id,
        private_ip_address=private_ip_address,
        allow_reassociation=allow_reassociation,
    )
    made = call.clients.addresses.Associate(request, caller=call.caller)
    return {"AssociationId": made.association_id, "Return": True}


def disassociate_address(call: Call, *, association_id: str = "", public_ip: str = "") -> None:
    if not association_id and not public_ip:
        raise missing_parameter("AssociationId")
    request = networks_pb2.DisassociateAddressRequest(
        association_id=association_id, public_ip=public_ip
    )
    call.clients.addresses.Disassociate(request, caller=call.caller)


def release_address(
    call: Call,
    *,
    allocation_id: str = "",
    public_ip: str = "",
    network_border_group: str = "",  # harmless: there is one, and the allocation is in it
) -> None:
    if not allocation_id and not public_ip:
        raise missing_parameter("AllocationId")
    request = networks_pb2.ReleaseAddressRequest(allocation_id=allocation_id, public_ip=public_ip)
    call.clients.addresses.Release(request, caller=call.caller)
