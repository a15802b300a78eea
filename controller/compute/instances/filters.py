"""What DescribeInstances and DescribeInstanceStatus filter by, as SQL. Source: the EC2 API
Reference's lists.

A filter by state is the table of ``state.py`` read backwards: for each cell that shows the state,
the condition on desired and observed under which a row is in that cell.
"""

from collections.abc import Mapping, Sequence
from functools import reduce

from peewee import SQL

from controller.compute.instances import state
from controller.compute.instances import status_checks as checks
from controller.compute.instances.uniform_filters import uniform_filters, uniform_status_filters
from controller.config import Zone
from controller.hosts.attachment_states import INTERFACE_STATES, VOLUME_STATES
from controller.hosts.guests import FRESH
from controller.identity.tags.filters import tag_filters
from controller.kernel.filters import (
    Condition,
    any_of,
    boolean,
    choice,
    column,
    constant,
    exists_where,
    integer,
    timestamp,
)
from controller.kernel.table import Clause, Select
from controller.network.names import DnsNames
from controller.network.view import LENDER
from controller.tables.compute import Attachment, Instance, Placement
from controller.tables.hosts import Assignment, Host
from controller.tables.identity import Tag
from controller.tables.network import (
    NetworkInterface,
    NicGroup,
    PublicAddress,
    SecondaryAddress,
    SecurityGroup,
    Vpc,
)

ONE = SQL("1")
_NAMED = Vpc.enable_dns_support & Vpc.enable_dns_hostnames  # public addresses have names
_COLUMNS = {
    "none": Assignment.observed.is_null(),
    "stopped": Assignment.observed.in_(("absent", "stopped")),
    "running": Assignment.observed == "running",
    "exited": (Assignment.observed == "exited") & FRESH,
    "other": Assignment.observed.in_(("unseen", "preparing", "stopping", "failed"))
    | ((Assignment.observed == "exited") & ~FRESH),
}


def in_state(name: str) -> Clause:
    """The condition under which an instance, joined with its live placement, shows this state.

    Where all cells want the same it is said once more, before them: so an index leads to the few
    that are stopped among a hundred thousand.
    """
    cells = state.cells(name)
    shown = [(Instance.desired == desired) & _COLUMNS[cell] for desired, cell in cells]
    condition: Clause = reduce(lambda one, other: one | other, shown)
    wanted = {desired for desired, _ in cells}
    return (Instance.desired == wanted.pop()) & condition if len(wanted) == 1 else condition


# As view.metadata_state has it; of an instance without a placement nothing waits.
_METADATA_WAITS = Assignment.observed.is_null(False) & (
    (Placement.ran_start == 0) | (Instance.metadata_revision > Placement.network_revision)
)
_BY_NAME = {name: in_state(name) for name in state.STATES}
_BY_CODE = {str(code): _BY_NAME[name] for name, code in state.CODES.items()}


def instance_filters(names: DnsNames, zones: Sequence[Zone] = ()) -> Mapping[str, Condition]:
    return {
        **_own(),
        **_in_zone(zones),
        **_network(names),
        **_devices(),
        **uniform_filters(),
        **tag_filters(Instance.instance_id),
    }


def status_filters(zones: Sequence[Zone] = ()) -> Mapping[str, Condition]:
    running = _BY_NAME[state.RUNNING]
    systems = {checks.system_status(one): running & (Host.health == one) for one in checks.SYSTEM}
    instances = {status: running & _checked(status) for status in checks.STATUSES}
    return {
        **_in_zone(zones),
        **uniform_status_filters(),
        "instance-state-code": choice(_BY_CODE),
        "instance-state-name": choice(_BY_NAME),
        "instance-status.status": choice(instances | {checks.NOT_APPLICABLE: ~running}),
        "instance-status.reachability": choice(_reachability(instances)),
        "system-status.status": choice(systems | {checks.NOT_APPLICABLE: ~running}),
        "system-status.reachability": choice(_reachability(systems)),
        **tag_filters(Instance.instance_id),
    }


def _checked(status: str) -> Clause:
    """The condition under which a running instance's own status is this one."""
    shown = [
        (Host.health == health) & (Placement.status_check == check)
        for health, check in checks.cells(status)
    ]
    return reduce(lambda one, other: one | other, shown)


def _reachability(conditions: Mapping[str, Clause]) -> Mapping[str, Clause]:
    return {checks.REACHABILITY[status]: each for status, each in conditions.items()}


def _in_zone(zones: Sequence[Zone]) -> Mapping[str, Condition]:
    by_id = {zone.id: Instance.availability_zone == zone.name for zone in zones}
    return {
        "availability-zone": column(Instance.availability_zone),
        "availability-zone-id": choice(by_id),
    }


