"""Snapshots as EC2 shows them."""

from gateway.aws.renderers import View
from gateway.ec2.views.shared import tags_if_any
from protos.cloud.v1 import volumes_pb2


def snapshot(given: volumes_pb2.Snapshot) -> View:
    return {
        "SnapshotId": given.snapshot_id,
        "VolumeId": given.volume_id,
        "State": given.state,
        "StateMessage": given.state_message,
        "StartTime": given.start_time_ms,
        "CompletionTime": given.completion_time_ms or None,
        "Progress": f"{given.progress}%",
        "OwnerId": given.owner_id,
        "OwnerAlias": given.owner_alias,
        "Description": given.description,
        "VolumeSize": given.volume_size_gib,
        "FullSnapshotSizeInBytes": given.size_bytes if given.state == "completed" else None,
        "Encrypted": given.encrypted,
        "StorageTier": "standard",
        "Tags": tags_if_any(given.tags),
    }
