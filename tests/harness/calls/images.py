"""Calls about images: made of instances and of snapshots, shared, deregistered."""

from protos.cloud.v1 import images_pb2
from tests.harness.customers import Call, Customer
from tests.harness.draw import Draw

MOST_IMAGES = 4  # known; beyond, a customer deregisters one instead
ROOT_DEVICE = "/dev/xvda"


def create(d: Draw, me: Customer) -> Call | None:
    if len(me.images) > MOST_IMAGES:
        return deregister(d, me)
    known = [name for name, asked in me.instances.items() if asked != "Terminate"]
    if d.chance(0.04):
        known = d.others(me)
    if not known:
        return None
    request = images_pb2.CreateImageRequest(
        instance_id=d.one(known), name=_name(d, me), no_reboot=d.chance(0.5)
    )
    if d.chance(0.1):
        request.block_devices.add(device_name="/dev/sdb", no_device=True)
    if d.chance(0.2):
        request.block_devices.add(device_name="/dev/sdz", volume_size_gib=d.between(1, 3))
    return Call("Images", "Create", request)


def register(d: Draw, me: Customer) -> Call | None:
    known = me.snapshots if d.chance(0.9) else d.others(me, "snapshots")
    if not known or len(me.images) > MOST_IMAGES:
        return None
    request = images_pb2.RegisterImageRequest(name=_name(d, me), root_device_name=ROOT_DEVICE)
    request.block_devices.add(device_name=ROOT_DEVICE, snapshot_id=d.one(known))
    if d.chance(0.3):
        request.block_devices.add(device_name="/dev/sdy", snapshot_id=d.one(known))
    return Call("Images", "Register", request)


def deregister(d: Draw, me: Customer) -> Call | None:
    known = d.others(me, "images") if d.chance(0.05) else me.images
    if not known:
        return None
    request = images_pb2.DeregisterImageRequest(
        image_id=d.one(known), delete_associated_snapshots=d.chance(0.5)
    )
    return Call("Images", "Deregister", request)


def share(d: Draw, me: Customer) -> Call | None:
    known = d.others(me, "images") if d.chance(0.04) else me.images
    if not known:
        return None
    request = images_pb2.ModifyImageAttributeRequest(image_id=d.one(known))
    if d.chance(0.3):
        request.public = d.chance(0.7)
    elif d.chance(0.7):
        request.add_account_ids.append(d.another(me).account_id)
    else:
        request.remove_account_ids.append(d.another(me).account_id)
    return Call("Images", "ModifyAttribute", request)


def _name(d: Draw, me: Customer) -> str:
    return f"taken-{me.name}" if d.chance(0.1) else d.fresh(f"image-{me.name}")


ACTIONS = (
    (create, 12),
    (register, 4),
    (deregister, 4),
    (share, 3),
)
