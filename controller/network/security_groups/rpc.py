"""The service SecurityGroups: from the wire to the rules and back."""

import random

from controller.hosts.feed import Feed
from controller.identity.quotas.rules import Quotas
from controller.kernel.call import Call
from controller.kernel.database import Database
from controller.network.security_groups import group_rules, groups
from controller.network.security_groups.describe import (
    describe_group,
    describe_groups,
    describe_rules,
)
from protos.cloud.v1 import common_pb2, networks_pb2


class SecurityGroupsServicer:
    def __init__(self, db: Database, rng: random.Random, quotas: Quotas, feed: Feed):
        self._db, self._rng, self._quotas, self._feed = db, rng, quotas, feed

    def Create(
        self, request: networks_pb2.CreateSecurityGroupRequest, call: Call
    ) -> networks_pb2.SecurityGroup:
        with self._db.write(call) as tx:
            group_id = groups.create(tx, self._rng, self._quotas, request)
            return describe_group(tx, group_id)

    def Describe(
        self, request: networks_pb2.DescribeSecurityGroupsRequest, call: Call
    ) -> networks_pb2.DescribeSecurityGroupsResponse:
        with self._db.read(call) as session:
            return describe_groups(session, call.account_id, request)

    def Delete(
        self, request: networks_pb2.SecurityGroupSelector, call: Call
    ) -> networks_pb2.SecurityGroupSelector:
        with self._db.write(call) as tx:
            group_id = groups.delete(tx, self._quotas, self._feed, request)
        return networks_pb2.SecurityGroupSelector(group_id=group_id)

    def AuthorizeIngress(
        self, request: networks_pb2.AuthorizeRequest, call: Call
    ) -> networks_pb2.SecurityGroupRules:
        return self._authorize(request, call, egress=False)

    def AuthorizeEgress(
        self, request: networks_pb2.AuthorizeRequest, call: Call
    ) -> networks_pb2.SecurityGroupRules:
        return self._authorize(request, call, egress=True)

    def RevokeIngress(
        self, request: networks_pb2.RevokeRequest, call: Call
    ) -> networks_pb2.RevokeResponse:
        with self._db.write(call) as tx:
            return group_rules.revoke(tx, self._feed, request, egress=False)

    def RevokeEgress(
        self, request: networks_pb2.RevokeRequest, call: Call
    ) -> networks_pb2.RevokeResponse:
        with self._db.write(call) as tx:
            return group_rules.revoke(tx, self._feed, request, egress=True)

    def ModifyRules(self, request: networks_pb2.ModifyRulesRequest, call: Call) -> common_pb2.Empty:
        with self._db.write(call) as tx:
            group_rules.modify(tx, self._feed, request)
        return common_pb2.Empty()

    def UpdateRuleDescriptionsIngress(
        self, request: networks_pb2.UpdateRuleDescriptionsRequest, call: Call
    ) -> common_pb2.Empty:
        with self._db.write(call) as tx:
            group_rules.update_descriptions(tx, request, egress=False)
        return common_pb2.Empty()

    def UpdateRuleDescriptionsEgress(
        self, request: networks_pb2.UpdateRuleDescriptionsRequest, call: Call
    ) -> common_pb2.Empty:
        with self._db.write(call) as tx:
            group_rules.update_descriptions(tx, request, egress=True)
        return common_pb2.Empty()

    def DescribeRules(
        self, request: networks_pb2.DescribeSecurityGroupRulesRequest, call: Call
    ) -> networks_pb2.SecurityGroupRules:
        with self._db.read(call) as session:
            return describe_rules(session, call.account_id, request)

    def _authorize(
        self, request: networks_pb2.AuthorizeRequest, call: Call, egress: bool
    ) -> networks_pb2.SecurityGroupRules:
        with self._db.write(call) as tx:
            rules = group_rules.authorize(tx, self._rng, self._quotas, self._feed, request, egress)
        return networks_pb2.SecurityGroupRules(rules=rules)
