"""Reading network interfaces, with the filters that EC2 documents for them.

Called by the service (rpc).
"""

from collections.abc import Mapping, Sequence

from peewee import SQL, Case, Value, fn

from controller.config import Zone
from controller.hosts.attachment_states import INTERFACE_STATES
from controller.identity.tags.filters import tag_filters
from controller.kernel.database import Session
from controller.kernel.filters import (
    NOTHING,
    Condition,
    any_of,
    boolean,
    choice,
    column,
    constant,
    custom,
    either,
    integer,
    page_of,
    timestamp,
    where,
)
from controller.kernel.lookup import select_page
from controller.kernel.table import Clause
from controller.network.interfaces.rules import interfaces_query, messages
from controller.network.names import DnsNames
from controller.network.view import LENDER, InterfaceRow
from controller.tables.compute import Attachment
from controller.tables.network import (
    NetworkInterface,
    NicGroup,
    PublicAddress,
    SecondaryAddress,
    SecurityGroup,
    Vpc,
)
from protos.cloud.v1 import networks_pb2

_NIC = NetworkInterface
_GROUPS = NicGroup.select(SQL("1")).where(
    NicGroup.network_interface_id == _NIC.network_interface_id
)
_ATTACHED = Attachment.device_id.is_null(False)
_ABSENT = custom(lambda values: NOTHING)  # known to EC2; nothing here has it
_MORE = SecondaryAddress
_SECONDARY = _MORE.select(SQL("1")).where(_MORE.network_interface_id == _NIC.network_interface_id)


def interface_filters(names: DnsNames, zones: Sequence[Zone]) -> Mapping[str, Condition]:
    private_name = column(_private_name(names, _NIC.private_ip))
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
        "private-dns-name": private_name,
        **_addresses(names),
        **_attachment(),
        "group-id": any_of(_GROUPS, NicGroup.group_id),
        "group-name": any_of(
            _GROUPS.join(SecurityGroup, on=SecurityGroup.group_id == NicGroup.group_id),
            SecurityGroup.group_name,
        ),
        "interface-type": constant("interface"),
        "requester-managed": constant("false"),
        "operator.managed": constant("false"),
        "source-dest-check": boolean(_NIC.source_dest_check),
        "status": choice({"in-use": _ATTACHED, "available": ~_ATTACHED}),
        "ipv6-addresses.ipv6-address": _ABSENT,
        "operator.principal": _ABSENT,
        "requester-id": _ABSENT,
        **tag_filters(_NIC.network_interface_id),
    }


def _addresses(names: DnsNames) -> Mapping[str, Condition]:
    """Of the primary address or of any other one."""
    private_ip = _of_any(_NIC.private_ip, _MORE.private_ip)
    public_ip = _of_any(_NIC.public_ip, _MORE.public_ip)
    lender = _of_any_where(
        (
            _NIC.public_ip.is_null(False),
            Case(None, [(_NIC.association_id == "", LENDER)], _NIC.account_id),
        ),
        (_MORE.public_ip.is_null(False), _NIC.account_id),
    )
    return {
        "private-ip-address": private_ip,
        "addresses.private-ip-address": private_ip,
        "addresses.primary": _is_primary,
        "addresses.association.public-ip": public_ip,
        "addresses.association.owner-id": lender,
        "association.public-ip": public_ip,
        "association.public-dns-name": _while(
            Vpc.enable_dns_support & Vpc.enable_dns_hostnames,
            _of_any(_public_name(names, _NIC.public_ip), _public_name(names, _MORE.public_ip)),
        ),
        "association.ip-owner-id": lender,
        "association.allocation-id": _by_allocation,
        "association.association-id": _of_any_where(
            (_NIC.association_id != "", _NIC.association_id),
            (_MORE.association_id != "", _MORE.association_id),
        ),
    }


def _attachment() -> Mapping[str, Condition]:
    has = Attachment
    return {
        "attachment.attachment-id": column(has.attachment_id),
        "attachment.instance-id": column(has.instance_id),
        "attachment.instance-owner-id": _while(_ATTACHED, column(_NIC.account_id)),
        "attachment.device-index": _while(_ATTACHED, integer(has.position)),
        "attachment.status": choice(INTERFACE_STATES),
        "attachment.attach-time": _while(_ATTACHED, timestamp(has.attached_ms)),
        "attachment.attach.time": _while(_ATTACHED, timestamp(has.attached_ms)),
        "attachment.delete-on-termination": _while(_ATTACHED, boolean(has.delete_on_termination)),
    }


def _of_any(primary: Clause, secondary: Clause) -> Condition:
    """A column of the primary address, or of any secondary one."""
    of_others = any_of(_SECONDARY, secondary)
    return lambda values: column(primary)(values) | of_others(values)


def _of_any_where(primary: tuple[Clause, Clause], secondary: tuple[Clause, Clause]) -> Condition:
    """As ``_of_any``, each column on rows for which the condition before it holds."""
    of_primary = _while(primary[0], column(primary[1]))
    of_others = any_of(_SECONDARY.where(secondary[0]), secondary[1])
    return lambda values: of_primary(values) | of_others(values)


def _is_primary(values: Sequence[str]) -> Clause:
    """Each has a primary address; "false" finds those that have others too."""
    found = [constant("true")(values)]
    if "false" in values:
        found.append(fn.EXISTS(_SECONDARY))
    return either(found)


def _by_allocation(values: Sequence[str]) -> Clause:
    """Through the addresses themselves, which are few."""
    allocated = PublicAddress.alias("allocated")
    chosen = allocated.select(allocated.public_ip).where(column(allocated.allocation_id)(values))
    secondary = _SECONDARY.where(_MORE.public_ip.in_(chosen))
    return _NIC.public_ip.in_(chosen) | fn.EXISTS(secondary)


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
        row=InterfaceRow,
    )
    return networks_pb2.DescribeNetworkInterfacesResponse(
        network_interfaces=messages(session, rows, names), next_token=token
    )


def _private_name(names: DnsNames, private_ip: Clause) -> Clause:
    """``names.private`` as SQL."""
    dashed = fn.REPLACE(private_ip, ".", "-")
    return Value("ip-").concat(dashed).concat(f".{names.private_suffix}")


def _public_name(names: DnsNames, public_ip: Clause) -> Clause:
    """``names.public`` as SQL; NULL where there is no address."""
    if not names.public_suffix:
        return public_ip
    dashed = fn.REPLACE(public_ip, ".", "-")
    return Value("ec2-").concat(dashed).concat(f".{names.public_suffix}")


def _while(held: Clause, condition: Condition) -> Condition:
    """The condition, on rows for which ``held`` does."""
    return lambda values: held & condition(values)
