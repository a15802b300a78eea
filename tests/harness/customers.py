"""Customers of a simulated cloud, and what they remember of its answers.

A customer knows of her resources what answers told her, no more: one that she never heard of is
not hers to use, one that has gone behind her back she asks for in vain.
"""

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
    groups: list[str] = field(default_factory=list)
    rules: list[tuple[str, str, bool]] = field(default_factory=list)  # group, rule, egress
    keys: list[str] = field(default_factory=list)  # names, perhaps not there
    addresses: list[str] = field(default_factory=list)
    associations: list[str] = field(default_factory=list)
    volumes: dict[str, str] = field(default_factory=dict)  # id -> the instance that has it, or ""
    roots: set[str] = field(default_factory=set)  # volumes that an instance starts from
    snapshots: list[str] = field(default_factory=list)
    unanswered: list[tuple[Call, int]] = field(default_factory=list)  # with how often tried


def learn(customer: Customer, call: Call, answer) -> None:
    """What a customer remembers of an answer."""
    if call.service in ("Volumes", "Snapshots"):
        return _learn_of_storage(customer, call, answer)
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
            customer.groups.append(answer.group_id)
        case "SecurityGroups", "Delete":
            gone = call.request.group_id
            customer.groups = [each for each in customer.groups if each != gone]
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
