"""Customers of a simulated cloud, and what they remember of its answers.

A customer knows of her resources what answers told her, no more: one that she never heard of is
not hers to use, one that has gone behind her back she asks for in vain.
"""

from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Call:
    """A call of one of the controller's servicers: ``service`` as protos name it."""

    service: str
    method: str
    request: object


@dataclass
class Customer:
    """An account and what its owner has heard of her own resources."""

    name: str
    account_id: str
    image_id: str
    operator: bool = False
    instances: dict[str, str] = field(default_factory=dict)  # id -> what she last asked for
    groups: dict[str, str] = field(default_factory=dict)  # id -> VPC, "" for the default one
    rules: list[tuple[str, str, bool]] = field(default_factory=list)  # group, rule, egress
    keys: list[str] = field(default_factory=list)  # names, perhaps not there
    addresses: list[str] = field(default_factory=list)
    associations: list[str] = field(default_factory=list)
    volumes: dict[str, str] = field(default_factory=dict)  # id -> the instance that has it, or ""
    roots: set[str] = field(default_factory=set)  # volumes that an instance starts from
    snapshots: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)  # those that she made
    vpcs: dict[str, str] = field(default_factory=dict)  # id -> range; those that she made
    subnets: dict[str, str] = field(default_factory=dict)  # id -> VPC, "" for the default one
    gateways: dict[str, str] = field(default_factory=dict)  # id -> VPC, or ""
    tables: dict[str, str] = field(default_factory=dict)  # id -> VPC
    table_uses: list[str] = field(default_factory=list)  # associations
    interfaces: dict[str, list[str]] = field(default_factory=dict)  # id -> secondary addresses
    plugs: dict[str, str] = field(default_factory=dict)  # attachment -> interface
    unanswered: list[tuple[Call, int]] = field(default_factory=list)  # with how often tried


def learn(customer: Customer, call: Call, answer) -> None:
    """What a customer remembers of an answer."""
    if (learn_more := _NOUNS.get(call.service)) is not None:
        return learn_more(customer, call, answer)
    match call.service, call.method:
        case "Instances", "Run":
            for instance in answer.instances:
                customer.instances.setdefault(instance.instance_id, "Run")
                for disk in instance.block_devices:
                    customer.volumes[disk.volume_id] = instance.instance_id
                    if disk.device_name == instance.root_device_name:
                        customer.roots.add(disk.volume_id)
        case "Instances", ("Start" | "Stop" | "Terminate" as asked):
            for change in answer.changes:
                if change.instance_id in customer.instances:
                    customer.instances[change.instance_id] = asked
                if asked == "Terminate":  # which of its volumes stay she sees when she looks
                    customer.volumes = {
                        name: at
                        for name, at in customer.volumes.items()
                        if at != change.instance_id
                    }
        case "Instances", "Describe":
            states = {
                instance.instance_id: instance.state
                for reservation in answer.reservations
                for instance in reservation.instances
            }
            for instance_id, state in states.items():
                if state == "terminated":
                    customer.instances.pop(instance_id, None)
                elif state == "stopped" and instance_id in customer.instances:
                    customer.instances[instance_id] = "Stop"  # perhaps it went by itself
        case "SecurityGroups", "Create":
            customer.groups[answer.group_id] = call.request.vpc_id
        case "SecurityGroups", "Delete":
            gone = call.request.group_id
            customer.groups.pop(gone, None)
            customer.rules = [each for each in customer.rules if each[0] != gone]
        case "SecurityGroups", ("AuthorizeIngress" | "AuthorizeEgress"):
            customer.rules += [(rule.group_id, rule.rule_id, rule.egress) for rule in answer.rules]
        case "Addresses", "Allocate":
            customer.addresses.append(answer.allocation_id)
        case "Addresses", "Associate":
            customer.associations.append(answer.association_id)
        case "Addresses", "Release":
            gone = call.request.allocation_id
            customer.addresses = [each for each in customer.addresses if each != gone]


