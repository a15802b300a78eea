"""Changes of the network reach hosts: rules and addresses at once, members by the next report."""

import threading

import pytest

from protos.cloud.v1 import networks_pb2 as pb
from protos.errors import CloudError, Kind
from tests.unit.controller.cloud import Cloud


@pytest.fixture
def cloud(tmp_path):
    return Cloud(tmp_path, hosts=2)


def call(cloud, service, method, request, account=None):
    caller = (account or cloud.alice).caller()
    return getattr(cloud.client(service), method)(request, caller=caller)


def make_group(cloud, name):
    request = pb.CreateSecurityGroupRequest(group_name=name, description=name)
    return call(cloud, "SecurityGroups", "Create", request).group_id


def ingress(cloud, group_id, **peer):
    rule = pb.SecurityGroupRule(protocol="tcp", from_port=22, to_port=22, **peer)
    request = pb.AuthorizeRequest(group=pb.SecurityGroupSelector(group_id=group_id), rules=[rule])
    call(cloud, "SecurityGroups", "AuthorizeIngress", request)


def allocate(cloud):
    return call(cloud, "Addresses", "Allocate", pb.AllocateAddressRequest())


def associate(cloud, address, instance_id):
    request = pb.AssociateAddressRequest(
        allocation_id=address.allocation_id, instance_id=instance_id
    )
    return call(cloud, "Addresses", "Associate", request)


def host_of(cloud, instance_id):
    return next(host for host in cloud.hosts.values() if instance_id in host.specs)


def group_on(host, group_id):
    """The group as the host knows it, or None."""
    found = [
        group
        for vpc in host.vpcs.values()
        for group in vpc.security_groups
        if group.group_id == group_id
    ]
    return found[0] if found else None


def public_on(host):
    return {
        pair.public_ip: pair.private_ip
        for vpc in host.vpcs.values()
        for pair in vpc.public_addresses
    }


def test_a_rule_is_sent_to_the_hosts_of_its_vpc_at_once(cloud):
    web = make_group(cloud, "web")
    (instance_id,) = cloud.run_ids(1, security_group_ids=[web])
    host = host_of(cloud, instance_id)
    assert [rule.egress for rule in group_on(host, web).rules] == [True]
    ingress(cloud, web, cidr_ipv4="100.68.0.18/18")
    assert cloud.app.dispatch_pending() >= 1
    (rule,) = [rule for rule in group_on(host, web).rules if not rule.egress]
    assert (rule.protocol, rule.from_port, rule.cidr_ipv4) == ("tcp", 22, "100.68.0.0/18")
    ask = pb.DescribeSecurityGroupRulesRequest()
    rules = call(cloud, "SecurityGroups", "DescribeRules", ask).rules
    (changed,) = [one for one in rules if one.group_id == web and not one.egress]
    changed.to_port = 25
    group = pb.SecurityGroupSelector(group_id=web)
    change = pb.ModifyRulesRequest(group=group, rules=[changed])
    call(cloud, "SecurityGroups", "ModifyRules", change)
    assert cloud.app.dispatch_pending() >= 1
    (rule,) = [rule for rule in group_on(host, web).rules if not rule.egress]
    assert (rule.from_port, rule.to_port) == (22, 25)


def test_members_of_a_group_that_rules_refer_to_are_known_on_every_host(cloud):
    web, db = make_group(cloud, "web"), make_group(cloud, "db")
    ingress(cloud, db, peer_group={"group_id": web})
    (behind,) = cloud.run_ids(1, security_group_ids=[db])
    in_front = cloud.run_ids(4, security_group_ids=[web])
    addresses = {instance.private_ip_address for instance in cloud.describe(*in_front)}
    host = host_of(cloud, behind)
    assert set(group_on(host, web).member_addresses) == addresses
    cloud.on("Terminate", in_front[:2])
    cloud.converge()
    left = {instance.private_ip_address for instance in cloud.describe(*in_front[2:])}
    assert set(group_on(host, web).member_addresses) == left


