"""Network interfaces: made, attached, changed, read; their private addresses."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from gateway.aws.renderers import Shown, View
from gateway.call import Call
from gateway.ec2.parameters import (
    Filter,
    TagSpecification,
    combination,
    filters_of,
    page,
    tag_specifications_of,
    unsupported,
)
from gateway.ec2.views.network_interfaces import attachment, network_interface
from gateway.ec2.views.shared import groups as groups_view
from gateway.ec2.views.shared import token
from protos.cloud.v1 import network_interfaces_pb2, networks_pb2
from protos.errors import missing_parameter


@dataclass(frozen=True)
class PrivateIpAddress:
    private_ip_address: str = ""
    primary: bool = False


@dataclass(frozen=True)
class Text:
    value: str | None = None


@dataclass(frozen=True)
class Flag:
    value: bool | None = None


@dataclass(frozen=True)
class Attachment:
    attachment_id: str = ""
    delete_on_termination: bool | None = None


def addresses_of(
    private_ip_address: str, private_ip_addresses: Sequence[PrivateIpAddress]
) -> tuple[str, list[str]]:
    """EC2's two ways to name addresses, as the primary one ("": any) and the others."""
    primaries = {each.private_ip_address for each in private_ip_addresses if each.primary}
    if private_ip_address:
        primaries.add(private_ip_address)
    if len(primaries) > 1:
        raise combination("Only one primary private IP address can be specified")
    if any(not each.private_ip_address for each in private_ip_addresses):
        raise missing_parameter("PrivateIpAddresses.PrivateIpAddress")
    primary = next(iter(primaries), "")
    others = [each.private_ip_address for each in private_ip_addresses if not each.primary]
    return primary, others


def create_network_interface(
    call: Call,
    *,
    subnet_id: str,
    description: str = "",
    groups: Sequence[str] = (),
    private_ip_address: str = "",
    private_ip_addresses: Sequence[PrivateIpAddress] = (),
    secondary_private_ip_address_count: int = 0,
    client_token: str = "",
    tag_specifications: Sequence[TagSpecification] = (),
) -> View:
    primary, others = addresses_of(private_ip_address, private_ip_addresses)
    request = network_interfaces_pb2.CreateNetworkInterfaceRequest(
        subnet_id=subnet_id,
        description=description,
        security_group_ids=groups,
        private_ip_address=primary,
        secondary_private_ip_addresses=others,
        secondary_private_ip_address_count=secondary_private_ip_address_count,
        client_token=client_token,
        tag_specifications=tag_specifications_of(tag_specifications, "network-interface"),
    )
    made = call.clients.network_interfaces.Create(request, caller=call.caller)
    return {"NetworkInterface": network_interface(made), "ClientToken": client_token or None}


def delete_network_interface(call: Call, *, network_interface_id: str) -> None:
    request = network_interfaces_pb2.NetworkInterfaceRequest(
        network_interface_id=network_interface_id
    )
    call.clients.network_interfaces.Delete(request, caller=call.caller)


def attach_network_interface(
    call: Call,
    *,
    network_interface_id: str,
    instance_id: str,
    device_index: int,
    network_card_index: int = 0,
) -> View:
    if network_card_index:
        raise unsupported("More than one network card")
    request = network_interfaces_pb2.AttachNetworkInterfaceRequest(
        network_interface_id=network_interface_id,
        instance_id=instance_id,
        device_index=device_index,
    )
    made = call.clients.network_interfaces.Attach(request, caller=call.caller)
    return {"AttachmentId": made.attachment_id, "NetworkCardIndex": 0}


def detach_network_interface(call: Call, *, attachment_id: str, force: bool = False) -> None:
    request = network_interfaces_pb2.DetachNetworkInterfaceRequest(
        attachment_id=attachment_id, force=force
    )
    call.clients.network_interfaces.Detach(request, caller=call.caller)


def modify_network_interface_attribute(
    call: Call,
    *,
    network_interface_id: str,
    description: Text | None = None,
    source_dest_check: Flag | None = None,
    groups: Sequence[str] | None = None,
    attachment: Attachment | None = None,
) -> None:
    changes: dict[str, Any] = {
        "description": description and description.value,
        "source_dest_check": source_dest_check and source_dest_check.value,
        "security_groups": None
        if groups is None
        else network_interfaces_pb2.SecurityGroupIds(group_ids=groups),
        "attachment": None if attachment is None else _attachment_change(attachment),
    }
    changes = {name: change for name, change in changes.items() if change is not None}
    if not changes:
        raise combination("No attributes specified.")
    if len(changes) > 1:
        raise combination("Fields for multiple attribute types specified.")
    request = network_interfaces_pb2.ModifyNetworkInterfaceAttributeRequest(
        network_interface_id=network_interface_id, **changes
    )
    call.clients.network_interfaces.ModifyAttribute(request, caller=call.caller)


