"""Instances in their life as their user wants it: start, stop, reboot, terminate."""

import pytest

from controller.tables.compute import Attachment
from controller.tables.storage import Volume
from protos.cloud.v1 import instances_pb2, quotas_pb2
from protos.errors import Kind
from tests.unit.controller.cloud import Cloud
from tests.unit.controller.instance_calls import changes, modify, used
from tests.unit.controller.refusals import error_of


@pytest.fixture
def cloud(tmp_path):
    made = Cloud(tmp_path)
    yield made
    assert made.discrepancies() == []


def test_stop_gives_back_what_start_claims_again(cloud):
    (one,) = cloud.run_ids()
    before = cloud.describe(one)[0]
    assert used(cloud) == ((1, 1024, 1), (1, 1, 1024))
    assert changes(cloud.on("Stop", [one])) == [("running", "stopping")]
    cloud.converge()
    stopped = cloud.describe(one)[0]
    assert stopped.state == "stopped"
    assert used(cloud) == ((0, 0, 1), (1, 0, 0)), "the disk stays, and with it its claim"
    assert stopped.public_ip_address == "", "a lent address goes back to the pool"
    assert stopped.state_reason.code == "Client.UserInitiatedShutdown"
    assert stopped.state_transition_reason.startswith("User initiated (20")
    assert changes(cloud.on("Start", [one])) == [("stopped", "pending")]
    assert used(cloud) == ((1, 1024, 1), (1, 1, 1024))
    cloud.converge()
    again = cloud.describe(one)[0]
    assert again.state == "running"
    assert again.private_ip_address == before.private_ip_address
    assert again.public_ip_address
    assert not again.state_reason.code
    assert cloud.host.specs[one].starts == 2
    (vpc,) = cloud.host.vpcs.values()
    assert [address.public_ip for address in vpc.public_addresses] == [again.public_ip_address]


def test_terminate_gives_back_everything(cloud):
    ids = cloud.run_ids(3)
    assert changes(cloud.on("Terminate", ids)) == [("running", "shutting-down")] * 3
    assert used(cloud)[0] == (3, 3072, 3), "nothing is given back before it is gone"
    cloud.converge()
    assert cloud.states(*ids) == ["terminated"] * 3
    assert used(cloud) == ((0, 0, 0), (0, 0, 0))
    gone = cloud.describe(ids[0])[0]
    assert (gone.private_ip_address, gone.vpc_id, len(gone.block_devices)) == ("", "", 0)
    assert changes(cloud.on("Terminate", ids)) == [("terminated", "terminated")] * 3
    cloud.converge()
    assert cloud.host.specs == {}, "the host has forgotten them, too"


def test_a_kept_volume_outlives_its_instance_and_keeps_its_space(cloud):
    mapping = instances_pb2.BlockDeviceMapping(device_name="/dev/xvda", delete_on_termination=False)
    (one,) = cloud.run_ids(block_device_mappings=[mapping])
    cloud.on("Terminate", [one])
    cloud.converge()
    assert used(cloud)[0] == (0, 0, 1)
    with cloud.db.read() as session:
        assert session.one(Volume.select()) is not None
        assert session.one(Attachment.select()) is None


def test_doing_it_twice_does_it_once(cloud):
    (one,) = cloud.run_ids()
    assert changes(cloud.on("Start", [one])) == [("running", "running")]
    assert changes(cloud.on("Stop", [one, one])) == [("running", "stopping")]
    assert changes(cloud.on("Stop", [one])) == [("stopping", "stopping")]
    cloud.converge()
    assert changes(cloud.on("Stop", [one])) == [("stopped", "stopped")]
    assert changes(cloud.on("Start", [one])) == [("stopped", "pending")]
    assert changes(cloud.on("Start", [one])) == [("pending", "pending")]
    cloud.converge()
    assert used(cloud) == ((1, 1024, 1), (1, 1, 1024))


def test_force_can_follow_a_stop_that_the_guest_ignores(cloud):
    (one,) = cloud.run_ids()
    cloud.host.obeys = False
    cloud.on("Stop", [one])
    cloud.converge()
    assert not cloud.host.specs[one].force_stop
    cloud.on("Stop", [one], force=True)
    cloud.converge()
    assert cloud.host.specs[one].force_stop


def test_a_reboot_is_counted_and_proves_nothing_about_the_state(cloud):
    (one,) = cloud.run_ids()
    cloud.on("Reboot", [one])
    cloud.on("Reboot", [one])
    assert cloud.states(one) == ["running"]
    cloud.converge()
    assert cloud.host.specs[one].reboots == 2


