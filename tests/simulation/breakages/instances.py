"""How invariants about instances, what they claim and what was promised of them fail: ways to break
a quiesced cloud (test_invariants).
"""

from hostagent.compute.drivers import Power
from hostagent.compute.hypervisors.fake_guests import Guest
from protos.cloud.v1 import instances_pb2
from protos.errors import CloudError, Kind
from tests.harness.customers import Call
from tests.harness.invariants import claims, course, machines, promises
from tests.harness.populated import PopulatedCloud


def _oversell(c: PopulatedCloud) -> None:
    c.sql("UPDATE host SET memory_mib = 1")


def _launch_on_silent_host(c: PopulatedCloud) -> None:
    c.sql("UPDATE host SET health = 'silent'")
    c.sql("UPDATE placement SET placement_id = 'pl-1' WHERE instance_id = ?", c.running)


def _miscount_host(c: PopulatedCloud) -> None:
    c.sql("UPDATE host SET vcpus_used = vcpus_used + 1")


def _claim_too_much(c: PopulatedCloud) -> None:
    c.sql("UPDATE placement SET vcpus = vcpus + 1 WHERE instance_id = ?", c.running)


def _give_claim_away(c: PopulatedCloud) -> None:
    c.sql("UPDATE placement SET vcpus = 0, memory_mib = 0 WHERE instance_id = ?", c.running)


def _miscount_quota(c: PopulatedCloud) -> None:
    c.sql("UPDATE quota SET used = used + 1 WHERE name = 'instances'")


def _leave_volume_row(c: PopulatedCloud) -> None:
    move = "UPDATE attachment SET instance_id = ? WHERE instance_id = ? AND kind = 'volume'"
    c.sql(move, c.gone, c.stopped)


def _leave_interface(c: PopulatedCloud) -> None:
    which = "instance_id = ? AND kind = 'network_interface'"
    c.sql(f"UPDATE attachment SET instance_id = ? WHERE {which}", c.gone, c.stopped)


def _detach_volume(c: PopulatedCloud) -> None:
    c.sql("DELETE FROM attachment WHERE instance_id = ?", c.stopped)
    c.sql("UPDATE instance SET terminated_ms = 1 WHERE instance_id = ?", c.stopped)


def _share_private_address(c: PopulatedCloud) -> None:
    c.sql("UPDATE network_interface SET private_ip = '172.31.0.9'")


def _use_reserved_address(c: PopulatedCloud) -> None:
    c.sql("UPDATE network_interface SET private_ip = '172.31.0.1'")


def _share_mac(c: PopulatedCloud) -> None:
    c.sql("UPDATE network_interface SET mac_address = '02:00:00:00:00:01'")


def _share_public_address(c: PopulatedCloud) -> None:
    c.sql("UPDATE network_interface SET public_ip = (SELECT max(public_ip) FROM public_address)")


def _keep_lent_address(c: PopulatedCloud) -> None:
    account_id = c.cloud.customers[0].account_id
    c.sql("UPDATE public_address SET account_id = ? WHERE account_id IS NULL", account_id)


def _fall_back(c: PopulatedCloud) -> None:
    c.sql("UPDATE host SET position = position - 1")


def _work_twice(c: PopulatedCloud) -> None:
    c.host._at_checkpoint("agent: begin instance i-1 guest")
    c.host._at_checkpoint("agent: begin instance i-1 guest")


def _take_in_late_report(c: PopulatedCloud) -> None:
    c.sql("UPDATE assignment SET sequence = 0, epoch = 0")


def _lose_ledger(c: PopulatedCloud) -> None:
    c.host.ledger_file.execute("UPDATE host SET value = '0' WHERE key = 'position'")


def _answer_before_it_is_durable(c: PopulatedCloud) -> None:
    c.sql("UPDATE host SET known_position = 1000, position = 1000")


def _bring_back(c: PopulatedCloud) -> None:
    c.sql("UPDATE instance SET desired = 'running' WHERE instance_id = ?", c.gone)


def _haunt(c: PopulatedCloud) -> None:
    c.host.state.guests[c.gone] = Guest(Power.RUNNING.value)