def test_an_elastic_address_reaches_its_host_and_leaves_it(cloud):
    one, other = cloud.run_ids(2)
    lent = {i.instance_id: i.public_ip_address for i in cloud.describe(one, other)}
    address = allocate(cloud)
    for target, left in ((one, other), (other, one)):
        associate(cloud, address, target)
        cloud.app.dispatch_pending()
        host, (instance,) = host_of(cloud, target), cloud.describe(target)
        assert instance.public_ip_address == address.public_ip
        assert public_on(host)[address.public_ip] == instance.private_ip_address
        assert host.specs[target].nics[0].public_ip_address == address.public_ip
        assert host_of(cloud, left).specs[left].nics[0].public_ip_address != address.public_ip
    (first,) = cloud.describe(one)
    assert first.public_ip_address not in ("", address.public_ip, lent[one])
    cloud.converge()
    assert public_on(host_of(cloud, one))[first.public_ip_address] == first.private_ip_address
    every = {ip for host in cloud.hosts.values() for ip in public_on(host)}
    assert lent[other] not in every


def test_elastic_addresses_outlive_stop_and_termination(cloud):
    (instance_id,) = cloud.run_ids(1)
    address = allocate(cloud)
    associate(cloud, address, instance_id)
    cloud.on("Stop", [instance_id])
    cloud.converge()
    assert cloud.describe(instance_id)[0].public_ip_address == address.public_ip
    cloud.on("Start", [instance_id])
    cloud.converge()
    assert cloud.describe(instance_id)[0].public_ip_address == address.public_ip
    cloud.on("Terminate", [instance_id])
    cloud.converge()
    request = pb.DescribeAddressesRequest(allocation_ids=[address.allocation_id])
    (left,) = call(cloud, "Addresses", "Describe", request).addresses
    assert (left.instance_id, left.association_id) == ("", "")
    assert cloud.discrepancies() == []


def test_what_a_launch_takes_its_end_gives_back(cloud):
    def free():
        answer = call(cloud, "Networks", "DescribeSubnets", pb.DescribeSubnetsRequest())
        return answer.subnets[0].available_ip_address_count

    web, before = make_group(cloud, "web"), free()
    ids = cloud.run_ids(3, security_group_ids=[web])
    assert free() == before - 3
    with pytest.raises(CloudError) as refusal:
        call(cloud, "SecurityGroups", "Delete", pb.SecurityGroupSelector(group_id=web))
    assert (refusal.value.kind, refusal.value.reason) == (Kind.WRONG_STATE, "in-use")
    cloud.on("Terminate", ids)
    cloud.converge()
    assert free() == before
    call(cloud, "SecurityGroups", "Delete", pb.SecurityGroupSelector(group_id=web))
    nics = call(
        cloud, "Networks", "DescribeNetworkInterfaces", pb.DescribeNetworkInterfacesRequest()
    )
    assert not nics.network_interfaces


def test_many_callers_at_once_never_share_an_address(cloud):
    ready, addresses = threading.Barrier(6), []

    def ask():
        ready.wait()
        for _ in range(3):
            addresses.append(allocate(cloud).public_ip)
        cloud.db.close()

    callers = [threading.Thread(target=ask) for _ in range(6)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(addresses) == len(set(addresses)) == 18


def test_a_lent_address_that_went_back_is_gone_from_the_instance_on_its_host(cloud):
    """The metadata service reads it there; the pool has long lent it to somebody else."""
    (stopped,) = cloud.run_ids(1)
    cloud.converge()
    host = host_of(cloud, stopped)
    assert host.specs[stopped].nics[0].public_ip_address
    cloud.on("Stop", [stopped])
    cloud.converge()
    assert cloud.states(stopped) == ["stopped"]
    assert host.specs[stopped].nics[0].public_ip_address == ""
    assert public_on(host) == {}
