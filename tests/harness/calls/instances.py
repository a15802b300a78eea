"""Calls about instances: launched, started, stopped, changed, terminated, looked into."""

from protos.cloud.v1 import common_pb2, instances_pb2
from tests.harness.customers import Call, Customer
from tests.harness.draw import Draw

TYPES = ("t2.nano", "t2.micro", "t2.small", "t3.medium", "m5.large", "m5.4xlarge")
ATTRIBUTES = (
    "instance_type",  # these two of stopped instances only
    "user_data",
    "source_dest_check",
    "delete_on_termination",
    "disable_api_termination",
    "shutdown_behavior",
    "security_groups",
    "security_groups",
)
MOST_INSTANCES = 12  # known and not asked to go; beyond, a customer terminates instead


def run(d: Draw, me: Customer) -> Call | None:
    if sum(asked != "Terminate" for asked in me.instances.values()) > MOST_INSTANCES:
        return terminate(d, me)
    most = d.one([1, 1, 1, 2, 2, 3, 5])
    request = instances_pb2.RunInstancesRequest(
        image_id=_choose_image(d, me),
        instance_type=d.one(TYPES) if d.chance(0.6) else "t2.micro",
        min_count=d.between(1, most),
        max_count=most,
        client_token=d.fresh(f"token-{me.name}") if d.chance(0.9) else "",
    )
    _choose_network(d, me, request)
    if me.keys and d.chance(0.3):
        request.key_name = d.one(me.keys)
    if d.chance(0.3):
        request.instance_initiated_shutdown_behavior = d.one(["stop", "terminate"])
    if d.chance(0.2):
        request.user_data = b"#!/bin/sh\necho " + d.fresh("hello").encode()
    if d.chance(0.3):
        named = common_pb2.Tag(key="Name", value=d.fresh("vm"))
        request.tag_specifications.add(resource_type="instance", tags=[named])
    _map_disks(d, me, request)
    if d.chance(0.2):
        request.metadata_options.instance_metadata_tags = "enabled"
    return Call("Instances", "Run", request)


def _choose_image(d: Draw, me: Customer) -> str:
    """The operator's; one of her own; another's, perhaps shared; one that is not there."""
    if me.images and d.chance(0.4):
        return d.one(me.images)
    if (others := d.others(me, "images")) and d.chance(0.05):
        return d.one(others)
    return me.image_id if d.chance(0.98) else "ami-00000000000000bad"


def _choose_network(d: Draw, me: Customer, request: instances_pb2.RunInstancesRequest) -> None:
    """The default VPC, a subnet of her own, or interfaces said one by one."""
    known = d.others(me, "subnets") if d.chance(0.03) else me.subnets
    subnet_id = d.one(known) if known and d.chance(0.4) else ""
    vpc_id = me.subnets.get(subnet_id, "")
    groups = [name for name, at in me.groups.items() if at == vpc_id or d.chance(0.02)]
    chosen = d.some(groups, 2) if groups and d.chance(0.4) else []
    if subnet_id and d.chance(0.3):
        for index in range(d.between(1, 2)):
            nic = request.network_interfaces.add(device_index=index, subnet_id=subnet_id)
            nic.security_group_ids.extend(chosen)
            if d.chance(0.3):
                nic.secondary_private_ip_address_count = d.between(1, 2)
            if d.chance(0.3):
                nic.delete_on_termination = False
        return
    if me.interfaces and d.chance(0.05):
        request.min_count = request.max_count = 1
        request.network_interfaces.add(network_interface_id=d.one(me.interfaces))
        return
    request.subnet_id = subnet_id
    request.security_group_ids.extend(chosen)
    if not subnet_id and d.chance(0.1):
        request.private_ip_address = f"172.31.0.{d.between(4, 40)}"
    if d.chance(0.1):
        request.associate_public_ip_address = d.chance(0.5)


