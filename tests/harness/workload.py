"""What the customers of a simulated cloud do: a seeded stream of calls, as boto3 scripts make them.

Each customer knows only what her own answers told her. A call that was not answered is made again
later with the same client token, as SDKs do. Some calls are rehearsals (DryRun), some name what is
another's, some are wrong: a refusal is an answer too.
"""

import random
from collections.abc import Callable, Iterable, Sequence

from protos.cloud.v1 import (
    common_pb2,
    instances_pb2,
    keys_pb2,
    networks_pb2,
    quotas_pb2,
    tags_pb2,
)
from protos.errors import CloudError, Kind
from tests.harness.customers import Call, Customer, learn

PUBLIC_KEY = (
    b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAw alice"
)
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


# ask(customer, call, dry_run) -> answer; raises CloudError
Ask = Callable[[Customer, Call, bool], object]


class Workload:
    """``step()`` makes one call for one of the customers; how frequent which kinds are is drawn for
    each run."""

    def __init__(self, rng: random.Random, customers: list[Customer], operator: Customer, ask: Ask):
        self._rng, self._customers, self._operator, self._ask = rng, customers, operator, ask
        self._names = 0
        self._actions = [action for action, _ in ACTIONS]
        self._weights = swarm(rng, ACTIONS, always=(run,))

    def begin(self) -> None:
        """What everybody has before anything goes wrong: a group with a rule, an address."""
        for customer in self._customers:
            for action in (create_group, authorize, allocate):
                self._make(customer, action(self, customer), 0)

    def step(self) -> None:
        customer = self._rng.choice(self._customers)
        if customer.unanswered and self._rng.random() < 0.7:
            call, tries = customer.unanswered.pop(0)
            self._make(customer, call, tries)
            return
        action = self._rng.choices(self._actions, self._weights)[0]
        call = action(self, customer)
        if call is None:
            return
        caller = self._operator if call.service == "Quotas" else customer
        self._make(caller, call, 0, dry_run=self._rng.random() < 0.04)

    def _make(self, customer: Customer, call: Call, tries: int, dry_run: bool = False) -> None:
        try:
            learn(customer, call, self._ask(customer, call, dry_run))
        except CloudError as refusal:
            if refusal.kind is Kind.UNAVAILABLE and tries < 4 and not dry_run:
                customer.unanswered.append((call, tries + 1))

    # What the actions below draw with.

    def some(self, known: Iterable[str], most: int = 1) -> list[str]:
        known = list(known)
        count = min(len(known), self._rng.randint(1, most))
        return self._rng.sample(known, count)

    def one(self, known: Iterable):
        known = list(known)
        return self._rng.choice(known) if known else None

    def chance(self, probability: float) -> bool:
        return self._rng.random() < probability

    def between(self, least: int, most: int) -> int:
        return self._rng.randint(least, most)

    def fresh(self, prefix: str) -> str:
        self._names += 1
        return f"{prefix}-{self._names}"

    def others(self, customer: Customer) -> list[str]:
        return [
            instance
            for other in self._customers
            if other is not customer
            for instance in other.instances
        ]


def swarm(rng: random.Random, weighted: Sequence[tuple[Callable, int]], always=()) -> list[int]:
    """Weights of a run of its own: some kinds are left out, some come all the time, so that each
    run goes deep somewhere, and no pair of kinds is always diluted by all the others."""
    return [
        weight * (1 if kind in always else rng.choice((0, 1, 1, 5))) for kind, weight in weighted
    ]


def run(w: Workload, me: Customer) -> Call | None:
    if sum(asked != "Terminate" for asked in me.instances.values()) > MOST_INSTANCES:
        return terminate(w, me)
    most = w.one([1, 1, 1, 2, 2, 3, 5])
    request = instances_pb2.RunInstancesRequest(
        image_id=me.image_id if w.chance(0.98) else "ami-00000000000000bad",
        instance_type=w.one(TYPES) if w.chance(0.6) else "t2.micro",
        min_count=w.between(1, most),
        max_count=most,
        client_token=w.fresh(f"token-{me.name}") if w.chance(0.9) else "",
    )
    if me.groups and w.chance(0.4):
        request.security_group_ids.extend(w.some(me.groups, 2))
    if me.keys and w.chance(0.3):
        request.key_name = w.one(me.keys)
    if w.chance(0.3):
        request.instance_initiated_shutdown_behavior = w.one(["stop", "terminate"])
    if w.chance(0.2):
        request.user_data = b"#!/bin/sh\necho " + w.fresh("hello").encode()
    if w.chance(0.3):
        named = common_pb2.Tag(key="Name", value=w.fresh("vm"))
        request.tag_specifications.add(resource_type="instance", tags=[named])
    if w.chance(0.1):
        request.private_ip_address = f"172.31.0.{w.between(4, 40)}"
    if w.chance(0.1):
        request.block_device_mappings.add(device_name="/dev/xvda", delete_on_termination=False)
    if w.chance(0.2):
        request.metadata_options.instance_metadata_tags = "enabled"
    if w.chance(0.1):
        request.associate_public_ip_address = w.chance(0.5)
    return Call("Instances", "Run", request)


