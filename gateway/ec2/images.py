"""Machine images: look at them, make, register and deregister them, share them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from gateway.aws.renderers import View
from gateway.call import Call
from gateway.ec2.block_devices import BlockDevice, block_device_of
from gateway.ec2.parameters import (
    Filter,
    TagSpecification,
    combination,
    filters_of,
    invalid,
    page,
    tag_specifications_of,
    unsupported,
)
from gateway.ec2.permissions import PermissionChanges, permissions, sharing
from gateway.ec2.views.images import block_device, image
from gateway.ec2.views.shared import token
from protos.cloud.v1 import images_pb2
from protos.errors import missing_parameter


@dataclass(frozen=True)
class TextValue:
    value: str | None = None


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
) -> View:
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
    block_device_mappings: Sequence[BlockDevice] = (),
    virtualization_type: Literal["hvm"] = "hvm",
    ena_support: bool = False,
    boot_mode: str = "",
    imds_support: str = "",
    tag_specifications: Sequence[TagSpecification] = (),
    sriov_net_support: str = "",
) -> View:
    """From a file at ImageLocation, or without one from the snapshots that the mappings name."""
    request = images_pb2.RegisterImageRequest(
        name=name,
        description=description,
        image_location=image_location,
        architecture=architecture,
        root_device_name=root_device_name,
        tag_specifications=tag_specifications_of(tag_specifications, "image"),
        block_devices=[block_device_of(each) for each in block_device_mappings],
        virtualization_type=virtualization_type,
        ena_support=ena_support,
        boot_mode=boot_mode,
        imds_support=imds_support,
        sriov_net_support=sriov_net_support,
    )
    return {"ImageId": call.clients.images.Register(request, caller=call.caller).image_id}


def create_image(
    call: Call,
    *,
    instance_id: str,
    name: str,
    description: str = "",
    no_reboot: bool = False,
    block_device_mappings: Sequence[BlockDevice] = (),
    tag_specifications: Sequence[TagSpecification] = (),
    snapshot_location: Literal["regional"] = "regional",  # harmless: there is one store
) -> View:
    request = images_pb2.CreateImageRequest(
        instance_id=instance_id,
        name=name,
        description=description,
        no_reboot=no_reboot,
        block_devices=[block_device_of(each) for each in block_device_mappings],
        tag_specifications=tag_specifications_of(tag_specifications, "image", "snapshot"),
    )
    return {"ImageId": call.clients.images.Create(request, caller=call.caller).image_id}


def deregister_image(
    call: Call, *, image_id: str, delete_associated_snapshots: bool = False
) -> View:
    request = images_pb2.DeregisterImageRequest(
        image_id=image_id, delete_associated_snapshots=delete_associated_snapshots
    )
    answer = call.clients.images.Deregister(request, caller=call.caller)
    return {
        "Return": True,
        "DeleteSnapshotResults": [
            {"SnapshotId": each.snapshot_id, "ReturnCode": each.result} for each in answer.snapshots
        ],
    }


# Attribute -> what the answer says of it. Kernels and RAM disks are of another kind of guests.
_ATTRIBUTES: dict[str, Callable[[images_pb2.ImageSharing], View]] = {
    "description": lambda it: {"Description": {"Value": it.description}},
    "launchPermission": lambda it: {"LaunchPermissions": permissions(it.public, it.account_ids)},
    "blockDeviceMapping": lambda it: {
        "BlockDeviceMappings": [block_device(each) for each in it.block_devices]
    },
    "bootMode": lambda it: {"BootMode": {"Value": it.boot_mode}},
    "imdsSupport": lambda it: {"ImdsSupport": {"Value": it.imds_support}},
    "sriovNetSupport": lambda it: {"SriovNetSupport": {"Value": it.sriov_net_support or None}},
    "productCodes": lambda it: {"ProductCodes": []},
    "kernel": lambda it: {"KernelId": {}},
    "ramdisk": lambda it: {"RamdiskId": {}},
    "tpmSupport": lambda it: {"TpmSupport": {}},
    "deregistrationProtection": lambda it: {"DeregistrationProtection": {"Value": "disabled"}},
}
_UNKNOWN_HERE = ("uefiData", "lastLaunchedTime")


def describe_image_attribute(call: Call, *, image_id: str, attribute: str) -> View:
    if attribute in _UNKNOWN_HERE:
        raise unsupported(f"The attribute {attribute}")
    if attribute not in _ATTRIBUTES:
        raise invalid(f"Value ({attribute}) for parameter attribute is invalid.")
    request = images_pb2.ImageRequest(image_id=image_id)
    answer = call.clients.images.DescribeAttribute(request, caller=call.caller)
    return {"ImageId": answer.image_id, **_ATTRIBUTES[attribute](answer)}


def modify_image_attribute(
    call: Call,
    *,
    image_id: str,
    attribute: str = "",
    value: str | None = None,
    description: TextValue | None = None,
    imds_support: TextValue | None = None,
    launch_permission: PermissionChanges | None = None,
    operation_type: str = "",
    user_ids: Sequence[str] = (),
    user_groups: Sequence[str] = (),
) -> View:
    """One attribute at a time, as a structure of its own or by its name.

    The name is taken in any case: no list in EC2's model closes it, and amazon.aws writes
    "LaunchPermission" and "Description".
    """
    wanted = sharing(launch_permission, operation_type, user_ids, user_groups)
    texts = {
        "description": description.value if description else None,
        "imdsSupport": imds_support.value if imds_support else None,
    }
    known = (*texts, "launchPermission")
    attribute = next((name for name in known if name.lower() == attribute.lower()), attribute)
    if attribute not in ("", *known):
        raise unsupported(f"Modifying the attribute {attribute}")
    if value is not None and attribute in texts:
        texts[attribute] = value
    given = [name for name, what in texts.items() if what is not None]
    if wanted is not None:
        given.append("launchPermission")
    if not given:
        raise missing_parameter("LaunchPermission")
    if len(given) > 1 or attribute not in ("", given[0]):
        raise combination("Fields for multiple attribute types specified")
    request = images_pb2.ModifyImageAttributeRequest(
        image_id=image_id,
        add_account_ids=wanted.add_account_ids if wanted else (),
        remove_account_ids=wanted.remove_account_ids if wanted else (),
        public=wanted.public if wanted else None,
        description=texts["description"],
        imds_support=texts["imdsSupport"],
    )
    call.clients.images.ModifyAttribute(request, caller=call.caller)
    return {"Return": True}


def reset_image_attribute(
    call: Call, *, image_id: str, attribute: Literal["launchPermission"]
) -> View:
    request = images_pb2.ImageRequest(image_id=image_id)
    call.clients.images.ResetAttribute(request, caller=call.caller)
    return {"Return": True}
