"""Volumes: made, looked at, attached, detached, modified, deleted."""

from collections.abc import Sequence
from typing import Literal

from gateway.aws.renderers import Shown, View
from gateway.call import Call
from gateway.ec2.parameters import Filter, TagSpecification, filters_of, page, tag_specifications_of
from gateway.ec2.views.shared import as_created, token
from gateway.ec2.views.volumes import attachment, modification, volume, volume_status
from protos.cloud.v1 import volumes_pb2
from protos.errors import missing_parameter


def create_volume(
    call: Call,
    *,
    availability_zone: str = "",
    size: int | None = None,
    snapshot_id: str = "",
    volume_type: str = "",
    iops: int | None = None,
    throughput: int | None = None,
    client_token: str = "",
    tag_specifications: Sequence[TagSpecification] = (),
    # Only what is so anyway:
    encrypted: Literal[False] = False,
    multi_attach_enabled: Literal[False] = False,
) -> View:
    request = volumes_pb2.CreateVolumeRequest(
        availability_zone=availability_zone,
        size_gib=size,
        snapshot_id=snapshot_id,
        volume_type=volume_type,
        iops=iops,
        throughput_mibps=throughput,
        client_token=client_token,
        tag_specifications=tag_specifications_of(tag_specifications, "volume"),
    )
    made = call.clients.volumes.Create(request, caller=call.caller)
    shown = as_created(volume(made), made.tags)
    del shown["Attachments"]  # not in this answer: there can be none
    return shown


def describe_volumes(
    call: Call,
    *,
    volume_ids: Sequence[str] = (),
    filters: Sequence[Filter] = (),
    max_results: int | None = None,
    next_token: str = "",
    include_managed_resources: bool = False,  # harmless: nobody else manages any here
) -> View:
    request = _described(volume_ids, filters, max_results, next_token)
    answer = call.clients.volumes.Describe(request, caller=call.caller)
    return {
        "Volumes": [volume(each) for each in answer.volumes],
        "NextToken": token(answer.next_token),
    }


def describe_volume_status(
    call: Call,
    *,
    volume_ids: Sequence[str] = (),
    filters: Sequence[Filter] = (),
    max_results: int | None = None,
    next_token: str = "",
    include_managed_resources: bool = False,  # harmless: nobody else manages any here
) -> View:
    request = _described(volume_ids, filters, max_results, next_token)
    answer = call.clients.volumes.DescribeStatus(request, caller=call.caller)
    return {
        "VolumeStatuses": [volume_status(each) for each in answer.statuses],
        "NextToken": token(answer.next_token),
    }


def describe_volume_attribute(call: Call, *, volume_id: str, attribute: str) -> View:
    """The same of every volume: none ever has its I/O stopped, and none is for sale."""
    request = _described([volume_id], (), None, "")
    call.clients.volumes.Describe(request, caller=call.caller)  # refuses one that is not there
    shown: dict[str, tuple[str, Shown]] = {
        "autoEnableIO": ("AutoEnableIO", {"Value": False}),
        "productCodes": ("ProductCodes", []),
    }
    name, value = shown[attribute]
    return {"VolumeId": volume_id, name: value}


def delete_volume(call: Call, *, volume_id: str) -> None:
    request = volumes_pb2.VolumeRequest(volume_id=volume_id)
    call.clients.volumes.Delete(request, caller=call.caller)


def attach_volume(
    call: Call, *, volume_id: str = "", instance_id: str = "", device: str = ""
) -> View:
    request = volumes_pb2.AttachVolumeRequest(
        volume_id=volume_id, instance_id=instance_id, device=device
    )
    return attachment(call.clients.volumes.Attach(request, caller=call.caller))


def detach_volume(
    call: Call,
    *,
    volume_id: str = "",
    instance_id: str = "",
    device: str = "",
    force: bool = False,
) -> View:
    if not volume_id:
        raise missing_parameter("VolumeId")
    request = volumes_pb2.DetachVolumeRequest(
        volume_id=volume_id, instance_id=instance_id, device=device, force=force
    )
    return attachment(call.clients.volumes.Detach(request, caller=call.caller))


def modify_volume(
    call: Call,
    *,
    volume_id: str,
    size: int | None = None,
    volume_type: str = "",
    iops: int | None = None,
    throughput: int | None = None,
    multi_attach_enabled: Literal[False] = False,  # only what is so anyway
) -> View:
    request = volumes_pb2.ModifyVolumeRequest(
        volume_id=volume_id,
        size_gib=size,
        volume_type=volume_type,
        iops=iops,
        throughput_mibps=throughput,
    )
    made = call.clients.volumes.Modify(request, caller=call.caller)
    return {"VolumeModification": modification(made)}


def describe_volumes_modifications(
    call: Call,
    *,
    volume_ids: Sequence[str] = (),
    filters: Sequence[Filter] = (),
    max_results: int | None = None,
    next_token: str = "",
    include_managed_resources: bool = False,  # harmless: nobody else manages any here
) -> View:
    request = _described(volume_ids, filters, max_results, next_token)
    answer = call.clients.volumes.DescribeModifications(request, caller=call.caller)
    return {
        "VolumesModifications": [modification(each) for each in answer.modifications],
        "NextToken": token(answer.next_token),
    }


def _described(
    volume_ids: Sequence[str], filters: Sequence[Filter], max_results: int | None, next_token: str
) -> volumes_pb2.DescribeVolumesRequest:
    return volumes_pb2.DescribeVolumesRequest(
        volume_ids=volume_ids,
        filters=filters_of(filters),
        page=page(max_results, next_token, ids=volume_ids),
    )
