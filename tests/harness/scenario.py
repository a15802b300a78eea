"""A fixed story for the crash tests: everything that a customer usually does, once.

    play(cloud) -> EndState     the same whatever was cut meanwhile

The customer is a patient script: what is not answered she asks again, with the same token or after
having looked. Two instances, a stop and a start, a reboot, rules that change while guests run, an
elastic address that moves, a termination.
"""

from collections.abc import Callable
from dataclasses import dataclass

from protos.cloud.v1 import instances_pb2, networks_pb2
from protos.errors import CloudError, Kind
from tests.harness.cloud import SimCloud
from tests.harness.customers import Call, Customer

LIMIT_MS = 300_000  # of simulated time for anything that is waited for
LOOK_MS = 1_000
WAITS_OUT = (Kind.UNAVAILABLE, Kind.NO_CAPACITY)  # the second: no host has reported yet


@dataclass(frozen=True)
class EndState:
    """What the customer has at the end, by her own eyes, without ids."""

    states: tuple[str, ...]  # of the instances, by launch index
    holder: int  # launch index of the instance that has the elastic address
    ports: tuple[int, ...]  # that the group lets in
    addresses: int


class Script:
    """One customer's calls, patient."""

    def __init__(self, cloud: SimCloud, customer: Customer):
        self.cloud, self._customer = cloud, customer

    def ask(self, service: str, method: str, request, *, done: tuple[Kind, ...] = ()):
        """The answer; None where a refusal of these kinds says that it is so already."""
        until = self.cloud.events.now_ms + LIMIT_MS
        tries = 0
        while True:
            try:
                return self.cloud.ask(self._customer, Call(service, method, request))
            except CloudError as refusal:
                if tries and refusal.kind in done:
                    return None
                if refusal.kind not in WAITS_OUT or self.cloud.events.now_ms > until:
                    raise
            tries += 1
            self.cloud.run_for(LOOK_MS)

    def instances(self) -> list:
        answer = self.ask("Instances", "Describe", instances_pb2.DescribeInstancesRequest())
        found = [instance for one in answer.reservations for instance in one.instances]
        return sorted(found, key=lambda instance: instance.ami_launch_index)

    def addresses(self) -> list:
        answer = self.ask("Addresses", "Describe", networks_pb2.DescribeAddressesRequest())
        return list(answer.addresses)

    def wait_for(self, what: str, happened: Callable[[], bool]) -> None:
        until = self.cloud.events.now_ms + LIMIT_MS
        while not happened():
            assert self.cloud.events.now_ms < until, f"{what} did not come about"
            self.cloud.run_for(LOOK_MS)

    def wait_for_states(self, *states: str) -> None:
        self.wait_for(
            f"states {states}", lambda: tuple(one.state for one in self.instances()) == states
        )


def play(cloud: SimCloud) -> EndState:
    """The story, to its end, until the cloud is quiesced."""
    script = Script(cloud, cloud.customers[0])
    group_id = _make_group(script)
    _let_in(script, group_id, 22)
    run = instances_pb2.RunInstancesRequest(
        image_id=cloud.customers[0].image_id,
        instance_type="t2.micro",
        min_count=2,
        max_count=2,
        client_token="the-story",
        security_group_ids=[group_id],
    )
    launched = script.ask("Instances", "Run", run).instances
    first, second = sorted(launched, key=lambda instance: instance.ami_launch_index)
    script.wait_for_states("running", "running")

    allocation_id = _allocate(script)
    _associate(script, allocation_id, first.instance_id)
    _change(script, "Stop", first.instance_id)
    script.wait_for_states("stopped", "running")
    _change(script, "Start", first.instance_id)
    _let_in(script, group_id, 443)
    script.wait_for_states("running", "running")

    reboot = instances_pb2.InstancesRequest(instance_ids=[second.instance_id])
    script.ask("Instances", "Reboot", reboot)
    _associate(script, allocation_id, second.instance_id)
    _shut_out(script, group_id, 22)
    _change(script, "Terminate", first.instance_id)
    script.wait_for_states("terminated", "running")
    cloud.quiesce()
    return _end_state(script, group_id)


def _make_group(script: Script) -> str:
    name = "web"
    request = networks_pb2.CreateSecurityGroupRequest(group_name=name, description="of the story")
    answer = script.ask("SecurityGroups", "Create", request, done=(Kind.EXISTS,))
    if answer is not None:
        return answer.group_id
    request = networks_pb2.DescribeSecurityGroupsRequest(group_names=[name])
    return script.ask("SecurityGroups", "Describe", request).groups[0].group_id


def _rule(port: int) -> networks_pb2.SecurityGroupRule:
    return networks_pb2.SecurityGroupRule(
        protocol="tcp", from_port=port, to_port=port, cidr_ipv4="0.0.0.0/0"
    )


def _let_in(script: Script, group_id: str, port: int) -> None:
    group = networks_pb2.SecurityGroupSelector(group_id=group_id)
    request = networks_pb2.AuthorizeRequest(group=group, rules=[_rule(port)])
    script.ask("SecurityGroups", "AuthorizeIngress", request, done=(Kind.EXISTS,))


def _shut_out(script: Script, group_id: str, port: int) -> None:
    group = networks_pb2.SecurityGroupSelector(group_id=group_id)
    request = networks_pb2.RevokeRequest(group=group, rules=[_rule(port)])
    script.ask("SecurityGroups", "RevokeIngress", request, done=(Kind.NOT_FOUND,))


def _allocate(script: Script) -> str:
    """Allocate has no token: who is not answered looks before she asks again."""
    while True:
        if held := script.addresses():
            return held[0].allocation_id
        try:
            request = networks_pb2.AllocateAddressRequest(domain="vpc")
            call = Call("Addresses", "Allocate", request)
            return script.cloud.ask(script.cloud.customers[0], call).allocation_id
        except CloudError as refusal:
            if refusal.kind is not Kind.UNAVAILABLE:
                raise
            script.cloud.run_for(LOOK_MS)


def _associate(script: Script, allocation_id: str, instance_id: str) -> None:
    request = networks_pb2.AssociateAddressRequest(
        allocation_id=allocation_id, instance_id=instance_id
    )
    script.ask("Addresses", "Associate", request)


def _change(script: Script, method: str, instance_id: str) -> None:
    kind = (
        instances_pb2.StopInstancesRequest if method == "Stop" else instances_pb2.InstancesRequest
    )
    script.ask("Instances", method, kind(instance_ids=[instance_id]))


def _end_state(script: Script, group_id: str) -> EndState:
    instances = script.instances()
    addresses = script.addresses()
    request = networks_pb2.DescribeSecurityGroupsRequest(group_ids=[group_id])
    rules = script.ask("SecurityGroups", "Describe", request).groups[0].rules
    holder = {one.instance_id: one.ami_launch_index for one in instances}
    return EndState(
        tuple(one.state for one in instances),
        holder.get(addresses[0].instance_id, -1),
        tuple(sorted(rule.from_port for rule in rules if not rule.egress)),
        len(addresses),
    )
