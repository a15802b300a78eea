"""Reading network interfaces, with the filters that EC2 documents for them.

Called by the door (rpc).
"""

from collections.abc import Mapping, Sequence

from peewee import SQL, Case, Value, fn

from controller.config import Zone
from controller.db.filters import (
    NOTHING,
    Condition,
    any_of,
    boolean,
    choice,
    column,
    constant,
    custom,
    integer,
    page_of,
    tag_filters,
    timestamp,
    where,
)
from controller.db.schema import NetworkInterface, NicGroup, PublicAddress, SecurityGroup, Vpc
from controller.db.session import Session
from controller.lookup import select_page
from controller.networks.interfaces import interfaces_query, messages
from controller.networks.names import DnsNames
from controller.networks.view import LENDER
from protos.cloud.v1 import networks_pb2

_NIC = NetworkInterface
_GROUPS = NicGroup.select(SQL("1")).where(
    NicGroup.network_interface_id == _NIC.network_interface_id
)
_ABSENT = custom(lambda values: NOTHING)  # known to EC2; nothing here has it


def interface_filters(names: DnsNames, zones: Sequence[Zone]) -> Mapping[str, Condition]:
    attached = _NIC.instance_id.is_null(False)
    lender = _while(
        _NIC.public_ip.is_null(False),
        column(Case(None, [(_NIC.association_id == "", LENDER)], _NIC.account_id)),
    )
    private_name = column(_private_name(names))
    return {
        "network-interface-id": column(_NIC.network_interface_id),
        "vpc-id": column(_NIC.vpc_id),
        "subnet-id": column(_NIC.subnet_id),
        "owner-id": column(_NIC.account_id),
        "availability-zone": column(_NIC.availability_zone),
        "availability-zone-id": choice(
            {zone.id: _NIC.availability_zone == zone.name for zone in zones}
        ),
        "description": column(_NIC.description),
        "mac-address": column(_NIC.mac_address),
        "private-ip-address": column(_NIC.private_ip),
        "private-dns-name": private_name,
        "addresses.private-ip-address": column(_NIC.private_ip),
        "addresses.primary": constant("true"),
        "addresses.association.public-ip": column(_NIC.public_ip),
        "addresses.association.owner-id": lender,
        "association.public-ip": column(_NIC.public_ip),
        "association.public-dns-name": _while(
            Vpc.enable_dns_support & Vpc.enable_dns_hostnames, column(_public_name(names))
        ),
        "association.ip-owner-id": lender,
        "association.allocation-id": column(PublicAddress.allocation_id),
        "association.association-id": _present(_NIC.association_id),
        "attachment.attachment-id": _present(_NIC.attachment_id),
        "attachment.instance-id": column(_NIC.instance_id),
        "attachment.instance-owner-id": _while(attached, column(_NIC.account_id)),
        "attachment.device-index": _while(attached, integer(_NIC.device_index)),
        "attachment.status": choice({"attached": attached}),
        "attachment.attach-time": _while(attached, timestamp(_NIC.attached_ms)),
        "attachment.attach.time": _while(attached, timestamp(_NIC.attached_ms)),
        "attachment.delete-on-termination": _while(attached, boolean(_NIC.delete_on_termination)),
        "group-id": any_of(_GROUPS, NicGroup.group_id),
        "group-name": any_of(
            _GROUPS.join(SecurityGroup, on=SecurityGroup.group_id == NicGroup.group_id),
            SecurityGroup.group_name,
        ),
        "interface-type": constant("interface"),
        "requester-managed": constant("false"),
        "operator.managed": constant("false"),
        "source-dest-check": boolean(_NIC.source_dest_check),
        "status": choice({"in-use": attached, "available": _NIC.instance_id.is_null()}),
        "ipv6-addresses.ipv6-address": _ABSENT,
        "operator.principal": _ABSENT,
        "requester-id": _ABSENT,
        **tag_filters(_NIC.network_interface_id),
    }


def describe_interfaces(
    session: Session,
    account_id: str,
    filters: Mapping[str, Condition],
    names: DnsNames,
    request: networks_pb2.DescribeNetworkInterfacesRequest,
) -> networks_pb2.DescribeNetworkInterfacesResponse:
    """``filters`` is ``interface_filters(...)``, made once."""
    asked = request.network_interface_ids
    rows, token = select_page(
        session,
        interfaces_query().where(_NIC.account_id == account_id),
        _NIC.network_interface_id,
        "network-interface",
        asked,
        where(filters, request.filters),
        page_of(request.page, explicit_ids=asked),
    )
    return networks_pb2.DescribeNetworkInterfacesResponse(
        network_interfaces=messages(session, rows, names), next_token=token
    )


def _private_name(names: DnsNames):
    """``names.private`` as SQL."""
    dashed = fn.REPLACE(_NIC.private_ip, ".", "-")
    return Value("ip-").concat(dashed).concat(f".{names.private_suffix}")


def _public_name(names: DnsNames):
    """``names.public`` as SQL; NULL where there is no address."""
    if not names.public_suffix:
        return _NIC.public_ip
    dashed = fn.REPLACE(_NIC.public_ip, ".", "-")
    return Value("ec2-").concat(dashed).concat(f".{names.public_suffix}")


def _while(held, condition: Condition) -> Condition:
    """The condition, on rows for which ``held`` does."""
    return lambda values: held & condition(values)


def _present(field) -> Condition:
    """A text column whose '' means that there is none."""
    return _while(field != "", column(field))
