"""Controller and hosts: what hosts are told, what of their reports counts, and that lost messages
cost nothing."""

import pytest

from controller.tables.hosts import Assignment, Host
from controller.tables.storage import HostImage
from protos.cloud.v1 import fleet_pb2, instances_pb2, networks_pb2
from protos.errors import CloudError, Kind
from tests.unit.controller.cloud import DIGEST, Cloud
from tests.unit.controller.obedient import told


@pytest.fixture
def cloud(tmp_path):
    return Cloud(tmp_path)


def host_row(cloud):
    with cloud.db.read() as session:
        return session.one(Host.select())


def assignment(cloud, resource_id):
    with cloud.db.read() as session:
        return session.one(Assignment.select().where(Assignment.resource_id == resource_id))


def only(reservation) -> str:
    (instance,) = reservation.instances
    return instance.instance_id


# --- reports --------------------------------------------------------------------------------------


def test_a_host_reports_for_itself_only(cloud):
    other = cloud.add_host(1)
    with pytest.raises(CloudError) as caught:
        cloud.fleet(other.host_id).Report(cloud.host.report())
    assert caught.value.kind is Kind.DENIED


def test_a_host_that_never_joined_is_refused(cloud):
    report = fleet_pb2.HostReport(host_id="h-00000000000000bad", epoch=1, sequence=1)
    with pytest.raises(CloudError) as caught:
        cloud.fleet("h-00000000000000bad").Report(report)
    assert (caught.value.kind, caught.value.noun) == (Kind.NOT_FOUND, "host")


def test_facts_usage_and_images_are_noted(cloud):
    facts = cloud.host.facts
    facts.version, facts.features[:] = "1.2", ["nested"]
    cloud.host.heartbeat(
        facts=facts,
        usage=fleet_pb2.HostUsage(load_1m=0.5, memory_available_mib=7, disk_free_gib=9),
        orphans=["stranger"],
        orphans_known=True,
        cached_images=[DIGEST, "sha256:other"],
        cached_images_known=True,
    )
    row = host_row(cloud)
    assert (row.version, row.features, row.load_1m) == ("1.2", '["nested"]', "0.50")
    assert (row.memory_available_mib, row.disk_free_gib) == (7, 9)
    assert row.orphans == '["stranger"]'
    cloud.host.heartbeat(cached_images=[DIGEST], cached_images_known=True)
    cloud.host.heartbeat()
    with cloud.db.read() as session:
        assert [one.digest for one in session.rows(HostImage.select())] == [DIGEST]
    assert host_row(cloud).orphans == '["stranger"]', "not said is not empty"


def test_late_and_doubled_reports_touch_nothing(cloud):
    one = only(cloud.run())
    cloud.app.dispatch_pending()
    cloud.host.see(one, fleet_pb2.PREPARING)
    early = cloud.host.report()
    cloud.host.see(one, fleet_pb2.OBSERVED_RUNNING)
    late = cloud.host.report()
    fleet = cloud.fleet(cloud.host.host_id)
    fleet.Report(late)
    for stale in (early, late, early):
        answer = fleet.Report(stale)
        assert answer.acknowledged_sequence == late.sequence
    assert cloud.states(one) == ["running"]
    assert host_row(cloud).sequence == late.sequence


def test_a_new_epoch_counts_from_anew(cloud):
    (one,) = cloud.run_ids()
    cloud.host.epoch += 1
    cloud.host.sequence = 0
    cloud.host.see(one, fleet_pb2.EXITED)
    cloud.host.heartbeat()
    assert cloud.states(one) == ["stopping"]


def test_what_was_acknowledged_is_not_said_again(cloud):
    (one,) = cloud.run_ids()
    assert cloud.host.observed == {}
    seen = assignment(cloud, one)
    assert (seen.epoch, seen.observed) == (1, "running")


def test_an_answer_holds_what_changed_since_and_nothing_else(cloud):
    first, second = cloud.run_ids(2)
    cloud.on("Stop", [first])
    answer = cloud.fleet(cloud.host.host_id).Report(cloud.host.report())
    assert list(told(answer, "instance")) == [first]
    assert told(answer, "instance")[first].desired == fleet_pb2.STOPPED
    assert answer.base == cloud.host.position < answer.position
    assert len(answer.assignments) == 1
    cloud.host.take_in(answer)
    quiet = cloud.fleet(cloud.host.host_id).Report(cloud.host.report())
    assert (len(quiet.assignments), quiet.base) == (0, quiet.position)
    assert quiet.settings.report_interval_ms == 5000
    assert second in cloud.host.specs