def _on_instances(method: str, request_type, sensible: tuple[str, ...], most: int = 3):
    """``sensible``: what was asked for last of those on which the call makes sense. Now and then
    she tries it on others, too."""

    def action(w: Workload, me: Customer) -> Call | None:
        fit = [name for name, asked in me.instances.items() if asked in sensible]
        ids = w.some(me.instances if w.chance(0.15) else fit, most)
        if w.chance(0.04) and w.others(me):
            ids += w.some(w.others(me))
        if not ids:
            return None
        request = request_type(instance_ids=ids)
        if method == "Stop":
            request.force = "Stop" in sensible or w.chance(0.3)
        return Call("Instances", method, request)

    return action


start = _on_instances("Start", instances_pb2.InstancesRequest, ("Stop",))
stop = _on_instances("Stop", instances_pb2.StopInstancesRequest, ("Run", "Start"))
stop_by_force = _on_instances("Stop", instances_pb2.StopInstancesRequest, ("Stop",))
reboot = _on_instances("Reboot", instances_pb2.InstancesRequest, ("Run", "Start"))
terminate = _on_instances(
    "Terminate", instances_pb2.InstancesRequest, ("Run", "Start", "Stop"), most=4
)


def modify(w: Workload, me: Customer) -> Call | None:
    """One attribute; usually one that can be changed in the state that she thinks it is in."""
    if not me.instances:
        return None
    instance_id = w.one(me.instances)
    request = instances_pb2.ModifyInstanceAttributeRequest(instance_id=instance_id)
    stopped = (me.instances[instance_id] == "Stop") != w.chance(0.1)
    what = w.one(ATTRIBUTES[:4] if stopped else ATTRIBUTES[2:])
    if what == "instance_type":
        request.instance_type = w.one(TYPES)
    elif what == "user_data":
        request.user_data = w.fresh("changed").encode()
    elif what == "disable_api_termination":
        request.disable_api_termination = w.chance(0.3)
    elif what == "shutdown_behavior":
        request.instance_initiated_shutdown_behavior = w.one(["stop", "terminate"])
    elif what == "source_dest_check":
        request.source_dest_check = w.chance(0.5)
    elif what == "delete_on_termination":
        kept = request.delete_on_termination.devices.add(device_name="/dev/xvda")
        kept.delete_on_termination = w.chance(0.5)
    elif me.groups:
        request.security_groups.group_ids.extend(w.some(me.groups, 2))
    else:
        return None
    return Call("Instances", "ModifyAttribute", request)


def create_group(w: Workload, me: Customer) -> Call:
    name = w.fresh("group")
    request = networks_pb2.CreateSecurityGroupRequest(group_name=name, description="of a test")
    return Call("SecurityGroups", "Create", request)


def delete_group(w: Workload, me: Customer) -> Call | None:
    if not me.groups:
        return None
    request = networks_pb2.SecurityGroupSelector(group_id=w.one(me.groups))
    return Call("SecurityGroups", "Delete", request)


def authorize(w: Workload, me: Customer) -> Call | None:
    if not me.groups:
        return None
    port = w.between(1, 9000)
    rule = networks_pb2.SecurityGroupRule(protocol="tcp", from_port=port, to_port=port)
    if w.chance(0.3):
        rule.peer_group.group_id = w.one(me.groups)
    else:
        rule.cidr_ipv4 = f"198.51.100.{w.between(0, 255)}/32"
    group = networks_pb2.SecurityGroupSelector(group_id=w.one(me.groups))
    method = "AuthorizeIngress" if w.chance(0.8) else "AuthorizeEgress"
    return Call("SecurityGroups", method, networks_pb2.AuthorizeRequest(group=group, rules=[rule]))


def revoke(w: Workload, me: Customer) -> Call | None:
    if not me.rules:
        return None
    group_id, rule_id, egress = w.one(me.rules)
    group = networks_pb2.SecurityGroupSelector(group_id=group_id)
    request = networks_pb2.RevokeRequest(group=group, rule_ids=[rule_id])
    return Call("SecurityGroups", "RevokeEgress" if egress else "RevokeIngress", request)