def _attachment_change(given: Attachment) -> network_interfaces_pb2.AttachmentChange:
    if given.delete_on_termination is None:
        raise missing_parameter("Attachment.DeleteOnTermination")
    return network_interfaces_pb2.AttachmentChange(
        attachment_id=given.attachment_id, delete_on_termination=given.delete_on_termination
    )


def reset_network_interface_attribute(
    call: Call, *, network_interface_id: str, source_dest_check: str = ""
) -> None:
    """The only attribute that can be reset; its value says nothing."""
    if not source_dest_check:
        raise missing_parameter("SourceDestCheck")
    request = network_interfaces_pb2.NetworkInterfaceRequest(
        network_interface_id=network_interface_id
    )
    call.clients.network_interfaces.ResetAttribute(request, caller=call.caller)


_Attributes: TypeAlias = network_interfaces_pb2.NetworkInterfaceAttributes
# Attribute -> (member of the answer, how to show it).
_SHOWN: dict[str, tuple[str, Callable[[_Attributes], Shown]]] = {
    "description": ("Description", lambda it: {"Value": it.network_interface.description}),
    "groupSet": ("Groups", lambda it: groups_view(it.network_interface.groups)),
    "sourceDestCheck": (
        "SourceDestCheck",
        lambda it: {"Value": it.network_interface.source_dest_check},
    ),
    "attachment": ("Attachment", lambda it: attachment(it.network_interface, full=True)),
    "associatePublicIpAddress": (
        "AssociatePublicIpAddress",
        lambda it: it.associate_public_ip_address,
    ),
}


def describe_network_interface_attribute(
    call: Call, *, network_interface_id: str, attribute: str = ""
) -> View:
    if not attribute:
        raise missing_parameter("Attribute")
    if attribute not in _SHOWN:
        raise unsupported(f"The attribute {attribute}")
    request = network_interfaces_pb2.NetworkInterfaceRequest(
        network_interface_id=network_interface_id
    )
    answer = call.clients.network_interfaces.DescribeAttributes(request, caller=call.caller)
    member, show = _SHOWN[attribute]
    shown_id = answer.network_interface.network_interface_id
    return {"NetworkInterfaceId": shown_id, member: show(answer)}


def assign_private_ip_addresses(
    call: Call,
    *,
    network_interface_id: str,
    private_ip_addresses: Sequence[str] = (),
    secondary_private_ip_address_count: int | None = None,
    allow_reassignment: bool = False,
) -> View:
    request = network_interfaces_pb2.AssignPrivateAddressesRequest(
        network_interface_id=network_interface_id,
        private_ip_addresses=private_ip_addresses,
        count=secondary_private_ip_address_count,
        allow_reassignment=allow_reassignment,
    )
    answer = call.clients.network_interfaces.AssignPrivateAddresses(request, caller=call.caller)
    return {
        "NetworkInterfaceId": network_interface_id,
        "AssignedPrivateIpAddresses": [
            {"PrivateIpAddress": each} for each in answer.private_ip_addresses
        ],
        "AssignedIpv4Prefixes": [],
    }


def unassign_private_ip_addresses(
    call: Call, *, network_interface_id: str, private_ip_addresses: Sequence[str] = ()
) -> None:
    request = network_interfaces_pb2.UnassignPrivateAddressesRequest(
        network_interface_id=network_interface_id, private_ip_addresses=private_ip_addresses
    )
    call.clients.network_interfaces.UnassignPrivateAddresses(request, caller=call.caller)


def describe_network_interfaces(
    call: Call,
    *,
    network_interface_ids: Sequence[str] = (),
    filters: Sequence[Filter] = (),
    max_results: int | None = None,
    next_token: str = "",
    include_managed_resources: bool = False,  # harmless: nobody else manages any here
) -> View:
    request = networks_pb2.DescribeNetworkInterfacesRequest(
        network_interface_ids=network_interface_ids,
        filters=filters_of(filters),
        page=page(max_results, next_token, ids=network_interface_ids),
    )
    answer = call.clients.networks.DescribeNetworkInterfaces(request, caller=call.caller)
    return {
        "NetworkInterfaces": [network_interface(each) for each in answer.network_interfaces],
        "NextToken": token(answer.next_token),
    }
