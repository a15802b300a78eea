"""RunInstances: one request to one proto. What the members mean is the controller's business."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gateway.aws.renderers import View
from gateway.call import Call
from gateway.ec2.block_devices import BlockDevice, block_device_of
from gateway.ec2.network_interfaces import PrivateIpAddress, addresses_of
from gateway.ec2.parameters import TagSpecification, invalid, tag_specifications_of, user_data_of
from gateway.ec2.views import instances as views
from gateway.ec2.views.shared import as_created
from protos.cloud.v1 import instances_pb2
from protos.errors import missing_parameter


@dataclass(frozen=True)
class Placement:
    availability_zone: str = ""
    tenancy: Literal["default"] = "default"
    group_name: Literal[""] = ""  # fog and the SDKs of some languages send the empty name


@dataclass(frozen=True)
class Monitoring:
    enabled: bool = False


@dataclass(frozen=True)
class MetadataOptions:
    http_tokens: str = ""
    http_put_response_hop_limit: int | None = None
    http_endpoint: str = ""
    http_protocol_ipv6: str = ""
    instance_metadata_tags: str = ""


@dataclass(frozen=True)
class NetworkInterface:
    device_index: int | None = None
    network_interface_id: str = ""
    subnet_id: str = ""
    description: str = ""
    groups: Sequence[str] = ()
    private_ip_address: str = ""
    private_ip_addresses: Sequence[PrivateIpAddress] = ()
    associate_public_ip_address: bool | None = None
    delete_on_termination: bool | None = None
    interface_type: Literal["interface"] = "interface"
    network_card_index: Literal[0] = 0
    secondary_private_ip_address_count: int = 0
    ipv6_address_count: Literal[0] = 0


@dataclass(frozen=True)
class CreditSpecification:
    cpu_credits: str = ""


@dataclass(frozen=True)
class CapacityReservation:
    capacity_reservation_preference: Literal["open", "none"] = "open"


@dataclass(frozen=True)
class Hibernation:
    configured: Literal[False] = False


@dataclass(frozen=True)
class Enclave:
    enabled: Literal[False] = False


@dataclass(frozen=True)
class DnsNames:
    hostname_type: Literal["ip-name"] = "ip-name"
    enable_resource_name_dns_a_record: Literal[False] = False
    enable_resource_name_dns_aaaa_record: Literal[False] = False


@dataclass(frozen=True)
class Maintenance:
    auto_recovery: Literal["default"] = "default"


def run_instances(
    call: Call,
    *,
    min_count: int,
    max_count: int,
    image_id: str = "",
    instance_type: str = "",
    client_token: str = "",
    key_name: str = "",
    user_data: str = "",
    placement: Placement | None = None,
    subnet_id: str = "",
    private_ip_address: str = "",
    security_group_ids: Sequence[str] = (),
    security_groups: Sequence[str] = (),
    network_interfaces: Sequence[NetworkInterface] = (),
    block_device_mappings: Sequence[BlockDevice] = (),
    metadata_options: MetadataOptions | None = None,
    disable_api_termination: bool | None = None,
    disable_api_stop: bool | None = None,
    instance_initiated_shutdown_behavior: str = "",
    monitoring: Monitoring | None = None,
    ebs_optimized: bool | None = None,
    tag_specifications: Sequence[TagSpecification] = (),
    credit_specification: CreditSpecification | None = None,
    # Harmless, each for its reason:
    additional_info: str = "",  # reserved by EC2, means nothing there either
    capacity_reservation_specification: CapacityReservation | None = None,  # there are none to use
    hibernation_options: Hibernation | None = None,  # only "no" is taken
    enclave_options: Enclave | None = None,  # only "no" is taken
    private_dns_name_options: DnsNames | None = None,  # only what is so anyway
    maintenance_options: Maintenance | None = None,  # only what is so anyway
) -> View:
    if not image_id:
        raise missing_parameter("ImageId")
    request = instances_pb2.RunInstancesRequest(
        image_id=image_id,
        instance_type=instance_type,
        min_count=min_count,
        max_count=max_count,
        client_token=client_token,
        key_name=key_name,
        user_data=user_data_of(user_data),
        availability_zone=placement.availability_zone if placement else "",
        tenancy=placement.tenancy if placement else "",
        subnet_id=subnet_id,
        private_ip_address=private_ip_address,
        security_group_ids=security_group_ids,
        security_group_names=security_groups,
        block_device_mappings=[block_device_of(each) for each in block_device_mappings],
        disable_api_termination=disable_api_termination,
        disable_api_stop=disable_api_stop,
        instance_initiated_shutdown_behavior=instance_initiated_shutdown_behavior,
        monitoring=monitoring.enabled if monitoring else None,
        ebs_optimized=ebs_optimized,
        cpu_credits=credit_specification.cpu_credits if credit_specification else "",
        tag_specifications=tag_specifications_of(
            tag_specifications, "instance", "volume", "network-interface"
        ),
        network_interfaces=[
            launch_interface_of(position, each)
            for position, each in enumerate(network_interfaces, 1)
        ],
    )
    if metadata_options:
        request.metadata_options.CopyFrom(metadata_options_of(metadata_options))
    made = call.clients.instances.Run(request, caller=call.caller)
    return views.reservation(made, lambda each: as_created(views.instance(each), each.tags))


def metadata_options_of(given: MetadataOptions) -> instances_pb2.MetadataOptions:
    if given.http_put_response_hop_limit == 0:  # the proto's 0 is "not said"
        raise invalid("Value (0) for parameter MetadataOptions.HttpPutResponseHopLimit is invalid.")
    return instances_pb2.MetadataOptions(
        http_endpoint=given.http_endpoint,
        http_tokens=given.http_tokens,
        http_put_response_hop_limit=given.http_put_response_hop_limit,
        instance_metadata_tags=given.instance_metadata_tags,
        http_protocol_ipv6=given.http_protocol_ipv6,
    )


def launch_interface_of(position: int, given: NetworkInterface) -> instances_pb2.LaunchInterface:
    """EC2's longer way to say subnet, groups and addresses. What goes together is the controller's
    to judge."""
    if given.device_index is None:
        raise missing_parameter(f"NetworkInterface.{position}.DeviceIndex")
    primary, others = addresses_of(given.private_ip_address, given.private_ip_addresses)
    return instances_pb2.LaunchInterface(
        device_index=given.device_index,
        network_interface_id=given.network_interface_id,
        subnet_id=given.subnet_id,
        security_group_ids=given.groups,
        description=given.description,
        private_ip_address=primary,
        secondary_private_ip_addresses=others,
        secondary_private_ip_address_count=given.secondary_private_ip_address_count,
        delete_on_termination=given.delete_on_termination,
        associate_public_ip_address=given.associate_public_ip_address,
    )
