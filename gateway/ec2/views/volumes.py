"""Volumes as EC2 shows them."""

from gateway.ec2.views.shared import tags
from protos.cloud.v1 import volumes_pb2


def volume(given: volumes_pb2.Volume) -> dict:
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
        "Attachments": [
            {
                "VolumeId": each.volume_id,
                "InstanceId": each.instance_id,
                "Device": each.device,
                "State": each.state,
                "AttachTime": each.attach_time_ms,
                "DeleteOnTermination": each.delete_on_termination,
            }
            for each in given.attachments
        ],
        "Tags": tags(given.tags),
    }