def _learn_of_storage(customer: Customer, call: Call, answer) -> None:
    match call.service, call.method:
        case "Volumes", "Create":
            customer.volumes[answer.volume_id] = ""
        case "Volumes", "Attach":
            customer.volumes[answer.volume_id] = answer.instance_id
        case "Volumes", "Detach":
            customer.volumes[answer.volume_id] = ""
        case "Volumes", "Delete":
            customer.volumes.pop(call.request.volume_id, None)
        case "Volumes", "Describe":
            customer.volumes = {
                volume.volume_id: "".join(at.instance_id for at in volume.attachments)
                for volume in answer.volumes
                if volume.state != "deleting"
            }
        case "Snapshots", "Create":
            customer.snapshots.append(answer.snapshot_id)
        case "Snapshots", "Delete":
            gone = call.request.snapshot_id
            customer.snapshots = [each for each in customer.snapshots if each != gone]


def _learn_of_images(customer: Customer, call: Call, answer) -> None:
    """Snapshots of an image are hers to delete, too; that is refused while she has the image."""
    match call.method:
        case "Create" | "Register":
            customer.images.append(answer.image_id)
            named = {disk.snapshot_id for disk in answer.block_devices if disk.snapshot_id}
            if call.method == "Create":
                customer.snapshots += sorted(named - set(customer.snapshots))
        case "Deregister":
            gone = {each.snapshot_id for each in answer.snapshots if each.result == "success"}
            customer.snapshots = [each for each in customer.snapshots if each not in gone]
            customer.images = [each for each in customer.images if each != call.request.image_id]


def _learn_of_networks(customer: Customer, call: Call, answer) -> None:
    request = call.request
    match call.method:
        case "CreateVpc":
            customer.vpcs[answer.vpc_id] = answer.cidr_block
        case "DeleteVpc":
            customer.vpcs.pop(request.vpc_id, None)
            for known in (customer.subnets, customer.tables, customer.groups):
                for name in [name for name, at in known.items() if at == request.vpc_id]:
                    del known[name]
        case "CreateSubnet":
            customer.subnets[answer.subnet_id] = answer.vpc_id
        case "DescribeSubnets":
            for subnet in answer.subnets:
                at = "" if subnet.default_for_az else subnet.vpc_id
                customer.subnets.setdefault(subnet.subnet_id, at)
        case "DescribeNetworkInterfaces":
            customer.interfaces = {
                nic.network_interface_id: _secondary(nic) for nic in answer.network_interfaces
            }
            customer.plugs = {
                nic.attachment.attachment_id: nic.network_interface_id
                for nic in answer.network_interfaces
                if nic.HasField("attachment")
            }
        case "DeleteSubnet":
            customer.subnets.pop(request.subnet_id, None)
        case "CreateInternetGateway":
            customer.gateways[answer.internet_gateway_id] = ""
        case "AttachInternetGateway":
            customer.gateways[request.internet_gateway_id] = request.vpc_id
        case "DetachInternetGateway":
            customer.gateways[request.internet_gateway_id] = ""
        case "DeleteInternetGateway":
            customer.gateways.pop(request.internet_gateway_id, None)
        case "CreateRouteTable":
            customer.tables[answer.route_table_id] = answer.vpc_id
        case "DeleteRouteTable":
            customer.tables.pop(request.route_table_id, None)
        case "AssociateRouteTable" | "ReplaceRouteTableAssociation":
            customer.table_uses.append(answer.association_id)


def _learn_of_interfaces(customer: Customer, call: Call, answer) -> None:
    request = call.request
    match call.method:
        case "Create":
            customer.interfaces[answer.network_interface_id] = _secondary(answer)
        case "Attach":
            customer.plugs[answer.attachment_id] = request.network_interface_id
        case "Detach":
            customer.plugs.pop(request.attachment_id, None)
        case "Delete":
            customer.interfaces.pop(request.network_interface_id, None)
        case "AssignPrivateAddresses":
            held = customer.interfaces.setdefault(request.network_interface_id, [])
            held.extend(answer.private_ip_addresses)
        case "UnassignPrivateAddresses":
            customer.interfaces[request.network_interface_id] = [
                each
                for each in customer.interfaces.get(request.network_interface_id, [])
                if each not in request.private_ip_addresses
            ]


def _secondary(nic) -> list[str]:
    return [each.private_ip_address for each in nic.private_ip_addresses if not each.primary]


_NOUNS: dict[str, Callable] = {
    "Volumes": _learn_of_storage,
    "Snapshots": _learn_of_storage,
    "Images": _learn_of_images,
    "Networks": _learn_of_networks,
    "NetworkInterfaces": _learn_of_interfaces,
}
