"""Machine images: look at them, register and deregister them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gateway.call import Call
from gateway.ec2.parameters import (
    Filter,
    TagSpecification,
    filters_of,
    missing,
    page,
    tag_specifications_of,
)
from gateway.ec2.views.images import image
from gateway.ec2.views.shared import token
from protos.cloud.v1 import images_pb2


@dataclass(frozen=True)
class ImageEbs:
    volume_size: int | None = None
    delete_on_termination: bool | None = None
    volume_type: str = ""
    encrypted: Literal[False] = False  # harmless: only "no" is taken


@dataclass(frozen=True)
class ImageBlockDevice:
    device_name: str = ""
    ebs: ImageEbs | None = None


def describe_images(
    call: Call,
    *,
    image_ids: Sequence[str] = (),
    owners: Sequence[str] = (),
    executable_users: Sequence[str] = (),
    filters: Sequence[Filter] = (),
    max_results: int | None = None,
    next_token: str = "",
    include_deprecated: bool = False,
    include_disabled: bool = False,
) -> dict:
    request = images_pb2.DescribeImagesRequest(
        image_ids=image_ids,
        owners=owners,
        executable_users=executable_users,
        filters=filters_of(filters),
        page=page(max_results, next_token, low=1),
        include_deprecated=include_deprecated,
        include_disabled=include_disabled,
    )
    answer = call.clients.images.Describe(request, caller=call.caller)
    return {
        "Images": [image(each) for each in answer.images],
        "NextToken": token(answer.next_token),
    }


def register_image(
    call: Call,
    *,
    name: str,
    image_location: str = "",
    description: str = "",
    architecture: str = "",
    root_device_name: str = "",
    block_device_mappings: Sequence[ImageBlockDevice] = (),
    virtualization_type: Literal["hvm"] = "hvm",
    ena_support: bool = False,
    boot_mode: str = "",
    imds_support: str = "",
    tag_specifications: Sequence[TagSpecification] = (),
    sriov_net_support: Literal["simple"] = "simple",  # harmless: virtio is what guests get
) -> dict:
    """From a file at ImageLocation. From a snapshot is not supported: it names no location."""
    if not image_location:
        raise missing("ImageLocation")
    request = images_pb2.RegisterImageRequest(
        name=name,
        description=description,
        image_location=image_location,
        architecture=architecture,
        root_device_name=root_device_name,
        tag_specifications=tag_specifications_of(tag_specifications, "image", "snapshot"),
        block_devices=[_size(each) for each in block_device_mappings],
        virtualization_type=virtualization_type,
        ena_support=ena_support,
        boot_mode=boot_mode,
        imds_support=imds_support,
    )
    return {"ImageId": call.clients.images.Register(request, caller=call.caller).image_id}


def _size(given: ImageBlockDevice) -> images_pb2.BlockDeviceMappingSize:
    ebs = given.ebs or ImageEbs()
    return images_pb2.BlockDeviceMappingSize(
        device_name=given.device_name,
        volume_size_gib=ebs.volume_size,
        delete_on_termination=ebs.delete_on_termination,
        volume_type=ebs.volume_type,
    )


def deregister_image(
    call: Call,
    *,
    image_id: str,
    delete_associated_snapshots: bool = False,  # harmless: the image's disk goes with it anyway
) -> dict:
    request = images_pb2.ImageRequest(image_id=image_id)
    call.clients.images.Deregister(request, caller=call.caller)
    return {"Return": True, "DeleteSnapshotResults": []}