def allocate(w: Workload, me: Customer) -> Call:
    return Call("Addresses", "Allocate", networks_pb2.AllocateAddressRequest(domain="vpc"))


def associate(w: Workload, me: Customer) -> Call | None:
    if not me.addresses or not me.instances:
        return None
    whose = w.others(me) if w.chance(0.05) and w.others(me) else me.instances
    request = networks_pb2.AssociateAddressRequest(
        allocation_id=w.one(me.addresses), instance_id=w.one(whose)
    )
    if w.chance(0.3):
        request.allow_reassociation = w.chance(0.5)
    return Call("Addresses", "Associate", request)


def disassociate(w: Workload, me: Customer) -> Call | None:
    if not me.associations:
        return None
    request = networks_pb2.DisassociateAddressRequest(association_id=w.one(me.associations))
    return Call("Addresses", "Disassociate", request)


def release(w: Workload, me: Customer) -> Call | None:
    if not me.addresses:
        return None
    request = networks_pb2.ReleaseAddressRequest(allocation_id=w.one(me.addresses))
    return Call("Addresses", "Release", request)


def tag(w: Workload, me: Customer) -> Call | None:
    known = [*me.instances, *me.groups]
    if not known:
        return None
    tags = [common_pb2.Tag(key=w.one(["Name", "team", "cost"]), value=w.fresh("value"))]
    return Call("Tags", "Create", tags_pb2.CreateTagsRequest(resource_ids=w.some(known), tags=tags))


def untag(w: Workload, me: Customer) -> Call | None:
    known = [*me.instances, *me.groups]
    if not known:
        return None
    tags = [tags_pb2.TagSelector(key=w.one(["Name", "team", "cost"]))]
    return Call("Tags", "Delete", tags_pb2.DeleteTagsRequest(resource_ids=w.some(known), tags=tags))


def set_quota(w: Workload, me: Customer) -> Call:
    name = w.one(["instances", "vcpus", "memory_mib", "addresses", "security_groups"])
    limit = w.one({"memory_mib": [8192, 65536], "vcpus": [8, 64]}.get(name, [2, 10, 20]))
    request = quotas_pb2.SetQuotaRequest(account_id=me.account_id, name=name, limit=limit)
    return Call("Quotas", "Set", request)


def import_key(w: Workload, me: Customer) -> Call:
    name = w.fresh("key")
    me.keys.append(name)
    request = keys_pb2.ImportKeyPairRequest(key_name=name, public_key_material=PUBLIC_KEY)
    return Call("KeyPairs", "Import", request)


def delete_key(w: Workload, me: Customer) -> Call | None:
    if not me.keys:
        return None
    return Call("KeyPairs", "Delete", keys_pb2.DeleteKeyPairRequest(key_name=w.one(me.keys)))


def read_console(w: Workload, me: Customer) -> Call | None:
    if not me.instances:
        return None
    request = instances_pb2.InstanceRequest(instance_id=w.one(me.instances))
    return Call("Instances", "GetConsoleOutput", request)


def describe(w: Workload, me: Customer) -> Call:
    filters = []
    if w.chance(0.5):
        state = w.one(["running", "pending", "stopped", "stopping", "shutting-down", "terminated"])
        filters.append(common_pb2.Filter(name="instance-state-name", values=[state]))
    request = instances_pb2.DescribeInstancesRequest(filters=filters)
    return Call("Instances", "Describe", request)


def describe_network(w: Workload, me: Customer) -> Call:
    return w.one(
        [
            Call("SecurityGroups", "Describe", networks_pb2.DescribeSecurityGroupsRequest()),
            Call("Networks", "DescribeSubnets", networks_pb2.DescribeSubnetsRequest()),
            Call("Addresses", "Describe", networks_pb2.DescribeAddressesRequest()),
            Call("Tags", "Describe", tags_pb2.DescribeTagsRequest()),
            Call(
                "Networks",
                "DescribeNetworkInterfaces",
                networks_pb2.DescribeNetworkInterfacesRequest(),
            ),
        ]
    )


ACTIONS: list[tuple[Callable[[Workload, Customer], Call | None], int]] = [
    (run, 24),
    (start, 14),
    (stop, 12),
    (stop_by_force, 3),
    (reboot, 5),
    (terminate, 12),
    (modify, 9),
    (create_group, 5),
    (delete_group, 2),
    (authorize, 10),
    (revoke, 6),
    (allocate, 4),
    (associate, 10),
    (disassociate, 4),
    (release, 3),
    (tag, 4),
    (untag, 2),
    (import_key, 2),
    (delete_key, 1),
    (set_quota, 2),
    (read_console, 2),
    (describe, 6),
    (describe_network, 4),
]
