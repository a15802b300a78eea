"""Calls about snapshots: taken, shared, deleted, in any order."""

from protos.cloud.v1 import volumes_pb2
from tests.harness.customers import Call, Customer
from tests.harness.draw import Draw

MOST_SNAPSHOTS = 8  # known; beyond, a customer deletes one instead


def create(d: Draw, me: Customer) -> Call | None:
    if len(me.snapshots) > MOST_SNAPSHOTS:
        return delete(d, me)
    known = d.others(me, "volumes") if d.chance(0.04) else me.volumes
    if not known:
        return None
    request = volumes_pb2.CreateSnapshotRequest(volume_id=d.one(known))
    return Call("Snapshots", "Create", request)


def delete(d: Draw, me: Customer) -> Call | None:
    known = d.others(me, "snapshots") if d.chance(0.04) else me.snapshots
    if not known:
        return None
    request = volumes_pb2.SnapshotRequest(snapshot_id=d.one(known))
    return Call("Snapshots", "Delete", request)


def share(d: Draw, me: Customer) -> Call | None:
    if not me.snapshots:
        return None
    request = volumes_pb2.ModifySnapshotAttributeRequest(snapshot_id=d.one(me.snapshots))
    if d.chance(0.3):
        request.public = d.chance(0.7)
    elif d.chance(0.7):
        request.add_account_ids.append(d.another(me).account_id)
    else:
        request.remove_account_ids.append(d.another(me).account_id)
    return Call("Snapshots", "ModifyAttribute", request)


ACTIONS = (
    (create, 12),
    (delete, 7),
    (share, 3),
)
