"""Calls about volumes: made, attached, detached, changed, deleted."""

from protos.cloud.v1 import volumes_pb2
from tests.harness.customers import Call, Customer
from tests.harness.draw import Draw

MOST_VOLUMES = 10  # known and attached to nothing; beyond, a customer deletes one instead
ZONE = "us-east-1a"
DEVICES = tuple(f"/dev/sd{letter}" for letter in "fghijk")


def create(d: Draw, me: Customer) -> Call | None:
    if len(_free(me)) > MOST_VOLUMES:
        return delete(d, me)
    request = volumes_pb2.CreateVolumeRequest(
        availability_zone=ZONE if d.chance(0.97) else "us-east-1z",
        client_token=d.fresh(f"volume-{me.name}") if d.chance(0.9) else "",
    )
    sources = [*me.snapshots, *d.others(me, "snapshots")]
    if sources and d.chance(0.5):
        request.snapshot_id = (
            d.one(me.snapshots) if me.snapshots and d.chance(0.8) else d.one(sources)
        )
    if not request.snapshot_id or d.chance(0.3):
        request.size_gib = d.between(1, 4)
    if d.chance(0.3):
        request.volume_type = d.one(["gp2", "gp3", "standard"])
    return Call("Volumes", "Create", request)


def attach(d: Draw, me: Customer) -> Call | None:
    known = me.volumes if d.chance(0.1) else _free(me)
    fit = [name for name, asked in me.instances.items() if asked != "Terminate"]
    if d.chance(0.04):
        fit = d.others(me)
    if not known or not fit:
        return None
    request = volumes_pb2.AttachVolumeRequest(
        volume_id=d.one(known), instance_id=d.one(fit), device=d.one(DEVICES)
    )
    return Call("Volumes", "Attach", request)


def detach(d: Draw, me: Customer) -> Call | None:
    attached = [name for name, at in me.volumes.items() if at and name not in me.roots]
    known = me.volumes if d.chance(0.1) else attached
    if not known:
        return None
    request = volumes_pb2.DetachVolumeRequest(volume_id=d.one(known), force=d.chance(0.25))
    if d.chance(0.5):
        request.instance_id = me.volumes[request.volume_id]
    return Call("Volumes", "Detach", request)


def modify(d: Draw, me: Customer) -> Call | None:
    if not me.volumes:
        return None
    request = volumes_pb2.ModifyVolumeRequest(volume_id=d.one(me.volumes))
    if d.chance(0.7):
        request.size_gib = d.between(2, 12)
    if d.chance(0.4):
        request.volume_type = d.one(["gp2", "gp3"])
        if request.volume_type == "gp3" and d.chance(0.5):
            request.iops = d.between(3000, 5000)
    return Call("Volumes", "Modify", request)


def delete(d: Draw, me: Customer) -> Call | None:
    known = me.volumes if d.chance(0.1) else _free(me)
    if d.chance(0.04):
        known = d.others(me, "volumes")
    if not known:
        return None
    return Call("Volumes", "Delete", volumes_pb2.VolumeRequest(volume_id=d.one(known)))


def _free(me: Customer) -> list[str]:
    """Those that she thinks are attached to nothing."""
    return [name for name, at in me.volumes.items() if not at]


ACTIONS = (
    (create, 10),
    (attach, 24),
    (detach, 14),
    (modify, 5),
    (delete, 5),
)
