"""HostSpecs in, HostReports out: what is merged, said, acknowledged and forgotten."""

import pytest

from protos.cloud.v1 import fleet_pb2
from protos.cloud.v1.fleet_pb2 import STOPPED, TERMINATED, HostSpec
from protos.errors import CloudError, Kind
from tests.unit.hostagent.rig import HOST, host_spec, instance


def said(report):
    return {each.instance_id: each.observed for each in report.observations}


def test_another_hosts_spec_is_refused(rig):
    with pytest.raises(CloudError) as refusal:
        rig.agent.take_in(HostSpec(host_id="h-00000000000000002", generation=1))
    assert (refusal.value.kind, refusal.value.reason) == (Kind.INVALID, "wrong-host")
    assert rig.ledger.generation == 0


def test_a_delta_that_leaves_a_gap_is_not_merged_and_asked_for_again(rig):
    report = rig.agent.apply(host_spec(instance(generation=9), base=7))
    assert report.spec_generation == 0
    assert not rig.agent.knows("i-1")


def test_the_newer_generation_of_an_instance_counts(rig):
    rig.tell(instance(generation=5, desired=STOPPED))
    rig.tell(instance(generation=3), generation=3)
    assert rig.ledger.get("i-1").spec.desired == STOPPED
    assert rig.ledger.generation == 5


def test_absence_deletes_nothing(rig):
    rig.tell(instance())
    rig.tell(generation=2, vpcs=())
    assert rig.observed() == "OBSERVED_RUNNING"
    assert rig.ledger.generation == 2


def test_a_desire_that_is_none_is_not_taken_in(rig):
    rig.tell(instance(desired=fleet_pb2.DESIRED_UNSPECIFIED))
    assert not rig.agent.knows("i-1")


def test_apply_says_at_once_what_will_be(rig):
    assert said(rig.agent.apply(host_spec(instance()))) == {"i-1": fleet_pb2.PREPARING}
    rig.run()
    rig.acknowledge()
    stop = host_spec(instance(generation=2, desired=STOPPED), base=1)
    assert said(rig.agent.apply(stop)) == {"i-1": fleet_pb2.STOPPING}


def test_what_passes_is_no_news_what_settles_is(rig):
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
        generation=1,
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
    rig.tell(instance(generation=2, desired=TERMINATED), base=1)
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
    rig.tell(instance(generation=2, desired=TERMINATED), base=1)
    rig.acknowledge()
    rig.tell(instance(generation=1), generation=1)
    assert not rig.agent.knows("i-1")
    assert rig.is_bare()


def test_a_termination_of_what_is_unknown_is_always_answered(rig):
    """The controller was restored from a backup and does not know that it is gone."""
    rig.tell(instance())
    rig.tell(instance(generation=2, desired=TERMINATED), base=1)
    rig.acknowledge()
    report = rig.agent.apply(host_spec(instance(generation=2, desired=TERMINATED), base=1))
    assert said(report).keys() == {"i-1"}
    rig.run()
    assert rig.observed() == "ABSENT"


def test_an_end_that_is_told_again_brings_no_volume_back(rig):
    """It stayed, and was deleted since; the message was late."""
    keeps = instance(desired=TERMINATED, generation=2)
    keeps.disks[0].delete_on_termination = False
    rig.tell(instance())
    rig.tell(keeps, base=1)
    rig.pass_ms(100)
    rig.acknowledge()
    rig.agent.apply(host_spec(base=2, generation=3, volumes=[_deleted("vol-i-1")]))
    rig.run()
    rig.acknowledge()
    rig.tell(keeps, generation=2)
    rig.acknowledge()
    assert rig.is_bare()
    assert rig.ledger.kept_volumes() == set()


def _deleted(volume_id):
    deleted = fleet_pb2.VOLUME_DELETED
    return fleet_pb2.VolumeSpec(volume_id=volume_id, generation=3, desired=deleted)


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
    assert set(rig.ledger.vpcs()) == {"vpc-1"}
    rig.tell(instance(generation=2, desired=TERMINATED), base=1)
    rig.acknowledge()
    rig.tell(generation=3, base=2, vpcs=("vpc-1",))
    assert rig.ledger.vpcs() == {}


def test_a_changed_vpc_is_made_true_at_once(rig):
    rig.tell(instance())
    told = host_spec(generation=2, base=1, vpcs=())
    vpc = told.vpcs.add(vpc_id="vpc-1", generation=2)
    vpc.security_groups.add(group_id="sg-1")
    rig.agent.take_in(told)
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
    rig.tell(instance(generation=2, desired=TERMINATED), base=1)
    rig.acknowledge()
    rig.run()
    assert rig.agent._workers == {}
    assert rig.agent._agenda._due.keys() <= {("host", ""), ("vpc", "vpc-1")}
