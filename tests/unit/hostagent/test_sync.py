"""HostSpecs in, HostReports out: what is merged, said, acknowledged and forgotten."""

import pytest

from hostagent.kernel.agent import HOST as HOST_KEY
from hostagent.storage.volumes.known import kept_volumes
from protos.cloud.v1 import fleet_pb2
from protos.cloud.v1.fleet_pb2 import STOPPED, TERMINATED, HostSpec
from protos.errors import CloudError, Kind
from tests.unit.hostagent.rig import HOST, Told, host_spec, instance


def said(report):
    return {one.id: one.instance.observed for one in report.observations if one.kind == "instance"}


def test_another_hosts_spec_is_refused(rig):
    with pytest.raises(CloudError) as refusal:
        rig.agent.take_in(HostSpec(host_id="h-00000000000000002", position=1))
    assert (refusal.value.kind, refusal.value.reason) == (Kind.INVALID, "wrong-host")
    assert rig.ledger.position == 0


def test_a_delta_that_leaves_a_gap_is_not_merged_and_asked_for_again(rig):
    report = rig.agent.apply(host_spec(instance(revision=9), base=7))
    assert report.position == 0
    assert rig.ledger.instances.get("i-1") is None


def test_the_newer_revision_of_an_instance_counts(rig):
    rig.tell(instance(revision=5, desired=STOPPED))
    rig.tell(instance(revision=3), position=3)
    assert rig.ledger.instances.get("i-1").spec.desired == STOPPED
    assert rig.ledger.position == 5


def test_absence_deletes_nothing(rig):
    rig.tell(instance())
    rig.tell(position=2, vpcs=())
    assert rig.observed() == "OBSERVED_RUNNING"
    assert rig.ledger.position == 2


def test_a_desire_that_is_none_is_not_taken_in(rig):
    rig.tell(instance(desired=fleet_pb2.DESIRED_UNSPECIFIED))
    assert rig.ledger.instances.get("i-1") is None


def test_apply_says_at_once_what_will_be(rig):
    assert said(rig.agent.apply(host_spec(instance()))) == {"i-1": fleet_pb2.PREPARING}
    rig.run()
    rig.acknowledge()
    stop = host_spec(instance(revision=2, desired=STOPPED), base=1)
    assert said(rig.agent.apply(stop)) == {"i-1": fleet_pb2.STOPPING}


def test_what_passes_is_no_news_what_stays_is(rig):
    rig.agent.apply(host_spec(instance()))
    assert not rig.agent.has_news()
    rig.run()
    assert rig.agent.has_news()
    report = rig.agent.report()
    rig.agent.delivered(report, HostSpec(host_id=HOST))
    assert not rig.agent.has_news()


def test_said_until_acknowledged(rig):
    rig.tell(instance())
    first = rig.agent.report()
    assert said(first) == {"i-1": fleet_pb2.OBSERVED_RUNNING}
    assert said(rig.agent.report()) == said(first)
    rig.acknowledge()
    assert said(rig.agent.report()) == {}


def test_an_observation_made_after_the_acknowledged_report_is_said(rig):
    rig.tell(instance())
    report = rig.agent.report()
    rig.hypervisor.power_off_inside("i-1")
    rig.run()
    answer = HostSpec(
        host_id=HOST,
        position=1,
        base=1,
        acknowledged_epoch=report.epoch,
        acknowledged_sequence=report.sequence,
    )
    rig.agent.delivered(report, answer)
    assert said(rig.agent.report()) == {"i-1": fleet_pb2.EXITED}


def test_a_new_epoch_says_everything_anew(rig):
    rig.tell(instance())
    rig.acknowledge()
    epoch = rig.ledger.epoch
    rig.restart()
    report = rig.agent.report()
    assert report.epoch > epoch
    assert said(report) == {"i-1": fleet_pb2.OBSERVED_RUNNING}
    assert report.HasField("facts")


