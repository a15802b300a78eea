"""What can be set of an instance beside its attributes: monitoring, metadata options, credits."""

import pytest

from protos.cloud.v1 import common_pb2, fleet_pb2, instances_pb2, tags_pb2
from protos.errors import CloudError, Kind
from tests.unit.controller.cloud import Cloud


@pytest.fixture
def cloud(tmp_path):
    return Cloud(tmp_path)


def modify_metadata(cloud, instance_id, **options):
    request = instances_pb2.ModifyMetadataOptionsRequest(
        instance_id=instance_id, options=instances_pb2.MetadataOptions(**options)
    )
    return cloud.instances.ModifyMetadataOptions(request, caller=cloud.alice.caller())


def shown(cloud, instance_id) -> instances_pb2.MetadataOptions:
    return cloud.describe(instance_id)[0].metadata_options


def found_by_state(cloud, state) -> list[str]:
    request = instances_pb2.DescribeInstancesRequest(
        filters=[common_pb2.Filter(name="metadata-options.state", values=[state])]
    )
    answer = cloud.instances.Describe(request, caller=cloud.alice.caller())
    return [one.instance_id for each in answer.reservations for one in each.instances]


def refusal(act, *arguments, **more) -> CloudError:
    with pytest.raises(CloudError) as refused:
        act(*arguments, **more)
    return refused.value


def test_options_are_applied_once_the_host_has_said_so(cloud):
    launched = cloud.run().instances[0]
    assert launched.metadata_options.state == "pending", "there is no guest yet"
    cloud.converge()
    one = launched.instance_id
    assert shown(cloud, one).state == "applied"
    answer = modify_metadata(cloud, one, http_tokens="required", http_put_response_hop_limit=3)
    assert (answer.state, answer.http_tokens) == ("pending", "required")
    assert shown(cloud, one) == answer
    assert (found_by_state(cloud, "pending"), found_by_state(cloud, "applied")) == ([one], [])
    cloud.converge()
    assert shown(cloud, one).state == "applied"
    assert (found_by_state(cloud, "pending"), found_by_state(cloud, "applied")) == ([], [one])
    told = cloud.host.specs[one].metadata.options
    assert (told.http_tokens, told.http_put_response_hop_limit) == ("required", 3)
    assert told.http_endpoint == "enabled", "what was not said stays"


def test_options_that_are_so_already_wait_for_nothing(cloud):
    (one,) = cloud.run_ids()
    sent = len(cloud.host.applied)
    assert modify_metadata(cloud, one, http_tokens="optional").state == "applied"
    cloud.converge()
    assert len(cloud.host.applied) == sent


def test_a_silent_hosts_options_stay_pending(cloud):
    (one,) = cloud.run_ids()
    cloud.host.reachable = False
    modify_metadata(cloud, one, http_endpoint="disabled")
    cloud.converge()
    assert shown(cloud, one).state == "pending"
    cloud.host.reachable = True
    cloud.converge()
    assert shown(cloud, one).state == "applied"


def test_a_stopped_instances_options_are_kept_for_its_start(cloud):
    (one,) = cloud.run_ids()
    cloud.on("Stop", [one])
    cloud.converge()
    assert modify_metadata(cloud, one, instance_metadata_tags="enabled").state == "pending"
    cloud.converge()
    assert shown(cloud, one).state == "applied"
    cloud.on("Start", [one])
    cloud.converge()
    assert cloud.host.specs[one].metadata.options.instance_metadata_tags == "enabled"


def test_after_a_database_was_restored_options_are_applied_again(cloud):
    """What the host says of revisions that are not known any more proves nothing."""
    (one,) = cloud.run_ids()
    cloud.host.revisions[one] = 20
    cloud.host.see(one, fleet_pb2.OBSERVED_RUNNING)
    cloud.host.heartbeat()
    assert shown(cloud, one).state == "pending"
    cloud.converge()
    assert shown(cloud, one).state == "applied"


@pytest.mark.parametrize(
    "options",
    [
        {"http_tokens": "maybe"},
        {"http_put_response_hop_limit": 65},
        {"http_endpoint": "on"},
        {"instance_metadata_tags": "true"},
        {"http_protocol_ipv6": "both"},
    ],
)
def test_options_that_cannot_be(cloud, options):
    (one,) = cloud.run_ids()
    assert refusal(modify_metadata, cloud, one, **options).kind is Kind.INVALID


def test_no_metadata_by_ipv6(cloud):
    """Nobody's guests have IPv6."""
    (one,) = cloud.run_ids()
    wanted = {"http_tokens": "required", "http_protocol_ipv6": "enabled"}
    assert refusal(modify_metadata, cloud, one, **wanted).kind is Kind.UNSUPPORTED
    assert shown(cloud, one).http_tokens == "optional"
    modify_metadata(cloud, one, http_protocol_ipv6="disabled")


