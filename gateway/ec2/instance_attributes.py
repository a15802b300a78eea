"""DescribeInstanceAttribute, ModifyInstanceAttribute, ResetInstanceAttribute: one attribute of one
instance a call."""

from base64 import b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from gateway.aws.renderers import Shown, View
from gateway.call import Call
from gateway.ec2.parameters import (
    checked_user_data,
    combination,
    invalid,
    unsupported,
    user_data_of,
)
from gateway.ec2.views.instances import block_device
from gateway.ec2.views.shared import groups
from protos.cloud.v1 import instances_pb2


@dataclass(frozen=True)
class Text:
    value: str = ""


@dataclass(frozen=True)
class Flag:
    value: bool = False


@dataclass(frozen=True)
class Data:
    value: bytes = b""


@dataclass(frozen=True)
class EbsDeletion:
    delete_on_termination: bool | None = None
    volume_id: str = ""  # read and not needed: the device's name says which


@dataclass(frozen=True)
class DeviceDeletion:
    device_name: str = ""
    ebs: EbsDeletion | None = None


# Attribute -> (member of the answer, how to show it). {} is what EC2 shows where there is no value.
_SHOWN: dict[str, tuple[str, Callable[[instances_pb2.InstanceAttributes], Shown]]] = {
    "instanceType": ("InstanceType", lambda it: {"Value": it.instance.instance_type}),
    "kernel": ("KernelId", lambda it: {}),
    "ramdisk": ("RamdiskId", lambda it: {}),
    "userData": (
        "UserData",
        lambda it: {"Value": b64encode(it.user_data).decode()} if it.user_data else {},
    ),
    "disableApiTermination": (
        "DisableApiTermination",
        lambda it: {"Value": it.disable_api_termination},
    ),
    "disableApiStop": ("DisableApiStop", lambda it: {"Value": it.disable_api_stop}),
    "instanceInitiatedShutdownBehavior": (
        "InstanceInitiatedShutdownBehavior",
        lambda it: {"Value": it.instance_initiated_shutdown_behavior},
    ),
    "rootDeviceName": ("RootDeviceName", lambda it: {"Value": it.instance.root_device_name}),
    "blockDeviceMapping": (
        "BlockDeviceMappings",
        lambda it: [block_device(each) for each in it.instance.block_devices],
    ),
    "productCodes": ("ProductCodes", lambda it: []),
    "sourceDestCheck": ("SourceDestCheck", lambda it: {"Value": it.instance.source_dest_check}),
    "groupSet": ("Groups", lambda it: groups(it.instance.security_groups)),
    "ebsOptimized": ("EbsOptimized", lambda it: {"Value": it.instance.ebs_optimized}),
    "sriovNetSupport": ("SriovNetSupport", lambda it: {}),
    "enaSupport": ("EnaSupport", lambda it: {"Value": True}),
    "enclaveOptions": ("EnclaveOptions", lambda it: {"Enabled": False}),
}


def describe_instance_attribute(call: Call, *, instance_id: str, attribute: str) -> View:
    if attribute not in _SHOWN:
        raise unsupported(f"The attribute {attribute}")
    request = instances_pb2.InstanceRequest(instance_id=instance_id)
    answer = call.clients.instances.DescribeAttributes(request, caller=call.caller)
    member, show = _SHOWN[attribute]
    return {"InstanceId": answer.instance.instance_id, member: show(answer)}


def modify_instance_attribute(
    call: Call,
    *,
    instance_id: str,
    attribute: str = "",
    value: str | None = None,
    instance_type: Text | None = None,
    user_data: Data | None = None,
    disable_api_termination: Flag | None = None,
    disable_api_stop: Flag | None = None,
    instance_initiated_shutdown_behavior: Text | None = None,
    source_dest_check: Flag | None = None,
    ebs_optimized: Flag | None = None,
    ena_support: Flag | None = None,
    groups: Sequence[str] | None = None,
    block_device_mappings: Sequence[DeviceDeletion] | None = None,
) -> None:
    """Two ways to say one thing: a structure per attribute, or Attribute and Value as text."""
    changes: dict[str, Any] = {
        "instance_type": instance_type and instance_type.value,
        "user_data": user_data and checked_user_data(user_data.value),
        "disable_api_termination": disable_api_termination and disable_api_termination.value,
        "disable_api_stop": disable_api_stop and disable_api_stop.value,
        "instance_initiated_shutdown_behavior": instance_initiated_shutdown_behavior
        and instance_initiated_shutdown_behavior.value,
        "source_dest_check": source_dest_check and source_dest_check.value,
        "ebs_optimized": ebs_optimized and ebs_optimized.value,
        "ena_support": ena_support and ena_support.value,
        "security_groups": None if groups is None else instances_pb2.GroupIds(group_ids=groups),
        "delete_on_termination": None
        if block_device_mappings is None
        else _deletions(block_device_mappings),
    }
    changes = {name: change for name, change in changes.items() if change is not None}
    if value is not None:
        if changes:
            raise combination("Value excludes the attributes' own parameters.")
        changes = dict([_by_name(attribute, value)])
    if not changes:
        raise combination("No attributes specified.")
    if len(changes) > 1:
        raise combination("Fields for multiple attribute types specified.")
    call.clients.instances.ModifyAttribute(
        instances_pb2.ModifyInstanceAttributeRequest(instance_id=instance_id, **changes),
        caller=call.caller,
    )


def reset_instance_attribute(call: Call, *, instance_id: str, attribute: str) -> None:
    """The one that can be reset where a guest's kernel is its disk's own."""
    if attribute != "sourceDestCheck":
        raise unsupported(f"Resetting the attribute {attribute}")
    request = instances_pb2.InstanceRequest(instance_id=instance_id)
    call.clients.instances.ResetAttribute(request, caller=call.caller)


_TEXT = {
    "instanceType": "instance_type",
    "instanceInitiatedShutdownBehavior": "instance_initiated_shutdown_behavior",
}
_FLAGS = {
    "disableApiTermination": "disable_api_termination",
    "disableApiStop": "disable_api_stop",
    "sourceDestCheck": "source_dest_check",
    "ebsOptimized": "ebs_optimized",
    "enaSupport": "ena_support",
}


def _by_name(attribute: str, value: str) -> tuple[str, object]:
    """The older form, which boto 2 and euca2ools use."""
    if attribute in _TEXT:
        return _TEXT[attribute], value
    if attribute in _FLAGS:
        if value.lower() not in ("true", "false"):
            raise invalid(f"Value ({value[:40]}) for parameter {attribute} is invalid.")
        return _FLAGS[attribute], value.lower() == "true"
    if attribute == "userData":
        return "user_data", user_data_of(value)
    raise unsupported(f"Changing the attribute {attribute or '(none named)'}")


def _deletions(given: Sequence[DeviceDeletion]) -> instances_pb2.BlockDeviceDeletions:
    deletions = instances_pb2.BlockDeviceDeletions()
    for each in given:
        if each.ebs is None or each.ebs.delete_on_termination is None:
            raise invalid("Only DeleteOnTermination of a block device can be changed.")
        deletions.devices.add(
            device_name=each.device_name, delete_on_termination=each.ebs.delete_on_termination
        )
    return deletions
