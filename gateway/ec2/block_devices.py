"""BlockDeviceMapping, as RunInstances, CreateImage and RegisterImage take it."""

from dataclasses import dataclass

from protos.cloud.v1 import instances_pb2


@dataclass(frozen=True)
class Ebs:
    volume_size: int | None = None
    delete_on_termination: bool | None = None
    volume_type: str = ""
    snapshot_id: str = ""
    iops: int | None = None
    throughput: int | None = None
    encrypted: bool | None = None


@dataclass(frozen=True)
class BlockDevice:
    device_name: str = ""
    ebs: Ebs | None = None
    no_device: str | None = None
    virtual_name: str = ""


def block_device_of(given: BlockDevice) -> instances_pb2.BlockDeviceMapping:
    ebs = given.ebs or Ebs()
    return instances_pb2.BlockDeviceMapping(
        device_name=given.device_name,
        volume_size_gib=ebs.volume_size,
        delete_on_termination=ebs.delete_on_termination,
        volume_type=ebs.volume_type,
        snapshot_id=ebs.snapshot_id,
        no_device=given.no_device is not None,
        virtual_name=given.virtual_name,
        iops=ebs.iops,
        throughput_mibps=ebs.throughput,
        encrypted=ebs.encrypted,
    )