def _map_disks(d: Draw, me: Customer, request: instances_pb2.RunInstancesRequest) -> None:
    """Now and then: a root disk that stays or is larger, blank disks, disks of snapshots."""
    mappings = request.block_device_mappings
    if d.chance(0.1):
        mappings.add(device_name="/dev/xvda", delete_on_termination=False)
    elif d.chance(0.1):
        mappings.add(device_name="/dev/xvda", volume_size_gib=d.between(1, 10))
    if d.chance(0.12):
        mappings.add(device_name="/dev/sdb", volume_size_gib=d.between(1, 3))
        if d.chance(0.5):
            mappings[-1].delete_on_termination = d.chance(0.5)
    known = d.others(me, "snapshots") if d.chance(0.05) else me.snapshots
    if known and d.chance(0.2):
        mappings.add(device_name="/dev/sdc", snapshot_id=d.one(known))
        if d.chance(0.3):
            mappings[-1].delete_on_termination = False


def _on_instances(method: str, request_type, sensible: tuple[str, ...], most: int = 3):
    """``sensible``: what was asked for last of those on which the call makes sense. Now and then
    she tries it on others, too."""

    def action(d: Draw, me: Customer) -> Call | None:
        fit = [name for name, asked in me.instances.items() if asked in sensible]
        ids = d.some(me.instances if d.chance(0.15) else fit, most)
        if d.chance(0.04) and d.others(me):
            ids += d.some(d.others(me))
        if not ids:
            return None
        request = request_type(instance_ids=ids)
        if method == "Stop":
            request.force = "Stop" in sensible or d.chance(0.3)
        return Call("Instances", method, request)

    return action


start = _on_instances("Start", instances_pb2.InstancesRequest, ("Stop",))
stop = _on_instances("Stop", instances_pb2.StopInstancesRequest, ("Run", "Start"))
stop_by_force = _on_instances("Stop", instances_pb2.StopInstancesRequest, ("Stop",))
reboot = _on_instances("Reboot", instances_pb2.InstancesRequest, ("Run", "Start"))
terminate = _on_instances(
    "Terminate", instances_pb2.InstancesRequest, ("Run", "Start", "Stop"), most=4
)


def modify(d: Draw, me: Customer) -> Call | None:
    """One attribute; usually one that can be changed in the state that she thinks it is in."""
    if not me.instances:
        return None
    instance_id = d.one(me.instances)
    request = instances_pb2.ModifyInstanceAttributeRequest(instance_id=instance_id)
    stopped = (me.instances[instance_id] == "Stop") != d.chance(0.1)
    what = d.one(ATTRIBUTES[:4] if stopped else ATTRIBUTES[2:])
    if what == "instance_type":
        request.instance_type = d.one(TYPES)
    elif what == "user_data":
        request.user_data = d.fresh("changed").encode()
    elif what == "disable_api_termination":
        request.disable_api_termination = d.chance(0.3)
    elif what == "shutdown_behavior":
        request.instance_initiated_shutdown_behavior = d.one(["stop", "terminate"])
    elif what == "source_dest_check":
        request.source_dest_check = d.chance(0.5)
    elif what == "delete_on_termination":
        kept = request.delete_on_termination.devices.add(device_name="/dev/xvda")
        kept.delete_on_termination = d.chance(0.5)
    elif me.groups:
        request.security_groups.group_ids.extend(d.some(me.groups, 2))
    else:
        return None
    return Call("Instances", "ModifyAttribute", request)


def modify_metadata(d: Draw, me: Customer) -> Call | None:
    if not me.instances:
        return None
    known = d.others(me) if d.others(me) and d.chance(0.04) else me.instances
    request = instances_pb2.ModifyMetadataOptionsRequest(instance_id=d.one(known))
    if d.chance(0.5):
        request.options.http_tokens = d.one(["optional", "required"])
    elif d.chance(0.5):
        request.options.http_endpoint = d.one(["enabled", "disabled"])
    else:
        request.options.instance_metadata_tags = d.one(["enabled", "disabled"])
    return Call("Instances", "ModifyMetadataOptions", request)


def read_console(d: Draw, me: Customer) -> Call | None:
    if not me.instances:
        return None
    request = instances_pb2.InstanceRequest(instance_id=d.one(me.instances))
    return Call("Instances", "GetConsoleOutput", request)


ACTIONS = (
    (run, 24),
    (start, 14),
    (stop, 12),
    (stop_by_force, 3),
    (reboot, 5),
    (terminate, 12),
    (modify, 9),
    (modify_metadata, 4),
    (read_console, 2),
)