def _split_token(c: PopulatedCloud) -> None:
    c.sql("UPDATE instance SET reservation_id = 'r-1' WHERE instance_id = ?", c.running)


def _lose_reference(c: PopulatedCloud) -> None:
    c.sql("DELETE FROM vpc")


def _tell_another(c: PopulatedCloud) -> None:
    alice, bob = c.cloud.customers
    call = Call("Instances", "Describe", instances_pb2.DescribeInstancesRequest())
    c.cloud.answers.answered(bob, call, c.cloud.ask(alice, call))


def _keep_of_refused(c: PopulatedCloud) -> None:
    call = Call("Instances", "Run", instances_pb2.RunInstancesRequest())
    refusal = CloudError(Kind.QUOTA, "no more")
    c.cloud.answers.refused(c.cloud.customers[0], call, refusal, kept=True)


def _answer_with_defect(c: PopulatedCloud) -> None:
    call = Call("Instances", "Run", instances_pb2.RunInstancesRequest())
    refusal = CloudError(Kind.BUG, "An internal error has occurred.")
    c.cloud.answers.refused(c.cloud.customers[0], call, refusal, kept=False)


def _lose_instance(c: PopulatedCloud) -> None:
    c.sql("DELETE FROM instance WHERE instance_id = ?", c.stopped)


def _stop_unasked(c: PopulatedCloud) -> None:
    c.sql("UPDATE instance SET desired = 'stopped' WHERE instance_id = ?", c.running)


def _launch_unasked(c: PopulatedCloud) -> None:
    del c.cloud.answers.instances[c.running]


def _lose_rule(c: PopulatedCloud) -> None:
    c.sql("DELETE FROM security_group_rule")


def _lose_association(c: PopulatedCloud) -> None:
    c.sql(
        "UPDATE network_interface SET public_ip = NULL WHERE network_interface_id IN"
        " (SELECT device_id FROM attachment WHERE instance_id = ?)",
        c.connected,
    )


def _lose_tag(c: PopulatedCloud) -> None:
    c.sql("DELETE FROM tag")


def _lose_quota(c: PopulatedCloud) -> None:
    c.sql("UPDATE quota SET maximum = 7 WHERE name = 'vcpus'")


def _run_twice(c: PopulatedCloud) -> None:
    c.elsewhere.state.guests[c.running] = Guest(Power.RUNNING.value)


def _leave_elsewhere(c: PopulatedCloud) -> None:
    c.elsewhere.state.guests[c.running] = Guest(Power.OFF.value)


def _share_guests_address(c: PopulatedCloud) -> None:
    for host in c.cloud.hosts:
        for entry in host.ledger.instances.all().values():
            entry.spec.nics[0].mac_address = "02:00:00:00:00:01"


def _lose_guest(c: PopulatedCloud) -> None:
    del c.host.state.guests[c.running]


def _fail_check(c: PopulatedCloud) -> None:
    c.sql("UPDATE placement SET status_check = 'failed' WHERE instance_id = ?", c.running)


def _lose_volume(c: PopulatedCloud) -> None:
    c.host.volumes.made.clear()


def _leave_volume(c: PopulatedCloud) -> None:
    c.host.volumes.made["vol-1"] = 1


def _leave_tap(c: PopulatedCloud) -> None:
    c.host.network.ports["eni-1"] = True


def _leave_vpc(c: PopulatedCloud) -> None:
    c.elsewhere.network.made["vpc-1"] = c.vpc


def _leave_console(c: PopulatedCloud) -> None:
    (c.host.consoles / f"{c.gone}.log").touch()


def _unplug(c: PopulatedCloud) -> None:
    c.host.network.ports.clear()


def _stop_telling(c: PopulatedCloud) -> None:
    c.sql("UPDATE host SET known_position = position - 1")


def _count_silent(c: PopulatedCloud) -> None:
    c.sql("UPDATE host SET health = 'silent'")


def _leave_stale_rule(c: PopulatedCloud) -> None:
    c.vpc.security_groups[0].rules.add(cidr_ipv4="0.0.0.0/0", protocol="-1")


def _leave_stale_member(c: PopulatedCloud) -> None:
    for group in c.vpc.security_groups:
        group.member_addresses.append("172.31.0.99")