def test_who_is_going_is_not_changed(cloud):
    (one,) = cloud.run_ids()
    cloud.on("Terminate", [one])
    for act in (
        lambda: modify_metadata(cloud, one, http_tokens="required"),
        lambda: cloud.on("Monitor", [one]),
        lambda: cloud.on("Unmonitor", [one]),
    ):
        assert refusal(act).kind is Kind.WRONG_STATE


def test_monitoring_is_set_for_all_of_a_call_or_none(cloud):
    one, two = cloud.run_ids(2)
    with pytest.raises(CloudError):
        cloud.on("Monitor", [one, "i-00000000000000000"])
    assert not cloud.describe(one)[0].monitoring
    cloud.on("Monitor", [one])
    states = [each.state for each in cloud.on("Monitor", [one, two]).instances]
    assert states == ["enabled", "pending"]
    states = [each.state for each in cloud.on("Unmonitor", [two]).instances]
    assert states == ["disabling"]
    assert [each.monitoring for each in cloud.describe(one, two)] == [True, False]
    cloud.converge()
    assert [cloud.host.specs[each].metadata.monitoring for each in (one, two)] == [True, False]


def test_enhanced_networking_is_as_it_is(cloud):
    (one,) = cloud.run_ids()

    def modify(wanted: bool) -> None:
        request = instances_pb2.ModifyInstanceAttributeRequest(instance_id=one, ena_support=wanted)
        cloud.instances.ModifyAttribute(request, caller=cloud.alice.caller())

    assert refusal(modify, True).kind is Kind.WRONG_STATE
    cloud.on("Stop", [one])
    cloud.converge()
    modify(True)
    assert refusal(modify, False).kind is Kind.UNSUPPORTED


def credits_of(cloud, *ids) -> dict[str, str]:
    request = instances_pb2.DescribeCreditSpecificationsRequest(instance_ids=ids)
    answer = cloud.instances.DescribeCreditSpecifications(request, caller=cloud.alice.caller())
    return {one.instance_id: one.cpu_credits for one in answer.specifications}


def change_type(cloud, instance_id, name):
    cloud.on("Stop", [instance_id])
    cloud.converge()
    request = instances_pb2.ModifyInstanceAttributeRequest(
        instance_id=instance_id, instance_type=name
    )
    cloud.instances.ModifyAttribute(request, caller=cloud.alice.caller())


def test_an_instance_keeps_its_credit_option_whatever_its_type_becomes(cloud):
    (standard,) = cloud.run_ids(instance_type="t2.nano")
    (fixed,) = cloud.run_ids(instance_type="m5.large")
    (unlimited,) = cloud.run_ids(instance_type="t2.nano", cpu_credits="unlimited")
    change_type(cloud, standard, "t3.nano")
    change_type(cloud, fixed, "t3.nano")
    assert credits_of(cloud, standard, fixed) == {standard: "standard", fixed: "unlimited"}
    change_type(cloud, unlimited, "m5.large")
    assert credits_of(cloud) == {fixed: "unlimited", unlimited: "unlimited"}
    assert refusal(credits_of, cloud, unlimited).kind is Kind.INVALID
    change_type(cloud, unlimited, "t2.nano")
    assert credits_of(cloud, unlimited) == {unlimited: "unlimited"}


def test_tags_in_metadata_have_keys_that_can_be_asked_for(cloud):
    """As EC2 has it: at the launch, when they come to be shown, and when they are added."""
    odd = [common_pb2.Tag(key="a/b", value="c")]
    tagged = [common_pb2.TagSpecification(resource_type="instance", tags=odd)]
    shown = instances_pb2.MetadataOptions(instance_metadata_tags="enabled")
    launch = {"tag_specifications": tagged, "metadata_options": shown}
    assert refusal(cloud.run, **launch).kind is Kind.INVALID
    (one,) = cloud.run_ids(tag_specifications=tagged)
    refused = refusal(modify_metadata, cloud, one, instance_metadata_tags="enabled")
    assert refused.kind is Kind.INVALID
    assert cloud.describe(one)[0].metadata_options.instance_metadata_tags == "disabled"
    (two,) = cloud.run_ids(metadata_options=shown)

    def tag(*keys: str) -> None:
        tags = [common_pb2.Tag(key=key, value="v") for key in keys]
        request = tags_pb2.CreateTagsRequest(resource_ids=[one, two], tags=tags)
        cloud.client("Tags").Create(request, caller=cloud.alice.caller())

    for key in ("two words", "_index", ".."):
        assert refusal(tag, "fine", key).kind is Kind.INVALID
    assert cloud.describe(two)[0].tags == []
    tag("a-Z_0+=,.@:")
    cloud.converge()
    assert cloud.host.specs[two].metadata.tags == {"a-Z_0+=,.@:": "v"}
