"""Images as EC2 shows them."""

from gateway.aws.renderers import View, timestamp
from gateway.ec2.views.shared import state_reason, tags_if_any
from protos.cloud.v1 import images_pb2


def image(given: images_pb2.Image) -> View:
    return {
        "ImageId": given.image_id,
        "ImageLocation": given.image_location,
        "State": given.state,
        "OwnerId": given.owner_id,
        "ImageOwnerAlias": given.owner_alias,
        "CreationDate": timestamp(given.creation_date_ms),  # text in the model, not a time
        "Public": given.public,
        "ProductCodes": [],
        "Architecture": given.architecture,
        "ImageType": "machine",
        "PlatformDetails": "Linux/UNIX",
        "UsageOperation": "RunInstances",
        "BlockDeviceMappings": [block_device(each) for each in given.block_devices],
        "Description": given.description,
        "EnaSupport": given.ena_support or None,  # EC2 says nothing of what was not registered
        "SriovNetSupport": given.sriov_net_support,
        "Hypervisor": "xen",  # as of instances: the model has no word for KVM
        "Name": given.name,
        "RootDeviceName": given.root_device_name,
        "RootDeviceType": "ebs",
        "StateReason": state_reason(given.state_reason),
        "Tags": tags_if_any(given.tags),
        "VirtualizationType": "hvm",
        "BootMode": given.boot_mode,
        "ImdsSupport": given.imds_support,
        "SourceInstanceId": given.source_instance_id,
    }


def block_device(given: images_pb2.ImageBlockDevice) -> View:
    if given.virtual_name:
        return {"DeviceName": given.device_name, "VirtualName": given.virtual_name}
    return {
        "DeviceName": given.device_name,
        "Ebs": {
            "DeleteOnTermination": given.delete_on_termination,
            "SnapshotId": given.snapshot_id,
            "VolumeSize": given.volume_size_gib or None,
            "VolumeType": given.volume_type,
            "Iops": given.iops or None,
            "Throughput": given.throughput_mibps or None,
            "Encrypted": False,
        },
    }
