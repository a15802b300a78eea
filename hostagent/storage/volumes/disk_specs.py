"""What a disk's specification says of its volume. Pure."""

from protos.cloud.v1 import fleet_pb2


def gib(size_bytes: int) -> int:
    """Begun ones count."""
    return -(-size_bytes // (1 << 30))


def is_here(disk: fleet_pb2.DiskSpec) -> bool:
    """At home on this host."""
    return not disk.HasField("remote")


def outlives(disk: fleet_pb2.DiskSpec) -> bool:
    """The volume stays when its instance ends."""
    return not (disk.delete_on_termination or disk.ephemeral)


def volume_of(disk: fleet_pb2.DiskSpec) -> fleet_pb2.VolumeSpec:
    """What is known of a volume that nobody has specified by itself."""
    spec = fleet_pb2.VolumeSpec(volume_id=disk.volume_id, size_bytes=disk.size_bytes)
    spec.desired = fleet_pb2.VOLUME_PRESENT
    if disk.HasField("image"):
        spec.source.CopyFrom(disk.image)
    return spec


def disk_of(spec: fleet_pb2.VolumeSpec) -> fleet_pb2.DiskSpec:
    """What a volume in its own right is made as."""
    disk = fleet_pb2.DiskSpec(volume_id=spec.volume_id, size_bytes=spec.size_bytes)
    if spec.HasField("source"):
        disk.image.CopyFrom(spec.source)
    return disk