@pytest.mark.parametrize(
    ("state", "refusing"),
    [
        ("pending", {"Stop"}),
        ("stopping", {"Start", "Reboot"}),
        ("stopped", {"Reboot"}),
        ("shutting-down", {"Start", "Stop"}),
        ("terminated", {"Start", "Stop"}),
    ],
)
def test_what_a_state_refuses(cloud, state, refusing):
    if state == "pending":
        (one,) = [instance.instance_id for instance in cloud.run().instances]
    else:
        (one,) = cloud.run_ids()
        cloud.on("Stop" if state.startswith("stop") else "Terminate", [one])
        if state in ("stopped", "terminated"):
            cloud.converge()
    assert cloud.states(one) == [state]
    for method in sorted(refusing):
        refusal = error_of(cloud.on, method, [one])
        assert (refusal.kind, refusal.noun, refusal.id) == (Kind.WRONG_STATE, "instance", one)
        assert cloud.states(one) == [state]


def test_a_reboot_of_one_that_goes_is_ignored_and_others_reboot(cloud):
    stays, goes = cloud.run_ids(2)
    cloud.on("Terminate", [goes])
    for _ in ("shutting-down", "terminated"):
        cloud.on("Reboot", [stays, goes])
        cloud.converge()
    assert cloud.states(stays, goes) == ["running", "terminated"]
    assert cloud.host.specs[stays].reboots == 2


def test_one_that_starts_takes_a_reboot(cloud):
    (one,) = [instance.instance_id for instance in cloud.run().instances]
    cloud.on("Reboot", [one])
    assert cloud.states(one) == ["pending"]
    cloud.converge()
    assert cloud.states(one) == ["running"]
    assert cloud.host.specs[one].reboots == 1


def test_all_of_a_call_or_none(cloud):
    one, two = cloud.run_ids(2)
    cloud.on("Terminate", [two])
    assert error_of(cloud.on, "Stop", [one, two]).id == two
    assert error_of(cloud.on, "Stop", [one, "i-00000000000000bad"]).kind is Kind.NOT_FOUND
    assert error_of(cloud.on, "Stop", [one, "i-bad"]).kind is Kind.MALFORMED_ID
    assert error_of(cloud.on, "Stop", []).reason == "missing-parameter"
    assert cloud.states(one) == ["running"]


def test_another_accounts_instance_is_not_there(cloud):
    (one,) = cloud.run_ids()
    for method in ("Start", "Stop", "Reboot", "Terminate"):
        assert error_of(cloud.on, method, [one], account=cloud.bob).kind is Kind.NOT_FOUND
    assert error_of(cloud.describe, one, account=cloud.bob).kind is Kind.NOT_FOUND
    assert cloud.describe(account=cloud.bob) == []


def test_protections_hold_until_taken_off(cloud):
    (one,) = cloud.run_ids(disable_api_termination=True, disable_api_stop=True)
    assert error_of(cloud.on, "Terminate", [one]).reason == "termination-protected"
    assert error_of(cloud.on, "Stop", [one]).reason == "stop-protected"
    modify(cloud, one, disable_api_stop=False)
    modify(cloud, one, disable_api_termination=False)
    cloud.on("Stop", [one])
    cloud.on("Terminate", [one])
    cloud.converge()
    assert cloud.states(one) == ["terminated"]


def test_a_start_on_a_full_host_says_so_and_claims_nothing(cloud):
    (one,) = cloud.run_ids(instance_type="t3.xlarge")
    cloud.on("Stop", [one])
    cloud.converge()
    cloud.run_ids(instance_type="t3.xlarge")
    before = used(cloud)
    assert error_of(cloud.on, "Start", [one]).kind is Kind.NO_CAPACITY
    assert used(cloud) == before
    assert cloud.states(one) == ["stopped"]


def test_a_start_is_charged_like_a_launch(cloud):
    (one,) = cloud.run_ids()
    cloud.on("Stop", [one])
    cloud.converge()
    operator = cloud.alice.caller()
    cloud.client("Quotas").Set(
        quotas_pb2.SetQuotaRequest(account_id=cloud.alice.account_id, name="vcpus", limit=0),
        caller=type(operator)(account_id=operator.account_id, operator=True),
    )
    assert error_of(cloud.on, "Start", [one]).kind is Kind.QUOTA
    assert used(cloud)[1] == (1, 0, 0)
