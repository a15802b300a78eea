"""Volumes, their attachments, status and modifications, as EC2 shows them."""

from gateway.aws.renderers import View
from gateway.ec2.views.shared import tags_if_any
from protos.cloud.v1 import volumes_pb2


def volume(given: volumes_pb2.Volume) -> View:
    return {
        "VolumeId": given.volume_id,
        "Size": given.size_gib,
        "SnapshotId": given.snapshot_id,
        "AvailabilityZone": given.availability_zone,
        "State": given.state,
        "CreateTime": given.create_time_ms,
        "VolumeType": given.volume_type,
        "Iops": given.iops or None,
        "Throughput": given.throughput_mibps or None,
        "Encrypted": given.encrypted,
        "MultiAttachEnabled": given.multi_attach_enabled,
        "Attachments": [attachment(each) for each in given.attachments],
        "Tags": tags_if_any(given.tags),
    }


def attachment(given: volumes_pb2.VolumeAttachment) -> View:
    return {
        "VolumeId": given.volume_id,
        "InstanceId": given.instance_id,
        "Device": given.device,
        "State": given.state,
        "AttachTime": given.attach_time_ms,
        "DeleteOnTermination": given.delete_on_termination,
    }


def volume_status(given: volumes_pb2.VolumeStatus) -> View:
    details = {"io-enabled": given.io_enabled, "io-performance": given.io_performance}
    return {
        "VolumeId": given.volume_id,
        "AvailabilityZone": given.availability_zone,
        "VolumeStatus": {
            "Status": given.status,
            "Details": [{"Name": name, "Status": status} for name, status in details.items()],
        },
        "Actions": [],
        "Events": [],
    }


def modification(given: volumes_pb2.VolumeModification) -> View:
    return {
        "VolumeId": given.volume_id,
        "ModificationState": given.modification_state,
        "StatusMessage": given.status_message,
        "TargetSize": given.target_size_gib,
        "TargetIops": given.target_iops or None,
        "TargetVolumeType": given.target_volume_type,
        "TargetThroughput": given.target_throughput_mibps or None,
        "TargetMultiAttachEnabled": False,
        "OriginalSize": given.original_size_gib,
        "OriginalIops": given.original_iops or None,
        "OriginalVolumeType": given.original_volume_type,
        "OriginalThroughput": given.original_throughput_mibps or None,
        "OriginalMultiAttachEnabled": False,
        "Progress": given.progress,
        "StartTime": given.start_time_ms,
        "EndTime": given.end_time_ms or None,
    }