def _leave_stale_nat(c: PopulatedCloud) -> None:
    del c.vpc.public_addresses[:]


def _leave_stale_tenant(c: PopulatedCloud) -> None:
    c.host.network.tenants[c.vpc.vpc_id] = []


def _require_tokens(c: PopulatedCloud) -> None:
    c.sql("UPDATE instance SET metadata_http_tokens = 'required'")


def _show_tags(c: PopulatedCloud) -> None:
    c.sql("UPDATE instance SET metadata_tags = 'enabled'")


def _ask_for_ever(c: PopulatedCloud) -> None:
    c.sql("UPDATE instance SET metadata_revision = revision + 1")


CASES = (
    (claims.no_host_is_oversubscribed, _oversell),
    (claims.launches_go_to_hosts_that_are_up, _launch_on_silent_host),
    (claims.host_usage_is_the_sum_of_the_living, _miscount_host),
    (claims.a_claim_is_the_instances_size, _claim_too_much),
    (claims.a_claim_is_the_instances_size, _give_claim_away),
    (claims.every_living_guest_has_its_claim, _give_claim_away),
    (claims.quota_usage_is_the_sum_of_the_living, _miscount_quota),
    (claims.nothing_outlives_its_instance, _leave_volume_row),
    (claims.nothing_outlives_its_instance, _leave_interface),
    (claims.nothing_outlives_its_instance, _detach_volume),
    (claims.a_private_address_has_one_owner, _share_private_address),
    (claims.a_private_address_has_one_owner, _use_reserved_address),
    (claims.a_mac_address_has_one_owner, _share_mac),
    (claims.a_public_address_has_one_owner, _share_public_address),
    (claims.a_public_address_has_one_owner, _keep_lent_address),
    (course.revisions_never_fall, _fall_back),
    (course.no_assignment_has_two_workers, _work_twice),
    (course.reports_are_taken_in_in_order, _take_in_late_report),
    (course.hosts_ledgers_never_forget, _lose_ledger),
    (course.hosts_ledgers_never_forget, _answer_before_it_is_durable),
    (course.terminated_is_final, _bring_back),
    (course.who_is_gone_stays_away, _haunt),
    (course.a_client_token_made_one_set, _split_token),
    (course.every_reference_is_answered, _lose_reference),
    (promises.calls_keep_their_word, _tell_another),
    (promises.calls_keep_their_word, _keep_of_refused),
    (promises.calls_keep_their_word, _answer_with_defect),
    (promises.no_instance_is_lost, _lose_instance),
    (promises.no_instance_is_lost, _stop_unasked),
    (promises.no_instance_appears_unasked, _launch_unasked),
    (promises.groups_and_rules_are_as_answered, _lose_rule),
    (promises.addresses_are_as_answered, _lose_association),
    (promises.tags_are_as_answered, _lose_tag),
    (promises.quotas_are_as_answered, _lose_quota),
    (machines.no_instance_has_two_live_domains, _run_twice),
    (machines.every_domain_was_placed_there, _leave_elsewhere),
    (machines.no_two_running_guests_share_an_address, _share_guests_address),
    (machines.no_volume_is_lost, _lose_volume),
    (machines.every_desire_is_reached, _lose_guest),
    (machines.every_guest_is_seen_to_answer, _fail_check),
    (machines.metadata_is_as_asked, _require_tokens),
    (machines.metadata_is_as_asked, _show_tags),
    (machines.metadata_is_as_asked, _ask_for_ever),
    (machines.nothing_is_left_on_hosts, _leave_volume),
    (machines.nothing_is_left_on_hosts, _leave_tap),
    (machines.nothing_is_left_on_hosts, _leave_vpc),
    (machines.nothing_is_left_on_hosts, _leave_console),
    (machines.nothing_is_left_on_hosts, _unplug),
    (machines.all_is_told_and_acknowledged, _stop_telling),
    (machines.all_is_told_and_acknowledged, _count_silent),
    (machines.hosts_networks_are_as_decided, _leave_stale_rule),
    (machines.hosts_networks_are_as_decided, _leave_stale_member),
    (machines.hosts_networks_are_as_decided, _leave_stale_nat),
    (machines.hosts_networks_are_as_decided, _leave_stale_tenant),
)