def test_a_host_that_knows_nothing_is_told_everything(cloud):
    ids = cloud.run_ids(3)
    report = cloud.host.report()
    report.position = 0
    answer = cloud.fleet(cloud.host.host_id).Report(report)
    assert sorted(told(answer, "instance")) == sorted(ids)
    assert (answer.base, len(told(answer, "vpc"))) == (0, 1)


def test_a_database_older_than_what_the_host_knows_goes_on_behind_it(cloud):
    ids = cloud.run_ids(2)
    cloud.host.position = 1000
    for name in ids:
        cloud.host.revisions[name] = 20
        cloud.host.see(name, fleet_pb2.OBSERVED_RUNNING)
    cloud.host.heartbeat()
    assert cloud.host.position > 1000
    assert {cloud.host.revisions[name] for name in ids} == {21}
    cloud.converge()
    assert cloud.states(*ids) == ["running", "running"]
    cloud.on("Stop", ids)
    cloud.converge()
    assert cloud.states(*ids) == ["stopped", "stopped"]


def test_what_was_seen_under_a_lost_intent_proves_nothing(cloud):
    """The database is from before a stop and a start, whose guest powered itself off."""
    (one,) = cloud.run_ids()
    cloud.host.revisions[one], cloud.host.specs[one].starts = 20, 2
    cloud.host.see(one, fleet_pb2.EXITED)
    cloud.host.heartbeat()
    assert cloud.states(one) == ["pending"]
    assert cloud.host.specs[one].starts == 2, "the host counts its starts; none is taken for spent"
    cloud.host.see(one, fleet_pb2.EXITED)
    cloud.host.heartbeat()
    cloud.converge()
    assert cloud.states(one) == ["stopped"]


# --- sending --------------------------------------------------------------------------------------


def test_commits_close_together_are_one_sending(cloud):
    for _ in range(3):
        cloud.run()
    assert cloud.app.dispatch_pending() == 1
    (sent,) = cloud.host.applied
    assert len(told(sent, "instance")) == 3


def test_a_sending_that_is_lost_costs_a_heartbeat(cloud):
    cloud.host.reachable = False
    one = only(cloud.run())
    cloud.app.dispatch_pending()
    assert cloud.host.applied == []
    cloud.host.reachable = True
    cloud.converge()
    assert cloud.states(one) == ["running"]


def test_an_unreachable_host_is_left_alone_for_a_while(cloud):
    cloud.host.reachable = False
    cloud.run()
    cloud.app.dispatch_pending()
    cloud.host.reachable = True
    cloud.run()
    cloud.app.dispatch_pending()
    assert cloud.host.applied == [], "its report is answered with the same"
    cloud.now_ms += 10_000
    cloud.run()
    cloud.app.dispatch_pending()
    assert len(told(cloud.host.applied[0], "instance")) == 3


def test_the_next_sending_starts_where_the_last_ended(cloud):
    first = only(cloud.run())
    cloud.app.dispatch_pending()
    second = only(cloud.run())
    cloud.app.dispatch_pending()
    assert [list(told(sent, "instance")) for sent in cloud.host.applied] == [[first], [second]]


def test_what_an_answer_says_counts_like_a_report(cloud):
    host = cloud.host
    answer = host.Apply

    def quick(spec, *, timeout_s=0.0):
        answer(spec)
        host.work()
        return host.report()

    host.Apply = quick
    one = only(cloud.run())
    cloud.app.dispatch_pending()
    assert cloud.states(one) == ["running"]


def test_a_rehearsal_sends_nothing(cloud):
    (one,) = cloud.run_ids()
    with pytest.raises(CloudError):
        cloud.instances.Terminate(
            instances_pb2.InstancesRequest(instance_ids=[one]),
            caller=cloud.alice.caller(dry_run=True),
        )
    assert cloud.app.dispatch_pending() == 0
    assert cloud.states(one) == ["running"]


