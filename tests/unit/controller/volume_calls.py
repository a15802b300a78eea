"""Calls about volumes, as an account's: for tests of their rules."""

from controller.storage.volumes.rows import volumes_query
from controller.tables.hosts import Host
from controller.tables.identity import Quota
from controller.tables.storage import Volume
from protos.cloud.v1 import common_pb2, volumes_pb2
from protos.errors import Kind
from tests.unit.controller.refusals import error_of

ZONE = "us-east-1a"


def call(cloud, method, account=None, dry_run=False, **fields):
    kinds = {
        "Create": volumes_pb2.CreateVolumeRequest,
        "Describe": volumes_pb2.DescribeVolumesRequest,
        "DescribeStatus": volumes_pb2.DescribeVolumesRequest,
        "Delete": volumes_pb2.VolumeRequest,
        "Attach": volumes_pb2.AttachVolumeRequest,
        "Detach": volumes_pb2.DetachVolumeRequest,
    }
    caller = (account or cloud.alice).caller(dry_run=dry_run)
    return getattr(cloud.client("Volumes"), method)(kinds[method](**fields), caller=caller)


def create(cloud, size_gib=10, **more) -> str:
    fields = {"availability_zone": ZONE, "size_gib": size_gib} | more
    return call(cloud, "Create", **fields).volume_id


def created(cloud, size_gib=10, **more) -> str:
    volume_id = create(cloud, size_gib, **more)
    cloud.converge()
    return volume_id


def attach(cloud, volume_id, instance_id, device="/dev/sdf"):
    fields = {"volume_id": volume_id, "instance_id": instance_id, "device": device}
    return call(cloud, "Attach", **fields)


def seen(cloud, volume_id) -> volumes_pb2.Volume:
    (volume,) = call(cloud, "Describe", volume_ids=[volume_id]).volumes
    return volume


def states(cloud, volume_id) -> tuple[str, list[str]]:
    volume = seen(cloud, volume_id)
    return volume.state, [one.state for one in volume.attachments]


def found(cloud, **filters) -> set[str]:
    asked = [
        common_pb2.Filter(name=name.replace("_", "-").replace("--", "."), values=[value])
        for name, value in filters.items()
    ]
    return {one.volume_id for one in call(cloud, "Describe", filters=asked).volumes}


def why(act, *args, **more) -> tuple[Kind, str, str]:
    refusal = error_of(act, *args, **more)
    return refusal.kind, refusal.noun, refusal.reason


def used(cloud) -> dict[str, int]:
    with cloud.db.read() as session:
        own = Quota.account_id == cloud.alice.account_id
        quotas = dict(session.tuples(Quota.select(Quota.name, Quota.used).where(own)))
        host = session.value(Host.select(Host.disk_gib_used))
    return {"volumes": quotas["volumes"], "gigabytes": quotas["gigabytes"], "claimed": host}


def row(cloud, volume_id):
    with cloud.db.read() as session:
        return session.one(volumes_query().where(Volume.volume_id == volume_id))


def attached(cloud) -> tuple[str, str]:
    (instance,) = cloud.run_ids()
    volume_id = created(cloud)
    attach(cloud, volume_id, instance)
    cloud.converge()
    return instance, volume_id
