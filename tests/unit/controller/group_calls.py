"""Calls about security groups and their rules, as an account's: for tests of their rules."""

from protos.cloud.v1 import networks_pb2 as pb
from tests.unit.controller.resource_world import ANN


def create(world, name="web", account_id=ANN, dry_run=False, **fields):
    request = pb.CreateSecurityGroupRequest(group_name=name, **{"description": "d", **fields})
    return world.groups.Create(request, world.call(account_id, dry_run=dry_run))


def rule(**fields):
    asked = {"protocol": "tcp", "from_port": 22, "to_port": 22, **fields}
    if not {"cidr_ipv4", "cidr_ipv6", "peer_group"} & asked.keys():
        asked["cidr_ipv4"] = "10.0.0.0/8"
    return pb.SecurityGroupRule(**asked)


def selector(group):
    return pb.SecurityGroupSelector(group_id=group.group_id)


def authorize(world, group, *rules, egress=False, account_id=ANN, **fields):
    act = world.groups.AuthorizeEgress if egress else world.groups.AuthorizeIngress
    request = pb.AuthorizeRequest(group=selector(group), rules=rules, **fields)
    return act(request, world.call(account_id)).rules


def revoke(world, group, *rules, rule_ids=(), egress=False):
    act = world.groups.RevokeEgress if egress else world.groups.RevokeIngress
    return act(
        pb.RevokeRequest(group=selector(group), rules=rules, rule_ids=rule_ids), world.call()
    )


def describe(world, account_id=ANN, **asked):
    return world.groups.Describe(
        pb.DescribeSecurityGroupsRequest(**asked), world.call(account_id)
    ).groups
