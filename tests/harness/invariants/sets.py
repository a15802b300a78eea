"""Which invariants are asked when: the lists that the simulation checks."""

from tests.harness.invariants import (
    claims,
    course,
    holdings,
    images,
    machines,
    networks,
    promises,
    storage,
)

# After every event, each where something of it has changed: rows that it reads, or what it looks at
# besides.
ON_ROWS = (
    claims.no_host_is_oversubscribed,
    claims.launches_go_to_hosts_that_are_up,
    claims.host_usage_is_the_sum_of_the_living,
    claims.a_claim_is_the_instances_size,
    claims.quota_usage_is_the_sum_of_the_living,
    claims.nothing_outlives_its_instance,
    claims.a_private_address_has_one_owner,
    claims.a_mac_address_has_one_owner,
    networks.ranges_are_apart,
    networks.what_is_joined_is_of_one_vpc,
    claims.a_public_address_has_one_owner,
    storage.snapshots_are_of_a_moment,  # asked once, when a row says that it is completed
    images.images_are_made_of_what_they_say,
    course.revisions_never_fall,
    course.reports_are_taken_in_in_order,
    course.terminated_is_final,
    course.a_client_token_made_one_set,
    promises.absence_is_no_failure,
)
ON_ANSWERS = (
    images.images_are_of_one_moment,
    promises.calls_keep_their_word,
    promises.no_instance_is_lost,
    promises.no_instance_appears_unasked,
    promises.groups_and_rules_are_as_answered,
    promises.addresses_are_as_answered,
    promises.tags_are_as_answered,
    promises.quotas_are_as_answered,
    holdings.what_was_made_is_there,
    holdings.nothing_was_made_unasked,
    holdings.volumes_are_attached_as_answered,
)
ON_MACHINES = (
    claims.every_living_guest_has_its_claim,
    course.no_assignment_has_two_workers,
    course.hosts_ledgers_never_forget,
    course.who_is_gone_stays_away,
    machines.no_instance_has_two_live_domains,
    machines.every_domain_was_placed_there,
    machines.no_volume_is_lost,
    storage.a_volume_has_one_writer,
    storage.every_writer_writes_the_top,
    machines.no_two_running_guests_share_an_address,
    networks.an_interface_is_in_one_guest,
)
EACH_EVENT = {"rows": ON_ROWS, "answers": ON_ANSWERS, "machines": ON_MACHINES}

# Once faults have ended and all had time to converge.
QUIESCED = (
    *ON_ROWS,
    *ON_ANSWERS,
    *ON_MACHINES,
    course.every_reference_is_answered,
    machines.every_desire_is_reached,
    machines.every_guest_is_seen_to_answer,
    machines.nothing_is_left_on_hosts,
    machines.all_is_told_and_acknowledged,
    machines.hosts_networks_are_as_decided,
    networks.guests_have_their_interfaces,
    networks.interfaces_converge,
    networks.hosts_routes_are_as_decided,
    storage.snapshots_are_whole,
    storage.volumes_read_as_written,
    storage.volumes_converge,
    images.images_converge,
    machines.metadata_is_as_asked,
    storage.guests_have_their_disks,
    storage.nothing_is_left_of_volumes,
)

# At some moment soon after the last fault, whatever guests still take their time for.
SOON = (machines.hosts_networks_are_as_decided, networks.hosts_routes_are_as_decided)