def test_an_old_epochs_acknowledgement_silences_nothing(rig):
    rig.tell(instance())
    report = rig.agent.report()
    rig.restart()
    late = HostSpec(
        host_id=HOST,
        acknowledged_epoch=report.epoch,
        acknowledged_sequence=report.sequence,
    )
    rig.agent.take_in(late)
    assert said(rig.agent.report()) == {"i-1": fleet_pb2.OBSERVED_RUNNING}


def test_forgotten_only_when_its_absence_is_acknowledged(rig):
    rig.tell(instance())
    running = rig.agent.report()
    rig.tell(instance(revision=2, desired=TERMINATED), base=1)
    rig.agent.take_in(
        HostSpec(
            host_id=HOST,
            acknowledged_epoch=running.epoch,
            acknowledged_sequence=running.sequence,
        )
    )
    assert rig.observed() == "ABSENT"
    rig.acknowledge()
    assert rig.observed() == "forgotten"


def test_a_late_message_does_not_bring_back_what_was_forgotten(rig):
    rig.tell(instance())
    rig.tell(instance(revision=2, desired=TERMINATED), base=1)
    rig.acknowledge()
    rig.tell(instance(revision=1), position=1)
    assert rig.ledger.instances.get("i-1") is None
    assert rig.is_bare()


def test_a_termination_of_what_is_unknown_is_always_answered(rig):
    """The controller was restored from a backup and does not know that it is gone."""
    rig.tell(instance())
    rig.tell(instance(revision=2, desired=TERMINATED), base=1)
    rig.acknowledge()
    again = host_spec(instance(revision=2, desired=TERMINATED), base=2, position=3)
    assert said(rig.agent.apply(again)).keys() == {"i-1"}
    rig.run()
    assert rig.observed() == "ABSENT"


@pytest.mark.parametrize("told", [2, 3, 4])
def test_an_end_that_is_told_again_brings_no_volume_back(rig, told):
    """It stayed, and was deleted since; the message was late, or the whole truth."""
    keeps = instance(desired=TERMINATED, revision=2)
    keeps.disks[0].delete_on_termination = False
    rig.tell(instance())
    rig.tell(keeps, base=1)
    rig.pass_ms(100)
    rig.acknowledge()
    rig.agent.apply(host_spec(_deleted("vol-i-1"), base=2))
    rig.run()
    rig.acknowledge()
    rig.tell(keeps, position=told)
    rig.acknowledge()
    assert rig.is_bare()
    assert kept_volumes(rig.ledger) == set()


def _deleted(volume_id):
    deleted = fleet_pb2.VOLUME_DELETED
    return Told(fleet_pb2.VolumeSpec(volume_id=volume_id, desired=deleted), 3)


def test_facts_until_acknowledged_and_orphans_when_known(rig):
    rig.hypervisor.state.guests["pet"] = type("Guest", (), {"power": "running", "next_power": ""})()
    rig.run()
    report = rig.agent.report()
    assert report.facts.name == "host-1"
    assert (list(report.orphans), report.orphans_known) == (["pet"], True)
    rig.acknowledge()
    again = rig.agent.report()
    assert not again.HasField("facts")
    assert not again.orphans_known
    assert not again.cached_images_known


def test_cached_images_are_said_when_they_change(rig):
    rig.run()
    rig.acknowledge()
    rig.tell(instance())
    report = rig.agent.report()
    assert report.cached_images_known
    assert list(report.cached_images) == [instance().disks[0].image.digest]


def test_a_vpc_nobody_needs_is_not_kept(rig):
    rig.tell(instance(), vpcs=("vpc-1", "vpc-2"))
    assert set(rig.ledger.vpcs.all()) == {"vpc-1"}
    rig.tell(instance(revision=2, desired=TERMINATED), base=1)
    rig.acknowledge()
    rig.tell(position=3, base=2, vpcs=("vpc-1",))
    assert rig.ledger.vpcs.all() == {}


