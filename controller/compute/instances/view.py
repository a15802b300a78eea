"""Rows → Instance messages. Pure; called by describe and, for the answer of a launch, by launch.

An instance's row has the columns of ``INSTANCE_FIELDS`` and its guest's (host_id, observed,
observed_revision, ran_ms, devices_revision, network_revision; None where it has none).
"""

from collections.abc import Iterable, Sequence

from controller.compute.instances.state import TERMINATED, visible_state
from controller.hosts.attachment_states import volume_attachment_state
from controller.network.names import DnsNames
from protos.cloud.v1 import common_pb2, instances_pb2, networks_pb2


def state_of(row) -> str:
    """The visible state of a row with desired, intent_revision and its guest's columns."""
    return visible_state(row.desired, row.observed, row.observed_revision or 0, row.intent_revision)


def instance_message(
    row,
    nics: Sequence[networks_pb2.NetworkInterface],
    volumes: Iterable,
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
            status=volume_attachment_state(volume, row.ran_ms, row.observed, row.devices_revision),
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


def metadata_options(row) -> instances_pb2.MetadataOptions:
    return instances_pb2.MetadataOptions(
        http_endpoint=row.metadata_http_endpoint,
        http_tokens=row.metadata_http_tokens,
        http_put_response_hop_limit=row.metadata_hop_limit,
        instance_metadata_tags=row.metadata_tags,
        http_protocol_ipv6=row.metadata_ipv6,
        state=metadata_state(row),
    )


def metadata_state(row) -> str:
    """Derived: a service that is to answer otherwise does so once the host has seen it; a new one
    with its guest."""
    if row.observed is None:
        return "applied"
    waits = not row.ran_ms or row.metadata_revision > row.network_revision
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
