"""Calls about security groups and their rules."""

from protos.cloud.v1 import networks_pb2
from tests.harness.customers import Call, Customer
from tests.harness.draw import Draw


def create_group(d: Draw, me: Customer) -> Call:
    name = d.fresh("group")
    request = networks_pb2.CreateSecurityGroupRequest(group_name=name, description="of a test")
    if me.vpcs and d.chance(0.4):
        request.vpc_id = d.one(me.vpcs)
    return Call("SecurityGroups", "Create", request)


def delete_group(d: Draw, me: Customer) -> Call | None:
    if not me.groups:
        return None
    request = networks_pb2.SecurityGroupSelector(group_id=d.one(me.groups))
    return Call("SecurityGroups", "Delete", request)


def authorize(d: Draw, me: Customer) -> Call | None:
    if not me.groups:
        return None
    port = d.between(1, 9000)
    rule = networks_pb2.SecurityGroupRule(protocol="tcp", from_port=port, to_port=port)
    if d.chance(0.3):
        rule.peer_group.group_id = d.one(me.groups)
    else:
        rule.cidr_ipv4 = f"198.51.100.{d.between(0, 255)}/32"
    group = networks_pb2.SecurityGroupSelector(group_id=d.one(me.groups))
    method = "AuthorizeIngress" if d.chance(0.8) else "AuthorizeEgress"
    return Call("SecurityGroups", method, networks_pb2.AuthorizeRequest(group=group, rules=[rule]))


def revoke(d: Draw, me: Customer) -> Call | None:
    if not me.rules:
        return None
    group_id, rule_id, egress = d.one(me.rules)
    group = networks_pb2.SecurityGroupSelector(group_id=group_id)
    request = networks_pb2.RevokeRequest(group=group, rule_ids=[rule_id])
    return Call("SecurityGroups", "RevokeEgress" if egress else "RevokeIngress", request)


ACTIONS = (
    (create_group, 5),
    (delete_group, 2),
    (authorize, 10),
    (revoke, 6),
)
