"""Instances, their states, statuses, attributes and types, as EC2 shows them.

Where EC2 has a choice and this cloud one answer, the answer is shown all the same: Terraform reads
these fields after each write, and a missing structure makes it plan a replacement or panic.
"""

from collections.abc import Callable

from gateway.aws.renderers import View
from gateway.ec2.views.network_interfaces import in_instance
from gateway.ec2.views.shared import groups, state, state_reason, tags_if_any
from protos.cloud.v1 import instances_pb2

_NO_RESERVATION = {"CapacityReservationPreference": "open"}
_NO = {"Configured": False}
_DISABLED = {"Enabled": False}
_MAINTENANCE = {"AutoRecovery": "default", "RebootMigration": "default"}
_NAMING: View = {
    "HostnameType": "ip-name",
    "EnableResourceNameDnsARecord": False,
    "EnableResourceNameDnsAAAARecord": False,
}
_MONITORING = {True: {"State": "enabled"}, False: {"State": "disabled"}}


def instance(given: instances_pb2.Instance) -> View:
    return {
        "InstanceId": given.instance_id,
        "ImageId": given.image_id,
        "State": state(given.state),
        "PrivateDnsName": given.private_dns_name,
        "PublicDnsName": given.public_dns_name,
        "StateTransitionReason": given.state_transition_reason,
        "KeyName": given.key_name,
        "AmiLaunchIndex": given.ami_launch_index,
        "ProductCodes": [],
        "InstanceType": given.instance_type,
        "LaunchTime": given.launch_time_ms,
        "Placement": {
            "AvailabilityZone": given.availability_zone,
            "GroupName": "",
            "Tenancy": given.tenancy,
        },
        "Monitoring": _MONITORING[given.monitoring],
        "SubnetId": given.subnet_id,
        "VpcId": given.vpc_id,
        "PrivateIpAddress": given.private_ip_address,
        "PublicIpAddress": given.public_ip_address,
        "SourceDestCheck": given.source_dest_check,
        "SecurityGroups": groups(given.security_groups),
        "StateReason": state_reason(given.state_reason),
        "Architecture": given.architecture,
        "RootDeviceType": "ebs",
        "RootDeviceName": given.root_device_name,
        "BlockDeviceMappings": [block_device(each) for each in given.block_devices],
        "VirtualizationType": "hvm",
        "ClientToken": given.client_token,
        "Tags": tags_if_any(given.tags),
        "Hypervisor": "xen",  # the model has no other word for KVM; AWS says so of its own KVM too
        "NetworkInterfaces": [in_instance(each) for each in given.network_interfaces],
        "EbsOptimized": given.ebs_optimized,
        "EnaSupport": True,
        "CpuOptions": {"CoreCount": given.vcpus, "ThreadsPerCore": 1},
        "CapacityReservationSpecification": _NO_RESERVATION,
        "HibernationOptions": _NO,
        "EnclaveOptions": _DISABLED,
        "MetadataOptions": metadata_options(given.metadata_options),
        "PlatformDetails": "Linux/UNIX",
        "UsageOperation": "RunInstances",
        "UsageOperationUpdateTime": given.usage_operation_update_time_ms,
        "PrivateDnsNameOptions": _NAMING,
        "MaintenanceOptions": _MAINTENANCE,
        "CurrentInstanceBootMode": "legacy-bios",
    }


def reservation(
    given: instances_pb2.Reservation, show: Callable[[instances_pb2.Instance], View] = instance
) -> View:
    return {
        "ReservationId": given.reservation_id,
        "OwnerId": given.owner_id,
        "Groups": [],  # EC2-Classic's
        "Instances": [show(each) for each in given.instances],
    }


def block_device(given: instances_pb2.InstanceBlockDevice) -> View:
    return {
        "DeviceName": given.device_name,
        "Ebs": {
            "VolumeId": given.volume_id,
            "Status": given.status,
            "AttachTime": given.attach_time_ms,
            "DeleteOnTermination": given.delete_on_termination,
        },
    }


def metadata_options(given: instances_pb2.MetadataOptions) -> View:
    return {
        "State": given.state,
        "HttpTokens": given.http_tokens,
        "HttpPutResponseHopLimit": given.http_put_response_hop_limit,
        "HttpEndpoint": given.http_endpoint,
        "HttpProtocolIpv6": given.http_protocol_ipv6,
        "InstanceMetadataTags": given.instance_metadata_tags,
    }


def state_change(given: instances_pb2.InstanceStateChange) -> View:
    return {
        "InstanceId": given.instance_id,
        "CurrentState": state(given.current_state),
        "PreviousState": state(given.previous_state),
    }


_REACHABILITY = {"ok": "passed", "impaired": "failed"}  # other words are the same in both


def instance_status(given: instances_pb2.InstanceStatus) -> View:
    return {
        "InstanceId": given.instance_id,
        "AvailabilityZone": given.availability_zone,
        "InstanceState": state(given.state),
        "InstanceStatus": _summary(given.instance_status, given.instance_impaired_since_ms),
        "SystemStatus": _summary(given.system_status, given.system_impaired_since_ms),
        "Events": [],
    }


def _summary(status: str, impaired_since_ms: int) -> View:
    if status == "not-applicable":
        return {"Status": status}
    detail: View = {"Name": "reachability", "Status": _REACHABILITY.get(status, status)}
    if status == "impaired":
        detail["ImpairedSince"] = impaired_since_ms
    return {"Status": status, "Details": [detail]}
