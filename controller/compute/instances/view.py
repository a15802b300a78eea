"""Rows → Instance messages. Pure; called by describe and, for the answer of a launch, by launch."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from controller.compute.instances.state import TERMINATED, visible_state
from controller.hosts.attachment_states import Attached, volume_attachment_state
from controller.hosts.guests import Guest
from controller.network.names import DnsNames
from protos.cloud.v1 import common_pb2, instances_pb2, networks_pb2


class InstanceRow(NamedTuple):
    """An instance with its guest, or None. Not its user data, which may be large."""

    instance_id: str
    account_id: str
    reservation_id: str
    ami_launch_index: int
    client_token: str
    image_id: str
    instance_type: str
    vcpus: int
    memory_mib: int
    architecture: str
    availability_zone: str
    key_name: str
    root_device_name: str
    desired: str
    force_stop: bool
    launched_ms: int
    created_ms: int
    state_reason_code: str
    state_reason_message: str
    state_transition_reason: str
    intent_revision: int
    metadata_revision: int
    disable_api_termination: bool
    disable_api_stop: bool
    shutdown_behavior: str
    monitoring: bool
    ebs_optimized: bool
    tenancy: str
    cpu_credits: str
    metadata_http_endpoint: str
    metadata_http_tokens: str
    metadata_hop_limit: int
    metadata_tags: str
    metadata_ipv6: str
    placement_id: str | None
    host_id: str | None
    observed: str | None
    observed_revision: int | None
    ran_start: int | None
    devices_revision: int | None
    network_revision: int | None
    claimed_vcpus: int | None


class ShownVolume(Attached, Protocol):
    @property
    def volume_id(self) -> str: ...
    @property
    def device_name(self) -> str: ...
    @property
    def attached_ms(self) -> int: ...
    @property
    def delete_on_termination(self) -> bool: ...


class AttachedVolume(NamedTuple):
    instance_id: str
    volume_id: str
    device_name: str
    attached_ms: int
    delete_on_termination: bool
    attach_revision: int
    detaching: bool
    busy: bool


def state_of(row: Guest) -> str:
    """What the user sees of an instance."""
    return visible_state(row.desired, row.observed, row.observed_revision or 0, row.intent_revision)


def instance_message(
    row: InstanceRow,
    nics: Sequence[networks_pb2.NetworkInterface],
    volumes: Iterable[ShownVolume],
    tags: Sequence[common_pb2.Tag],
    names: DnsNames,
    *,
    operator: bool = False,
) -> instances_pb2.Instance:
    """An instance as its owner sees it; ``operator`` also sees which host it is on."""
    state = state_of(row)
    message = instances_pb2.Instance(
        instance_id=row.instance_id,
        reservation_id=row.reservation_id,
        owner_id=row.account_id,
        image_id=row.image_id,
        state=state,
        state_transition_reason=row.state_transition_reason,
        launch_time_ms=row.launched_ms,
        instance_type=row.instance_type,
        key_name=row.key_name,
        ami_launch_index=row.ami_launch_index,
        client_token=row.client_token,
        availability_zone=row.availability_zone,
        tenancy=row.tenancy,
        monitoring=row.monitoring,
        architecture=row.architecture,
        root_device_name=row.root_device_name,
        ebs_optimized=row.ebs_optimized,
        vcpus=row.vcpus,
        tags=tags,
        usage_operation_update_time_ms=row.created_ms,
        metadata_options=metadata_options(row),
    )
    if row.state_reason_code:
        message.state_reason.code = row.state_reason_code
        message.state_reason.message = row.state_reason_message
    if operator and row.host_id:
        message.host_id = row.host_id
    if state == TERMINATED:  # what it had is gone, and with it every address
        return message
    message.block_devices.extend(
        instances_pb2.InstanceBlockDevice(
            device_name=volume.device_name,
            volume_id=volume.volume_id,
            status=volume_attachment_state(
                volume, row.ran_start, row.observed, row.devices_revision
            ),
            attach_time_ms=volume.attached_ms,
            delete_on_termination=volume.delete_on_termination,
        )
        for volume in volumes
    )
    if nics:
        _add_network(message, nics, names)
    return message


def _add_network(
    message: instances_pb2.Instance,
    nics: Sequence[networks_pb2.NetworkInterface],
    names: DnsNames,
) -> None:
    """EC2 shows the first interface's network once more on the instance itself."""
    primary = nics[0]
    message.network_interfaces.extend(nics)
    message.security_groups.extend(primary.groups)
    message.vpc_id = primary.vpc_id
    message.subnet_id = primary.subnet_id
    message.private_ip_address = primary.private_ip_address
    message.private_dns_name = primary.private_dns_name
    message.source_dest_check = primary.source_dest_check
    if primary.association.public_ip:
        message.public_ip_address = primary.association.public_ip
        message.public_dns_name = primary.association.public_dns_name


def metadata_options(row: InstanceRow) -> instances_pb2.MetadataOptions:
    return instances_pb2.MetadataOptions(
        http_endpoint=row.metadata_http_endpoint,
        http_tokens=row.metadata_http_tokens,
        http_put_response_hop_limit=row.metadata_hop_limit,
        instance_metadata_tags=row.metadata_tags,
        http_protocol_ipv6=row.metadata_ipv6,
        state=metadata_state(row),
    )


def metadata_state(row: InstanceRow) -> str:
    """Derived: a service that is to answer otherwise does so once the host has seen it; a new one
    with its guest."""
    if row.observed is None:
        return "applied"
    waits = not row.ran_start or row.metadata_revision > (row.network_revision or 0)
    return "pending" if waits else "applied"


def reservations(instances: Iterable[instances_pb2.Instance]) -> list[instances_pb2.Reservation]:
    """One reservation per launch, in the order of their first instance; none without an
    instance."""
    found: dict[str, instances_pb2.Reservation] = {}
    for instance in instances:
        reservation = found.get(instance.reservation_id)
        if reservation is None:
            reservation = found[instance.reservation_id] = instances_pb2.Reservation(
                reservation_id=instance.reservation_id, owner_id=instance.owner_id
            )
        reservation.instances.append(instance)
    return list(found.values())