def _own() -> Mapping[str, Condition]:
    return {
        "architecture": column(Instance.architecture),
        "client-token": column(Instance.client_token),
        "ebs-optimized": boolean(Instance.ebs_optimized),
        "image-id": column(Instance.image_id),
        "instance-id": column(Instance.instance_id),
        "instance-state-code": choice(_BY_CODE),
        "instance-state-name": choice(_BY_NAME),
        "instance-type": column(Instance.instance_type),
        "key-name": column(Instance.key_name),
        "launch-index": integer(Instance.ami_launch_index),
        "launch-time": timestamp(Instance.launched_ms),
        "metadata-options.http-endpoint": column(Instance.metadata_http_endpoint),
        "metadata-options.http-tokens": column(Instance.metadata_http_tokens),
        "metadata-options.http-put-response-hop-limit": integer(Instance.metadata_hop_limit),
        "metadata-options.instance-metadata-tags": column(Instance.metadata_tags),
        "metadata-options.http-protocol-ipv4": column(Instance.metadata_http_endpoint),
        "metadata-options.http-protocol-ipv6": column(Instance.metadata_ipv6),
        "metadata-options.state": choice({"pending": _METADATA_WAITS, "applied": ~_METADATA_WAITS}),
        "monitoring-state": choice(
            {"enabled": Instance.monitoring, "disabled": ~Instance.monitoring}
        ),
        "owner-id": column(Instance.account_id),
        "reason": column(Instance.state_transition_reason),
        "reservation-id": column(Instance.reservation_id),
        "root-device-name": column(Instance.root_device_name),
        "state-reason-code": column(Instance.state_reason_code),
        "state-reason-message": column(Instance.state_reason_message),
        "tenancy": column(Instance.tenancy),
        "usage-operation-update-time": timestamp(Instance.created_ms),
    }


def _network(names: DnsNames) -> Mapping[str, Condition]:
    nic = NetworkInterface
    has = (Attachment.device_id == nic.network_interface_id) & (
        Attachment.instance_id == Instance.instance_id
    )
    nics = nic.select(ONE).join(Attachment, on=has)
    first = nics.where(Attachment.position == 0)
    groups = nics.join_from(
        nic, NicGroup, on=NicGroup.network_interface_id == nic.network_interface_id
    ).join(SecurityGroup, on=SecurityGroup.group_id == NicGroup.group_id)
    by_private_name = _by_address(any_of(first, nic.private_ip), f".{names.private_suffix}")
    named = first.join_from(nic, Vpc, on=Vpc.vpc_id == nic.vpc_id).where(_NAMED)
    by_public_name = _by_address(any_of(named, nic.public_ip), f".{names.public_suffix}")
    return {
        "vpc-id": any_of(first, nic.vpc_id),
        "subnet-id": any_of(first, nic.subnet_id),
        "private-ip-address": any_of(first, nic.private_ip),
        "ip-address": any_of(first, nic.public_ip),
        "private-dns-name": by_private_name,
        "dns-name": by_public_name,
        "source-dest-check": exists_where(first, boolean(nic.source_dest_check)),
        "instance.group-id": any_of(groups, NicGroup.group_id),
        "instance.group-name": any_of(groups, SecurityGroup.group_name),
        "group-id": any_of(groups, NicGroup.group_id),
        "group-name": any_of(groups, SecurityGroup.group_name),
        "network-interface.network-interface-id": any_of(nics, nic.network_interface_id),
        "network-interface.vpc-id": any_of(nics, nic.vpc_id),
        "network-interface.subnet-id": any_of(nics, nic.subnet_id),
        "network-interface.mac-address": any_of(nics, nic.mac_address),
        "network-interface.description": any_of(nics, nic.description),
        "network-interface.availability-zone": any_of(nics, nic.availability_zone),
        "network-interface.owner-id": any_of(nics, nic.account_id),
        "network-interface.private-dns-name": _by_address(
            any_of(nics, nic.private_ip), f".{names.private_suffix}"
        ),
        "network-interface.source-dest-check": exists_where(nics, boolean(nic.source_dest_check)),
        "network-interface.group-id": any_of(groups, NicGroup.group_id),
        "network-interface.group-name": any_of(groups, SecurityGroup.group_name),
        **_addresses(nics, names),
        **_interface_tags(nics),
        "network-interface.attachment.attachment-id": any_of(nics, Attachment.attachment_id),
        "network-interface.attachment.instance-id": any_of(nics, Attachment.instance_id),
        "network-interface.attachment.instance-owner-id": any_of(nics, nic.account_id),
        "network-interface.attachment.status": exists_where(nics, choice(INTERFACE_STATES)),
        "network-interface.attachment.attach-time": exists_where(
            nics, timestamp(Attachment.attached_ms)
        ),
        "network-interface.attachment.network-card-index": exists_where(nics, constant("0")),
        "network-interface.deny-all-igw-traffic": exists_where(nics, constant("false")),
        "network-interface.ipv6-native": exists_where(nics, constant("false")),
        "network-interface.operator.managed": exists_where(nics, constant("false")),
        "network-interface.status": exists_where(nics, constant("in-use")),
        "network-interface.requester-managed": exists_where(nics, constant("false")),
        "network-interface.attachment.device-index": exists_where(
            nics, integer(Attachment.position)
        ),
        "network-interface.attachment.delete-on-termination": exists_where(
            nics, boolean(Attachment.delete_on_termination)
        ),
    }