def test_a_changed_vpc_is_made_true_at_once(rig):
    rig.tell(instance())
    vpc = Told(fleet_pb2.VpcSpec(vpc_id="vpc-1"), 2)
    vpc.security_groups.add(group_id="sg-1")
    rig.agent.take_in(host_spec(vpc, base=1, vpcs=()))
    rig.run()
    assert [group.group_id for group in rig.network.made["vpc-1"].security_groups] == ["sg-1"]


def test_settings_are_kept_over_a_restart(rig):
    told = host_spec(instance())
    told.settings.report_interval_ms = 1234
    rig.agent.take_in(told)
    rig.restart()
    assert rig.agent.report_interval_ms == 1234


def test_nothing_is_written_for_an_answer_without_news(rig):
    rig.tell(instance())
    rig.acknowledge()
    written = []
    rig.checkpoint = written.append
    rig.acknowledge()
    assert written == []


def test_nothing_is_remembered_of_what_was_forgotten(rig):
    rig.tell(instance())
    rig.tell(instance(revision=2, desired=TERMINATED), base=1)
    rig.acknowledge()
    rig.run()
    assert rig.agent._kept.keys() == rig.agent._queue._due.keys() == {HOST_KEY}


def test_the_same_position_told_whole_brings_back_nothing_but_ends(rig):
    rig.tell(instance(), instance("i-2"))
    rig.tell(instance(revision=2, desired=TERMINATED), base=1)
    rig.acknowledge()
    whole = host_spec(instance(), instance("i-2", desired=STOPPED, revision=2), position=2)
    rig.agent.take_in(whole)
    assert (rig.observed(), rig.ledger.instances.get("i-2").revision) == ("forgotten", 2)
    assert said(rig.agent.apply(host_spec(instance(desired=TERMINATED), position=2))).keys() >= {
        "i-1"
    }


def test_what_was_forgotten_and_is_told_anew_is_taken_in(rig):
    rig.tell(instance())
    rig.tell(instance(revision=2, desired=TERMINATED), base=1)
    rig.acknowledge()
    rig.tell(instance(revision=3, starts=2), base=2)
    assert rig.observed() == "OBSERVED_RUNNING"


@pytest.mark.parametrize("revision", [1, 2])
def test_an_older_database_hears_again_what_it_acknowledged(rig, revision):
    """Its position was moved behind ours; of revisions, ours is the newer one and stays."""
    rig.tell(instance())
    rig.tell(instance(revision=2, reboots=1), base=1)
    rig.pass_ms(100_000)
    rig.acknowledge()
    assert rig.said() == {}
    report = rig.agent.apply(host_spec(instance(revision=revision), base=2, position=3))
    (seen,) = [one for one in report.observations if one.id == "i-1"]
    assert (seen.revision, seen.instance.reboots_done, seen.instance.starts) == (2, 1, 1)
    assert rig.ledger.instances.get("i-1").revision == 2


def test_a_vpc_is_seen_and_is_no_news(rig):
    rig.tell(instance())
    rig.acknowledge()
    rig.agent.take_in(host_spec(base=1, position=2, vpcs=()))
    vpc = Told(fleet_pb2.VpcSpec(vpc_id="vpc-1", dns_disabled=True), 2)
    rig.network.failures = 2.0
    rig.agent.take_in(host_spec(vpc, base=2, position=3, vpcs=()))
    rig.run()
    (seen,) = rig.said("vpc").values()
    assert (seen.revision, seen.vpc.observed) == (2, fleet_pb2.VPC_FAILED)
    assert seen.reason.message
    assert not rig.agent.has_news()


def test_a_kind_that_this_agent_does_not_know_is_passed_over(rig, caplog):
    told = host_spec(instance())
    told.assignments.add(kind="moon", id="moon-1", role="tide", revision=1)
    rig.agent.apply(told)
    assert rig.ledger.instances.get("i-1") is not None
    assert "knows no moon" in caplog.text
