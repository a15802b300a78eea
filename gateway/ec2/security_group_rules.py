"""Rules of security groups that are there: given other contents, or other descriptions only."""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.aws.renderers import View
from gateway.call import Call
from gateway.ec2.parameters import combination
from gateway.ec2.security_groups import (
    IpPermission,
    IpRange,
    Ipv6Range,
    UserIdGroupPair,
    rules_of,
    selector_of,
)
from protos.cloud.v1 import networks_pb2
from protos.errors import missing_parameter


@dataclass(frozen=True)
class RuleContents:
    ip_protocol: str = ""
    from_port: int | None = None
    to_port: int | None = None
    cidr_ipv4: str = ""
    cidr_ipv6: str = ""
    referenced_group_id: str = ""
    description: str = ""


@dataclass(frozen=True)
class RuleUpdate:
    security_group_rule_id: str = ""
    security_group_rule: RuleContents | None = None


@dataclass(frozen=True)
class RuleDescription:
    security_group_rule_id: str = ""
    description: str = ""


def modify_security_group_rules(
    call: Call, *, group_id: str, security_group_rules: Sequence[RuleUpdate]
) -> View:
    request = networks_pb2.ModifyRulesRequest(
        group=selector_of(group_id, ""), rules=[_updated(each) for each in security_group_rules]
    )
    call.clients.security_groups.ModifyRules(request, caller=call.caller)
    return {"Return": True}


def update_security_group_rule_descriptions_ingress(
    call: Call,
    *,
    group_id: str = "",
    group_name: str = "",
    ip_permissions: Sequence[IpPermission] = (),
    security_group_rule_descriptions: Sequence[RuleDescription] = (),
) -> View:
    request = _descriptions_request(
        group_id, group_name, ip_permissions, security_group_rule_descriptions
    )
    call.clients.security_groups.UpdateRuleDescriptionsIngress(request, caller=call.caller)
    return {"Return": True}


def update_security_group_rule_descriptions_egress(
    call: Call,
    *,
    group_id: str = "",
    group_name: str = "",
    ip_permissions: Sequence[IpPermission] = (),
    security_group_rule_descriptions: Sequence[RuleDescription] = (),
) -> View:
    request = _descriptions_request(
        group_id, group_name, ip_permissions, security_group_rule_descriptions
    )
    call.clients.security_groups.UpdateRuleDescriptionsEgress(request, caller=call.caller)
    return {"Return": True}


def _updated(given: RuleUpdate) -> networks_pb2.SecurityGroupRule:
    """All that the rule is to say: what is not given is not kept."""
    contents = given.security_group_rule
    if not given.security_group_rule_id or contents is None:
        raise missing_parameter("SecurityGroupRuleId and SecurityGroupRule")
    said = contents.description
    permission = IpPermission(
        ip_protocol=contents.ip_protocol,
        from_port=contents.from_port,
        to_port=contents.to_port,
        ip_ranges=[IpRange(contents.cidr_ipv4, said)] if contents.cidr_ipv4 else [],
        ipv6_ranges=[Ipv6Range(contents.cidr_ipv6, said)] if contents.cidr_ipv6 else [],
        user_id_group_pairs=[UserIdGroupPair(contents.referenced_group_id, description=said)]
        if contents.referenced_group_id
        else [],
    )
    rule, *more = rules_of([permission])
    if more:
        raise combination("A security group rule has one source or destination.")
    rule.rule_id = given.security_group_rule_id
    return rule


def _descriptions_request(
    group_id: str,
    group_name: str,
    permissions: Sequence[IpPermission],
    descriptions: Sequence[RuleDescription],
) -> networks_pb2.UpdateRuleDescriptionsRequest:
    return networks_pb2.UpdateRuleDescriptionsRequest(
        group=selector_of(group_id, group_name),
        rules=rules_of(permissions),
        descriptions=[
            networks_pb2.RuleDescription(
                rule_id=each.security_group_rule_id, description=each.description
            )
            for each in descriptions
        ],
    )