def _interface_tags(nics: Select) -> Mapping[str, Condition]:
    tagged = nics.join_from(
        NetworkInterface, Tag, on=Tag.resource_id == NetworkInterface.network_interface_id
    )
    return {
        "network-interface.tag-key": any_of(tagged, Tag.key),
        "network-interface.tag-value": any_of(tagged, Tag.value),
    }


def _addresses(nics: Select, names: DnsNames) -> Mapping[str, Condition]:
    """Of any interface: its primary address or any other one."""
    nic, more = NetworkInterface, SecondaryAddress
    others = nics.join_from(nic, more, on=more.network_interface_id == nic.network_interface_id)

    def of_any(primary: Clause, secondary: Clause) -> Condition:
        first, second = any_of(nics, primary), any_of(others, secondary)
        return lambda values: first(values) | second(values)

    private_ip = of_any(nic.private_ip, more.private_ip)
    public_ip = of_any(nic.public_ip, more.public_ip)
    association = of_any(nic.association_id, more.association_id)
    held = PublicAddress.allocation_id
    primary_held = any_of(
        nics.join_from(nic, PublicAddress, on=PublicAddress.public_ip == nic.public_ip), held
    )
    secondary_held = any_of(
        others.join(PublicAddress, on=PublicAddress.public_ip == more.public_ip), held
    )

    def allocation(values: Sequence[str]) -> Clause:
        return primary_held(values) | secondary_held(values)

    named = nics.join_from(nic, Vpc, on=Vpc.vpc_id == nic.vpc_id).where(_NAMED)
    first = any_of(named, nic.public_ip)
    second = any_of(
        named.join_from(nic, more, on=more.network_interface_id == nic.network_interface_id),
        more.public_ip,
    )
    suffix = f".{names.public_suffix}"
    public_name = _by_address(lambda values: first(values) | second(values), suffix)
    lent = exists_where(
        nics.where(nic.public_ip.is_null(False), nic.association_id == ""), constant(LENDER)
    )
    own = any_of(nics.where(nic.public_ip.is_null(False), nic.association_id != ""), nic.account_id)
    secondary_own = any_of(others.where(more.public_ip.is_null(False)), nic.account_id)

    def by_owner(values: Sequence[str]) -> Clause:
        return lent(values) | own(values) | secondary_own(values)

    return {
        "network-interface.addresses.private-ip-address": private_ip,
        "network-interface.addresses.primary": lambda values: (
            exists_where(nics, constant("true"))(values)
            | exists_where(others, constant("false"))(values)
        ),
        "network-interface.private-ip-address": any_of(nics, nic.private_ip),
        "network-interface.public-dns-name": public_name,
        "network-interface.addresses.private-dns-name": _by_address(
            private_ip, f".{names.private_suffix}"
        ),
        "network-interface.addresses.association.allocation-id": allocation,
        "network-interface.addresses.association.association-id": association,
        "network-interface.addresses.association.public-dns-name": public_name,
        "network-interface.association.allocation-id": allocation,
        "network-interface.association.association-id": association,
        "network-interface.association.public-dns-name": public_name,
        "network-interface.addresses.association.public-ip": public_ip,
        "network-interface.addresses.association.ip-owner-id": by_owner,
        "network-interface.association.public-ip": public_ip,
        "network-interface.association.ip-owner-id": by_owner,
    }


def _devices() -> Mapping[str, Condition]:
    has = Attachment
    volumes = has.select(ONE).where(has.instance_id == Instance.instance_id, has.kind == "volume")
    return {
        "block-device-mapping.volume-id": any_of(volumes, has.device_id),
        "block-device-mapping.device-name": any_of(volumes, has.device_name),
        "block-device-mapping.attach-time": exists_where(volumes, timestamp(has.attached_ms)),
        "block-device-mapping.delete-on-termination": exists_where(
            volumes, boolean(has.delete_on_termination)
        ),
        "block-device-mapping.status": exists_where(volumes, choice(VOLUME_STATES)),
    }


def _by_address(by_address: Condition, suffix: str) -> Condition:
    """A name "ip-172-31-0-5.ec2.internal", or a beginning of one with "*", as the address that
    it spells."""

    def condition(values: Sequence[str]) -> Clause:
        addresses = []
        for value in values:
            name = value.removesuffix(suffix)
            head, _, rest = name.partition("-")
            spelled = rest if head in ("ip", "ec2") else name
            addresses.append(spelled.replace("-", "."))
        return by_address(addresses)

    return condition