def test_images_leave_threads_for_reports(cloud):
    from_store = cloud.store.add([b"\xff" * 1024], "raw", 1 << 20)
    fleet = cloud.fleet(cloud.host.host_id)
    request = fleet_pb2.FetchImageRequest(digest=from_store.digest, offset=1000)
    assert b"".join(chunk.data for chunk in fleet.FetchImage(request)) == b"\xff" * 24
    streams = [fleet.FetchImage(request) for _ in range(cloud.config.rpc_threads // 2 + 1)]
    with pytest.raises(CloudError) as caught:
        for stream in streams:
            next(stream)
    assert caught.value.kind is Kind.UNAVAILABLE
    for stream in streams:
        stream.close()
    assert next(fleet.FetchImage(request)).data == b"\xff" * 24


# --- several hosts --------------------------------------------------------------------------------


def test_members_on_other_hosts_are_heard_of_by_the_next_report_and_rules_at_once(tmp_path):
    cloud = Cloud(tmp_path, hosts=2)
    cloud.run_ids(2)  # spread: one on each
    one, other = cloud.hosts.values()
    assert len(one.specs) == len(other.specs) == 1
    for host in (one, other):
        host.applied.clear()
    cloud.run()
    cloud.app.dispatch_pending()
    sent_to, untold = (one, other) if one.applied else (other, one)
    assert untold.applied == []
    untold.heartbeat()

    def members(host):
        (vpc,) = host.vpcs.values()
        return sorted(ip for group in vpc.security_groups for ip in group.member_addresses)

    assert members(one) == members(other)
    assert len(members(one)) == 3
    for host in (one, other):
        host.applied.clear()
    cloud.client("SecurityGroups").AuthorizeIngress(
        networks_pb2.AuthorizeRequest(
            group=networks_pb2.SecurityGroupSelector(group_name="default"),
            rules=[
                networks_pb2.SecurityGroupRule(
                    protocol="tcp", from_port=22, to_port=22, cidr_ipv4="0.0.0.0/0"
                )
            ],
        ),
        caller=cloud.alice.caller(),
    )
    cloud.app.dispatch_pending()
    for host in (sent_to, untold):
        (sent,) = host.applied
        (vpc,) = told(sent, "vpc").values()
        (group,) = vpc.security_groups
        assert (22, 22) in {(rule.from_port, rule.to_port) for rule in group.rules}


def test_a_group_that_a_rule_refers_to_is_told_with_its_members(cloud):
    groups = cloud.client("SecurityGroups")
    caller = cloud.alice.caller()
    web, db = (
        groups.Create(
            networks_pb2.CreateSecurityGroupRequest(group_name=name, description="d"),
            caller=caller,
        ).group_id
        for name in ("web", "db")
    )
    rule = networks_pb2.SecurityGroupRule(
        protocol="tcp",
        from_port=5432,
        to_port=5432,
        peer_group=networks_pb2.SecurityGroupPeer(group_id=web),
    )
    groups.AuthorizeIngress(
        networks_pb2.AuthorizeRequest(
            group=networks_pb2.SecurityGroupSelector(group_id=db), rules=[rule]
        ),
        caller=caller,
    )
    cloud.run_ids(security_group_ids=[db])
    (web_instance,) = cloud.run_ids(security_group_ids=[web])
    address = cloud.describe(web_instance)[0].private_ip_address
    (vpc,) = cloud.host.vpcs.values()
    known = {group.group_id: group for group in vpc.security_groups}
    assert known[web].member_addresses == [address]
    assert [one.group_id for one in known[db].rules if not one.egress] == [web]


def test_a_vpc_is_forgotten_with_its_last_instance(cloud):
    (one,) = cloud.run_ids()
    cloud.on("Terminate", [one])
    cloud.converge()
    with cloud.db.read() as session:
        assert session.rows(Assignment.select()) == []


def test_two_accounts_share_a_host_and_their_specs_do_not_mix(cloud):
    for account in (cloud.alice, cloud.bob):
        cloud.run_ids(account=account)
    alices, bobs = sorted(
        cloud.host.vpcs.values(), key=lambda vpc: vpc.account_id != cloud.alice.account_id
    )
    assert alices.cidr_blocks == bobs.cidr_blocks
    assert {group.group_id for group in alices.security_groups}.isdisjoint(
        group.group_id for group in bobs.security_groups
    )


# --- health ---------------------------------------------------------------------------------------


def test_silence_is_noticed_then_mourned_then_forgiven(cloud):
    (one,) = cloud.run_ids()
    health = []
    for later_ms in (14_000, 2_000, 43_000, 2_000):
        cloud.tasks(later_ms)
        health.append(host_row(cloud).health)
    assert health == ["up", "silent", "silent", "lost"]
    assert cloud.states(one) == ["running"], "not seeing is not knowing"
    cloud.host.heartbeat()
    assert host_row(cloud).health == "up"


def test_a_controller_that_has_just_started_has_heard_nobody_yet(tmp_path):
    cloud = Cloud(tmp_path)
    cloud.db.close()
    cloud.now_ms += 3_600_000
    again = cloud.rebuild()
    again.tasks(14_000)
    assert host_row(again).health == "up"
    again.tasks(2_000)
    assert host_row(again).health == "silent"
