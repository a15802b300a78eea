"""Snapshots: take them, look at them, delete them, share them."""

from collections.abc import Sequence
from typing import Literal

from gateway.aws.renderers import View
from gateway.call import Call
from gateway.ec2.parameters import (
    Filter,
    TagSpecification,
    filters_of,
    invalid,
    page,
    tag_specifications_of,
    unsupported,
)
from gateway.ec2.permissions import PermissionChanges, permissions, sharing
from gateway.ec2.views.shared import as_created, token
from gateway.ec2.views.snapshots import snapshot
from protos.cloud.v1 import volumes_pb2
from protos.errors import missing_parameter


def create_snapshot(
    call: Call,
    *,
    volume_id: str,
    description: str = "",
    tag_specifications: Sequence[TagSpecification] = (),
    location: Literal["regional"] = "regional",  # harmless: there is one store
) -> View:
    request = volumes_pb2.CreateSnapshotRequest(
        volume_id=volume_id,
        description=description,
        tag_specifications=tag_specifications_of(tag_specifications, "snapshot"),
    )
    made = call.clients.snapshots.Create(request, caller=call.caller)
    return as_created(snapshot(made), made.tags)


def describe_snapshots(
    call: Call,
    *,
    snapshot_ids: Sequence[str] = (),
    owner_ids: Sequence[str] = (),
    restorable_by_user_ids: Sequence[str] = (),
    filters: Sequence[Filter] = (),
    max_results: int | None = None,
    next_token: str = "",
) -> View:
    request = volumes_pb2.DescribeSnapshotsRequest(
        snapshot_ids=snapshot_ids,
        owners=owner_ids,
        restorable_by=restorable_by_user_ids,
        filters=filters_of(filters),
        page=page(max_results, next_token, ids=snapshot_ids),
    )
    answer = call.clients.snapshots.Describe(request, caller=call.caller)
    return {
        "Snapshots": [snapshot(each) for each in answer.snapshots],
        "NextToken": token(answer.next_token),
    }


def delete_snapshot(call: Call, *, snapshot_id: str) -> View:
    request = volumes_pb2.SnapshotRequest(snapshot_id=snapshot_id)
    call.clients.snapshots.Delete(request, caller=call.caller)
    return {"Return": True}


def describe_snapshot_attribute(call: Call, *, snapshot_id: str, attribute: str) -> View:
    if attribute not in ("createVolumePermission", "productCodes"):
        raise invalid(f"Value ({attribute}) for parameter attribute is invalid.")
    request = volumes_pb2.SnapshotRequest(snapshot_id=snapshot_id)
    answer = call.clients.snapshots.DescribeAttribute(request, caller=call.caller)
    if attribute == "productCodes":
        return {"SnapshotId": answer.snapshot_id, "ProductCodes": []}
    return {
        "SnapshotId": answer.snapshot_id,
        "CreateVolumePermissions": permissions(answer.public, answer.account_ids),
    }


def modify_snapshot_attribute(
    call: Call,
    *,
    snapshot_id: str,
    attribute: str = "createVolumePermission",
    create_volume_permission: PermissionChanges | None = None,
    operation_type: str = "",
    user_ids: Sequence[str] = (),
    group_names: Sequence[str] = (),
) -> View:
    if attribute != "createVolumePermission":
        raise unsupported(f"Modifying the attribute {attribute}")
    wanted = sharing(create_volume_permission, operation_type, user_ids, group_names)
    if wanted is None:
        raise missing_parameter("CreateVolumePermission")
    request = volumes_pb2.ModifySnapshotAttributeRequest(
        snapshot_id=snapshot_id,
        add_account_ids=wanted.add_account_ids,
        remove_account_ids=wanted.remove_account_ids,
        public=wanted.public,
    )
    call.clients.snapshots.ModifyAttribute(request, caller=call.caller)
    return {"Return": True}


def reset_snapshot_attribute(
    call: Call, *, snapshot_id: str, attribute: Literal["createVolumePermission"]
) -> View:
    request = volumes_pb2.SnapshotRequest(snapshot_id=snapshot_id)
    call.clients.snapshots.ResetAttribute(request, caller=call.caller)
    return {"Return": True}
